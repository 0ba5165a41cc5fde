"""The few system calls that Python's ``os`` does not have; each raises OSError with the call's name.

Linux only, through ctypes. Paths go as they are: a trailing slash or a symlink means what it means to the kernel.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import struct
from typing import Any, NoReturn

CLONE_NEWNS = 0x00020000
CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_REMOUNT = 32
MS_BIND = 4096
MS_REC = 16384
MS_PRIVATE = 1 << 18
MS_SLAVE = 1 << 19
MNT_DETACH = 2

Buffer = ctypes.Array[ctypes.c_char]

MOUNT_DATA_LIMIT = 4095
"""Bytes of options that ``mount(2)`` takes: one page with its closing zero."""

_AT_FDCWD = -100
_AT_SYMLINK_NOFOLLOW = 0x100
_AT_EMPTY_PATH = 0x1000
_RESOLVE_IN_ROOT = 0x10
_STATX_INO_AND_BIRTH = 0x900
_STATX_SIZE = 256
_IDENTITY = struct.Struct("=32xQ40xqI")
_STATX = (ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_uint, ctypes.c_char_p)
_VM = (ctypes.c_ssize_t, ctypes.c_int, ctypes.c_void_p, ctypes.c_ulong, ctypes.c_void_p, ctypes.c_ulong, ctypes.c_ulong)
_OPENAT2 = (ctypes.c_long, ctypes.c_long, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_size_t)
_SYS_OPENAT2 = 437
_SYS_SECCOMP = {"x86_64": 317}
_SECCOMP_SET_MODE_FILTER = 1
_SECCOMP_MODE_FILTER = 2
_SECCOMP_FILTER_FLAG_NEW_LISTENER = 8
_SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV = 32
_PR_SET_NO_NEW_PRIVS = 38
_PR_SET_PDEATHSIG = 1
_PR_SET_SECCOMP = 22
_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _call(name: str, *arguments: object) -> int:
    result: int = getattr(_libc(), name)(*arguments)
    if result < 0:
        _fail(name)
    return result


def _fail(name: str) -> NoReturn:
    number = ctypes.get_errno()
    raise OSError(number, f"{name}: {os.strerror(number)}")


@functools.cache
def _prepared(name: str, gives: Any, *takes: Any) -> Any:
    """Give a function that knows its types already: for what is called very often."""
    function = _libc()[name]
    function.restype, function.argtypes = gives, takes
    return function


def unshare(flags: int) -> None:
    """Leave the namespaces in ``flags`` (``CLONE_NEW...``) for new ones."""
    _call("unshare", ctypes.c_int(flags))


def setns(descriptor: int, kind: int) -> None:
    """Join the namespace that ``descriptor`` (of a ``/proc/PID/ns/...``) stands for."""
    _call("setns", ctypes.c_int(descriptor), ctypes.c_int(kind))


def mount(source: str, target: str, kind: str = "", flags: int = 0, options: bytes = b"") -> None:
    """Mount; ``options`` of more than MOUNT_DATA_LIMIT bytes are refused here, since the kernel would cut them."""
    if len(options) > MOUNT_DATA_LIMIT:
        raise OSError(7, f"mount: {len(options)} bytes of options, more than {MOUNT_DATA_LIMIT}")
    _call(
        "mount",
        os.fsencode(source),
        os.fsencode(target),
        kind.encode() or None,
        ctypes.c_ulong(flags),
        options or None,
    )


def unmount(target: str) -> None:
    """Take the mount at ``target``, and all below it, out of sight at once; its users keep it until they close it."""
    _call("umount2", os.fsencode(target), ctypes.c_int(MNT_DETACH))


def _prctl(option: int, value: object) -> None:
    _call("prctl", ctypes.c_int(option), value, ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0))


def die_with_parent(signal: int) -> None:
    """Be sent ``signal`` when the thread that forked this process ends."""
    _prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal))


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends."""
    _prctl(_PR_SET_CHILD_SUBREAPER, ctypes.c_ulong(1))


def set_name(name: str) -> None:
    """Be called ``name`` (15 bytes) by ``ps``."""
    _prctl(_PR_SET_NAME, ctypes.c_char_p(name.encode()[:15]))


def open_in_root(root: int, path: bytes, flags: int) -> int:
    """Open a path as a process does whose root directory is the descriptor ``root``: links lead nowhere else."""
    how = (ctypes.c_uint64 * 3)(flags | os.O_CLOEXEC, 0, _RESOLVE_IN_ROOT)
    opened: int = _prepared("syscall", *_OPENAT2)(_SYS_OPENAT2, root, path, how, 24)
    if opened < 0:
        _fail("openat2")
    return opened


def identity(path: bytes) -> tuple[int, int]:
    """Give a file's inode and when it was made, in nanoseconds: no other file has both; links are not followed."""
    return identity_in(statx(path, _STATX_INO_AND_BIRTH, follow=False))


def identity_in(found: Buffer) -> tuple[int, int]:
    """Give the inode and the time of birth that :func:`statx` has given."""
    inode, seconds, nanoseconds = _IDENTITY.unpack_from(found)
    return inode, seconds * 1_000_000_000 + nanoseconds


def filter_calls(program: bytes) -> None:
    """Filter the calls of this process and its children by a program of BPF; root of a user namespace may."""
    code = ctypes.create_string_buffer(program, len(program))
    filters = struct.pack("@HP", len(program) // 8, ctypes.addressof(code))
    how = (ctypes.c_int(_PR_SET_SECCOMP), ctypes.c_ulong(_SECCOMP_MODE_FILTER))
    _call("prctl", *how, filters, ctypes.c_ulong(0), ctypes.c_ulong(0))


def statx(path: bytes, mask: int, *, follow: bool) -> Buffer:
    """Give ``struct statx`` of a path, with what ``mask`` asks for."""
    found = ctypes.create_string_buffer(_STATX_SIZE)
    if _prepared("statx", *_STATX)(_AT_FDCWD, path, 0 if follow else _AT_SYMLINK_NOFOLLOW, mask, found) < 0:
        _fail("statx")
    return found


def statx_of(descriptor: int, mask: int) -> Buffer:
    """Give ``struct statx`` of an open file."""
    found = ctypes.create_string_buffer(_STATX_SIZE)
    if _prepared("statx", *_STATX)(descriptor, b"", _AT_EMPTY_PATH, mask, found) < 0:
        _fail("statx")
    return found


class TextReader:
    """Reads texts in the memory of other processes; not for several threads, as its buffers are used again."""

    def __init__(self, limit: int) -> None:
        """``limit`` is the number of bytes that a text may have, with the zero at its end."""
        self._limit = limit
        self._found = ctypes.create_string_buffer(limit + 1)
        self._here = (ctypes.c_uint64 * 2)(ctypes.addressof(self._found), limit)
        self._there = (ctypes.c_uint64 * 2)()
        self._read = _prepared("process_vm_readv", *_VM)

    def read(self, pid: int, address: int) -> bytes | None:
        """Give a text without the zero at its end; None where it is not there, or goes on to another page."""
        count = self._limit - address % self._limit
        self._here[1] = self._there[1] = count
        self._there[0] = address
        size: int = self._read(pid, self._here, 1, self._there, 1, 0)
        if size < 0:
            return None
        self._found[size] = b"\0"
        text = self._found.value
        return text if len(text) < size else None


def listen(program: bytes, *, keeps_privileges: bool = False) -> int:
    """Filter the calls of this process and its children by a program of BPF; give the descriptor where they come.

    Unless ``keeps_privileges``, which the root of a namespace may ask for, no program started from now on gains any.
    """
    code = ctypes.create_string_buffer(program, len(program))
    filters = struct.pack("@HP", len(program) // 8, ctypes.addressof(code))
    if not keeps_privileges:
        _prctl(_PR_SET_NO_NEW_PRIVS, ctypes.c_ulong(1))
    flags = _SECCOMP_FILTER_FLAG_NEW_LISTENER
    if can_wait():
        flags |= _SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
    return _seccomp(flags, filters)


@functools.cache
def can_wait() -> bool:
    """Tell whether no signal cuts a call short that a listener has received (Linux 5.19)."""
    try:
        _seccomp(_SECCOMP_FILTER_FLAG_NEW_LISTENER | _SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, None)
    except OSError as error:
        return error.errno == errno.EFAULT  # what is wrong is the filter
    return True


def _seccomp(flags: int, filters: bytes | None) -> int:
    number = _SYS_SECCOMP.get(os.uname().machine, 277)
    how = (ctypes.c_ulong(_SECCOMP_SET_MODE_FILTER), ctypes.c_ulong(flags))
    return _call("syscall", ctypes.c_long(number), *how, filters)
