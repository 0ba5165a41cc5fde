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
from layers.frozen import frozen

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
_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7, "riscv64": 0xC00000F3, "loongarch64": 0xC0000102}
_ALLOW = 0x7FFF0000
_NOTIFY = 0x7FC00000


class _Call(NamedTuple):
    pid: int
    directory: int | None
    """A descriptor of the caller; None for its working directory."""
    path: bytes | None
    """None for the descriptor itself."""
    uid: int
    gid: int
    follow: bool


@frozen
class Recording:
    """What to write down of a step."""

    root: str
    """Its root file system."""
    upper: str
    """The directory that holds what changes there."""
    socket: str = ""
    """The Unix socket where a runtime will bring the descriptor; without one, a tracer runs the step, which shows it
    another root and another user, and :meth:`Recorder.listen_to_this_process` is called to start it."""
    mounted: tuple[str, ...] = ()
    """Where a step without a mount namespace sees something else."""


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
        self._upper = os.fsencode(recording.upper)
        self._root = b"" if recording.socket else os.fsencode(os.path.realpath(recording.root))
        self._mounted = tuple(map(os.fsencode, recording.mounted))
        self._device = os.stat(recording.root).st_dev
        self._owned: dict[tuple[int, int], tuple[int, int, bytes, bool]] = {}

    def listen_to_this_process(self) -> None:
        """In the process that will be the step: have the kernel send its calls here, unless a runtime will do it."""
        if self._child is not None:
            architecture = _ARCHITECTURES[os.uname().machine]
            listener = syscalls.listen(_program(architecture, list(_CALLS[architecture])))
            socket.send_fds(self._child, [b"."], [listener])
            os.close(listener)

    def register(self, poll: select.poll) -> None:
        """Have the socket waited for."""
        poll.register(self._socket, select.POLLIN)

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

    def _meant(self, number: int, own: int) -> int:
        """Give the id that was asked for: a tracer has put this user's own in the place of root's."""
        return 0 if self._root and number == own else number

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

    def _open(self, call: _Call) -> int | None:
        """Give an O_PATH descriptor of the file that is meant; None where no layer has it."""
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
        top = self._root or os.readlink(f"/proc/{call.pid}/root".encode())
        path = call.path
        if path[:1] != b"/":
            here = os.readlink(os.fsencode(own))
            if self._root and not (here + b"/").startswith(top + b"/"):
                return None
            path = (here if top == b"/" else here.removeprefix(top)) + b"/" + path
        elif self._root and path.startswith(self._root + b"/"):  # the tracer has changed it already
            path = path[len(self._root) :]
        if any((path + b"/").startswith(each + b"/") for each in self._mounted):
            return None
        root = os.open(self._root or f"/proc/{call.pid}/root", os.O_PATH | os.O_DIRECTORY)
        try:
            return syscalls.open_in_root(root, path, os.O_PATH | (0 if call.follow else os.O_NOFOLLOW))
        finally:
            os.close(root)

    def _record(self, call: _Call, *, by_descriptor: bool) -> None:
        file = self._open(call)
        if file is None:
            return
        try:
            info = os.fstat(file)
            if info.st_dev != self._device:  # a pipe, a mount: no layer has it
                return
            itself = f"/proc/self/fd/{file}"
            if (call.uid, call.gid) == (_STAYS, _STAYS):
                return
            with contextlib.suppress(PermissionError):  # it belongs to somebody else
                os.chown(itself, os.geteuid(), os.getegid())
            path = os.readlink(os.fsencode(itself))
            if not path.startswith(self._root + b"/"):
                return
            path = path[len(self._root) :]
            with contextlib.suppress(FileNotFoundError):  # it has no name any more
                key = syscalls.identity(self._upper + path)
                before = self._owned.get(key, (_STAYS, _STAYS, b"", False))
                uid = before[0] if call.uid == _STAYS else self._meant(call.uid, os.getuid())
                gid = before[1] if call.gid == _STAYS else self._meant(call.gid, os.getgid())
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


def _program(architecture: int, numbers: list[int]) -> bytes:
    """Give the filter in BPF that sends these calls to the listener and allows all others."""
    load, equal, answer = 0x20, 0x15, 0x06
    count = len(numbers)
    code = [(load, 0, 0, 4), (equal, 0, count + 1, architecture), (load, 0, 0, 0)]
    code += [(equal, count - i, 0, number) for i, number in enumerate(numbers)]
    code += [(answer, 0, 0, _ALLOW), (answer, 0, 0, _NOTIFY)]
    return b"".join(struct.pack("=HBBI", *each) for each in code)
