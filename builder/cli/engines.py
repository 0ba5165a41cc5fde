"""Images in a form that every Docker can load: layers compressed with zstd are compressed anew, with gzip."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from layers import mediatype
from layers.image import Image, Index
from layers.store.recompress import recompressed

if TYPE_CHECKING:
    from layers.image import Layer
    from layers.model import Descriptor
    from layers.store.layout import Layout


def loadable(found: Image | Index, scratch: Layout) -> Image | Index:
    """Give an image or index that Docker before 23 can load: the same where no layer is of zstd.

    Configs, and so the ids of images, stay as they are; digests of manifests do not. What is compressed anew goes to
    ``scratch``, which has to live as long as the image is used.

    Raises:
        NotFoundError: a layer's content, or an image of the index, is gone.
        VerificationError: a layer's content is not what was promised.
        StoreError: the disk refuses.
    """
    if isinstance(found, Image):
        return _with_gzip(found, scratch)
    images = [loadable(found.load(each), scratch) for each in found.manifest.manifests]
    descriptors = tuple(
        replace(old, digest=new.digest, size=_size(new))
        for old, new in zip(found.manifest.manifests, images, strict=True)
    )
    if descriptors == found.manifest.manifests:
        return found
    by_digest = {each.digest: each for each in images}

    def load(descriptor: Descriptor) -> Image | Index:
        return by_digest[descriptor.digest]

    return Index(replace(found.manifest, manifests=descriptors).to_bytes(), load)


def _size(found: Image | Index) -> int:
    return len(found.manifest_bytes if isinstance(found, Image) else found.raw)


def _with_gzip(image: Image, scratch: Layout) -> Image:
    layers = tuple(_gzipped(each, scratch) for each in image.layers)
    if layers == image.layers:
        return image
    # the types of Docker's family go together
    docker = image.manifest.media_type == mediatype.DOCKER_MANIFEST
    descriptors = tuple(
        replace(each.descriptor, media_type=mediatype.to_docker(each.descriptor.media_type))
        if docker
        else each.descriptor
        for each in layers
    )
    return Image(replace(image.manifest, layers=descriptors).to_bytes(), image.config_bytes, layers)


def _gzipped(layer: Layer, scratch: Layout) -> Layer:
    if mediatype.layer_compression(layer.descriptor.media_type) != "zstd":
        return layer
    return recompressed(scratch, layer, "gzip")
