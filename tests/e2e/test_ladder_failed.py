"""A step that has failed: a shell where it was, its files in an image; and what a build tells of its steps."""

from __future__ import annotations

import os
import pty
import re
import secrets
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from layers.store.trees import Trees
from tests.support.programs import need, processes, until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.conftest import Write
    from tests.support.programs import Pybuild

pytestmark = pytest.mark.e2e

FAILING = """\
FROM busybox
ENV KIND="a step's own"
WORKDIR /srv/work
USER web
RUN --mount=type=tmpfs,target=/scratch echo mine > /scratch/f && echo half > /tmp/half && exit 7
"""
WAYS = ["auto", "proot", *(["chroot"] if os.geteuid() == 0 else [])]


def on_terminal(pybuild: Pybuild, *arguments: str | Path, keys: list[tuple[bytes, bytes]]) -> tuple[int, str]:
    """Run on a terminal; press keys as soon as something is shown; give the exit code and all that was shown."""
    terminal, side = pty.openpty()
    process = subprocess.Popen(
        ["setsid", "--ctty", *pybuild.command(*arguments)],
        stdin=side,
        stdout=side,
        stderr=side,
        cwd=pybuild.home,
        env=pybuild.environment({"TERM": "xterm"}),
    )
    os.close(side)
    os.set_blocking(terminal, False)
    shown = bytearray()

    def drained() -> bytearray:
        try:
            while data := os.read(terminal, 1 << 16):
                shown.extend(data)
        except OSError:  # nothing more for now, or for ever
            pass
        return shown

    try:
        for awaited, key in keys:
            until(lambda awaited=awaited: awaited in drained() or process.poll() is not None)  # type: ignore[misc]
            if key == b"\x03":
                time.sleep(0.5)  # what it shall end has to have begun
            os.write(terminal, key)
        until(lambda: drained() is not None and process.poll() is not None)
        drained()
    finally:
        process.kill()
        process.wait()
        os.close(terminal)
    return process.returncode, shown.decode(errors="replace")


@pytest.mark.parametrize("isolation", WAYS)
def test_debugging_opens_a_shell_where_the_step_failed(based: Pybuild, write: Write, isolation: str) -> None:
    """With its files, user, variables and directory, connected with the terminal; then the build fails."""
    need("proot")
    keys = [
        (b"$ ", b'cat /tmp/half; echo "$KIND in $PWD"; test -t 0 && echo a  terminal\n'),
        (b"a terminal\r\n", b"echo now $((40 + 1)); sleep 1000\n"),
        (b"now 41", b"\x03"),
        (b"^C", b"echo then $((40 + 2))\n"),
        (b"then 42", b"exit\n"),
    ]

    code, shown = on_terminal(based, "--debug", "--isolation", isolation, write(FAILING), keys=keys)

    assert 1 == code, shown
    assert "half\r\n" in shown
    assert "a step's own in /srv/work\r\n" in shown
    assert "exit code: 7" in shown
    assert "Traceback" not in shown
    assert [] == based.left()


def test_debugging_needs_a_terminal(based: Pybuild, write: Write) -> None:
    assert "--keep-failed" in based.fails("--debug", write(FAILING))


@pytest.mark.parametrize("isolation", WAYS)
def test_what_a_failed_step_left_is_kept_as_an_image(based: Pybuild, write: Write, isolation: str) -> None:
    """Not under the name of the build, and nothing of it is taken for the step's result."""
    need("proot")
    error = based("-t", "app", "--keep-failed", "broken:1", "--isolation", isolation, write(FAILING), code=1).err

    assert "kept as the image docker.io/library/broken:1" in error
    image = based.image("broken:1")
    tree = Trees(based.layout).tree(image.layers)
    entry = tree.get(b"tmp/half")
    assert entry is not None
    assert (33, 33) == (entry.uid, entry.gid)
    assert "web" == image.config.config.user
    assert "exit code: 7" in based.fails(write(FAILING))


@pytest.mark.parametrize("isolation", WAYS)
def test_a_build_says_how_its_steps_run_and_what_they_take(based: Pybuild, write: Write, isolation: str) -> None:
    """The way in one line, once; time and memory at each step's end."""
    script = "head -c 40000000 /dev/zero | tail -c 30000000 | wc -c"
    done = based("--isolation", isolation, write(f"FROM busybox\nRUN {script}\nRUN :\n"))

    (line,) = [line for line in done.err.splitlines() if " isolation: " in line]
    assert re.match(rf"#1 isolation: {'runc' if isolation == 'auto' else isolation}\b", line)
    ends = re.findall(r"#\d DONE \d+\.\ds, (\d+)(?:\.\d+)?MB", done.err)
    assert 2 == len(ends)
    assert int(ends[0]) >= 30 > int(ends[1])


@pytest.mark.parametrize("isolation", WAYS)
def test_a_large_file_is_whole(based: Pybuild, write: Write, isolation: str) -> None:
    """200 MB, which no step's memory holds."""
    script = "yes 0123456789abcde | head -c 200000000 > /large && sha256sum /large > /sum"
    options = ("--isolation", isolation, "-o", f"type=tar,dest={based.home}/large.tar")
    based(*options, write(f"FROM busybox\nRUN {script}\n"))

    command = "tar -xOf large.tar large | sha256sum | cut -c-64; tar -xOf large.tar sum | cut -c-64"
    first, second = subprocess.check_output(["sh", "-c", command], cwd=based.home, text=True).split()
    assert first == second


@pytest.mark.parametrize("isolation", WAYS)
def test_an_interrupt_ends_all_that_a_step_started(based: Pybuild, write: Write, isolation: str) -> None:
    marker = str(secrets.randbelow(10**9) + 10**9)
    script = f"(trap '' INT TERM HUP; sleep {marker}) & sleep {marker}"
    context = write(f"FROM busybox\nRUN {script}\n")
    process = based.start("--isolation", isolation, context, output=based.home / "log")
    until(lambda: len([each for each in processes(f"sleep {marker}") if "sh -c" not in each]) >= 2)

    process.send_signal(signal.SIGINT)

    assert 130 == process.wait(60)
    assert [] == processes(marker)
    assert [] == based.left()


@pytest.mark.parametrize("isolation", WAYS)
def test_what_a_step_leaves_running_ends_with_it(based: Pybuild, write: Write, isolation: str) -> None:
    """A daemon that has let go of its output, in a session of its own."""
    marker = str(secrets.randbelow(10**9) + 10**9)
    script = f"setsid sleep {marker} > /dev/null 2>&1 < /dev/null &"
    based("--isolation", isolation, write(f"FROM busybox\nRUN {script}\nRUN echo next\n"))

    assert [] == processes(marker)
