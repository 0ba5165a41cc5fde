"""Answer the calls of ``chown`` of a step that has one user id only, and write down what they asked for.

The step's seccomp filter sends them here (``SCMP_ACT_NOTIFY``); runc hands over the descriptor on which they come. The
caller waits for the answer, so that its memory and its files can be looked at. It is not done, as there is
no other id, but all that comes with it is: the file becomes one of the layer, and loses setuid bits and capabilities.

Spec: seccomp_unotify(2); runtime-spec/config-linux.md, "The Container Process State".
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select
import socket
import stat
import struct
from typing import NamedTuple

from builder.runtime import syscalls

_RECEIVE = 0xC0502100
_SEND = 0xC0182101
_REQUEST = struct.Struct("=QIIiIQ6Q")
_RESPONSE = struct.Struct("=QqiI")
_AT_FDCWD = -100
_AT_SYMLINK_NOFOLLOW = 0x100
_AT_EMPTY_PATH = 0x1000
_STAYS = 0xFFFFFFFF
_PATH_MAX = 4096
_GENERIC = {54: "fchownat", 55: "fchown"}
_CALLS = {
    0xC000003E: {92: "chown", 93: "fchown", 94: "lchown", 260: "fchownat"},  # x86_64
    0xC00000B7: _GENERIC,  # aarch64
    0xC00000F3: _GENERIC,  # riscv64
    0xC0000102: _GENERIC,  # loongarch64
}
"""By AUDIT_ARCH_... and number. Calls of other architectures succeed, and nothing is written down."""


class _Call(NamedTuple):
    pid: int
    directory: int | None
    """A descriptor of the caller; None for its working directory."""
    path: bytes | None
    """None for the descriptor itself."""
    uid: int
    gid: int
    follow: bool


class Recorder:
    """What listens to one step."""

    def __init__(self, address: str, root: str, upper: str) -> None:
        """Wait at a Unix socket for the descriptor; ``upper`` will hold what changes below ``root``."""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(address)
        self._socket.listen()
        self._upper = os.fsencode(upper)
        self._device = os.stat(root).st_dev
        self._owned: dict[tuple[int, int], tuple[int, int, bytes, bool]] = {}

    def register(self, poll: select.poll) -> None:
        """Have the socket waited for."""
        poll.register(self._socket, select.POLLIN)

    def serve(self, descriptor: int, event: int, poll: select.poll) -> None:
        """Take what came at a descriptor that is neither the caller's."""
        if descriptor == self._socket.fileno():
            connection, _ = self._socket.accept()
            with connection:
                _, descriptors, _, _ = socket.recv_fds(connection, 1 << 16, 4)
            for each in descriptors:
                os.set_inheritable(each, False)
                poll.register(each, select.POLLIN)
        elif event & select.POLLIN:
            with contextlib.suppress(OSError):  # whoever called was killed
                self._answer(descriptor)
        else:  # the step's last process has ended
            poll.unregister(descriptor)
            os.close(descriptor)

    def owned(self) -> list[list[object]]:
        """Give what was written down, as JSON can hold it: inode, time of birth, user, group, path, by descriptor."""
        return [
            [*key, uid, gid, os.fsdecode(path), by_descriptor]
            for key, (uid, gid, path, by_descriptor) in self._owned.items()
        ]

    def _answer(self, descriptor: int) -> None:
        request = bytearray(_REQUEST.size)
        fcntl.ioctl(descriptor, _RECEIVE, request, True)
        number, pid, _, nr, architecture, _, *arguments = _REQUEST.unpack(request)
        error = 0
        name = _CALLS.get(architecture, {}).get(nr)
        if name is not None:
            try:
                self._record(_decode(name, pid, arguments), by_descriptor=name == "fchown")
            except OSError as failure:
                error = -(failure.errno or errno.EPERM)
        fcntl.ioctl(descriptor, _SEND, bytearray(_RESPONSE.pack(number, 0, error, 0)), True)

    def _record(self, call: _Call, *, by_descriptor: bool) -> None:
        file = _open(call)
        try:
            info = os.fstat(file)
            if info.st_dev != self._device:  # a pipe, a mount: no layer has it
                return
            itself = f"/proc/self/fd/{file}"
            if (call.uid, call.gid) == (_STAYS, _STAYS):
                return
            os.chown(itself, 0, 0)
            path = os.readlink(os.fsencode(itself))
            with contextlib.suppress(FileNotFoundError):  # it has no name any more
                key = syscalls.identity(self._upper + path)
                before = self._owned.get(key, (_STAYS, _STAYS, b"", False))
                uid = before[0] if call.uid == _STAYS else call.uid
                gid = before[1] if call.gid == _STAYS else call.gid
                self._owned[key] = uid, gid, path.strip(b"/"), by_descriptor
        finally:
            os.close(file)


def _decode(name: str, pid: int, arguments: list[int]) -> _Call:
    """Give what a call asks for; OSError where its path cannot be read."""
    first, second, third, fourth, fifth, _ = arguments
    if name == "fchown":
        return _Call(pid, _signed(first), None, second & _STAYS, third & _STAYS, follow=True)
    if name != "fchownat":
        path = _read_path(pid, first)
        return _Call(pid, None, path, second & _STAYS, third & _STAYS, follow=name == "chown")
    directory = None if _signed(first) == _AT_FDCWD else _signed(first)
    path = _read_path(pid, second)
    if not path and not fifth & _AT_EMPTY_PATH:
        raise FileNotFoundError(errno.ENOENT, "an empty path")
    return _Call(pid, directory, path or None, third & _STAYS, fourth & _STAYS, follow=not fifth & _AT_SYMLINK_NOFOLLOW)


def _signed(value: int) -> int:
    value &= 0xFFFFFFFF
    return value - (1 << 32) if value >> 31 else value


def _read_path(pid: int, address: int) -> bytes:
    memory = os.open(f"/proc/{pid}/mem", os.O_RDONLY)
    try:
        try:
            text, end, _ = os.pread(memory, _PATH_MAX, address).partition(b"\0")
        except (OSError, OverflowError) as error:
            raise OSError(errno.EFAULT, "an address that cannot be read") from error
    finally:
        os.close(memory)
    if not end:
        raise OSError(errno.ENAMETOOLONG, "a path without an end")
    return text


def _open(call: _Call) -> int:
    """Give an O_PATH descriptor of the file that is meant."""
    own = f"/proc/{call.pid}/cwd" if call.directory is None else f"/proc/{call.pid}/fd/{call.directory}"
    if call.path is None:
        try:
            return os.open(own, os.O_PATH)
        except FileNotFoundError as error:
            raise OSError(errno.EBADF, "no such descriptor") from error
    if b"/" not in call.path and call.path not in {b".", b".."}:
        # What tools do that go through a tree; nothing is followed on the way.
        directory = os.open(own, os.O_PATH | os.O_DIRECTORY)
        try:
            file = os.open(call.path, os.O_PATH | os.O_NOFOLLOW, dir_fd=directory)
        finally:
            os.close(directory)
        if not call.follow or not stat.S_ISLNK(os.fstat(file).st_mode):
            return file
        os.close(file)
    root = os.open(f"/proc/{call.pid}/root", os.O_PATH | os.O_DIRECTORY)
    try:
        path = call.path
        if path[:1] != b"/":
            here, top = (os.readlink(os.fsencode(each)) for each in (own, f"/proc/{call.pid}/root"))
            path = (here if top == b"/" else here.removeprefix(top)) + b"/" + path
        return syscalls.open_in_root(root, path, os.O_PATH | (0 if call.follow else os.O_NOFOLLOW))
    finally:
        os.close(root)
