"""Answer the calls of a step that has one user id only, and write down what its files' owners are to be.

A seccomp filter sends them here, which the process had that became the runtime or the tracer. (OCI runtimes have one
as well, ``listenerPath``, but few can ask that signals wait for the answer: else a stat that a signal cuts short ends
as none does, and the answer comes into memory that is something else by then.) What a runtime calls itself, outside of
the step, the kernel does.

The caller waits for the answer, so that its memory and its files can be looked at. A chown is not done, as there is no
other id, but all that comes with it is: the file becomes one of the layer, and loses setuid bits and capabilities. A
stat of what is not root's is done here, and says whose it is; the kernel does all others itself.

Spec: seccomp_unotify(2); runtime-spec/config-linux.md, "The Container Process State".
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import select
import signal
import socket
import stat
import struct
from dataclasses import field
from typing import TYPE_CHECKING, Any

from builder.runtime import calls, credentials, syscalls
from builder.runtime.identity import Identity
from builder.runtime.made import Made
from builder.runtime.places import Places
from builder.runtime.shown import Shown
from layers.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_RECEIVE = 0xC0502100
_SEND = 0xC0182101
_IS_VALID = 0x40082102
_SET_FLAGS = 0x40082104
_WAKE_UP_HERE = 1
"""SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP: the two processes take turns on one processor, five times as fast."""
_REQUEST = struct.Struct("=QIIiIQ6Q")
_RESPONSE = struct.Struct("=QqiI")
_TO_THE_KERNEL = 0, 0, 1
"""Value, error and flags of an answer: SECCOMP_USER_NOTIF_FLAG_CONTINUE."""
_HANDLER = struct.Struct("=QQ")
"""Of what rt_sigaction is given: the handler, flags."""
_SA_RESTART = 0x10000000
_NOTHING = bytes(_REQUEST.size)


@frozen
class Recording:
    """What to write down of a step."""

    root: str
    """Its root file system."""
    upper: str
    """The directory that holds what changes there."""
    socket: str = ""
    """The Unix socket where :func:`send_calls` brings the descriptor; without one, a tracer runs the step, which shows
    it another root, another user and its own idea of owners, and :meth:`Recorder.listen_to_this_process` does."""
    mounted: tuple[str, ...] = ()
    """Where a step without a mount namespace sees something else."""
    owners: Mapping[str, str] = field(default_factory=dict)
    """Those of the layers below that are not root, from :func:`builder.runtime.shown.pack_owners`."""
    user: tuple[int, int] = (0, 0)
    """Who owns what the step makes."""
    is_steady: bool = True
    """Whether nothing can be mounted there while it runs."""


def read_recording(document: dict[str, Any]) -> Recording:
    """Give what JSON has made of one."""
    uid, gid = document["user"]
    return Recording(**document | {"user": (uid, gid), "mounted": tuple(document["mounted"])})


def send_calls(path: str, identity: list[Any]) -> None:
    """In the process that will be the runtime: have the kernel send its calls to who waits at a Unix socket.

    ``identity`` is user, group and groups of the process that it will start.
    """
    names: list[str] = [*calls.CHOWN]
    if syscalls.can_wait():
        names += [*calls.STAT, *calls.MOVE, "chroot", calls.HANDLER, *calls.IDENTITY, *calls.MAKE]
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(path)
        listener = syscalls.listen(calls.program(names, pretends=True), keeps_privileges=True)
        _hand_over(connection, listener, json.dumps(identity).encode())


def _hand_over(connection: socket.socket, listener: int, message: bytes) -> None:
    socket.send_fds(connection, [message], [listener])
    os.close(listener)


class Recorder:
    """What listens to one step."""

    def __init__(self, recording: Recording) -> None:
        """Wait for the descriptor."""
        self._child: socket.socket | None = None
        if recording.socket:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._socket.bind(recording.socket)
            self._socket.listen()
        else:
            self._socket, self._child = socket.socketpair()
        top = b"" if recording.socket else os.fsencode(os.path.realpath(recording.root))
        self._is_traced = bool(top)
        mounted = tuple(map(os.fsencode, recording.mounted))
        self._places = Places(os.stat(recording.root), top, mounted, is_steady=recording.is_steady)
        self._shown = Shown(recording, top)
        self._made = Made(self._places, self._shown, lambda file, owner: self._note(file, *owner, by_descriptor=False))
        self._owned: dict[tuple[int, int], tuple[int, int, bytes, bool]] = {}
        self._identities: dict[int, Identity] = {}
        """By descriptor."""
        self._inside: dict[int, set[int]] = {}
        """Processes that were seen in the step, by descriptor."""
        self._outside = os.readlink("/proc/self/ns/mnt")

    def listen_to_this_process(self) -> None:
        """In the process that will be the tracer: have the kernel send its calls here."""
        if self._child is not None:
            _hand_over(self._child, syscalls.listen(calls.program(calls.CHOWN)), b"[0, 0, []]")

    def register(self, poll: select.poll) -> None:
        """Have the socket waited for."""
        poll.register(self._socket, select.POLLIN)
        self._shown.look()

    def serve(self, descriptor: int, event: int, poll: select.poll) -> None:
        """Take what came at a descriptor that is neither the caller's."""
        if descriptor == self._socket.fileno():
            if self._child is None:
                connection, _ = self._socket.accept()
            else:
                connection = self._socket
            with connection:
                if self._child is not None:
                    poll.unregister(descriptor)
                message, descriptors, _, _ = socket.recv_fds(connection, 1 << 20, 4)
            for each in descriptors:
                uid, gid, groups = json.loads(message)
                self._inside[each] = set()
                first = credentials.of_user(uid, gid, groups)
                self._identities[each] = Identity(first, self._owner, self._outside)
                os.set_inheritable(each, False)
                with contextlib.suppress(OSError):  # before Linux 6.6
                    fcntl.ioctl(each, _SET_FLAGS, _WAKE_UP_HERE)
                poll.register(each, select.POLLIN)
        elif event & select.POLLIN:
            with contextlib.suppress(OSError):  # whoever called was killed
                self._answer(descriptor)
        else:  # the step's last process has ended
            poll.unregister(descriptor)
            os.close(descriptor)
            del self._identities[descriptor], self._inside[descriptor]

    def _meant(self, number: int, own: int) -> int:
        """Give the id that was asked for: a tracer has put this user's own in the place of root's."""
        return 0 if self._is_traced and number == own else number

    def owned(self) -> list[list[object]]:
        """Give what was written down, as JSON can hold it: inode, time of birth, user, group, path, by descriptor."""
        self._made.settle()
        return [
            [*key, uid, gid, os.fsdecode(path), by_descriptor]
            for key, (uid, gid, path, by_descriptor) in self._owned.items()
        ]

    def _answer(self, descriptor: int) -> None:
        request = bytearray(_NOTHING)
        fcntl.ioctl(descriptor, _RECEIVE, request, True)
        number, pid, _, nr, architecture, _, *arguments = _REQUEST.unpack(request)
        answer = None
        while answer is None:
            # A signal that a child has ended cuts short what copies a file up; the answer must not be lost by it.
            with contextlib.suppress(InterruptedError):
                answer = self._do(descriptor, number, calls.name_of(architecture, nr), pid, arguments)
        while True:
            try:
                fcntl.ioctl(descriptor, _SEND, _RESPONSE.pack(number, *answer))
            except InterruptedError:
                continue
            return

    def _do(self, descriptor: int, number: int, name: str, pid: int, arguments: list[int]) -> tuple[int, int, int]:
        """Do what a call asks for; give value, error and flags of the answer."""
        try:
            if pid not in self._inside[descriptor] and not self._is_inside(descriptor, pid):
                return _TO_THE_KERNEL
            self._made.settle(pid)
            if name in calls.STAT:
                if self._shown.is_empty or not self._answer_stat(descriptor, number, name, pid, arguments):
                    return _TO_THE_KERNEL
                return 0, 0, 0
            if name in calls.CHOWN:
                self._record(calls.decode_chown(name, pid, arguments))
                return 0, 0, 0
            if name in calls.IDENTITY:
                told = self._identities[descriptor].tell(name, pid, arguments)
                if told is None or (told.written and not _write(descriptor, number, pid, told.written)):
                    return _TO_THE_KERNEL
                return told.value, 0, 0
            if name in calls.MAKE:
                owner = self._identities[descriptor].maker(pid)
                if owner is not None:
                    self._made.expect(calls.decode_make(name, pid, arguments), owner)
            elif name == "chroot":
                self._places.forget()
            elif name == calls.HANDLER and arguments[1]:
                _let_restart(descriptor, number, pid, arguments[1])
            elif name in calls.MOVE and not self._shown.is_empty:
                self._note_move(calls.decode_move(name, pid, arguments))
        except InterruptedError:
            raise
        except (OSError, OverflowError, struct.error) as failure:  # or addresses that are none
            if name in calls.CHOWN:
                return 0, -(getattr(failure, "errno", None) or errno.EPERM), 0
            if name in calls.IDENTITY and isinstance(failure, OSError) and failure.errno in calls.REFUSALS:
                return 0, -failure.errno, 0
        return _TO_THE_KERNEL  # which fails where this has failed

    def _is_inside(self, descriptor: int, pid: int) -> bool:
        """Tell whether a process is one of the step, and no runtime that is about to start it."""
        inside = self._inside[descriptor]
        has_begun = bool(inside) and os.readlink(f"/proc/{pid}/ns/mnt") != self._outside
        if not (self._is_traced or has_begun or self._places.is_root(os.stat(f"/proc/{pid}/root"))):
            return False
        inside.add(pid)
        return True

    def _answer_stat(self, descriptor: int, number: int, name: str, pid: int, arguments: list[int]) -> bool:
        """Write the answer into the caller's memory, unless the kernel's own is right."""
        question = calls.decode_stat(name, pid, arguments)
        if question is None:
            return False
        found = self._places.look(question.of, question.mask | calls.STATX_WANTED)
        owner = self._shown.owner(found)
        if owner is None:
            file = self._places.open(question.of)
            if file is None:
                return False
            try:
                owner = self._shown.owner_of(file, found)
            finally:
                os.close(file)
        if owner == (0, 0):
            return False
        answer = calls.answer_of(name, found, owner, os.uname().machine)
        return _write(descriptor, number, pid, ((question.address, answer),))

    def _owner(self, path: str) -> tuple[int, int]:
        """Give the owner, as the step sees it, of the file at a path on this machine."""
        file = os.open(path, os.O_PATH)
        try:
            return self._shown.owner_of(file, syscalls.statx_of(file, calls.STATX_WANTED))
        finally:
            os.close(file)

    def _note_move(self, moved: list[calls.Call]) -> None:
        """Write down the owner of a file of the layers below before it is somewhere else, where nobody looks for it."""
        for call in moved:
            owner = self._shown.owner_below(self._places.look(call, calls.STATX_WANTED))
            file = self._places.open(call) if owner is not None else None
            if owner is None or file is None:
                continue
            try:
                # It is copied up, as it will be in a moment anyway.
                mode = os.fstat(file).st_mode
                if stat.S_ISLNK(mode):
                    os.chown(f"/proc/self/fd/{file}", os.geteuid(), os.getegid())
                else:
                    os.chmod(f"/proc/self/fd/{file}", stat.S_IMODE(mode))
                self._note(file, *owner, by_descriptor=False)
            finally:
                os.close(file)

    def _record(self, change: calls.Change) -> None:
        file = self._places.open(change.of)
        if file is None:
            return
        try:
            found = syscalls.statx_of(file, calls.STATX_WANTED)
            if not self._shown.is_inside(found) or (change.uid, change.gid) == (calls.STAYS, calls.STAYS):
                return
            uid, gid = (calls.STAYS, calls.STAYS) if self._is_traced else self._shown.owner_of(file, found)
            with contextlib.suppress(PermissionError):  # it belongs to somebody else
                os.chown(f"/proc/self/fd/{file}", os.geteuid(), os.getegid())
            uid = uid if change.uid == calls.STAYS else self._meant(change.uid, os.getuid())
            gid = gid if change.gid == calls.STAYS else self._meant(change.gid, os.getgid())
            self._note(file, uid, gid, by_descriptor=change.by_descriptor)
        finally:
            os.close(file)

    def _note(self, file: int, uid: int, gid: int, *, by_descriptor: bool) -> None:
        keys, path = self._shown.identities(file)
        for key in keys:
            before = self._owned.get(key, (calls.STAYS, calls.STAYS))
            known = before[0] if uid == calls.STAYS else uid, before[1] if gid == calls.STAYS else gid
            self._owned[key] = *known, path, by_descriptor
        self._shown.note(keys, (uid, gid))


def _let_restart(descriptor: int, number: int, pid: int, address: int) -> None:
    """Have the end of a child cut no call of a process short that can go on, as BSD has it.

    A stat is never cut short. One that waits to be received here is, unless the handler has SA_RESTART; and shells
    (dash, busybox) that look for a program do not ask why a stat has failed.
    """
    memory = os.open(f"/proc/{pid}/mem", os.O_RDWR)
    try:
        handler, flags = _HANDLER.unpack(os.pread(memory, _HANDLER.size, address))
        fcntl.ioctl(descriptor, _IS_VALID, struct.pack("=Q", number))
        if handler not in {signal.SIG_DFL, signal.SIG_IGN} and not flags & _SA_RESTART:
            os.pwrite(memory, _HANDLER.pack(handler, flags | _SA_RESTART), address)
    finally:
        os.close(memory)


def _write(descriptor: int, number: int, pid: int, pieces: Iterable[tuple[int, bytes]]) -> bool:
    """Write into the memory of who has called; say whether all of it is there."""
    memory = os.open(f"/proc/{pid}/mem", os.O_RDWR)
    try:
        # Until it was opened, another process may have got the number.
        fcntl.ioctl(descriptor, _IS_VALID, struct.pack("=Q", number))
        return all(os.pwrite(memory, content, address) == len(content) for address, content in pieces)
    finally:
        os.close(memory)
