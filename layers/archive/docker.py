"""Images in the tar that ``docker load`` takes and ``docker save`` gives.

What is written is an OCI image layout with Docker's ``manifest.json`` beside it, as BuildKit and Docker since 25 write
it: old and new engines, containerd and podman each find what they look for.

Spec: moby/docker-image-spec v1.1, "Combined Image JSON + Filesystem Changeset Format".
"""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any

from layers.archive import oci
from layers.archive.contents import blob_path
from layers.errors import NotFoundError
from layers.image import Image, Index
from layers.jsonread import dump
from layers.platform import Platform

if TYPE_CHECKING:
    from collections.abc import Sequence

    from layers.reference import Reference


def write(images: Sequence[tuple[Image | Index, Sequence[Reference]]], sink: IO[bytes]) -> None:
    """Write images and their names, each blob once.

    Of an index, ``manifest.json`` has the image for this machine, since an engine that reads that file knows no
    others. Layers are written as they are: Docker before 23 cannot read those compressed with zstd.

    Raises:
        InvalidError: a name has the digest of something else.
        NotFoundError: an index lists an image that is not at hand, or a layer's content is gone.
        VerificationError: content is not what was promised.
    """
    entries: list[dict[str, Any]] = []
    for source, names in images:
        image = _for_this_machine(source)
        if image is not None:
            entries.append(
                {
                    "Config": blob_path(image.manifest.config.digest),
                    "RepoTags": [name.familiar for name in names if name.tag and not name.digest] or None,
                    "Layers": [blob_path(layer.descriptor.digest) for layer in image.layers],
                }
            )
    oci.write(images, sink, beside={"manifest.json": dump(entries)})


def _for_this_machine(source: Image | Index) -> Image | None:
    if not isinstance(source, Index):
        return source
    try:
        return source.image(Platform.host())
    except NotFoundError:
        return None
