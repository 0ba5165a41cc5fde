"""The upper layers of an image as one change set."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layers.changeset.entry import Change
from layers.store.merged import MergedFiles

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from layers.changeset.tree import Tree
    from layers.image import Layer
    from layers.store.trees import Trees


def squashed(trees: Trees, layers: Sequence[Layer], below: int, scratch: Path) -> Iterator[Change]:
    """Give what the layers above the lowest ``below`` change, oldest first: what is gone, then what is there.

    What one of them adds and another takes away is not in it. Contents come into ``scratch``.

    Spec: image-spec/layer.md, "Whiteouts".
    """
    before, after = trees.tree(layers[:below]), trees.tree(layers)
    yield from _gone(before, after)
    touched = {entry.path for layer in layers[below:] for entry in trees.index(layer).entries}
    around = touched | {parent for path in touched for parent in _parents(path)}
    for change in MergedFiles(trees, layers, scratch).walk(b"", lambda path, _: path not in around):
        if change.path in touched or before.get(change.path) is None:
            yield change


def _gone(before: Tree, after: Tree) -> Iterator[Change]:
    """Give what is there no more, the top of each tree alone."""
    for entry in before.walk():
        if after.get(entry.path) is None:
            parent = entry.path.rpartition(b"/")[0]
            above = after.get(parent) if parent else None
            if not parent or (above is not None and above.kind == "directory"):
                yield Change(entry.path, None)


def _parents(path: bytes) -> Iterator[bytes]:
    while path := path.rpartition(b"/")[0]:
        yield path
