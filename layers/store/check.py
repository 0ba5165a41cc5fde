"""Read a whole store again: is every blob what its name says, and every image what its manifest promises?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from layers.digest import Digest
from layers.errors import InvalidError, LayersError, NotFoundError, VerificationError
from layers.image import Index, check_layers, load
from layers.mediatype import CONFIGS, is_elsewhere
from layers.store.files import unsealed
from layers.validate import validate_layer

if TYPE_CHECKING:
    from pathlib import Path

    from layers.image import Image, Layer
    from layers.model import Descriptor
    from layers.platform import Platform
    from layers.store.layout import Layout

_CHUNK = 1 << 20


class Check:
    """What is wrong with the images and blobs of a store; everything is read once."""

    def __init__(self, layout: Layout) -> None:
        """Read all of it."""
        self._layout = layout
        self._layers: dict[tuple[Digest, Digest, str], str] = {}
        """What is wrong with each layer, under the diff_id and type that somebody says it has; empty for nothing."""
        self.broken: dict[Digest, tuple[str, str]] = {}
        """The manifests that lack a part or break a promise, with their names and what is wrong."""
        for stored in layout.images():
            if reason := self._image_reason(stored.descriptor):
                names = ", ".join(each.familiar for each in stored.names) or "<none>"
                self.broken[stored.descriptor.digest] = names, reason
        sound = {digest for (digest, _, _), reason in self._layers.items() if not reason and layout.blobs.has(digest)}
        self.damaged: dict[Digest, str] = {}
        """The blobs that are not what they are called, and what they are."""
        for digest in sorted(set(layout.blobs.list()) - sound):
            if reason := _blob_reason(layout, digest):
                self.damaged[digest] = reason

    def _image_reason(self, descriptor: Descriptor, *, listed: bool = False) -> str:
        """Give what an image lacks; an index may list images that were never fetched (``listed``)."""
        if listed and not self._layout.blobs.has(descriptor.digest):
            return ""
        try:
            found = load(self._layout.blobs, descriptor)
            if isinstance(found, Index):
                reasons = (self._image_reason(each, listed=True) for each in found.manifest.manifests)
                return next(filter(None, reasons), "")
            return self._checked(found, descriptor.platform)
        except LayersError as error:
            return error.message

    def _checked(self, image: Image, platform: Platform | None) -> str:
        if image.manifest.config.media_type not in CONFIGS or (platform is not None and platform.os == "unknown"):
            # an artifact: its parts are checked as blobs
            missing = [each.digest for each in image.manifest.layers if not self._layout.blobs.has(each.digest)]
            return f"{missing[0]} is missing" if missing else ""
        check_layers(image.manifest, image.config)
        return next(filter(None, map(self._layer_reason, image.layers)), "")

    def _layer_reason(self, layer: Layer) -> str:
        descriptor = layer.descriptor
        key = descriptor.digest, layer.diff_id, descriptor.media_type
        if key not in self._layers:
            self._layers[key] = ""
            try:
                if not (descriptor.urls and is_elsewhere(descriptor.media_type)):
                    validate_layer(layer)
            except NotFoundError:
                self._layers[key] = f"layer {descriptor.digest} is missing"
            except VerificationError as error:
                self._layers[key] = f"layer {descriptor.digest} is damaged: {error.message}"
            except LayersError as error:
                self._layers[key] = error.message
        return self._layers[key]


def _blob_reason(layout: Layout, digest: Digest) -> str:
    try:
        with layout.blobs.open(digest) as reader:
            while reader.read(_CHUNK):
                pass
    except VerificationError as error:
        return f"its content is {error.actual}"
    except LayersError as error:
        return error.message
    return ""


def unusable_side(layout: Layout) -> list[Path]:
    """Give the files of derived data that are not what was written; they are passed over and made anew."""
    found = []
    for path in sorted((layout.root / "side").glob("*/*")):
        try:
            encoded, _, kind = path.name.partition(".")
            if unsealed(path.read_bytes(), f"{kind} of {Digest(path.parent.name, encoded)}") is None:
                found.append(path)
        except (OSError, InvalidError):
            found.append(path)
    return found
