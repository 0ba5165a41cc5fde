"""Several trees of files as one, for an ADD whose sources are not all in one place."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from builder.context.select import local_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from builder.context.filter import Skip
    from builder.context.localfile import LocalFile
    from builder.context.select import Files, Selected
    from layers.changeset.entry import Change, Content, Entry


class Joined:
    """Several trees as one: the first is below ``0/``, the second below ``1/``."""

    def __init__(self) -> None:
        self._trees: list[Files] = []

    def add(self, files: Files, selected: Sequence[Selected]) -> list[Selected]:
        """Add a tree, and give what was selected of it as something of this one."""
        number = len(self._trees)
        self._trees.append(files)
        return [replace(each, path=b"%d/" % number + each.path, _files=self) for each in selected]

    def get(self, path: bytes) -> Entry | None:
        """Give what is at a path of a tree."""
        tree, inside = self._find(path)
        return tree.get(inside)

    def children(self, path: bytes) -> list[bytes]:
        """Give the names in a directory of a tree."""
        tree, inside = self._find(path)
        return tree.children(inside)

    def walk(self, path: bytes, skip: Skip | None = None) -> Iterator[Change]:
        """Give all below a directory of a tree."""
        tree, inside = self._find(path)
        return tree.walk(inside, skip)

    def open(self, path: bytes) -> int | Content:
        """Open a file of a tree."""
        tree, inside = self._find(path)
        return tree.open(inside)

    def file(self, path: bytes, entry: Entry) -> LocalFile | None:
        """Give a regular file of this machine; None where the tree is elsewhere."""
        tree, inside = self._find(path)
        return local_file(tree, inside, entry)

    def _find(self, path: bytes) -> tuple[Files, bytes]:
        number, _, inside = path.partition(b"/")
        return self._trees[int(number)], inside.lstrip(b"/")  # what joins a name to a tree's root writes two slashes
