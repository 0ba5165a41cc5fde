"""Who owns what a step made, where all its files belong to one user: what is known of it, put together.

Known are the owners of the layers below, the user of the step, and, where a listener writes it down (``recorder.py``),
what ``chown`` was called with.
"""

from __future__ import annotations

import os
from dataclasses import field
from typing import TYPE_CHECKING, NamedTuple

from builder.runtime import syscalls
from layers.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from layers.changeset.entry import Entry
    from layers.changeset.tree import Tree

_BACKUPS = (b"-", b"~")
"""What programs add to the name of a file that they keep as it was."""
_ORIGIN = b"user.overlay.origin"
"""The attribute that files have which an overlay has copied up; not links and devices, which can have none."""


class Owned(NamedTuple):
    """What ``chown`` was called with for one file."""

    uid: int | None
    """None where it was to stay as it was; so with ``gid``."""
    gid: int | None
    path: bytes
    """Where the file was at that time."""
    by_descriptor: bool
    """Whether it was called for an open file, not for a path."""


@frozen
class Owners:
    """What a step says of owners."""

    uid: int = 0
    gid: int = 0
    """The step's own user and group: whose its new files are."""
    owned: Mapping[tuple[int, int], Owned] = field(default_factory=dict)
    """By inode and time of birth."""
    shown: bool = False
    """Whether the step saw who owns what, so that what it said is what it meant."""

    def owner(self, tree: Tree, entry: Entry, path: bytes, *, is_upper: bool = False) -> tuple[int, int]:
        """Give the user and group of a path (on the machine ``path``) on top of ``tree``.

        With ``is_upper``, ``path`` is in the upper directory of an overlay that marks copies.

        A step that is not shown who owns what sees all files as root's. So a program that takes an owner over, from the
        old file to the one in its place, says root and means what ``tree`` has.
        """
        said = self.owned.get(syscalls.identity(path)) if self.owned else None
        if self.shown and is_upper and (said is None or None in said[:2]):
            return self._copied(tree, entry, path)
        uid, gid = self._below(tree, entry.path, entry.kind)
        if said is None:
            return uid, gid
        is_taken_over = said.by_descriptor or said.path != entry.path or self.uid != 0
        if (said.uid, said.gid) == (0, 0) and is_taken_over and not self.shown:
            # /etc/shadow- is new, and has what /etc/shadow has
            original = tree.get(entry.path[:-1]) if entry.path.endswith(_BACKUPS) else None
            return (original.uid, original.gid) if original is not None else (uid, gid)
        if None in said:
            uid, gid = self._below(tree, said.path, entry.kind)
        return uid if said.uid is None else said.uid, gid if said.gid is None else said.gid

    def _copied(self, tree: Tree, entry: Entry, path: bytes) -> tuple[int, int]:
        """Give the owner of what nobody said anything of: a file copied up has that of its original, all else is new.

        Originals of another owner than root that were moved are not here: the listener says that they were.
        """
        old = tree.get(entry.path)
        can_tell = entry.kind in {"file", "directory"}
        is_copied = can_tell and is_copied_up(path)
        if old is None or old.kind != entry.kind:
            return (0, 0) if is_copied else (self.uid, self.gid)
        # Names of one file are copied up one by one, and forget what they were.
        is_old = is_copied or not can_tell or tree.is_linked(entry.path)
        return (old.uid, old.gid) if is_old else (self.uid, self.gid)

    def _below(self, tree: Tree, path: bytes, kind: str) -> tuple[int, int]:
        """Give the owner in the layers below, or of a new file."""
        old = tree.get(path)
        return (old.uid, old.gid) if old is not None and old.kind == kind else (self.uid, self.gid)


def is_copied_up(path: bytes) -> bool:
    """Tell whether a file or a directory in an upper directory is one of the layers below."""
    try:
        os.getxattr(path, _ORIGIN, follow_symlinks=False)
    except OSError:
        return False
    return True


def marks_copies(directory: Path) -> bool:
    """Tell whether overlays can mark what they copy up, where ``directory`` is."""
    try:
        os.setxattr(directory, "user.pybuild", b"")
        os.removexattr(directory, "user.pybuild")
    except OSError:
        return False
    return True
