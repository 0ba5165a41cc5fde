"""A filter in front of a step's seccomp profile, so that the profile can be short.

An OCI runtime hands a profile to libseccomp for every step, which takes half of the runtime's time for the 370 calls
that Docker allows by name. Behind a gate it is told the few that are refused instead (see
:func:`builder.runtime.seccomp.refusals`): what such a list could miss, calls that are newer than whoever reads it, the
gate decides. It is handed to the kernel as it is, before the runtime starts, and so filters what the runtime calls as
well: it refuses nothing that a runtime cannot do without, and says of new calls what an older kernel says.

Spec: Documentation/userspace-api/seccomp_filter.rst of the kernel; a call passes if both filters let it.
"""

from __future__ import annotations

import struct
import sys
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection

_EPERM, _ENOSYS = 1, 38
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_LOAD, _AND, _EQUAL, _AT_LEAST, _ANSWER = 0x20, 0x54, 0x15, 0x35, 0x06
_AT_NUMBER, _AT_ARCHITECTURE, _AT_ARGUMENTS = 0, 4, 16
_NEWER = """
    pidfd_send_signal io_uring_setup io_uring_enter io_uring_register open_tree move_mount fsopen fsconfig fsmount
    fspick pidfd_open clone3 close_range openat2 pidfd_getfd faccessat2 process_madvise epoll_pwait2 mount_setattr
    quotactl_fd landlock_create_ruleset landlock_add_rule landlock_restrict_self memfd_secret process_mrelease
    futex_waitv set_mempolicy_home_node cachestat fchmodat2 map_shadow_stack futex_wake futex_wait futex_requeue
    statmount listmount lsm_get_self_attr lsm_set_self_attr lsm_list_modules mseal setxattrat getxattrat listxattrat
    removexattrat open_tree_attr file_getattr file_setattr
"""
NEWER = {name: number for number, name in enumerate(_NEWER.split(), 424)}
"""The calls whose numbers are the same on all machines, which begin here."""
_UNNAMED = NEWER["cachestat"]
"""From here on libraries may not know a call's name."""
_RUNTIMES = "clone3 fsconfig fsmount fsopen fspick mount_setattr move_mount open_tree pidfd_getfd"
LEFT_TO_PROFILES = frozenset(_RUNTIMES.split())
"""What runtimes call: it passes here, and the profile refuses it."""
_X32 = range(512, 548)
"""Numbers of calls that are x32's alone, all of them old."""


class _Machine(NamedTuple):
    native: int
    """``AUDIT_ARCH_...``."""
    personality: int
    """The number of that call."""
    other: int
    """The architecture of 32 bits that the same kernel runs."""
    other_personality: int
    mask: int = 0xFFFFFFFF
    """Of a number, the bits that tell the call."""
    own: range = range(0)
    """Numbers that are this machine's own."""


_MACHINES = {
    "x86_64": _Machine(0xC000003E, 135, 0x40000003, 136, 0xBFFFFFFF, _X32),
    "aarch64": _Machine(0xC00000B7, 92, 0x40000028, 136),
}


def gate(allowed: Collection[str], personalities: Collection[int], machine: str) -> bytes:
    """Give the filter for a step that may make these calls, as the kernel takes it; empty for an unknown machine.

    Of the calls since ``NEWER`` begins those of ``allowed`` pass, and those that are left to profiles; of
    ``personality`` those with one of these arguments.
    """
    known = _MACHINES.get(machine)
    if known is None:
        return b""
    passing = {NEWER[name] for name in NEWER.keys() & (LEFT_TO_PROFILES | {*allowed})}
    code = _Code()
    code.add(_LOAD, _AT_ARCHITECTURE)
    code.jump(_EQUAL, known.native, "native")
    code.jump(_EQUAL, known.other, "other", "allow")
    code.mark("native")
    code.add(_LOAD, _AT_NUMBER)
    code.add(_AND, known.mask)
    code.jump(_EQUAL, known.personality, "personality", "numbers")
    code.mark("other")
    code.add(_LOAD, _AT_NUMBER)
    code.jump(_EQUAL, known.other_personality, "personality")
    code.mark("numbers")
    code.jump(_AT_LEAST, min(NEWER.values()), "", "allow")
    if known.own:
        code.jump(_AT_LEAST, known.own.stop, "unnamed")
        code.jump(_AT_LEAST, known.own.start, "allow")
    code.jump(_AT_LEAST, _UNNAMED, "unnamed")
    for number in sorted(set(range(min(NEWER.values()), _UNNAMED)) - passing):
        code.jump(_EQUAL, number, "refuse")
    code.jump(_AT_LEAST, 0, "allow")
    code.mark("unnamed")
    for number in sorted(number for number in passing if number >= _UNNAMED):
        code.jump(_EQUAL, number, "allow")
    code.add(_ANSWER, _ERRNO | _ENOSYS)
    code.mark("personality")
    low, high = (0, 4) if sys.byteorder == "little" else (4, 0)
    code.add(_LOAD, _AT_ARGUMENTS + high)
    code.jump(_EQUAL, 0, "", "refuse")
    code.add(_LOAD, _AT_ARGUMENTS + low)
    for value in personalities:
        code.jump(_EQUAL, value, "allow")
    code.mark("refuse")
    code.add(_ANSWER, _ERRNO | _EPERM)
    code.mark("allow")
    code.add(_ANSWER, _ALLOW)
    return code.made()


class _Code:
    """Instructions of classic BPF, whose jumps lead to marks."""

    def __init__(self) -> None:
        self._lines: list[tuple[int, int, str, str]] = []
        self._marks: dict[str, int] = {}

    def mark(self, name: str) -> None:
        self._marks[name] = len(self._lines)

    def add(self, operation: int, value: int) -> None:
        self._lines.append((operation, value, "", ""))

    def jump(self, operation: int, value: int, then: str, otherwise: str = "") -> None:
        """Compare what was loaded with ``value`` and go to a mark; the next line where it has no name."""
        self._lines.append((operation, value, then, otherwise))

    def made(self) -> bytes:
        def distance(line: int, name: str) -> int:
            return self._marks[name] - line - 1 if name else 0

        return b"".join(
            struct.pack("=HBBI", operation, distance(line, then), distance(line, otherwise), value)
            for line, (operation, value, then, otherwise) in enumerate(self._lines)
        )
