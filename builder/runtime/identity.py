"""Who the processes of a step are told that they are, where all of them are the one user that there is.

Those of a step of another user than root are told so, as its files are shown as that user's: git and ssh compare.
What runs as root by a setuid bit (sudo, su), and what such a program starts, is told the truth, which is root.
"""

from __future__ import annotations

import errno
import os
import stat
import struct
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_HEIGHT = 64
"""Of parents that are looked at."""


class Told(NamedTuple):
    """The answer of a call."""

    value: int
    written: tuple[tuple[int, bytes], ...] = ()
    """What goes where into the caller's memory."""


class Identity:
    """The user of a process and of all that it starts."""

    def __init__(self, uid: int, gid: int, groups: tuple[int, ...], is_roots: Callable[[str], bool]) -> None:
        """``is_roots`` tells whether the file at a path on this machine is root's."""
        self._uid = uid
        self._gid = gid
        self._groups = groups
        self._is_roots = is_roots
        self._outside = os.readlink("/proc/self/ns/mnt")
        self._raised: dict[int, bytes] = {}
        """Processes that are root, each with the time when it was started: numbers are used again."""

    def tell(self, name: str, pid: int, arguments: Sequence[int]) -> Told | None:
        """Answer a call of IDENTITY; None where the kernel is to.

        Raises:
            OSError: the error that the call has.
        """
        if self._is_raised(pid):
            return None
        if name in {"getuid", "geteuid"}:
            return Told(self._uid)
        if name in {"getgid", "getegid"}:
            return Told(self._gid)
        if name == "getgroups":
            count = len(self._groups)
            if arguments[0] and arguments[0] < count:
                raise OSError(errno.EINVAL, "more groups than that")
            groups = struct.pack(f"={count}I", *self._groups)
            return Told(count, ((arguments[1], groups),) if arguments[0] and groups else ())
        number = struct.pack("=I", self._uid if name == "getresuid" else self._gid)
        return Told(0, tuple((address, number) for address in arguments[:3]))

    def _is_raised(self, pid: int) -> bool:
        for _ in range(_HEIGHT):
            try:
                with open(f"/proc/{pid}/stat", "rb") as file:
                    fields = file.read().rpartition(b")")[2].split()
                started = fields[19]
                if self._raised.get(pid) == started or self._has_setuid(pid):
                    self._raised[pid] = started
                    return True
                if os.readlink(f"/proc/{pid}/ns/mnt") == self._outside:
                    return False
            except OSError:  # nor ours to look at
                return False
            pid = int(fields[1])
        return False

    def _has_setuid(self, pid: int) -> bool:
        path = f"/proc/{pid}/exe"
        return bool(os.stat(path).st_mode & stat.S_ISUID) and self._is_roots(path)
