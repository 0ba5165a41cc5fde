"""Who owns what while a step runs, where all its files belong to one user: for a listener that is asked all the time.

A file is known by its inode as the step sees it: for one of the layers below that is the inode there, also once it was
copied up. One that the step made, or gave to somebody, is known by its time of birth as well, as inodes are used again.
"""

from __future__ import annotations

import contextlib
import os
import stat
import struct
import time
from pathlib import Path
from typing import TYPE_CHECKING

from builder.runtime import syscalls
from builder.runtime.calls import STATX_WANTED
from builder.runtime.owners import is_copied_up, marks_copies

if TYPE_CHECKING:
    from collections.abc import Mapping

    from builder.runtime.recorder import Recording

_ROOT = (0, 0)
_COARSE = 5
"""CLOCK_REALTIME_COARSE, by which file systems tell the time."""
_FOUND = struct.Struct("=28xH2xQ40xqI44xII")
"""Of struct statx: mode, inode, birth, device."""


def pack_owners(owners: Mapping[bytes, tuple[int, int]]) -> dict[str, str]:
    """Give paths by owner, as JSON can hold them: of one owner there may be very many."""
    paths: dict[tuple[int, int], list[bytes]] = {}
    for path, owner in owners.items():
        paths.setdefault(owner, []).append(path)
    return {f"{uid}:{gid}": os.fsdecode(b"\0".join(found)) for (uid, gid), found in paths.items()}


class Shown:
    """What is known of owners that are not root."""

    def __init__(self, recording: Recording, top: bytes = b"") -> None:
        """Paths on this machine that lie in the step's root begin with ``top``."""
        self._root = os.fsencode(recording.root)
        self._top = top
        self._upper = os.fsencode(recording.upper)
        self._is_overlay = recording.root != recording.upper
        self._marks = self._is_overlay and marks_copies(Path(recording.upper).parent)
        self._owners = recording.owners
        self._user = recording.user
        self._device = os.stat(recording.root).st_dev
        self._since = time.clock_gettime_ns(_COARSE)
        self._known: dict[tuple[int, int], tuple[int, int]] = {}
        """What the step has said itself, by inode and time of birth."""
        self._below: dict[int, tuple[int, int]] = {}
        """By inode."""
        self._paths: dict[bytes, tuple[int, int, int, bool]] = {}
        """Of the layers below as well: owner, type, whether it has other names."""

    def look(self) -> None:
        """Find the files of the layers below, before the step has begun."""
        for owner, paths in self._owners.items():
            uid, _, gid = owner.partition(":")
            for path in os.fsencode(paths).split(b"\0"):
                with contextlib.suppress(OSError):
                    info = os.lstat(self._root + b"/" + path)
                    self._below[info.st_ino] = int(uid), int(gid)
                    has_others = info.st_nlink > 1 and not stat.S_ISDIR(info.st_mode)
                    self._paths[path] = int(uid), int(gid), stat.S_IFMT(info.st_mode), has_others
        self._owners = {}

    @property
    def is_empty(self) -> bool:
        """Whether all is root's."""
        return not self._known and not self._below and self._user == _ROOT

    def note(self, keys: set[tuple[int, int]], owner: tuple[int, int]) -> None:
        """Note what the step has said of a file, by all inodes that it may be seen with."""
        self._known.update(dict.fromkeys(keys, owner))

    def owner_below(self, found: syscalls.Buffer) -> tuple[int, int] | None:
        """Give the owner of what statx has given if it has one in the layers below, and the step has said nothing."""
        inode, birth = syscalls.identity_in(found)
        is_new = (inode, birth) in self._known or not self.is_inside(found)
        return None if is_new or not (self._is_overlay or birth < self._since) else self._below.get(inode)

    def is_inside(self, found: syscalls.Buffer) -> bool:
        """Tell whether what statx has given is one of the layers' files, and no pipe, nor lies on a mount."""
        return os.makedev(*_FOUND.unpack_from(found)[-2:]) == self._device

    def owner(self, found: syscalls.Buffer) -> tuple[int, int] | None:
        """Give the owner of what statx has given; None where :meth:`owner_of` has to be asked."""
        _, inode, seconds, nanoseconds, major, minor = _FOUND.unpack_from(found)
        if os.makedev(major, minor) != self._device:  # a pipe, a mount: no layer has it
            return _ROOT
        birth = seconds * 1_000_000_000 + nanoseconds
        known = self._known.get((inode, birth))
        if known is not None:
            return known
        is_old = 0 < birth < self._since
        if is_old or self._is_overlay:
            below = self._below.get(inode)
            if below is not None:
                return below
        return _ROOT if is_old or (not self._paths and self._user == _ROOT) else None

    def owner_of(self, file: int, found: syscalls.Buffer) -> tuple[int, int]:
        """Give the owner of an open file of which statx has given ``found``."""
        owner = self.owner(found)
        if owner is not None:
            return owner
        # It was made during the step, or copied up.
        path = self._path(file)
        mode = _FOUND.unpack_from(found)[0]
        uid, gid, kind, has_others = self._paths.get(path, (*_ROOT, 0, False))
        can_tell = self._marks and (stat.S_ISREG(mode) or stat.S_ISDIR(mode))
        is_copied = can_tell and is_copied_up(self._upper + b"/" + path)
        if kind == stat.S_IFMT(mode) and (is_copied or has_others or (self._is_overlay and not can_tell)):
            return uid, gid
        return _ROOT if is_copied else self._user

    def identities(self, file: int) -> tuple[set[tuple[int, int]], bytes]:
        """Give all inodes and times of birth that an open file may be seen with, and its path in the root."""
        keys = {syscalls.identity_in(syscalls.statx_of(file, STATX_WANTED))}
        path = self._path(file)
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):  # it has no name any more
            keys.add(syscalls.identity(self._upper + b"/" + path))
        return keys, path

    def _path(self, file: int) -> bytes:
        return os.readlink(b"/proc/self/fd/%d" % file).removeprefix(self._top).strip(b"/")
