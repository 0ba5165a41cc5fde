"""How one layer differs from another on the same parent: a step done again after little has changed.

Spec: image-spec/layer.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from layers.changeset.whiteout import PREFIX

if TYPE_CHECKING:
    from layers.changeset.index import LayerIndex
    from layers.changeset.tree import Tree

_SHARE = 4
"""More than this part of a layer (one in four) is no small difference."""


class Delta(NamedTuple):
    """What makes one layer out of another."""

    put: frozenset[bytes]
    """Paths that are new or other."""
    gone: tuple[bytes, ...]
    """Paths that are there no more, each without what was below it."""


def delta(old: LayerIndex, new: LayerIndex, below: Tree) -> Delta | None:
    """Give what ``new`` has that ``old`` has not, both applied to ``below``.

    None where that is much, or not simple: hidden or uncovered files of the parent, other kinds at the same path, hard
    links, changed symbolic links.
    """
    before = {entry.path: entry for entry in old.entries}
    links: set[bytes] = set()
    put: list[bytes] = []
    for entry in new.entries:
        path, kind = entry.path, entry.kind
        earlier = before.pop(path, None)
        if kind == "hardlink" or PREFIX in path:
            return None
        if kind == "symlink":
            links.add(path)
        if earlier == entry:
            continue
        if kind not in {"file", "directory"} or (earlier is not None and earlier.kind != kind):
            return None
        put.append(path)
    if (len(put) + len(before)) * _SHARE > len(new.entries):
        return None
    if any(entry.kind in {"hardlink", "symlink"} or PREFIX in path for path, entry in before.items()):
        return None
    if any(_shows(below, path) for path in before) or any(_is_below(links, path) for path in (*put, *before)):
        return None
    gone = tuple(path for path in before if path.rpartition(b"/")[0] not in before)
    return Delta(frozenset(put), gone)


def _shows(below: Tree, path: bytes) -> bool:
    """Tell whether the parent has something at this path, for which its own links are followed."""
    directory, _, name = path.rpartition(b"/")
    directory = below.resolve(directory)
    return below.get(directory + b"/" + name if directory else name) is not None


def _is_below(links: set[bytes], path: bytes) -> bool:
    while links and path:
        path = path.rpartition(b"/")[0]
        if path in links:
            return True
    return False
