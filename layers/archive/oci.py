"""Images in a tar of an OCI image layout.

Spec: image-spec/image-layout.md.
"""

from __future__ import annotations

from typing import IO, TYPE_CHECKING

from layers.archive.container import TarWriter
from layers.archive.contents import LAYOUT, blobs, index_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from layers.image import Image, Index
    from layers.reference import Reference


def write(
    images: Sequence[tuple[Image | Index, Sequence[Reference]]],
    sink: IO[bytes],
    *,
    beside: Mapping[str, bytes] | None = None,
) -> None:
    """Write images and their names, each blob once; ``beside`` are small files to add at the top.

    The same images give the same bytes. Nothing is held in memory but documents, and the sink need not be seekable.

    Raises:
        InvalidError: a name has the digest of something else.
        NotFoundError: an index lists an image that is not at hand, or a layer's content is gone.
        VerificationError: content is not what was promised.
    """
    content = blobs([source for source, _ in images])
    writer = TarWriter(sink)
    top = {"oci-layout": LAYOUT, "index.json": index_of(images).to_bytes(), **(beside or {})}
    for name, document in top.items():
        writer.file(name, document)
    writer.directory("blobs")
    for algorithm in sorted({blob.digest.algorithm for blob in content}):
        writer.directory(f"blobs/{algorithm}")
    for blob in content:
        writer.blob(blob)
    writer.close()
