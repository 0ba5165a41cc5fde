"""The merged trees of images, each layer's index read once and kept beside its blob."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

from layers.changeset.tree import Tree, dump_index, index_layer, load_index
from layers.compression import open_reader
from layers.config import chain_ids
from layers.errors import InvalidError
from layers.mediatype import layer_compression
from layers.store.pieces import read_files

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from layers.changeset.entry import Change
    from layers.changeset.tree import LayerIndex
    from layers.digest import Digest
    from layers.image import Layer
    from layers.store.layout import Layout

_KIND = "index"
_KEPT_TREES = 8
"""Trees that are remembered, the last ones used: a build with many layers would hold as many copies else."""


class Trees:
    """Gives the tree of a stack of layers; for several threads."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._known: dict[Digest, Tree] = {}
        self._contents: dict[Digest, Mapping[bytes, bytes]] = {}
        self._written: tuple[Digest, LayerIndex] | None = None
        """The last one, which the next step will want to see."""
        self._lock = threading.Lock()

    def tree(self, layers: Sequence[Layer]) -> Tree:
        """Give the merged tree of these layers, oldest first."""
        chains = chain_ids(tuple(layer.diff_id for layer in layers))
        with self._lock:
            start = len(layers)
            while start and chains[start - 1] not in self._known:
                start -= 1
            tree = self._known[chains[start - 1]] if start else Tree.empty()
            for layer in layers[start:]:
                tree = tree.apply(self.index(layer).entries)
            if layers:
                self._remember(chains[-1], tree)
        return tree

    def _remember(self, chain: Digest, tree: Tree) -> None:
        self._known.pop(chain, None)
        self._known[chain] = tree  # the one that was used last stands last
        for oldest in list(self._known)[:-_KEPT_TREES]:
            del self._known[oldest]

    def index(self, layer: Layer) -> LayerIndex:
        """Give what a layer holds: kept from an earlier time, or else read from its tar."""
        digest, written = layer.descriptor.digest, self._written
        if written is not None and written[0] == digest:
            return written[1]
        index = self._index(layer)
        self._contents[digest] = index.contents
        return index

    def has(self, layer: Layer) -> bool:
        """Tell whether a layer's index is kept, so that its tar need not be read."""
        return self._layout.side(layer.descriptor.digest, _KIND).exists()

    def is_own(self, layer: Layer) -> bool:
        """Tell whether a build has written this layer here."""
        return self.has(layer) and bool(self.index(layer).blocks)

    def kept(self, blob: Digest) -> LayerIndex | None:
        """Give the index of a layer whose blob need not be here any more; None where it is not kept."""
        content = self._layout.read_side(blob, _KIND)
        if content is not None:
            with contextlib.suppress(InvalidError):  # of another version, or damaged
                return load_index(content)
        return None

    def files(self, layer: Layer, paths: Collection[bytes]) -> list[Change] | None:
        """Give these entries of a layer with their contents, reading only the compressed blocks that they lie in.

        None where that is not possible: the layer was not written here, its blob is not what it was, or the
        contents are too large to be held.
        """
        blob, compression = layer.descriptor.digest, layer_compression(layer.descriptor.media_type)
        return read_files(self._layout.blobs.path(blob), compression, self.index(layer), paths)

    def contents(self, layer: Layer) -> Mapping[bytes, bytes]:
        """Give the files whose contents the index of a layer has."""
        found = self._contents.get(layer.descriptor.digest)
        return self.index(layer).contents if found is None else found

    def _index(self, layer: Layer) -> LayerIndex:
        kept = self.kept(layer.descriptor.digest)
        if kept is not None:
            return kept
        compression = layer_compression(layer.descriptor.media_type)
        with layer.open() as blob, open_reader(blob, compression) as tar:
            index = index_layer(tar)
        self._layout.write_side(layer.descriptor.digest, _KIND, dump_index(index))
        return index

    def keep(self, blob: Digest, index: LayerIndex) -> None:
        """Keep the index of a layer that was just written."""
        self._layout.write_side(blob, _KIND, dump_index(index))
        self._contents[blob] = index.contents
        self._written = blob, index
