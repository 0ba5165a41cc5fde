"""From one image to the next: every verb takes an image and gives an image.

What does not change keeps its bytes, and so its digest.
Spec: image-spec/manifest.md, config.md.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from layers import mediatype
from layers.config import ImageConfig
from layers.digest import Digest
from layers.errors import InvalidError
from layers.frozen import frozen
from layers.image import Image
from layers.model import Descriptor, Manifest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from layers.config import History
    from layers.image import Layer, Reader
    from layers.platform import Platform

Family = Literal["oci", "docker"]
"""Whose media types an image's documents and layers are named with."""


@frozen
class _Renamed:
    """A layer under another media type; its bytes are the same."""

    layer: Layer
    descriptor: Descriptor

    @property
    def diff_id(self) -> Digest:
        return self.layer.diff_id

    def open(self) -> AbstractContextManager[Reader]:
        return self.layer.open()


def family(image: Image) -> Family:
    """Give whose media types an image uses."""
    return "docker" if image.manifest.media_type == mediatype.DOCKER_MANIFEST else "oci"


def scratch(platform: Platform) -> Image:
    """Give the image without layers, history and configuration."""
    return assemble(ImageConfig(platform), ())


def assemble(
    config: ImageConfig,
    layers: Sequence[Layer],
    *,
    media_types: Family = "oci",
    annotations: Mapping[str, str] | None = None,
) -> Image:
    """Give the image of a config and layers, oldest first; ``diff_ids`` of the config are those of the layers.

    Raises:
        InvalidError: annotations, which Docker's manifest has no place for.
    """
    if annotations and media_types == "docker":
        hint = "use OCI media types, or leave the annotations out"
        raise InvalidError("a manifest of Docker's media types cannot have annotations", hint=hint)
    rename = _RENAME[media_types]
    empty = Descriptor(rename(mediatype.OCI_CONFIG), Digest.of(b""), 0)
    manifest = Manifest(empty, (), rename(mediatype.OCI_MANIFEST), annotations or {})
    return _build(manifest, replace(config, diff_ids=tuple(layer.diff_id for layer in layers)).to_bytes(), layers)


def append(image: Image, layer: Layer | None, history: History) -> Image:
    """Put a layer on top, or, where there is none, only the history of a change that made no files."""
    config = image.config
    layers = image.layers if layer is None else (*image.layers, layer)
    changed = replace(
        config,
        diff_ids=tuple(each.diff_id for each in layers),
        history=(*config.history, replace(history, empty_layer=layer is None)),
    )
    return _build(image.manifest, changed.to_bytes(), layers)


def with_config(image: Image, config: ImageConfig) -> Image:
    """Give the image with another config of the same layers.

    Raises:
        InvalidError: the config is one of other layers.
    """
    if config == image.config:
        return image
    if config.diff_ids != image.config.diff_ids:
        raise InvalidError("the config is one of other layers: its diff_ids differ from the image's")
    return _build(image.manifest, config.to_bytes(), image.layers)


def with_annotations(image: Image, annotations: Mapping[str, str]) -> Image:
    """Add annotations to the manifest; one of the same key is replaced.

    Raises:
        InvalidError: the manifest has Docker's media type, and so no place for them.
    """
    merged = {**image.manifest.annotations, **annotations}
    if merged == image.manifest.annotations:
        return image
    if family(image) == "docker":
        hint = "convert the image to OCI media types first"
        raise InvalidError("a manifest of Docker's media types cannot have annotations", hint=hint)
    manifest = replace(image.manifest, annotations=merged)
    return Image(manifest.to_bytes(), image.config_bytes, image.layers)


def to_docker(image: Image) -> Image:
    """Give the image with Docker's media types; annotations of the manifest, unknown to Docker, are dropped."""
    return _rename(replace(image.manifest, annotations={}), image, "docker")


def to_oci(image: Image) -> Image:
    """Give the image with OCI's media types."""
    return _rename(image.manifest, image, "oci")


_RENAME: dict[Family, Callable[[str], str]] = {"oci": mediatype.to_oci, "docker": mediatype.to_docker}


def _rename(manifest: Manifest, image: Image, target: Family) -> Image:
    rename = _RENAME[target]
    config = replace(manifest.config, media_type=rename(manifest.config.media_type))
    layers = [_renamed(layer, target) for layer in image.layers]
    descriptors = tuple(layer.descriptor for layer in layers)
    changed = replace(manifest, media_type=rename(manifest.media_type), config=config, layers=descriptors)
    if changed == image.manifest:
        return image
    return Image(changed.to_bytes(), image.config_bytes, tuple(layers))


def _renamed(layer: Layer, target: Family) -> Layer:
    """Give the layer with the family's media type, and the layer itself where it has that already."""
    media_type = _RENAME[target](layer.descriptor.media_type)
    if media_type == layer.descriptor.media_type:
        return layer
    return _Renamed(layer, replace(layer.descriptor, media_type=media_type))


def _build(manifest: Manifest, config: bytes, layers: Sequence[Layer]) -> Image:
    """Give the image of this config and these layers; the rest is as in the manifest."""
    target: Family = "docker" if manifest.media_type == mediatype.DOCKER_MANIFEST else "oci"
    renamed = tuple(_renamed(layer, target) for layer in layers)
    config_descriptor = Descriptor(
        manifest.config.media_type, Digest.of(config), len(config), annotations=manifest.config.annotations
    )
    changed = replace(manifest, config=config_descriptor, layers=tuple(layer.descriptor for layer in renamed))
    return Image(changed.to_bytes(), config, renamed)
