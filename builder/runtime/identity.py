"""Who the processes of a step are told that they are, where all of them are the one user that there is.

Each has the ids that it would have on a machine with many: those of the step's user, what it has made of them, and what
programs with a setuid bit make of them. A process is seen when it asks or changes something, not when it is started: by
then its parent may have changed its own ids, or ended. So it is known for each process what it was at which time.
"""

from __future__ import annotations

import errno
import os
import stat
import struct
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from builder.runtime import credentials

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from builder.runtime.credentials import Credentials

_MANY = 4096
"""Processes of which something is known, from when on those that have ended are forgotten."""
_MOST_GROUPS = 65536
_TICKS = os.sysconf("SC_CLK_TCK")
_SET_KEEPCAPS = 8
"""Of prctl; it comes for this alone."""


class Told(NamedTuple):
    """The answer of a call."""

    value: int
    written: tuple[tuple[int, bytes], ...] = ()
    """What goes where into the caller's memory."""


class _Process(NamedTuple):
    """What the kernel says of one."""

    pid: int
    parent: int
    session: int
    threads: int
    started: int
    """In ticks since the machine was: numbers are used again."""
    stack: int
    """Where its stack begins: execve gives another one, fork does not."""


class _Moment(NamedTuple):
    since: int
    stack: int
    ids: Credentials


@dataclass(slots=True)
class _Record:
    started: int
    moments: list[_Moment] = field(default_factory=list)
    """The last is now."""


class Identity:
    """The ids of a process and of all that it starts."""

    def __init__(self, first: Credentials, owner: Callable[[str], tuple[int, int]], outside: str) -> None:
        """``owner`` tells whose the file at a path on this machine is, as the step sees it.

        ``outside`` is the mount namespace, as ``/proc`` has it, of what is not the step's.
        """
        self._first = first
        self._owner = owner
        self._has_begun = False
        self._outside = outside
        self._records: dict[int, _Record] = {}
        self._is_one = True
        """Whether all processes are what the first one is."""

    def tell(self, name: str, pid: int, arguments: Sequence[int]) -> Told | None:
        """Answer a call that asks for ids, or changes them; None where the kernel is to.

        Raises:
            OSError: the error that the call has.
        """
        is_change = name.startswith("set")
        if not self._has_begun and not _is_of_its_root(pid):  # a runtime, shortly before it becomes the step
            return Told(0) if is_change else None
        self._has_begun = True
        if is_change:
            return self._change(name, pid, arguments)
        if name == "prctl":
            self._note(pid, self._now(pid)._replace(keeps=bool(arguments[1])))
            return None
        ids = self._first if self._is_as_it_began(pid) else self._now(pid)
        return _answer(name, ids, arguments)

    def _is_as_it_began(self, pid: int) -> bool:
        """Tell what is nearly always so, before it is looked who has started whom."""
        return self._is_one and self._first.may_change and not _raised_bits(pid)

    def maker(self, pid: int) -> tuple[int, int] | None:
        """Give user and group of what a process makes; None where they are the step's."""
        if self._is_one and (self._first.may_change or not _raised_bits(pid)):
            return None
        now, first = self._now(pid), self._first
        ids = now.users.files, now.groups.files
        return None if ids == (first.users.files, first.groups.files) else ids

    def _change(self, name: str, pid: int, arguments: Sequence[int]) -> Told:
        before = self._now(pid)
        if name == "setgroups":
            arguments = _read_groups(pid, *arguments[:2]) if before.may_change else ()
        after = credentials.changed(before, name, arguments)
        if after != before:
            self._note(pid, after)
        if name.startswith("setfs"):
            return Told(before.users.files if name == "setfsuid" else before.groups.files)
        return Told(0)

    def _note(self, pid: int, ids: Credentials) -> None:
        moments = self._known(_look(pid)).moments
        self._is_one = False
        moments.append(_Moment(_now_in_ticks(), moments[-1].stack, ids))

    def _now(self, pid: int) -> Credentials:
        return self._known(_look(pid)).moments[-1].ids

    def _known(self, process: _Process) -> _Record:
        """Give what is known of a process, after a look at what it runs now."""
        record = self._records.get(process.pid)
        if record is None or record.started != process.started:
            inherited = self._inherited(process)
            if len(self._records) >= _MANY:
                self._forget()
            record = self._records[process.pid] = _Record(process.started, [inherited._replace(since=0)])
        last = record.moments[-1]
        if last.stack != process.stack:
            ids = credentials.executed(last.ids, *self._raised(process.pid))
            # When that was nobody knows: for children it counts from when it could have been.
            record.moments.append(_Moment(last.since, process.stack, ids))
            self._is_one = self._is_one and ids == self._first
        return record

    def _inherited(self, process: _Process) -> _Moment:
        """Give what a process had when its parent started it."""
        parent = self._parent(process)
        if parent is None:
            return _Moment(0, 0, self._first)
        moments = parent.moments
        alike = [each for each in moments if each.stack == process.stack] or moments
        return next((each for each in reversed(alike) if each.since <= process.started), alike[0])

    def _parent(self, process: _Process) -> _Record | None:
        """Give what is known of who has started a process; None for who is outside of the step."""
        if not process.parent:
            return None
        try:
            parent = _look(process.parent)
            if parent.session != process.session != process.pid:
                # Of a daemon the parent has ended; who leads the session was its parent, or its parent's.
                leader = self._records.get(process.session)
                if leader is not None and leader.started <= process.started:
                    return leader
            if os.readlink(f"/proc/{process.parent}/ns/mnt") == self._outside:
                return None
        except OSError:  # nor ours to look at
            return None
        return self._known(parent)

    def _raised(self, pid: int) -> tuple[int | None, int | None]:
        """Give which user and group what a process runs brings along."""
        bits = _raised_bits(pid)
        if not bits:
            return None, None
        uid, gid = self._owner(f"/proc/{pid}/exe")
        return uid if bits & stat.S_ISUID else None, gid if bits & stat.S_ISGID else None

    def _forget(self) -> None:
        for pid in list(self._records):
            if not os.path.exists(f"/proc/{pid}"):
                del self._records[pid]


def _raised_bits(pid: int) -> int:
    mode = os.stat(f"/proc/{pid}/exe").st_mode
    return mode & (stat.S_ISUID | (stat.S_ISGID if mode & stat.S_IXGRP else 0))


def _is_of_its_root(pid: int) -> bool:
    """Tell whether a process runs what is in its root directory, and not what is there no more."""
    own = f"/proc/{pid}/exe"
    try:
        return os.path.samestat(os.stat(f"/proc/{pid}/root{os.readlink(own)}", follow_symlinks=False), os.stat(own))
    except OSError:
        return False


def _look(pid: int) -> _Process:
    """Give the process that has a thread of this number."""
    process = _read(pid)
    if process.threads > 1:
        with open(f"/proc/{pid}/status", "rb") as file:
            leader = next(int(line.split()[1]) for line in file if line.startswith(b"Tgid:"))
        if leader != pid:
            process = _read(leader)
    return process


def _read(pid: int) -> _Process:
    with open(f"/proc/{pid}/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
    parent, session, threads, started, stack = (int(fields[each]) for each in (1, 3, 17, 19, 25))
    return _Process(pid, parent, session, threads, started, stack)


def _now_in_ticks() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) * _TICKS // 1_000_000_000


def _read_groups(pid: int, count: int, address: int) -> tuple[int, ...]:
    count &= 0xFFFFFFFF
    if count > _MOST_GROUPS:
        raise OSError(errno.EINVAL, "more groups than there may be")
    memory = os.open(f"/proc/{pid}/mem", os.O_RDONLY)
    try:
        found = os.pread(memory, 4 * count, address) if count else b""
    except (OSError, OverflowError) as error:
        raise OSError(errno.EFAULT, "an address that cannot be read") from error
    finally:
        os.close(memory)
    if len(found) < 4 * count:
        raise OSError(errno.EFAULT, "an address that cannot be read")
    return struct.unpack(f"={count}I", found)


def _answer(name: str, ids: Credentials, arguments: Sequence[int]) -> Told:
    if name == "getgroups":
        room, count = arguments[0] & 0xFFFFFFFF, len(ids.supplementary)
        if 0 < room < count or room >> 31:
            raise OSError(errno.EINVAL, "more groups than that")
        groups = struct.pack(f"={count}I", *ids.supplementary)
        return Told(count, ((arguments[1], groups),) if room and groups else ())
    of = ids.users if name.endswith("uid") else ids.groups
    if name.startswith("getres"):
        return Told(
            0, tuple((address, struct.pack("=I", each)) for address, each in zip(arguments, of[:3], strict=False))
        )
    return Told(of.effective if name.startswith("gete") else of.real)
