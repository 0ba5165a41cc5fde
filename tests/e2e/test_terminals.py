"""Input, terminals and signals of containers' processes."""

from __future__ import annotations

import os
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support.programs import processes, until
from tests.support.terminal import Terminal

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.programs import Pybuild

pytestmark = pytest.mark.e2e

DETACH = b"\x10\x11"


def terminal(pybuild: Pybuild, *arguments: str) -> Terminal:
    return Terminal(pybuild.command(*arguments), pybuild.environment({"TERM": "vt100"}), pybuild.home)


def test_a_shell_has_a_terminal_of_its_own(based: Pybuild) -> None:
    """As large as the user's, and with his Ctrl-C; his own is as it was in the end."""
    with terminal(based, "run", "-it", "--rm", "busybox", "sh") as shown:
        shown.until(b"# ")
        shown.press(b"stty size; echo $TERM; tty | cut -c 1-4\r")
        shown.until(b"33 77\r\nxterm\r\n/dev\r\n")
        assert not shown.is_restored()
        shown.resize(40, 100)
        shown.press(b"until [ \"$(stty size)\" = '40 100' ]; do sleep 0.1; done; echo re''sized\r")
        shown.until(b"resized")
        shown.press(b"echo sle''eping; sleep 1000\r")
        shown.until(b"sleeping")
        until(lambda: processes("sleep 1000") != [])
        shown.press(b"\x03")
        shown.until(b"^C")
        shown.press(b"exit 7\r")

        assert (7, True) == (shown.code(), shown.is_restored())
    assert not based.left()


def test_who_detaches_himself_leaves_it_running(based: Pybuild) -> None:
    with terminal(based, "run", "-it", "--name", "work", "busybox", "sh") as shown:
        shown.until(b"# ")
        shown.press(DETACH)
        assert (0, True) == (shown.code(), shown.is_restored())
    with terminal(based, "exec", "-it", "work", "sh") as shown:
        shown.until(b"# ")
        shown.press(b"stty size; exit 3\r")
        shown.until(b"33 77")
        assert (3, True) == (shown.code(), shown.is_restored())
    with terminal(based, "attach", "--detach-keys", "ctrl-x,d", "work") as shown:
        shown.press(b"\r")
        shown.until(b"# ")
        shown.press(b"\x18d")
        assert 0 == shown.code()
    with terminal(based, "attach", "work") as shown:
        shown.press(b"\r")
        shown.until(b"# ")
        shown.press(b"exit 4\r")
        assert (4, True) == (shown.code(), shown.is_restored())
    with terminal(based, "start", "-ai", "work") as shown:
        shown.until(b"# ")
        shown.press(b"exit 5\r")
        assert 5 == shown.code()


def test_a_killed_process_leaves_the_terminal_as_it_was(based: Pybuild) -> None:
    with terminal(based, "run", "-it", "--name", "work", "busybox", "sh") as shown:
        shown.until(b"# ")
        based("kill", "work")
        assert (137, True) == (shown.code(), shown.is_restored())


def test_who_insists_ends_it(based: Pybuild) -> None:
    """Process 1 does not hear SIGTERM unless it wants to; the third one is for who waits for it."""
    with terminal(based, "run", "-it", "--name", "work", "busybox", "sleep", "1000") as shown:
        until(lambda: based("ps", "-q").out)
        until(lambda: not shown.is_restored())

        def asked_once_more() -> bool:
            shown.process.terminate()
            return shown.process.poll() is not None

        until(asked_once_more)
        assert shown.code() in {125, -signal.SIGTERM}  # the latter by one that came when it was about to end
        assert shown.is_restored()
    until(lambda: not based("ps", "-q").out)
    assert b"137\n" == based("wait", "work").out


def test_much_input_and_output_pass_at_once(based: Pybuild) -> None:
    content = os.urandom(3 << 20)
    assert content == based("run", "-i", "--rm", "busybox", "cat", input=content).out
    based("run", "-d", "--name", "work", "busybox", "sleep", "1000")
    assert content == based("exec", "-i", "work", "cat", input=content).out
    based("rm", "-f", "work")


def test_input_is_not_taken_unasked(based: Pybuild) -> None:
    assert b"" == based("run", "--rm", "busybox", "cat", input=b"given").out
    assert "the input device is not a TTY" in based.fails("run", "-it", "--rm", "busybox", "sh")


def test_signals_are_the_process(based: Pybuild, place: Path) -> None:
    script = "trap 'echo told; exit 9' TERM; echo ready; while :; do sleep 0.1; done"
    process = based.start("run", "--rm", "busybox", "sh", "-c", script, output=place / "out")
    until(lambda: b"ready" in (place / "out").read_bytes())

    process.terminate()

    assert (9, b"ready\ntold\n") == (process.wait(60), (place / "out").read_bytes())


def test_what_runs_in_the_foreground_ends_with_who_waits_for_it(based: Pybuild, place: Path) -> None:
    process = based.start("run", "--name", "work", "busybox", "sleep", "1000", output=place / "out")
    until(lambda: based("ps", "-q").out)

    process.kill()
    process.wait()

    until(lambda: not based("ps", "-q").out)
    assert b"137\n" == based("wait", "work").out
    until(lambda: not based.left())


def test_output_that_nobody_reads_ends_it(based: Pybuild) -> None:
    command = based.command("run", "--rm", "busybox", "yes")
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=based.environment(), cwd=based.home) as process:
        assert process.stdout is not None
        assert b"y\n" == process.stdout.readline()
        process.stdout.close()
        process.wait(60)
    until(lambda: not based.left())


def test_what_waits_for_input_in_the_background_gets_it_later(based: Pybuild) -> None:
    based("run", "-d", "-i", "--name", "work", "busybox", "sh", "-c", "read line; echo got $line")
    done = based("attach", "work", input=b"this\n")
    assert b"got this\n" == done.out
    assert b"got this\n" == based("logs", "-f", "work").out


def test_a_log_is_followed_until_the_end(based: Pybuild, place: Path) -> None:
    script = "printf 'one\\n\\377\\n'; until test -e /go; do sleep 0.1; done; echo two"
    based("run", "-d", "--name", "work", "busybox", "sh", "-c", script)
    process = based.start("logs", "-f", "work", output=place / "out")
    until(lambda: (place / "out").read_bytes() == b"one\n\xff\n")

    based("exec", "work", "touch", "/go")

    assert (0, b"one\n\xff\ntwo\n") == (process.wait(60), (place / "out").read_bytes())
    stamped = based("logs", "-t", "--tail", "1", "work").out
    assert stamped.endswith(b"Z two\n")
    assert len("2026-11-23T19:00:00.000000000Z two\n") == len(stamped)


def test_two_commands_in_one_that_is_not_started_exclude_each_other(based: Pybuild, place: Path) -> None:
    based("create", "--name", "work", "busybox", "true")
    first = based.start("exec", "work", "sh", "-c", "echo up; sleep 1000", output=place / "out")
    until(lambda: b"up" in (place / "out").read_bytes())

    assert "another command runs in it" in str(based("exec", "work", "true", code=1).err)

    first.send_signal(signal.SIGKILL)
    first.wait()
    until(lambda: not based("ps", "-q").out)
    based("exec", "work", "true")


@pytest.mark.parametrize("isolation", ["chroot", "proot"])
@pytest.mark.root
def test_lesser_ways_have_terminals_and_company(based: Pybuild, isolation: str) -> None:
    with terminal(based, "run", "--isolation", isolation, "-it", "--name", "work", "busybox", "sh") as shown:
        shown.until(b"# ")
        shown.press(b"stty size\r")
        shown.until(b"33 77")
        assert b"root\n" == based("exec", "work", "sh", "-c", "cd /; test -d root && echo root").out
        based("exec", "work", "nope", code=127)
        shown.press(b"exit 7\r")
        assert (7, True) == (shown.code(), shown.is_restored())
    assert "needs mounts" in based.fails("run", "--rm", "--isolation", isolation, "--read-only", "busybox", code=125)
