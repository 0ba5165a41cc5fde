"""Laws of applying layers: the tree, the disk and the overlay agree."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from layers.changeset.apply import apply
from layers.changeset.tree import Tree, index_layer
from layers.errors import ChangesetError
from tests.property.strategies import layers
from tests.support.rootfs import Node, View, merge, stream_of, tree_view, view

if TYPE_CHECKING:
    from layers.changeset.entry import Entry


@given(st.lists(layers(), max_size=4))
def test_a_tree_says_what_applying_the_layers_gives(stack: list[list[Node]]) -> None:
    """Tree.apply and apply to a directory agree, or both refuse."""
    tree = Tree.empty()
    with tempfile.TemporaryDirectory() as name:
        for nodes in stack:
            try:
                grown = tree.apply(index_layer(stream_of(nodes)).entries)
            except ChangesetError:
                grown = None
            try:
                apply(stream_of(nodes), Path(name))
            except ChangesetError:
                assert grown is None
                return
            assert grown is not None, "the directory takes what the tree refuses"
            tree = grown
            assert tree_view(tree) == view(Path(name))


OPAQUE = "user.overlay.opaque"


def without_links(found: View) -> dict[bytes, Entry]:
    """Leave out which files are the same: a link into another lower directory is a copy."""
    return {path: entry for path, (entry, _) in found.items()}


@given(st.lists(st.lists(layers(), min_size=1, max_size=2), min_size=1, max_size=3))
def test_lower_directories_show_what_one_directory_holds(groups: list[list[list[Node]]]) -> None:
    """However layers are grouped into lower directories, their overlay shows what applying them to one gives."""
    with tempfile.TemporaryDirectory() as name:
        top = Path(name)
        plain, merged = top / "plain", top / "merged"
        plain.mkdir()
        merged.mkdir()
        lowers: list[Path] = []
        for number, group in enumerate(groups):
            lower = top / str(number)
            lower.mkdir()
            for nodes in group:
                try:
                    apply(stream_of(nodes), plain)
                except ChangesetError:
                    return
                apply(stream_of(nodes), lower, overlay=bool(lowers), userxattr=True, lowers=lowers)
            lowers.insert(0, lower)
        merge(lowers[::-1], merged, OPAQUE)
        assert without_links(view(plain)) == without_links(view(merged))
