"""The system calls that come to a listener: which they are, and what each asks for.

Spec: seccomp_unotify(2); the calls' own pages of section 2; linux/stat.h and asm/stat.h for what is answered.
"""

from __future__ import annotations

import errno
import functools
import os
import signal
import struct
from typing import TYPE_CHECKING, NamedTuple

from builder.runtime import syscalls

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

_AT_FDCWD = -100
_AT_SYMLINK_NOFOLLOW = 0x100
_AT_NO_AUTOMOUNT = 0x800
_AT_EMPTY_PATH = 0x1000
_AT_STATX_SYNC = 0x6000
_STAT_FLAGS = _AT_SYMLINK_NOFOLLOW | _AT_NO_AUTOMOUNT | _AT_EMPTY_PATH | _AT_STATX_SYNC
_RENAME_EXCHANGE = 2
_STATX_RESERVED = 0x80000000
_STATX_BASIC = 0x7FF
STATX_WANTED = 0xFFF
"""All that stat gives, and the time of birth."""
STAYS = 0xFFFFFFFF
"""An id that is not to be changed."""
_PATH_MAX = 4096

_X86_64 = """
    92 chown 93 fchown 94 lchown 260 fchownat 4 stat 5 fstat 6 lstat 262 newfstatat 332 statx
    82 rename 264 renameat 316 renameat2 86 link 265 linkat 161 chroot
    102 getuid 107 geteuid 104 getgid 108 getegid 118 getresuid 120 getresgid 115 getgroups
    105 setuid 106 setgid 113 setreuid 114 setregid 117 setresuid 119 setresgid 122 setfsuid 123 setfsgid 116 setgroups
    13 rt_sigaction 157 prctl
    2 open 85 creat 257 openat 83 mkdir 258 mkdirat 133 mknod 259 mknodat 88 symlink 266 symlinkat
"""
_GENERIC = """
    54 fchownat 55 fchown 79 newfstatat 80 fstat 291 statx 38 renameat 276 renameat2 37 linkat 51 chroot
    174 getuid 175 geteuid 176 getgid 177 getegid 148 getresuid 150 getresgid 158 getgroups
    146 setuid 144 setgid 145 setreuid 143 setregid 147 setresuid 149 setresgid 151 setfsuid 152 setfsgid 159 setgroups
    134 rt_sigaction 167 prctl 56 openat 34 mkdirat 33 mknodat 36 symlinkat
"""


def _by_number(table: str) -> dict[int, str]:
    words = table.split()
    return dict(zip(map(int, words[::2]), words[1::2], strict=True))


_CALLS = {
    0xC000003E: _by_number(_X86_64),
    0xC00000B7: _by_number(_GENERIC),  # aarch64
    0xC00000F3: _by_number(_GENERIC),  # riscv64
    0xC0000102: _by_number(_GENERIC),  # loongarch64
}
"""By AUDIT_ARCH_... and number."""
_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7, "riscv64": 0xC00000F3, "loongarch64": 0xC0000102}
_CHOWN_OF_32_BITS = frozenset({16, 95, 182, 198, 207, 212, 298, 325})
"""Of x86 and of ARM."""
_CHOWN_OF_X32 = frozenset(0x40000000 | number for number in (92, 93, 94, 260))
_CHANGES_OF_32_BITS = frozenset({23, 46, 70, 71, 81, 138, 139, 164, 170, 203, 204, 206, 208, 210, 213, 214, 215, 216})
"""Of x86 and of ARM: setuid and its family."""
_CHANGES_OF_X32 = frozenset(0x40000000 | number for number in (105, 106, 113, 114, 116, 117, 119, 122, 123))
CHOWN = ("chown", "lchown", "fchown", "fchownat")
STAT = ("stat", "lstat", "fstat", "newfstatat", "statx")
MAKE = ("open", "creat", "openat", "mkdir", "mkdirat", "mknod", "mknodat", "symlink", "symlinkat")
"""Of the first and the third those alone that have O_CREAT."""
MOVE = ("rename", "renameat", "renameat2", "link", "linkat")
_WITH_32_BITS = {"x86_64": 0x40000003, "aarch64": 0x40000028}
_FIRST = 16
"""Where the first argument is, its lower half; each has 8 bytes."""
_LOAD, _EQUAL, _HAS, _RETURN = 0x20, 0x15, 0x45, 0x06
HANDLER = "rt_sigaction"
"""It comes for SIGCHLD alone."""
KEEP = "prctl"
"""It comes for PR_SET_KEEPCAPS alone."""
_ASKING = "getuid geteuid getgid getegid getresuid getresgid getgroups"
_CHANGING = "setuid setgid setreuid setregid setresuid setresgid setfsuid setfsgid setgroups"
IDENTITY = frozenset([*_ASKING.split(), *_CHANGING.split(), KEEP])
"""What asks who a process is, or changes that."""
REFUSALS = frozenset({errno.EPERM, errno.EINVAL, errno.EFAULT})
"""The errors that these have."""
_FOR = {
    HANDLER: (0, _EQUAL, signal.SIGCHLD),
    KEEP: (0, _EQUAL, 8),
    "open": (1, _HAS, os.O_CREAT),
    "openat": (2, _HAS, os.O_CREAT),
}
"""Of what comes for some arguments alone: which argument, and how it is compared with what."""
_ALLOW = 0x7FFF0000
_NOTIFY = 0x7FC00000
_SUCCEED = 0x00050000

# dev, ino, nlink, mode, uid, gid, rdev, size, blksize, blocks, then three times; the rest is zero.
_STAT_OF_X86_64 = struct.Struct("=QQQIII4xQqqqqqqqqq24x")
# dev, ino, mode, nlink, uid, gid, rdev, size, blksize, blocks, then three times; the rest is zero.
_STAT_OF_OTHERS = struct.Struct("=QQIIIIQ8xqi4xqqqqqqq8x")
_STATX = struct.Struct("=IIQIIIH2xQQQ8xqI4xqI4xqI4xqI4xIIII")
_STATX_OWNER = struct.Struct("=II")
_STATX_OWNER_AT = 20


class Call(NamedTuple):
    """A file that a call is about."""

    pid: int
    directory: int | None
    """A descriptor of the caller; None for its working directory."""
    path: bytes | None
    """None for the descriptor itself."""
    follow: bool


class Change(NamedTuple):
    """What a chown asks for."""

    of: Call
    uid: int
    gid: int
    by_descriptor: bool


class Question(NamedTuple):
    """What a stat asks for."""

    of: Call
    mask: int
    """What is to be known, as statx has it."""
    address: int
    """Where in the caller's memory the answer goes."""


def name_of(architecture: int, number: int) -> str:
    """Give the name of a call."""
    return _CALLS.get(architecture, {}).get(number, "")


def decode_chown(name: str, pid: int, arguments: Sequence[int]) -> Change:
    """Give what a chown asks for.

    Raises:
        OSError: its path cannot be read.
    """
    first, second, third, fourth, fifth, _ = arguments
    if name == "fchown":
        return Change(Call(pid, _signed(first), None, follow=True), second & STAYS, third & STAYS, by_descriptor=True)
    if name != "fchownat":
        found = Call(pid, None, read_path(pid, first), follow=name == "chown")
        return Change(found, second & STAYS, third & STAYS, by_descriptor=False)
    path = read_path(pid, second)
    if not path and not fifth & _AT_EMPTY_PATH:
        raise FileNotFoundError(errno.ENOENT, "an empty path")
    found = Call(pid, _directory(first), path or None, follow=not fifth & _AT_SYMLINK_NOFOLLOW)
    return Change(found, third & STAYS, fourth & STAYS, by_descriptor=False)


def decode_stat(name: str, pid: int, arguments: Sequence[int]) -> Question | None:
    """Give what a stat asks for; None where the kernel alone knows what is meant, or that it is wrong.

    Raises:
        OSError: its path cannot be read.
    """
    first, second, third, fourth, fifth, _ = arguments
    if name == "fstat":
        return Question(Call(pid, _signed(first), None, True), _STATX_BASIC, second)
    if name == "newfstatat":
        flags, mask, address = fourth & STAYS, _STATX_BASIC, third
    elif name == "statx":
        flags, mask, address = third & STAYS, fourth & STAYS, fifth
    else:
        path = read_path(pid, first)
        return Question(Call(pid, None, path, name == "stat"), _STATX_BASIC, second) if path else None
    if flags & ~_STAT_FLAGS or mask & _STATX_RESERVED:
        return None
    path = read_path(pid, second) if second or not flags & _AT_EMPTY_PATH else b""
    if not path and not flags & _AT_EMPTY_PATH:
        return None
    return Question(Call(pid, _directory(first), path or None, not flags & _AT_SYMLINK_NOFOLLOW), mask, address)


def decode_move(name: str, pid: int, arguments: Sequence[int]) -> list[Call]:
    """Give the files that get another name.

    Raises:
        OSError: a path cannot be read.
    """
    first, second, third, fourth, fifth, _ = arguments
    if name in {"rename", "link"}:
        return [Call(pid, None, read_path(pid, first), follow=False)]
    path = read_path(pid, second)
    if name == "linkat":
        follow = bool(fifth & 0x400)
        return [Call(pid, _directory(first), path or None, follow=follow)]
    moved = [Call(pid, _directory(first), path, follow=False)]
    if name == "renameat2" and fifth & _RENAME_EXCHANGE:
        moved.append(Call(pid, _directory(third), read_path(pid, fourth), follow=False))
    return moved


def decode_make(name: str, pid: int, arguments: Sequence[int]) -> Call:
    """Give the file that is made, if it is not there yet.

    Raises:
        OSError: its path cannot be read.
    """
    first, second, third, *_ = arguments
    if name == "symlink":
        return Call(pid, None, read_path(pid, second), follow=False)
    if name == "symlinkat":
        return Call(pid, _directory(second), read_path(pid, third), follow=False)
    if name.endswith("at") and name != "creat":
        return Call(pid, _directory(first), read_path(pid, second), follow=False)
    return Call(pid, None, read_path(pid, first), follow=False)


def _directory(value: int) -> int | None:
    descriptor = _signed(value)
    return None if descriptor == _AT_FDCWD else descriptor


def _signed(value: int) -> int:
    value &= 0xFFFFFFFF
    return value - (1 << 32) if value >> 31 else value


@functools.cache
def _texts() -> syscalls.TextReader:
    return syscalls.TextReader(_PATH_MAX)


def read_path(pid: int, address: int) -> bytes:
    """Give the text at an address of a process.

    Raises:
        OSError: EFAULT where there is none, ENAMETOOLONG where it has no end.
    """
    found = _texts().read(pid, address)
    if found is not None:
        return found
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


def answer_of(name: str, found: syscalls.Buffer, owner: tuple[int, int], machine: str) -> bytes:
    """Give what a stat of this name writes: ``found`` as statx has it, with another owner."""
    if name == "statx":
        answer = bytearray(found)
        _STATX_OWNER.pack_into(answer, _STATX_OWNER_AT, *owner)
        return bytes(answer)
    _, block_size, _, links, _, _, mode, inode, size, blocks, *rest = _STATX.unpack_from(found)
    accessed, _, changed, modified, special, device = rest[:2], rest[2:4], rest[4:6], rest[6:8], rest[8:10], rest[10:]
    times = (*accessed, *modified, *changed)
    dev, rdev = os.makedev(*device), os.makedev(*special)
    if machine == "x86_64":
        return _STAT_OF_X86_64.pack(dev, inode, links, mode, *owner, rdev, size, block_size, blocks, *times)
    return _STAT_OF_OTHERS.pack(dev, inode, mode, links, *owner, rdev, size, block_size, blocks, *times)


def program(names: Collection[str], *, pretends: bool = False) -> bytes:
    """Give the filter in BPF that sends calls of these names to a listener and allows all others.

    With ``pretends``, these calls of 32-bit programs do nothing and succeed where they would change anything.
    """
    machine = os.uname().machine
    architecture = _ARCHITECTURES[machine]
    answers = {number: _NOTIFY for number, name in _CALLS[architecture].items() if name in names}
    of_32_bits = _CHOWN_OF_32_BITS | (_CHANGES_OF_32_BITS if "setuid" in names else frozenset())
    if pretends and machine == "x86_64":
        of_x32 = _CHOWN_OF_X32 | (_CHANGES_OF_X32 if "setuid" in names else frozenset())
        answers |= dict.fromkeys(of_x32, _SUCCEED)
    others = dict.fromkeys(of_32_bits, _SUCCEED) if pretends and machine in _WITH_32_BITS else {}
    only_for = {number: _FOR[name] for number, name in _CALLS[architecture].items() if name in _FOR}
    native, foreign = _choice(answers, only_for), _choice(others, {})
    code = [
        (_LOAD, 0, 0, 4),
        (_EQUAL, 0, len(native), architecture),
        *native,
        (_EQUAL, 0, len(foreign), _WITH_32_BITS.get(machine, 0)),
        *foreign,
        (_RETURN, 0, 0, _ALLOW),
    ]
    return b"".join(struct.pack("=HBBI", *each) for each in code)


def _choice(
    answers: Mapping[int, int], only_for: Mapping[int, tuple[int, int, int]]
) -> list[tuple[int, int, int, int]]:
    """Give what answers calls by their numbers, some of them ``only_for`` some arguments, and ends."""
    code = [(_LOAD, 0, 0, 0)]
    for number, answer in answers.items():
        if number in only_for:
            index, operation, value = only_for[number]
            code += [(_EQUAL, 0, 4, number), (_LOAD, 0, 0, _FIRST + 8 * index), (operation, 0, 1, value)]
            code += [(_RETURN, 0, 0, answer), (_RETURN, 0, 0, _ALLOW)]
        else:
            code += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, answer)]
    return [*code, (_RETURN, 0, 0, _ALLOW)]
