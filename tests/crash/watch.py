"""Run something in a forked process and be asked before each of its system calls that change the disk.

The calls are the kernel's, of every thread, whatever code makes them: nothing in the process is replaced.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select
import signal
import socket
import struct
import sys
import threading
import traceback
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple

from builder.runtime import syscalls
from tests.crash import calls

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_RECEIVE = 0xC0502100
_SEND = 0xC0182101
_REQUEST = struct.Struct("=QIIiIQ6Q")
_RESPONSE = struct.Struct("=QqiI")
_CONTINUE = 1
_AT_FDCWD = -100
_PATH_MAX = 4096
_PR_SET_DUMPABLE = 4
_NAMES = calls.names()


class Call(NamedTuple):
    """One call, before it is carried out."""

    number: int
    """From 1 on; those that the process's own children make are not counted."""
    name: str
    path: str
    """What it is about."""


Answer = Literal["go", "kill"] | int
"""Carry it out; end the process first; or have it fail with an errno."""


@dataclass
class Ended:
    """How the process ended."""

    status: int
    """Its exit code; the negative number of the signal that ended it."""
    calls: list[Call] = field(default_factory=list)


def watched(action: Callable[[], int], below: Path, output: Path, answer: Callable[[Call], Answer]) -> Ended:
    """Fork, run ``action``, and wait until it and all that it started have ended.

    What it prints goes to a file. Calls are asked about and counted that are about something below a directory.
    """
    ours, theirs = socket.socketpair()
    child = os.fork()
    if child == 0:
        ours.close()
        _be_the_child(action, output, theirs)
    theirs.close()
    with ours:
        _, (listener,), _, _ = socket.recv_fds(ours, 1, 1)
    try:
        return _Watch(child, listener, f"{below}/", answer).run()
    finally:
        os.close(listener)


def forked(action: Callable[[], int], output: Path) -> int:
    """Fork, run ``action`` and give its exit code, unwatched."""
    child = os.fork()
    if child == 0:
        _act(action, _log(output))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _be_the_child(action: Callable[[], int], output: Path, parent: socket.socket) -> None:
    try:
        log = _log(output)
        syscalls._prctl(_PR_SET_DUMPABLE, 1)  # so that the parent may look into this process
        listener = syscalls.listen(calls.program())
        socket.send_fds(parent, [b"."], [listener])
        os.close(listener)
        parent.close()
    except BaseException:  # noqa: BLE001 - it is told, and the process ends
        traceback.print_exc()
        os._exit(98)
    _act(action, log)


def _log(output: Path) -> int:
    return os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)


def _act(action: Callable[[], int], log: int) -> None:
    """Do it with a standard output of its own, and end as a Python program does; never returns."""
    status = 99
    try:
        for number in (1, 2):
            os.dup2(log, number)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115 - as long as the process lives
        sys.stderr = open(2, "w", closefd=False, buffering=1)  # noqa: SIM115 - likewise
        status = action()
        sys.stdout.flush()
        threading._shutdown()  # type: ignore[attr-defined] # what the interpreter does at its end
    except BaseException:  # noqa: BLE001 - likewise
        traceback.print_exc()
    os._exit(status)


class _Watch:
    def __init__(self, child: int, listener: int, below: str, answer: Callable[[Call], Answer]) -> None:
        self._child = child
        self._below = below
        self._listener = listener
        self._answer = answer
        self._ended: Ended | None = None
        self._calls: list[Call] = []

    def run(self) -> Ended:
        poll = select.poll()
        pidfd = os.pidfd_open(self._child)
        poll.register(self._listener, select.POLLIN)
        poll.register(pidfd, select.POLLIN)
        try:
            while True:
                for descriptor, event in poll.poll():
                    if descriptor == pidfd:
                        poll.unregister(pidfd)
                        status = os.waitstatus_to_exitcode(os.waitpid(self._child, 0)[1])
                        self._ended = Ended(status, self._calls)
                    elif event & select.POLLIN:
                        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # who asked was killed
                            self._serve()
                    elif self._ended is not None:  # the last process has ended
                        return self._ended
        finally:
            os.close(pidfd)

    def _serve(self) -> None:
        request = bytearray(_REQUEST.size)
        fcntl.ioctl(self._listener, _RECEIVE, request, True)
        number, thread, _, nr, _, _, *arguments = _REQUEST.unpack(request)
        error, flags = 0, _CONTINUE
        if self._ended is None and os.path.exists(f"/proc/{self._child}/task/{thread}"):
            answer = self._ask(nr, arguments)
            if answer == "kill":
                os.kill(self._child, signal.SIGKILL)
                return
            if answer != "go":
                error, flags = -answer, 0
        fcntl.ioctl(self._listener, _SEND, bytearray(_RESPONSE.pack(number, 0, error, flags)), True)

    def _ask(self, nr: int, arguments: list[int]) -> Answer:
        name = _NAMES[nr]
        path = self._path(calls.SHAPES[name], arguments)
        if not path.startswith(self._below):
            return "go"
        call = Call(len(self._calls) + 1, name, path)
        self._calls.append(call)
        return self._answer(call)

    def _path(self, shape: calls.Shape, arguments: list[int]) -> str:
        """Give what a call is about; empty where the process does not tell."""
        path = b""
        if shape.path is not None and arguments[shape.path]:
            path = _read_text(self._child, arguments[shape.path])
        if path.startswith(b"/"):
            return os.fsdecode(path)
        number = _AT_FDCWD if shape.descriptor is None else _signed(arguments[shape.descriptor])
        try:
            own = "cwd" if number == _AT_FDCWD else f"fd/{number}"
            start = os.readlink(f"/proc/{self._child}/{own}")
        except FileNotFoundError:
            return ""
        return f"{start}/{os.fsdecode(path)}" if path else start


def _signed(value: int) -> int:
    value &= 0xFFFFFFFF
    return value - (1 << 32) if value >> 31 else value


def _read_text(pid: int, address: int) -> bytes:
    memory = os.open(f"/proc/{pid}/mem", os.O_RDONLY)
    try:
        return os.pread(memory, _PATH_MAX, address).partition(b"\0")[0]
    except OSError as error:
        if error.errno == errno.EIO:
            return b""
        raise
    finally:
        os.close(memory)
