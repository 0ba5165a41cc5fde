"""Processes under a keeper: no privileges, no containers."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from builder.errors import CancelledError, IsolationError
from builder.runtime.keeper import Command, Keeper
from tests.builder.runtime.inside import KINDS, inside
from tests.builder.runtime.scenes import alive

if TYPE_CHECKING:
    from collections.abc import Iterator

_REPOSITORY = Path(__file__).resolve().parents[3]
OWN = KINDS[0]
"""Whoever runs the suite; in another process, since a keeper is forked before the first thread."""


def sh(script: str, **options: Any) -> Command:
    return Command(("/bin/sh", "-c", script), {"PATH": os.defpath}, **options)


def ending(_directory: Path) -> Any:
    with Keeper() as keeper:
        output = bytearray()
        ended = [
            keeper.run(sh(script), output.extend)
            for script in ("echo a; echo b >&2; exit 7", "kill -9 $$", "kill -TERM $$", "cat", "kill -PIPE $$")
        ]
        return [[each.code for each in ended], output.decode(), ended[0].max_rss > 0]


def test_status_signal_and_output_come_back() -> None:
    assert [[7, 137, 143, 0, 141], "a\nb\n", True] == inside(OWN, ending)


def failing_to_start(directory: Path) -> Any:
    (directory / "data").write_text("")
    with Keeper() as keeper:
        return [
            keeper.run(Command((path,), cwd=cwd), lambda _: None).error
            for path, cwd in (
                ("/nothing", "/"),
                (str(directory / "data"), "/"),
                ("/bin/true", "/nothing"),
                ("/bin/true", "/"),
            )
        ]


def test_why_a_command_could_not_be_started_comes_back() -> None:
    """As an errno: missing, not executable, no such directory."""
    assert [2, 13, 2, 0] == inside(OWN, failing_to_start)


def orphaning(_directory: Path, marker: str) -> Any:
    with Keeper() as keeper:
        start = time.monotonic()
        # A daemon: another session, its parent gone, its output elsewhere.
        code = keeper.run(
            sh(f"(setsid sh -c 'sleep {marker} & sleep {marker}' >/dev/null 2>&1 &) ; exit 3"), print
        ).code
        return [code, alive(marker), time.monotonic() - start < 10]


def test_daemons_end_with_the_command_that_left_them() -> None:
    """Without any namespace: a shepherd adopts what loses its parent."""
    assert [3, [], True] == inside(OWN, orphaning, f"3600.{os.getpid()}1")


def inheriting(directory: Path) -> Any:
    held = os.open(directory, os.O_RDONLY)
    os.set_inheritable(held, True)
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with Keeper() as keeper:
        output = bytearray()
        keeper.run(
            sh(
                "ls /proc/self/fd | wc -l; umask; ulimit -n; env | grep -v -e PWD -e SHLVL -e _=; pwd",
                limits=(("nofile", 50, 50),),
                cwd="/etc",
            ),
            output.extend,
        )
        return output.decode().split()


def test_a_command_inherits_nothing() -> None:
    """No descriptor, no umask, no variable; only what it is given."""
    assert ["4", "0022", "50", f"PATH={os.defpath}", "/etc"] == inside(OWN, inheriting)


def closing(_directory: Path) -> Any:
    keeper = Keeper()
    keeper.close()
    keeper.close()
    try:
        keeper.run(sh("true"), print)
    except CancelledError as error:
        return str(error)
    return None


def test_a_closed_keeper_runs_nothing() -> None:
    assert "the build was ended" == inside(OWN, closing)


def losing(_directory: Path) -> Any:
    keeper = Keeper()
    os.kill(keeper.pid, 9)
    os.waitpid(keeper.pid, 0)
    try:
        keeper.run(sh("true"), print)
    except IsolationError as error:
        return str(error)
    return None


def test_a_killed_keeper_is_an_error() -> None:
    assert inside(OWN, losing).startswith("the process that starts the steps is gone: ")


@pytest.fixture
def abandoned(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """A process that has a directory removed should it die."""
    directory = tmp_path / "with blank"
    (directory / "sub").mkdir(parents=True)
    script = (
        f"import sys, time; sys.path.insert(0, {str(_REPOSITORY)!r}); from pathlib import Path; "
        "from builder.runtime.keeper import Keeper; keeper = Keeper(); "
        f"keeper.remove_afterwards(Path({str(directory)!r})); print('ready', flush=True); "
        "sys.stdin.read(); keeper.close()"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    assert b"ready\n" == process.stdout.readline()
    yield process, directory
    process.kill()
    process.stdin.close()
    process.stdout.close()
    process.wait()


def test_directories_are_removed_when_the_builder_is_killed(abandoned: tuple[subprocess.Popen[bytes], Path]) -> None:
    process, directory = abandoned
    process.kill()
    process.wait()
    for _ in range(500):
        if not directory.exists():
            break
        time.sleep(0.02)

    assert not directory.exists()


def test_directories_stay_when_the_keeper_is_closed(abandoned: tuple[subprocess.Popen[bytes], Path]) -> None:
    """Then they are their owner's business."""
    process, directory = abandoned
    assert process.stdin is not None
    process.stdin.close()
    process.wait()
    time.sleep(0.2)

    assert directory.exists()
