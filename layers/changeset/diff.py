"""What changed: the upper directory of an overlay, or a directory since it was last looked at.

Changes come depth first, names in byte order, each preceded by the directories that lead to it. Sockets are left out,
and so is what differs in nothing that a layer holds.

Spec: image-spec/layer.md, "Creating"; Linux kernel documentation, "Overlay Filesystem".
"""

from __future__ import annotations

import functools
import os
import stat
from hashlib import sha256
from typing import TYPE_CHECKING

from layers.changeset.beneath import GONE, Beneath
from layers.changeset.directories import is_whiteout
from layers.changeset.entry import Change, Entry, from_stat, keeps_xattr, kind_of, read_xattrs
from layers.changeset.snapshot import Snapshot, snapshot
from layers.errors import ChangesetError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping
    from pathlib import Path

    from layers.changeset.tree import Tree

    Owner = Callable[[Entry, bytes], tuple[int, int]]
    """Gives user and group of what is there, by its entry and its path on this machine."""

__all__ = ["Snapshot", "diff_live", "diff_snapshots", "diff_upper", "snapshot"]

_CHUNK = 1024 * 1024
# a pipe that has taken a file's place must not be waited for
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NO_XATTRS: dict[str, bytes] = {}


def diff_upper(upper: Path, lower: Tree, *, userxattr: bool, owner: Owner | None = None) -> Iterator[Change]:
    """Give what an overlay's upper directory changes.

    Opaque directories become a whiteout for each name that they hide and do not have themselves. What was copied up
    and is equal in all that a layer holds is no change; times are compared in whole seconds, and then the content
    decides. Names of one hard-linked file come together: if one is a change, so are the others.

    Args:
        upper: nobody writes to it any more.
        lower: what the lower directories hold together.
        userxattr: the overlay was mounted with this option.
        owner: tells who owns what, where the file system does not.

    Raises:
        ChangesetError: the overlay was mounted with redirects or metadata-only copies, which an upper directory alone
            does not explain.
        OSError: the directory cannot be read.
    """
    marks = "user.overlay." if userxattr else "trusted.overlay."
    top = os.fsencode(upper)
    order = _Order()
    todo = _below(b"", os.listdir(top), (), hides=False)
    while todo:
        path, hides, is_gone = todo.pop()
        full = os.path.join(top, path)
        info = None if is_gone else os.lstat(full)
        old = lower.get(path)
        if info is None or is_whiteout(info):
            if old is not None:
                yield from order.put(Change(path, None))
            continue
        xattrs = read_xattrs(full)
        _check_plain(path, xattrs, marks)
        change = _change(path, full, info, xattrs, owner)
        if change is not None:
            yield from order.put(change, info, is_same=_is_same(old, change))
        if stat.S_ISDIR(info.st_mode):
            # a directory made below an opaque one is not marked itself
            hides = hides or xattrs.get(marks + "opaque") == b"y"
            todo += _below(path, os.listdir(full), lower.children(path) if hides else (), hides=hides)


def diff_live(upper: Path, lower: Tree, *, userxattr: bool, owner: Owner | None = None) -> Iterator[Change]:
    """Give what an overlay's upper directory changes while it is mounted and whoever writes there is not trusted.

    As ``diff_upper``, but that no link is followed on the way to anything, and that what goes away meanwhile is passed
    over. Of a file that grows the first bytes are given; one that shrinks or goes cannot be read.

    Raises:
        ChangesetError: as ``diff_upper``.
        OSError: the directory cannot be read.
    """
    marks = "user.overlay." if userxattr else "trusted.overlay."
    order = _Order()
    with Beneath(os.fsencode(upper)) as beneath:
        todo = _below(b"", beneath.names(b""), (), hides=False)
        while todo:
            path, hides, is_gone = todo.pop()
            old = lower.get(path)
            try:
                full = beneath.host(path)
                info = None if is_gone else os.lstat(full)
                if info is None or is_whiteout(info):
                    if old is not None:
                        yield from order.put(Change(path, None))
                    continue
                xattrs = read_xattrs(full)
                change, names = _change(path, full, info, xattrs, owner), []
                if stat.S_ISDIR(info.st_mode):
                    names = beneath.names(path)
                if change is not None and change.open is not None:
                    change = change._replace(open=functools.partial(beneath.open, path, info.st_size))
                is_same = change is not None and _is_same(old, change)
            except OSError as error:
                if error.errno not in GONE:
                    raise
                continue
            _check_plain(path, xattrs, marks)
            if change is not None:
                yield from order.put(change, info, is_same=is_same)
            if stat.S_ISDIR(info.st_mode):
                hides = hides or xattrs.get(marks + "opaque") == b"y"
                todo += _below(path, names, lower.children(path) if hides else (), hides=hides)


def _check_plain(path: bytes, xattrs: Mapping[str, bytes], marks: str) -> None:
    if marks + "redirect" in xattrs or marks + "metacopy" in xattrs:
        raise ChangesetError(
            f"an overlay with redirects or metadata-only copies cannot be read: {_text(path)}",
            hint="mount it with redirect_dir=off,metacopy=off",
        )


def diff_snapshots(
    before: Snapshot, root: Path, lower: Tree | None = None, *, owner: Owner | None = None
) -> Iterator[Change]:
    """Give what changed in a directory since a snapshot of it was taken.

    Only what ``lstat`` tells of each path is compared; content is read where that differs. With ``lower``, what the
    directory held at that time, paths that were touched but are equal in all that a layer holds are no change.

    Args:
        before: from ``snapshot``.
        root: the same directory; nobody writes to it now.
        lower: the tree that the directory was made from.
        owner: tells who owns what, where the file system does not.

    Raises:
        OSError: the directory cannot be read.
    """
    top = os.fsencode(root)
    order = _Order()
    todo = _below(b"", os.listdir(top), before.children(b""), hides=False)
    while todo:
        path, _, is_gone = todo.pop()
        if is_gone:
            yield from order.put(Change(path, None))
            continue
        full = os.path.join(top, path)
        info = os.lstat(full)
        is_same = not before.is_changed(path, info)
        # of what is the same no more has to be known, but names of one file and the way to what is below
        if not is_same or stat.S_ISDIR(info.st_mode) or info.st_nlink > 1:
            change = _change(path, full, info, read_xattrs(full), owner)
            if change is not None:
                is_same = is_same or (lower is not None and _is_same(lower.get(path), change))
                yield from order.put(change, info, is_same=is_same)
        if stat.S_ISDIR(info.st_mode):
            todo += _below(path, os.listdir(full), before.children(path), hides=False)


def _below(path: bytes, names: list[bytes], old: Collection[bytes], *, hides: bool) -> list[tuple[bytes, bool, bool]]:
    """Give what to look at in a directory, the last first, with the names that are old only."""
    prefix = path + b"/" if path else b""
    items = [(prefix + name, hides, False) for name in names]
    if old:
        items += [(prefix + name, False, True) for name in set(old).difference(names)]
    items.sort(reverse=True)
    return items


class _Order:
    """Put directories before what they hold, and names of one file together."""

    def __init__(self) -> None:
        self._parents: list[Change] = []
        self._given: set[bytes] = set()
        self._first: dict[tuple[int, int], bytes] = {}
        self._same: dict[tuple[int, int], list[tuple[Change, list[Change]]]] = {}

    def put(self, change: Change, info: os.stat_result | None = None, *, is_same: bool = False) -> list[Change]:
        """Give what comes next now that this path was looked at."""
        parents = self._parents
        while parents and not change.path.startswith(parents[-1].path + b"/"):
            parents.pop()
        if info is not None and change.entry is not None and info.st_nlink > 1 and change.entry.kind == "file":
            return self._put_linked(change, (info.st_dev, info.st_ino), is_same=is_same)
        if not is_same:
            return self._give(change, parents)
        if change.entry is not None and change.entry.kind == "directory":
            parents.append(change)
        return []

    def _give(self, change: Change, parents: list[Change]) -> list[Change]:
        given = [parent for parent in parents if parent.path not in self._given]
        given.append(change)
        self._given.update(each.path for each in given if each.entry is not None and each.entry.kind == "directory")
        return given

    def _put_linked(self, change: Change, inode: tuple[int, int], *, is_same: bool) -> list[Change]:
        first = self._first.get(inode)
        if first is not None:
            return self._give(_link(change, first), self._parents)
        if is_same:
            self._same.setdefault(inode, []).append((change, list(self._parents)))
            return []
        self._first[inode] = change.path
        given = self._give(change, self._parents)
        for other, parents in self._same.pop(inode, ()):
            given += self._give(_link(other, change.path), parents)
        return given


def _link(change: Change, target: bytes) -> Change:
    assert change.entry is not None
    return Change(change.path, change.entry._replace(kind="hardlink", size=0, linkname=target, xattrs=_NO_XATTRS))


def _change(
    path: bytes, full: bytes, info: os.stat_result, xattrs: Mapping[str, bytes], owner: Owner | None
) -> Change | None:
    """Give the path as it is now; None for a socket."""
    kind = kind_of(info.st_mode)
    if kind is None:
        return None
    kept = {name: value for name, value in xattrs.items() if keeps_xattr(name)} if xattrs else _NO_XATTRS
    linkname = os.readlink(full) if kind == "symlink" else b""
    opened = functools.partial(os.open, full, _OPEN) if kind == "file" else None
    entry = from_stat(path, info, linkname, kept)
    if owner is not None:
        uid, gid = owner(entry, full)
        entry = entry._replace(uid=uid, gid=gid)
    return Change(path, entry, opened)


def _is_same(old: Entry | None, change: Change) -> bool:
    new = change.entry
    assert new is not None
    # all but the path, which is that of the other, a link's mode, which means nothing, and the digest
    if old is None or old[1] != new[1] or old[3:10] != new[3:10] or (old.mode != new.mode and new.kind != "symlink"):
        return False
    if new.xattrs != {name: value for name, value in old.xattrs.items() if keeps_xattr(name)}:
        return False
    if new.kind != "file" or not new.size:
        return True
    return bool(old.digest) and old.digest == _digest(change)


def _digest(change: Change) -> bytes:
    assert change.open is not None
    file = change.open()
    hashed = sha256()
    try:
        while data := os.read(file, _CHUNK) if isinstance(file, int) else file.read(_CHUNK):
            hashed.update(data)
    finally:
        os.close(file) if isinstance(file, int) else file.close()
    return hashed.digest()


def _text(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")
