"""An image: the bytes of its manifest and config, and its layers; and an index of images.

Spec: image-spec/spec.md, "Overview".
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

from layers import mediatype
from layers.config import ImageConfig
from layers.digest import Digest
from layers.errors import InvalidError, NotFoundError, VerificationError
from layers.frozen import frozen
from layers.jsonread import MAX_DOCUMENT, parse_object
from layers.model import Descriptor, IndexManifest, Manifest

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from layers.platform import Platform

_MAX_NESTING = 4


class Reader(Protocol):
    """A stream of bytes."""

    def read(self, size: int = -1, /) -> bytes:
        """Give up to ``size`` bytes, all that are left where it is negative, and none at the end."""


class Content(Protocol):
    """Blobs by digest, wherever they are kept."""

    def open(self, digest: Digest, size: int | None = None) -> AbstractContextManager[Reader]:
        """Open a blob; its bytes are verified as they are read.

        Raises:
            NotFoundError: no blob has this digest.
            VerificationError: it has another size; or, by the reader at the end, other content.
        """


class Writer(Protocol):
    """Where bytes go."""

    def write(self, data: bytes | memoryview, /) -> int:
        """Write all of ``data``."""


class Layer(Protocol):
    """One changeset, wherever it is kept."""

    @property
    def descriptor(self) -> Descriptor:
        """Media type, digest and size of the compressed bytes."""

    @property
    def diff_id(self) -> Digest:
        """The digest of the uncompressed tar."""

    def open(self) -> AbstractContextManager[Reader]:
        """Open the compressed bytes; they are verified as they are read.

        Read to the end: a wrong byte is known only there.

        Raises:
            NotFoundError: the content is gone.
            VerificationError: by the reader, at the end.
        """


class Held(NamedTuple):
    """The first bytes of a blob, as they came before; nobody has verified them."""

    reader: Reader
    size: int


@runtime_checkable
class Resumable(Layer, Protocol):
    """A layer that comes from far away: what came of it before need not come again."""

    def open_after(self, held: Held) -> AbstractContextManager[Reader]:
        """Open the compressed bytes that follow those held, which are verified together with them.

        Raises:
            NotFoundError: the content is gone.
            VerificationError: at once, where one cannot go on after these bytes; or by the reader, at the end.
        """


@frozen
class BlobLayer:
    """A layer kept as a blob of its own."""

    content: Content
    descriptor: Descriptor
    diff_id: Digest

    def open(self) -> AbstractContextManager[Reader]:
        """Open the compressed bytes, as :meth:`Layer.open` does."""
        return self.content.open(self.descriptor.digest, self.descriptor.size)


@dataclass(frozen=True)
class Image:
    """An image; the raw bytes are the truth, since its names are their digests."""

    manifest_bytes: bytes
    config_bytes: bytes
    layers: tuple[Layer, ...]
    """Oldest first, as many as the manifest lists."""

    @functools.cached_property
    def manifest(self) -> Manifest:
        return Manifest.from_bytes(self.manifest_bytes)

    @functools.cached_property
    def config(self) -> ImageConfig:
        return ImageConfig.from_bytes(self.config_bytes)

    @functools.cached_property
    def digest(self) -> Digest:
        """The digest of the manifest."""
        return Digest.of(self.manifest_bytes)

    @functools.cached_property
    def id(self) -> Digest:
        """The digest of the config: what Docker calls the image id."""
        return Digest.of(self.config_bytes)

    @property
    def platform(self) -> Platform:
        return self.config.platform

    @property
    def descriptor(self) -> Descriptor:
        """The manifest's descriptor, with the platform."""
        return Descriptor(self.manifest.media_type, self.digest, len(self.manifest_bytes), platform=self.platform)


@dataclass(frozen=True)
class Index:
    """Images of several platforms under one name; each is read when it is asked for."""

    raw: bytes
    load: Callable[[Descriptor], Image | Index]
    """Gives the image of one of the index's descriptors, verified."""

    @functools.cached_property
    def manifest(self) -> IndexManifest:
        return IndexManifest.from_bytes(self.raw)

    @functools.cached_property
    def digest(self) -> Digest:
        return Digest.of(self.raw)

    @property
    def descriptor(self) -> Descriptor:
        return Descriptor(self.manifest.media_type, self.digest, len(self.raw))

    def select(self, platform: Platform) -> Descriptor:
        """Give the descriptor of the image that runs best on a platform.

        Raises:
            NotFoundError: none does; the message lists those there are.
        """
        candidates = [each for each in self.manifest.manifests if each.platform is not None]
        fitting = [each for each in candidates if each.platform is not None and platform.runs(each.platform)]
        if fitting:
            return max(fitting, key=lambda each: platform.preference(each.platform or platform))
        if len(self.manifest.manifests) == 1 and not candidates:
            return self.manifest.manifests[0]
        there = sorted({each.platform.full for each in candidates if each.platform and each.platform.os != "unknown"})
        hint = f"there are images for {', '.join(there) or 'no platform'}"
        raise NotFoundError(f"no image for platform {platform}", hint=hint)

    def image(self, platform: Platform) -> Image:
        """Give the image that runs best on a platform, also out of nested indexes.

        Raises:
            NotFoundError: none does.
        """
        found = self.load(self.select(platform))
        return found.image(platform) if isinstance(found, Index) else found


def check_layers(manifest: Manifest, config: ImageConfig) -> None:
    """Check that the manifest and the config name the same number of layers, all of known types.

    Raises:
        InvalidError: they do not, so one of the two lies.
    """
    for i, layer in enumerate(manifest.layers):
        if not mediatype.is_layer(layer.media_type):
            raise InvalidError(f"manifest.layers[{i}] is of type {layer.media_type!r}, which is no file system layer")
    if len(manifest.layers) != len(config.diff_ids):
        raise InvalidError(
            f"the manifest has {len(manifest.layers)} layers and the config {len(config.diff_ids)} diff_ids",
        )


def read_document(content: Content, descriptor: Descriptor) -> bytes:
    """Give the bytes of a manifest, index or config, verified.

    Raises:
        InvalidError: it is larger than any document may be.
        NotFoundError: it is not there.
        VerificationError: it is not what the descriptor promised.
    """
    if descriptor.size > MAX_DOCUMENT:
        raise InvalidError(f"{descriptor.digest} has {descriptor.size} bytes, more than a document's {MAX_DOCUMENT}")
    with content.open(descriptor.digest, descriptor.size) as reader:
        return reader.read()


def load(content: Content, descriptor: Descriptor, *, depth: int = 0) -> Image | Index:
    """Give the image or index that a descriptor names; documents are verified here, layers when they are read.

    An artifact that is no image (an attestation, a signature) comes as an image whose layers are not file systems:
    :func:`check_layers` tells the two apart.

    Raises:
        InvalidError: a document breaks its schema, or indexes are nested deeper than any tool writes them.
        NotFoundError: a document is not there.
        VerificationError: a document is not what its descriptor promised.
    """
    if depth > _MAX_NESTING:
        raise InvalidError(f"index {descriptor.digest} is nested more than {_MAX_NESTING} deep")
    raw = read_document(content, descriptor)
    if "manifests" in parse_object(raw, "manifest"):
        return Index(raw, lambda child: load(content, child, depth=depth + 1))
    manifest = Manifest.from_bytes(raw)
    config = read_document(content, manifest.config)
    return Image(raw, config, _blob_layers(content, manifest, config))


def _blob_layers(content: Content, manifest: Manifest, config: bytes) -> tuple[BlobLayer, ...]:
    if manifest.config.media_type not in mediatype.CONFIGS:
        return tuple(BlobLayer(content, each, each.digest) for each in manifest.layers)
    diff_ids = ImageConfig.from_bytes(config).diff_ids
    if len(diff_ids) != len(manifest.layers):
        raise VerificationError(
            f"config {manifest.config.digest} has another number of layers than its manifest",
            expected=len(manifest.layers),
            actual=len(diff_ids),
        )
    return tuple(map(BlobLayer, [content] * len(diff_ids), manifest.layers, diff_ids))
