"""Who the processes of a step are told that they are."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import shutil
import signal
import struct
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from builder.runtime.credentials import of_user
from builder.runtime.identity import Identity, Told

if TYPE_CHECKING:
    from collections.abc import Iterator

ME = os.getpid()


def web() -> Identity:
    """Give processes that belong to an ordinary user."""
    return Identity(of_user(33, 34, (44, 45)), lambda _path: (0, 0), "")


def root() -> Identity:
    return Identity(of_user(0, 0, ()), lambda _path: (5, 6), "")


@contextlib.contextmanager
def child(*, daemon: bool = False) -> Iterator[tuple[int, int]]:
    """Give a process that leads a session, and the one that waits: itself or, as a ``daemon``, its child.

    It ends once it is told so.
    """
    going, go = os.pipe()
    telling, tell = os.pipe()
    leader = os.fork()
    if leader == 0:
        os.setsid()
        if daemon and os.fork() != 0:
            os.read(going, 1)
            os._exit(0)
        os.write(tell, b"%d" % os.getpid())
        signal.pause()
    waiting = int(os.read(telling, 20))
    try:
        yield leader, waiting
    finally:
        os.kill(waiting, signal.SIGKILL)
        os.write(go, b".")
        with contextlib.suppress(ChildProcessError):
            os.waitpid(leader, 0)
        for each in (going, go, telling, tell):
            os.close(each)


@contextlib.contextmanager
def running(program: str | Path, **options: Any) -> Iterator[int]:
    """Give a process that runs a copy of ``sleep``."""
    process = subprocess.Popen([program, "60"], **options)
    try:
        yield process.pid
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("getuid", [], Told(33)),
        ("geteuid", [], Told(33)),
        ("getgid", [], Told(34)),
        ("getegid", [], Told(34)),
        ("getresuid", [8, 16, 24], Told(0, tuple((each, struct.pack("=I", 33)) for each in (8, 16, 24)))),
        ("getresgid", [8, 16, 24], Told(0, tuple((each, struct.pack("=I", 34)) for each in (8, 16, 24)))),
        ("getgroups", [0, 8], Told(2)),
        ("getgroups", [5, 8], Told(2, ((8, struct.pack("=II", 44, 45)),))),
    ],
)
def test_a_user_is_told_his_numbers(name: str, arguments: list[int], expected: Told) -> None:
    assert expected == web().tell(name, ME, arguments)


@pytest.mark.parametrize("room", [1, 0xFFFFFFFF])
def test_groups_need_their_room(room: int) -> None:
    with pytest.raises(OSError, match="more") as caught:
        web().tell("getgroups", ME, [room, 8])

    assert errno.EINVAL == caught.value.errno


def test_a_process_is_what_it_has_become() -> None:
    identity = root()
    groups = (ctypes.c_uint32 * 3)(9, 3, 7)

    assert Told(0) == identity.tell("setgroups", ME, [3, ctypes.addressof(groups)])
    assert Told(0) == identity.tell("setresgid", ME, [1, 2, 3])
    assert Told(0) == identity.tell("setfsuid", ME, [8])
    assert Told(8) == identity.tell("setfsuid", ME, [9])
    assert Told(0) == identity.tell("setuid", ME, [33])

    assert [Told(33), Told(33), Told(1), Told(2), Told(3)] == [
        identity.tell(name, ME, [0]) for name in ("getuid", "geteuid", "getgid", "getegid", "getgroups")
    ]
    with pytest.raises(PermissionError):
        identity.tell("setuid", ME, [0])


def test_groups_that_cannot_be_read_are_a_bad_address() -> None:
    with pytest.raises(OSError, match="read") as caught:
        root().tell("setgroups", ME, [3, 4096])

    assert errno.EFAULT == caught.value.errno


def test_setpriv_keeps_what_it_may_do() -> None:
    identity = root()

    assert identity.tell("prctl", ME, [8, 1]) is None
    identity.tell("setresuid", ME, [33, 33, 33])

    assert Told(0) == identity.tell("setgroups", ME, [0, 0])


def test_a_child_is_what_its_parent_was_when_it_was_started() -> None:
    """It is seen later; by then the parent has become another."""
    identity = root()
    identity.tell("setresuid", ME, [1, 2, 0])
    with child() as (_, pid):
        time.sleep(0.05)
        identity.tell("setuid", ME, [0])

        assert Told(2) == identity.tell("geteuid", pid, [])
        assert Told(0) == identity.tell("geteuid", ME, [])


def test_a_child_changes_and_its_parent_does_not() -> None:
    identity = root()
    with child() as (_, pid):
        identity.tell("setuid", pid, [33])

        assert [Told(33), Told(0)] == [identity.tell("getuid", each, []) for each in (pid, ME)]


def test_a_daemon_is_what_led_its_session() -> None:
    """That was its parent, which has ended before anybody saw the daemon."""
    identity = root()
    with child(daemon=True) as (leader, pid):
        # as if it had done so before it started the daemon
        identity.tell("setuid", leader, [33])
        identity.tell("getuid", ME, [])
        for each in identity._records.values():
            each.moments[:] = [moment._replace(since=0) for moment in each.moments]
        os.kill(leader, signal.SIGKILL)
        os.waitpid(leader, 0)

        assert Told(33) == identity.tell("getuid", pid, [])


def test_a_program_with_a_setuid_bit_has_its_owner(tmp_path: Path) -> None:
    program = tmp_path / "sleep"
    shutil.copyfile("/bin/sleep", program)
    program.chmod(0o6755)

    with running(program) as pid:
        assert [Told(0), Told(5), Told(0), Told(6)] == [
            root().tell(name, pid, []) for name in ("getuid", "geteuid", "getgid", "getegid")
        ]


def test_a_runtime_that_is_about_to_start_the_step_is_no_user() -> None:
    """What it runs is not in its root directory."""
    program = os.memfd_create("runtime")
    with open(program, "wb", closefd=False) as file:
        file.write(Path("/bin/sleep").read_bytes())
    identity = web()

    with running(f"/proc/self/fd/{program}", pass_fds=[program]) as pid:
        assert Told(0) == identity.tell("setuid", pid, [0])
        assert identity.tell("getuid", pid, []) is None
    os.close(program)
    assert Told(33) == identity.tell("getuid", ME, [])


def test_files_belong_to_what_made_them() -> None:
    identity = root()
    assert identity.maker(ME) is None

    identity.tell("setfsuid", ME, [33])
    assert (33, 0) == identity.maker(ME)

    identity.tell("setfsuid", ME, [0])
    assert identity.maker(ME) is None
