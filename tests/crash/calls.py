"""The system calls that change what is on a disk, and the filter that has the kernel ask before each of them.

Spec: seccomp_unotify(2); Linux, arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h.
"""

from __future__ import annotations

import os
import struct
from typing import NamedTuple


class Shape(NamedTuple):
    """Which arguments of a call say what it is about; None for those that it has not."""

    descriptor: int | None = None
    """An open file, or with ``path`` the directory that the path begins in."""
    path: int | None = None
    flags: int | None = None
    """Flags of ``open``: without one to write, create or truncate, the call changes nothing."""


_FILE = Shape(0)
_PATH = Shape(path=0)
_AT = Shape(0, 1)
SHAPES = {
    "write": _FILE,
    "pwrite64": _FILE,
    "writev": _FILE,
    "pwritev": _FILE,
    "sendfile": _FILE,
    "copy_file_range": Shape(2),
    "flock": _FILE,
    "fsync": _FILE,
    "fdatasync": _FILE,
    "ftruncate": _FILE,
    "fallocate": _FILE,
    "fchmod": _FILE,
    "fchown": _FILE,
    "fsetxattr": _FILE,
    "open": Shape(path=0, flags=1),
    "creat": _PATH,
    "truncate": _PATH,
    "rename": Shape(path=1),
    "mkdir": _PATH,
    "rmdir": _PATH,
    "link": Shape(path=1),
    "unlink": _PATH,
    "symlink": Shape(path=1),
    "chmod": _PATH,
    "chown": _PATH,
    "lchown": _PATH,
    "mknod": _PATH,
    "setxattr": _PATH,
    "lsetxattr": _PATH,
    "openat": Shape(0, 1, 2),
    "mkdirat": _AT,
    "mknodat": _AT,
    "fchownat": _AT,
    "fchmodat": _AT,
    "unlinkat": _AT,
    "renameat": Shape(2, 3),
    "renameat2": Shape(2, 3),
    "linkat": Shape(2, 3),
    "symlinkat": Shape(1, 2),
    "utimensat": _AT,
}

_X86_64 = {
    "write": 1, "open": 2, "pwrite64": 18, "writev": 20, "sendfile": 40, "flock": 73, "fsync": 74, "fdatasync": 75,
    "truncate": 76, "ftruncate": 77, "rename": 82, "mkdir": 83, "rmdir": 84, "creat": 85, "link": 86, "unlink": 87,
    "symlink": 88, "chmod": 90, "fchmod": 91, "chown": 92, "fchown": 93, "lchown": 94, "mknod": 133, "setxattr": 188,
    "lsetxattr": 189, "fsetxattr": 190, "openat": 257, "mkdirat": 258, "mknodat": 259, "fchownat": 260,
    "unlinkat": 263, "renameat": 264, "linkat": 265, "symlinkat": 266, "fchmodat": 268, "utimensat": 280,
    "fallocate": 285, "pwritev": 296, "renameat2": 316, "copy_file_range": 326,
}  # fmt: skip
_GENERIC = {
    "setxattr": 5, "lsetxattr": 6, "fsetxattr": 7, "flock": 32, "mknodat": 33, "mkdirat": 34, "unlinkat": 35,
    "symlinkat": 36, "linkat": 37, "renameat": 38, "truncate": 45, "ftruncate": 46, "fallocate": 47, "fchmod": 52,
    "fchmodat": 53, "fchownat": 54, "fchown": 55, "openat": 56, "write": 64, "writev": 66, "pwrite64": 68,
    "pwritev": 70, "sendfile": 71, "fsync": 82, "fdatasync": 83, "utimensat": 88, "renameat2": 276,
    "copy_file_range": 285,
}  # fmt: skip
_MACHINES = {"x86_64": (0xC000003E, _X86_64), "aarch64": (0xC00000B7, _GENERIC), "riscv64": (0xC00000F3, _GENERIC)}
_LOAD, _EQUAL, _ANY, _ANSWER = 0x20, 0x15, 0x45, 0x06
_ALLOW, _NOTIFY = 0x7FFF0000, 0x7FC00000
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


def names() -> dict[int, str]:
    """Give the names of this machine's calls, by their numbers."""
    return {number: name for name, number in _MACHINES[os.uname().machine][1].items()}


def program() -> bytes:
    """Give the filter: those calls are asked about, opening only where it is to write; all else is allowed."""
    architecture, numbers = _MACHINES[os.uname().machine]
    opening = {numbers[name]: 16 + 8 * flags for name in numbers if (flags := SHAPES[name].flags) is not None}
    plain = [number for number in numbers.values() if number not in opening]
    code = [(_LOAD, 0, 0, 4), (_EQUAL, 1, 0, architecture), (_ANSWER, 0, 0, _ALLOW), (_LOAD, 0, 0, 0)]
    code += [step for number in plain for step in ((_EQUAL, 0, 1, number), (_ANSWER, 0, 0, _NOTIFY))]
    for number, offset in opening.items():
        code += [(_EQUAL, 0, 4, number), (_LOAD, 0, 0, offset), (_ANY, 0, 1, _WRITING)]
        code += [(_ANSWER, 0, 0, _NOTIFY), (_ANSWER, 0, 0, _ALLOW)]
    code.append((_ANSWER, 0, 0, _ALLOW))
    return b"".join(struct.pack("=HBBI", *step) for step in code)
