"""An image: the bytes of its manifest and config, and its layers; and an index of images.

Spec: image-spec/spec.md, "Overview".
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from layers import mediatype
from layers.config import ImageConfig
from layers.digest import Digest
from layers.errors import InvalidError, NotFoundError
from layers.model import Descriptor, IndexManifest, Manifest

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from layers.platform import Platform


class Reader(Protocol):
    """A stream of bytes."""

    def read(self, size: int = -1, /) -> bytes:
        """Give up to ``size`` bytes, all that are left where it is negative, and none at the end."""


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
