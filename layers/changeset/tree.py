"""The merged view of an image's layers: metadata only, nothing unpacked.

Spec: image-spec/layer.md, "Applying Changesets".
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from layers.changeset.entry import Entry
from layers.changeset.index import LayerIndex, index_layer, index_parts, load_index
from layers.changeset.rootpath import resolve
from layers.changeset.whiteout import PREFIX, read_marker
from layers.errors import ChangesetError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["LayerIndex", "Source", "Tree", "index_layer", "index_parts", "load_index"]

_ROOT = Entry(b"", "directory", 0o755)


class Source(NamedTuple):
    """Where a file's content lies."""

    layer: int
    """Counted from 0, the oldest."""
    path: bytes
    """The path of the file in that layer's tar; names of one hard-linked file share it."""


class Tree:
    """A root file system as its layers' entries describe it; a value: applying a layer gives another tree.

    Paths are in the form of ``Entry.path`` and lead through no link; ``resolve`` makes them so. Hard links are files
    like the others here, with their target's metadata and source.
    """

    __slots__ = ("_children", "_entries", "_linked", "_sources", "layers")

    def __init__(self, entries: dict[bytes, Entry], sources: dict[bytes, Source], layers: int) -> None:
        """Take over merged entries; use ``Tree.empty`` and ``apply`` to make them."""
        self._entries = entries
        self._sources = sources
        self._children: dict[bytes, list[bytes]] | None = None
        self._linked: set[Source] | None = None
        self.layers = layers
        """How many layers were applied."""

    @classmethod
    def empty(cls) -> Tree:
        """Give the tree of no layers: a root directory."""
        return cls({b"": _ROOT}, {}, 0)

    def apply(self, entries: Iterable[Entry]) -> Tree:
        """Give the tree with one more layer on top.

        Whiteouts hide what the layers below have, wherever in the layer they stand. Parents that no layer has are
        made, with mode 0755; a parent that is a link is followed. The root's own entry is left out, as every
        runtime does.

        Raises:
            ChangesetError: a hard link to nothing or to a directory, or a parent that is not a directory.
        """
        layer = list(entries)
        has_markers = any(PREFIX in entry.path for entry in layer)
        merge = _Merge(self, dict(self._entries), dict(self._sources), has_markers=has_markers)
        for entry in layer:
            marker = read_marker(entry.path) if has_markers else None
            if marker is None:
                merge.add(entry)
            else:
                merge.hide(*marker)
        return Tree(merge.entries, merge.sources, self.layers + 1)

    def get(self, path: bytes) -> Entry | None:
        """Give the entry at exactly this path."""
        return self._entries.get(path)

    def source(self, path: bytes) -> Source | None:
        """Tell where the content of the file at exactly this path lies; None where there is no file."""
        return self._sources.get(path)

    def resolve(self, path: bytes, *, follow_last: bool = True) -> bytes:
        """Give the path that is really meant; see ``rootpath.resolve``."""
        return resolve(self, path, follow_last=follow_last)

    def children(self, path: bytes) -> list[bytes]:
        """Give the names in a directory, in byte order; none where there is no directory."""
        return sorted(self._index().get(path, ()))

    def walk(self, path: bytes = b"") -> Iterator[Entry]:
        """Give everything below a directory, not itself; each directory before what it holds, names in byte order."""
        index, entries = self._index(), self._entries
        prefix = path + b"/" if path else b""
        todo = [prefix + name for name in sorted(index.get(path, ()), reverse=True)]
        while todo:
            here = todo.pop()
            yield entries[here]
            if here in index:
                prefix = here + b"/"
                todo += [prefix + name for name in sorted(index[here], reverse=True)]

    def below(self, path: bytes) -> list[bytes]:
        """Give every path below this one, in no particular order."""
        index = self._index()
        found = [path]
        for here in found:
            prefix = here + b"/" if here else b""
            found += [prefix + name for name in index.get(here, ())]
        return found[1:]

    def is_linked(self, path: bytes) -> bool:
        """Tell whether the file at exactly this path has other names."""
        if self._linked is None:
            counts = Counter(self._sources.values())
            self._linked = {source for source, count in counts.items() if count > 1}
        return self._sources.get(path) in self._linked

    def foreign(self) -> dict[bytes, tuple[int, int]]:
        """Give user and group of all that is not root's."""
        return {path: each[3:5] for path, each in self._entries.items() if each[3] or each[4]}

    def __len__(self) -> int:
        return len(self._entries)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Tree):
            return NotImplemented
        return self._entries == other._entries and self._sources == other._sources

    __hash__ = None  # type: ignore[assignment]  # as for a dict: equal by content

    def _index(self) -> dict[bytes, list[bytes]]:
        if self._children is None:
            children: dict[bytes, list[bytes]] = {}
            for path in self._entries:
                if path:
                    parent, _, name = path.rpartition(b"/")
                    names = children.get(parent)
                    if names is None:
                        children[parent] = [name]
                    else:
                        names.append(name)
            self._children = children
        return self._children


class _Merge:
    """One layer on its way into a tree, in the order of its tar, as it comes onto a disk."""

    def __init__(
        self, base: Tree, entries: dict[bytes, Entry], sources: dict[bytes, Source], *, has_markers: bool
    ) -> None:
        self._base = base
        self._parent: tuple[bytes, bytes] = (b"", b"")
        self._has_markers = has_markers
        self._own: set[bytes] = {b""}
        """What this layer has put there, and the parents of that: what its whiteouts leave."""
        self.entries = entries
        self.sources = sources

    def get(self, path: bytes) -> Entry | None:
        return self.entries.get(path)

    def hide(self, marker: str, path: bytes) -> None:
        if marker == "ignored":
            return
        parent, _, name = path.rpartition(b"/")
        path = resolve(self, path if marker == "opaque" else parent, follow_last=True)
        if marker == "whiteout":
            path = _join(path, name)
            self._hide(path)
        for each in self._base.below(path):
            self._hide(each)

    def _hide(self, path: bytes) -> None:
        if path not in self._own:
            self._remove(path)
            self._parent = b"", b""

    def _remove(self, path: bytes) -> None:
        self.entries.pop(path, None)
        self.sources.pop(path, None)

    def add(self, entry: Entry) -> None:
        path, kind = entry.path, entry.kind
        if not path:
            return
        parent, _, name = path.rpartition(b"/")
        if self._parent[0] != parent:
            self._parent = parent, self._directory(parent)
        if self._parent[1] != parent:
            path = _join(self._parent[1], name)
            entry = entry._replace(path=path)
        if self._has_markers:
            self._keep(path)
        old = self.entries.get(path)
        if old is not None and old.kind != kind:
            # what was known of the last parent may no longer hold
            self._parent = b"", b""
            if old.kind == "directory":
                self._clear(path + b"/")
        if kind == "hardlink":
            self._link(entry)
            return
        if kind == "file":
            self.sources[path] = Source(self._base.layers, _join(parent, name))
        else:
            self.sources.pop(path, None)
        self.entries[path] = entry

    def _keep(self, path: bytes) -> None:
        while path not in self._own:
            self._own.add(path)
            path = path.rpartition(b"/")[0]

    def _link(self, entry: Entry) -> None:
        linked = resolve(self, entry.linkname, follow_last=False)
        if linked == entry.path:
            return
        target = self.entries.get(linked)
        if target is None or target.kind == "directory":
            raise ChangesetError(f"the layer links {entry.path!r} to what is no file: {entry.linkname!r}")
        self.entries[entry.path] = target._replace(path=entry.path)
        self.sources.pop(entry.path, None)
        if target.kind == "file":
            self.sources[entry.path] = self.sources[target.path]

    def _clear(self, prefix: bytes) -> None:
        for each in [path for path in self.entries if path.startswith(prefix)]:
            self._remove(each)
            self._own.discard(each)

    def _directory(self, path: bytes) -> bytes:
        """Give the directory that is meant, made where there is none."""
        found = self.entries.get(path)
        if found is not None and found.kind == "directory":
            return path
        path = resolve(self, path, follow_last=True)
        parts = path.split(b"/")
        for count in range(1, len(parts) + 1) if path else ():
            here = b"/".join(parts[:count])
            found = self.entries.get(here)
            if found is None:
                self.entries[here] = Entry(here, "directory", 0o755)
            elif found.kind != "directory":
                raise ChangesetError(f"the layer has something below {here!r}, which is no directory")
        return path


def _join(parent: bytes, name: bytes) -> bytes:
    return parent + b"/" + name if parent else name
