"""The merged trees of images, each layer's index read once and kept beside its blob."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, BinaryIO, cast

from layers.changeset.index import read_blocks
from layers.changeset.known import KnownBlocks
from layers.changeset.tree import Tree, index_layer, index_parts, load_index
from layers.compression import open_reader
from layers.config import chain_ids
from layers.digest import Digest, VerifyingReader
from layers.errors import InvalidError, VerificationError
from layers.frozen import frozen
from layers.mediatype import layer_compression
from layers.store.pieces import read_files

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from layers.changeset.entry import Change
    from layers.changeset.tree import LayerIndex
    from layers.compression import Block
    from layers.image import Layer
    from layers.store.layout import Layout

_KIND = "index"
_CHUNK = 1 << 20
_KEPT_TREES = 8
"""Trees that are remembered, the last ones used: a build with many layers would hold as many copies else."""


@frozen
class Kept:
    """What is kept of a layer."""

    diff_id: Digest
    """What its tar was seen to be."""
    index: LayerIndex


class Trees:
    """Gives the tree of a stack of layers; for several threads."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._known: dict[Digest, Tree] = {}
        self._contents: dict[Digest, Mapping[bytes, bytes]] = {}
        self._written: tuple[Digest, Digest, LayerIndex] | None = None
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
        """Give what a layer holds: kept from an earlier time, or else read from its tar.

        Raises:
            VerificationError: the layer is not what its diff_id says. Steps are remembered by diff_ids, so a config
                that names another image's must not get its files in there.
        """
        digest, written = layer.descriptor.digest, self._written
        if written is not None and written[:2] == (digest, layer.diff_id):
            return written[2]
        index = self._index(layer)
        self._contents[digest] = index.contents
        return index

    def has(self, layer: Layer) -> bool:
        """Tell whether a layer's index is kept, so that its tar need not be read."""
        return self._layout.side(layer.descriptor.digest, _KIND).exists()

    def is_own(self, layer: Layer) -> bool:
        """Tell whether a build has written this layer here."""
        return self.has(layer) and bool(self.index(layer).blocks)

    def kept(self, blob: Digest) -> Kept | None:
        """Give what is kept of a layer whose blob need not be here any more; None for nothing, or what is damaged."""
        content = self._layout.read_side(blob, _KIND)
        if content is not None:
            with contextlib.suppress(InvalidError):  # of another version
                diff_id, _, index = content.partition(b"\n")
                return Kept(Digest.parse(diff_id.decode("ascii", "replace")), load_index(index))
        return None

    def files(self, layer: Layer, paths: Collection[bytes]) -> list[Change] | None:
        """Give these entries of a layer with their contents, reading only the compressed blocks that they lie in.

        None where that is not possible: the layer was not written here, its blob is not what it was, or the
        contents are too large to be held.
        """
        blob, compression = layer.descriptor.digest, layer_compression(layer.descriptor.media_type)
        return read_files(self._layout.blobs.path(blob), compression, self.index(layer), paths)

    def known_blocks(self, blobs: Iterable[Digest]) -> KnownBlocks:
        """Give the blocks of these layers to be copied, as many of them as are here; a context manager."""
        return KnownBlocks((self._layout.blobs.path(blob), self._blocks(blob)) for blob in blobs)

    def _blocks(self, blob: Digest) -> Sequence[Block]:
        try:
            with self._layout.side(blob, _KIND).open("rb") as file:
                file.readline()  # the diff_id
                return read_blocks(file)
        except (OSError, InvalidError):  # not kept, or damaged
            return ()

    def contents(self, layer: Layer) -> Mapping[bytes, bytes]:
        """Give the files whose contents the index of a layer has."""
        found = self._contents.get(layer.descriptor.digest)
        return self.index(layer).contents if found is None else found

    def _index(self, layer: Layer) -> LayerIndex:
        blob, what = layer.descriptor.digest, f"the content of layer {layer.descriptor.digest}"
        kept = self.kept(blob)
        if kept is not None:
            if kept.diff_id != layer.diff_id:
                raise VerificationError(what, expected=layer.diff_id, actual=kept.diff_id)
            return kept.index
        compression = layer_compression(layer.descriptor.media_type)
        with layer.open() as packed, open_reader(packed, compression) as content:
            tar = VerifyingReader(cast("BinaryIO", content), layer.diff_id, what="the content of a layer")
            index = index_layer(tar)
            while tar.read(_CHUNK):  # what stands behind the end of the archive belongs to it as well
                pass
        self._write(blob, layer.diff_id, index)
        return index

    def keep(self, blob: Digest, diff_id: Digest, index: LayerIndex) -> None:
        """Keep the index of a layer that was just written, or read and verified."""
        self._write(blob, diff_id, index)
        self._contents[blob] = index.contents
        self._written = blob, diff_id, index

    def _write(self, blob: Digest, diff_id: Digest, index: LayerIndex) -> None:
        self._layout.write_side(blob, _KIND, [f"{diff_id}\n".encode(), *index_parts(index)])
