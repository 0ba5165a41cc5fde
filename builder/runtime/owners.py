"""Who owns what a step made, where all its files belong to one user: what is known of it, put together.

Known are the owners of the layers below, the user of the step, and, where a listener writes it down (``recorder.py``),
what ``chown`` was called with.
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, NamedTuple

from builder.runtime import syscalls
from layers.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping

    from layers.changeset.entry import Entry
    from layers.changeset.tree import Tree

_BACKUPS = (b"-", b"~")
"""What programs add to the name of a file that they keep as it was."""


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

    def owner(self, tree: Tree, entry: Entry, path: bytes) -> tuple[int, int]:
        """Give the user and group of a path (on the machine ``path``) on top of ``tree``.

        A step sees all files as root's. So a program that takes an owner over, from the old file to the one in its
        place, says root and means what ``tree`` has.
        """
        uid, gid = self._below(tree, entry.path, entry.kind)
        said = self.owned.get(syscalls.identity(path)) if self.owned else None
        if said is None:
            return uid, gid
        is_taken_over = said.by_descriptor or said.path != entry.path or self.uid != 0
        if (said.uid, said.gid) == (0, 0) and is_taken_over:
            # /etc/shadow- is new, and has what /etc/shadow has
            original = tree.get(entry.path[:-1]) if entry.path.endswith(_BACKUPS) else None
            return (original.uid, original.gid) if original is not None else (uid, gid)
        if None in said:
            uid, gid = self._below(tree, said.path, entry.kind)
        return uid if said.uid is None else said.uid, gid if said.gid is None else said.gid

    def _below(self, tree: Tree, path: bytes, kind: str) -> tuple[int, int]:
        """Give the owner in the layers below, or of a new file."""
        old = tree.get(path)
        return (old.uid, old.gid) if old is not None and old.kind == kind else (self.uid, self.gid)
