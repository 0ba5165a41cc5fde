"""The same layer in another compression: other blobs, one diff_id."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layers.compression import BlockWriter, open_reader
from layers.errors import VerificationError
from layers.mediatype import layer_compression, layer_type
from layers.model import Descriptor

if TYPE_CHECKING:
    from layers.image import BlobLayer, Layer
    from layers.mediatype import Compression
    from layers.store.layout import Layout

_CHUNK = 1 << 20


def recompressed(layout: Layout, layer: Layer, compression: Compression, level: int | None = None) -> BlobLayer:
    """Store a layer in another compression, streaming, and give it.

    Raises:
        VerificationError: the layer's content is not what its digest or its diff_id promised.
        StoreError: the disk refuses.
    """
    found = layer_compression(layer.descriptor.media_type)
    with layer.open() as source, layout.blobs.write(hashing=False) as blob:
        with open_reader(source, found) as tar, BlockWriter(blob, compression, level) as writer:
            while data := tar.read(_CHUNK):
                writer.write(data)
        written = writer.close()
        if written.diff_id != layer.diff_id:
            what = f"layer {layer.descriptor.digest} has another diff_id"
            raise VerificationError(what, expected=layer.diff_id, actual=written.diff_id)
        blob.commit(written.digest, written.size)
    return layout.layer(Descriptor(layer_type(compression), written.digest, written.size), layer.diff_id)
