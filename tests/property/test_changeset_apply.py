"""Laws of applying layers: the tree, the disk and the overlay agree."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from layers.changeset.apply import apply
from layers.changeset.tree import Tree, index_layer
from layers.errors import ChangesetError
from tests.property.strategies import layers
from tests.support.rootfs import Node, stream_of, tree_view, view


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
