"""Recompute everything that an image promises, and say where a promise is broken.

For tests, and for who is about to trust an image: all content is read and decompressed once.
Spec: image-spec/descriptor.md, "Verification"; config.md, "rootfs" and "history".
"""

from __future__ import annotations

import hashlib
from typing import IO, TYPE_CHECKING, cast

from layers import mediatype
from layers.compression import open_reader
from layers.digest import Digest, HashingReader
from layers.errors import InvalidError, VerificationError
from layers.image import Image, check_layers

if TYPE_CHECKING:
    from typing import BinaryIO

    from layers.image import Index, Layer
    from layers.model import Descriptor

_CHUNK = 1 << 20


def validate_layer(layer: Layer) -> None:
    """Check a layer's bytes: size, digest, compression, and the digest of the tar within.

    Raises:
        VerificationError: one of them is not what was promised; both sides are named.
        InvalidError: the media type is of no file system layer.
        ChangesetError: the content is not compressed in the way that the media type says.
    """
    descriptor = layer.descriptor
    what = f"layer {descriptor.digest}"
    compression = mediatype.layer_compression(descriptor.media_type)
    if compression is None:
        raise InvalidError(f"{what} is of type {descriptor.media_type!r}, which is no file system layer")
    content = hashlib.new(layer.diff_id.algorithm)
    with layer.open() as source:
        compressed = HashingReader(cast("BinaryIO", source))
        with open_reader(cast("IO[bytes]", compressed), compression) as reader:
            while data := reader.read(_CHUNK):
                content.update(data)
        while compressed.read(_CHUNK):
            pass
    _compare(f"the size of {what}", descriptor.size, compressed.size)
    if descriptor.digest.algorithm == "sha256":
        _compare(f"the digest of {what}", descriptor.digest, compressed.digest)
    _compare(f"the diff_id of {what}", layer.diff_id, Digest(layer.diff_id.algorithm, content.hexdigest()))


def validate_image(image: Image) -> None:
    """Check that manifest, config and layers agree, then each layer.

    Raises:
        VerificationError: two of them do not agree; both sides are named.
        InvalidError: a document breaks its schema.
    """
    manifest, config = image.manifest, image.config
    check_layers(manifest, config)
    _check_document("the config", manifest.config, image.config_bytes)
    if manifest.media_type not in mediatype.MANIFESTS:
        raise InvalidError(f"manifest {image.digest} is of type {manifest.media_type!r}")
    _compare("the number of layers", len(manifest.layers), len(image.layers))
    for i, (promised, layer, diff_id) in enumerate(zip(manifest.layers, image.layers, config.diff_ids, strict=True)):
        _compare(f"manifest.layers[{i}]", _essence(promised), _essence(layer.descriptor))
        _compare(f"config.rootfs.diff_ids[{i}]", diff_id, layer.diff_id)
    if config.history:
        made = sum(not each.empty_layer for each in config.history)
        _compare("the number of layers in config.history", len(config.diff_ids), made)
    for layer in {layer.descriptor.digest: layer for layer in image.layers}.values():
        validate_layer(layer)


def validate_index(index: Index) -> None:
    """Check that the index describes its images as they are, then each of them; what is no image is left alone.

    Raises:
        VerificationError: it does not; both sides are named.
        NotFoundError: an image is missing.
        InvalidError: a document breaks its schema.
    """
    for i, descriptor in enumerate(index.manifest.manifests):
        where = f"index.manifests[{i}]"
        found = index.load(descriptor)
        _check_document(where, descriptor, found.manifest_bytes if isinstance(found, Image) else found.raw)
        if descriptor.media_type:
            _compare(f"{where}.mediaType", descriptor.media_type, found.descriptor.media_type)
        if not isinstance(found, Image):
            validate_index(found)
        elif descriptor.platform is None or descriptor.platform.os != "unknown":
            if descriptor.platform is not None:
                _compare(f"{where}.platform", descriptor.platform, found.platform)
            validate_image(found)


def _check_document(what: str, descriptor: Descriptor, content: bytes) -> None:
    _compare(f"the size of {what}", descriptor.size, len(content))
    _compare(f"the digest of {what}", descriptor.digest, Digest.of(content, descriptor.digest.algorithm))


def _essence(descriptor: Descriptor) -> tuple[str, str, int]:
    return descriptor.media_type, str(descriptor.digest), descriptor.size


def _compare(what: str, expected: object, actual: object) -> None:
    if expected != actual:
        raise VerificationError(what, expected=expected, actual=actual)
