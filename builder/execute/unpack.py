"""ADD of an archive: its entries below the destination.

The rules are those of Docker's extraction: the destination is the root while links are followed, what is in the way is
replaced, and only a directory meets a directory. Directories that the archive leaves out are root's.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from builder.errors import StepError
from builder.execute.place import join, parents, top_directory
from layers.changeset import tar
from layers.changeset.entry import Change, Entry
from layers.changeset.rootpath import resolve
from layers.changeset.whiteout import read_marker
from layers.compression import open_reader
from layers.store.merged import reading

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from builder.context.select import Files, Selected
    from builder.execute.place import Placement
    from layers.changeset.tree import Tree


def unpacked(placement: Placement, files: Files, archive: Selected) -> Iterator[Change]:
    """Give what an archive brings, in its order: with its owners unless ``--chown`` is given, and without ``--chmod``.

    Raises:
        StepError: something that is no directory is in the way, or a hard link leads nowhere.
        ChangesetError: the archive breaks off, or holds what no layer can.
    """
    tree, mtime = placement.below, archive.entry.mtime
    root = tree.resolve(placement.destination.path)
    plain = placement.without_mode()
    yield from parents(plain, root, mtime)
    existing = tree.get(root)
    yield from top_directory(plain, root, mtime if existing is None else existing.mtime)
    unpacking = _Unpacking(tree, root, placement.owner, mtime)
    with reading(files.open(archive.path)) as file, open_reader(file) as content:
        for entry, member in tar.read(content):
            if entry.path:
                yield from unpacking.put(entry, member)


class _Unpacking:
    """What is below the destination while an archive comes onto it; paths are relative to the destination."""

    def __init__(self, tree: Tree, root: bytes, owner: tuple[int, int] | None, mtime: int) -> None:
        self._tree = tree
        self._root = root
        self._owner = owner
        self._mtime = mtime
        self._own: dict[bytes, Entry] = {}
        self._found: dict[bytes, bytes] = {}
        """Where directories of the archive's names are, links followed."""
        self._replaced: set[bytes] = set()
        """Directories of the image whose content is gone."""

    def get(self, path: bytes) -> Entry | None:
        """Give what is there by now."""
        if path in self._own:
            return self._own[path]
        if self._replaced and any(path.startswith(gone + b"/") for gone in self._replaced):
            return None
        return self._tree.get(join(self._root, path))

    def put(self, entry: Entry, member: tar.Member) -> Iterator[Change]:
        """Give the changes of one entry: the directories above it, and itself."""
        marker = read_marker(entry.path)
        if marker is not None:
            yield from self._hidden(*marker)
            return
        above, _, name = entry.path.rpartition(b"/")
        parent = self._found.get(above)
        if parent is None:
            parent = self._found[above] = yield from self._directory(above)
        path = join(parent, name)
        if entry.kind == "hardlink":
            entry = self._linked(entry)
        elif self._owner is not None:
            entry = entry._replace(uid=self._owner[0], gid=self._owner[1])
        self._remove(path, entry)
        yield self._change(path, entry, member)

    def _change(self, path: bytes, entry: Entry, member: tar.Member | None = None) -> Change:
        placed = entry._replace(path=join(self._root, path))
        self._own[path] = placed
        opened = functools.partial(_same, member) if member is not None and entry.kind == "file" else None
        return Change(placed.path, placed, opened)

    def _directory(self, path: bytes) -> Generator[Change, None, bytes]:
        """Give the changes that make sure of a directory; return where it really is."""
        here = b""
        for name in path.split(b"/") if path else []:
            here = join(here, name)
            existing = self.get(here)
            if existing is not None and existing.kind == "symlink":
                here = resolve(self, here, follow_last=True)
                existing = self.get(here) if here else self._tree.get(self._root)
                if existing is None:
                    raise StepError(
                        f"cannot unpack through a link that leads nowhere: /{_text(join(self._root, path))}"
                    )
                above = here.rpartition(b"/")[0]
                if above:
                    yield from self._directory(above)
            if existing is not None and existing.kind != "directory":
                raise StepError(f"cannot unpack into what is no directory: /{_text(join(self._root, here))}")
            if here and here not in self._own:
                yield self._change(here, existing or Entry(here, "directory", 0o755, mtime=self._mtime))
        return here

    def _linked(self, entry: Entry) -> Entry:
        """Give a hard link as tools expect it: with what is known of its file, which may be one of the image."""
        parent, _, name = entry.linkname.rpartition(b"/")
        target = join(resolve(self, parent, follow_last=True), name)
        found = self.get(target)
        if found is None or found.kind == "directory":
            raise StepError(
                f"a hard link in the archive leads to no file: {_text(entry.path)} -> {_text(entry.linkname)}"
            )
        linkname = join(self._root, target)
        return entry._replace(linkname=linkname, mode=found.mode, uid=found.uid, gid=found.gid, mtime=found.mtime)

    def _remove(self, path: bytes, entry: Entry) -> None:
        """Forget what a new entry takes the place of."""
        existing = self.get(path)
        if entry.kind == "symlink" or (existing is not None and existing.kind != entry.kind):
            self._found.clear()
        if existing is None or existing.kind != "directory" or entry.kind == "directory":
            return
        for below in [each for each in self._own if each.startswith(path + b"/")]:
            del self._own[below]
        self._replaced.add(path)

    def _hidden(self, kind: str, path: bytes) -> Iterator[Change]:
        """Give what a whiteout in the archive takes away from the image."""
        parent, _, name = path.rpartition(b"/")
        target = join(self._root, join(resolve(self, parent, follow_last=True), name))
        if kind == "whiteout" and self._tree.get(target) is not None:
            yield Change(target, None)
        if kind == "opaque":
            for each in self._tree.children(target):
                yield Change(join(target, each), None)


def _same(member: tar.Member) -> tar.Member:
    return member


def _text(path: bytes) -> str:
    return path.decode("utf-8", "replace")
