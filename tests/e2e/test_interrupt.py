"""A build that is ended from outside leaves nothing running, nothing mounted, nothing half-written."""

from __future__ import annotations

import os
import pty
import secrets
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support.programs import Pybuild, processes, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.e2e.conftest import Write

pytestmark = pytest.mark.e2e


@pytest.fixture
def marker() -> str:
    """A number of seconds by which the processes of this test are known."""
    return str(secrets.randbelow(10**9) + 10**9)


@pytest.fixture(autouse=True)
def _sound(based: Pybuild) -> Iterator[None]:
    yield
    until(lambda: not processes(str(based.store)))
    based.check_store()


def sleeping(write: Write, marker: str) -> Path:
    """A build that stands still in its third step, with a child that ignores what can be ignored."""
    return write(
        f"FROM busybox\nRUN echo first\nRUN (trap '' INT TERM HUP; sleep {marker}) & sleep {marker}\nRUN false\n"
    )


def started(pybuild: Pybuild, context: Path, marker: str) -> subprocess.Popen[bytes]:
    process = pybuild.start("-t", "app", context, output=pybuild.home / "log")
    until(lambda: sum(text.startswith("sleep") for text in processes(marker)) == 2 or process.poll() is not None)
    assert process.poll() is None, (pybuild.home / "log").read_text()
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_step_and_all_it_started(
    based: Pybuild, write: Write, marker: str, number: signal.Signals
) -> None:
    """Exit code 130, soon, without a traceback; the steps before are remembered."""
    process = started(based, sleeping(write, marker), marker)

    process.send_signal(number)

    assert 130 == process.wait(60)
    assert [] == processes(marker)
    assert [] == based.left()
    log = (based.home / "log").read_text()
    assert "Traceback" not in log
    assert log.splitlines()[-1].startswith("ERROR: ")
    assert ["[2/2] RUN echo first"] == based(write("FROM busybox\nRUN echo first\n")).cached


def test_control_c_on_a_terminal_ends_the_build(based: Pybuild, write: Write, marker: str) -> None:
    """It reaches the whole foreground group at once."""
    context = sleeping(write, marker)
    terminal, side = pty.openpty()
    process = subprocess.Popen(
        ["setsid", "--ctty", *based.command("--progress", "tty", context)],
        stdin=side,
        stdout=side,
        stderr=side,
        cwd=based.home,
        env=based.environment({"TERM": "xterm"}),
    )
    os.close(side)
    read = bytearray()
    try:
        os.set_blocking(terminal, False)
        until(lambda: drained(terminal, read) and len(processes(f"sleep {marker}")) >= 2)
        os.write(terminal, b"\x03")
        until(lambda: drained(terminal, read) and process.poll() is not None)
    finally:
        os.close(terminal)

    assert (130, []) == (process.returncode, processes(marker))
    assert [] == based.left()
    assert b"Traceback" not in read


def drained(terminal: int, into: bytearray) -> bool:
    """Take what the terminal has, and go on."""
    try:
        while data := os.read(terminal, 1 << 16):
            into += data
    except OSError:  # nothing more for now, or for ever
        pass
    return True


def test_killing_the_builder_in_a_step_leaves_nothing_running(based: Pybuild, write: Write, marker: str) -> None:
    """What is left on the disk goes with the next build."""
    context = sleeping(write, marker)
    process = started(based, context, marker)

    process.kill()
    process.wait()

    until(lambda: not processes(marker) and not processes(str(based.store)))
    based("-t", "next", write("FROM busybox\nRUN echo first\nRUN echo next\n"))
    assert [] == based.left()
    based.image("next")


def make_large(path: Path) -> None:
    """Write what takes a second to compress."""
    with path.open("wb") as file:
        for _ in range(40):
            file.write(os.urandom(1 << 20) * 8)


def test_killing_the_builder_in_a_copy_leaves_a_store_that_works(based: Pybuild, write: Write) -> None:
    """A layer that is not complete has no name; the next build makes it anew."""
    context = write("FROM busybox\nCOPY large /\n")
    make_large(context / "large")
    blobs = len(list(based.layout.blobs.list()))
    process = based.start("-t", "app", context, output=based.home / "log")

    def half_written() -> bool:
        return any(path.stat().st_size > 1 << 20 for path in (based.store / "tmp").glob("**/*") if path.is_file())

    until(lambda: half_written() or process.poll() is not None)
    process.kill()
    assert -signal.SIGKILL == process.wait()

    assert blobs == len(list(based.layout.blobs.list()))
    based.check_store()
    for path in (based.store / "tmp").iterdir():  # a minute later
        os.utime(path, (0, 0))
    done = based("-t", "app", context)
    assert [] == done.cached
    based.image("app")
    assert [] == based.left()


def test_a_signal_in_a_copy_leaves_nothing(based: Pybuild, write: Write) -> None:
    context = write("FROM busybox\nCOPY large /\n")
    make_large(context / "large")
    process = based.start("-t", "app", context, output=based.home / "log")
    until(lambda: "COPY large" in (based.home / "log").read_text())

    process.send_signal(signal.SIGINT)

    assert 130 == process.wait(60)
    assert [] == based.left()
    assert "Traceback" not in (based.home / "log").read_text()


def test_two_stages_at_once_are_both_ended(based: Pybuild, write: Write, marker: str) -> None:
    context = write(
        f"FROM busybox AS one\nRUN sleep {marker}\nFROM busybox AS two\nRUN sleep {marker}\n"
        "FROM busybox\nCOPY --from=one /etc/motd /1\nCOPY --from=two /etc/motd /2\n"
    )
    process = started(based, context, marker)

    process.send_signal(signal.SIGINT)

    assert 130 == process.wait(60)
    assert [] == processes(marker)
    assert [] == based.left()


def test_a_failing_stage_ends_the_others(based: Pybuild, write: Write, marker: str) -> None:
    """And its own error is what is told."""
    context = write(
        f"FROM busybox AS one\nRUN sleep {marker}\nFROM busybox AS two\nRUN sleep 1; exit 9\n"
        "FROM busybox\nCOPY --from=one /etc/motd /1\nCOPY --from=two /etc/motd /2\n"
    )

    assert "Dockerfile:4: " in based.fails(context)

    assert [] == processes(marker)


def test_two_builds_share_a_store(based: Pybuild, write: Write) -> None:
    """Of the same Dockerfile, at the same time."""
    context = write("FROM busybox\nRUN sleep 1; echo once > /once\nCOPY a /\nRUN cat /a\n", {"a": "a"})
    running = [based.start("-t", f"app:{n}", context, output=based.home / f"log{n}") for n in range(3)]

    assert [0, 0, 0] == [process.wait(60) for process in running]
    assert [] == based.left()
    for n in range(3):
        based.image(f"app:{n}")
