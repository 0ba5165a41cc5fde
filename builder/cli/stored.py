"""What is in the store, as the commands show it: images with their names, sizes and times."""

from __future__ import annotations

import contextlib
import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING

from builder.cli.environment import Environment
from builder.cli.human import parse_time
from layers.errors import ChangesetError, InvalidError, NotFoundError, VerificationError
from layers.frozen import frozen
from layers.image import Image, Index
from layers.platform import Platform

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from layers.digest import Digest
    from layers.image import Layer
    from layers.model import Descriptor
    from layers.reference import Reference
    from layers.store.layout import Layout

_BEGINNING = dt.datetime(1, 1, 1, tzinfo=dt.UTC)
_SIZE = "bytes"


def open_layout(root: str) -> Layout:
    """Open the store of ``--root``, or else of the environment."""
    return Environment(root=Path(root) if root else None).layout()


@frozen
class Kept:
    """An image of the store; of an index, its image for this machine, or else the first that is here."""

    layout: Layout
    descriptor: Descriptor
    names: tuple[Reference, ...]
    found: Image | Index
    image: Image

    @property
    def id(self) -> Digest:
        """What Docker calls the image id."""
        return self.image.id

    @property
    def digest(self) -> Digest:
        """The digest of the manifest, or of the index."""
        return self.descriptor.digest

    @property
    def created(self) -> dt.datetime:
        """When the image was made; the year 1 where nobody knows."""
        return parse_time(self.image.config.created) or _BEGINNING

    @property
    def size(self) -> int:
        """Bytes of the files in all layers."""
        return sum(layer_sizes(self.layout, self.image))


def kept_images(layout: Layout) -> Iterator[Kept]:
    """Give the images in the store; what is no image, or of which nothing is here, is passed over."""
    for stored in layout.images():
        kept = _kept(layout, stored.descriptor, stored.names)
        if kept is not None:
            yield kept


def find(layout: Layout, text: str, platform: Platform | None = None) -> Kept:
    """Give the image that a person means by a name or an id.

    Raises:
        NotFoundError: nothing is called that, or it has nothing for the platform.
        InvalidError: several ids begin so, or it is no image.
    """
    match = layout.resolve(text)
    names = next((each.names for each in layout.images() if each.descriptor.digest == match.descriptor.digest), ())
    if platform is not None:
        found = layout.get(match.descriptor.digest)
        return Kept(layout, match.descriptor, names, found, layout.image(match.descriptor.digest, platform))
    kept = _kept(layout, match.descriptor, names)
    if kept is None:
        hint = "pull it for the platform that is wanted: pybuild pull --platform"
        raise NotFoundError(f"{text} is no image, or an index of which no image is here", hint=hint)
    return kept


def _kept(layout: Layout, descriptor: Descriptor, names: tuple[Reference, ...]) -> Kept | None:
    try:
        found = layout.get(descriptor.digest)
        image = found if isinstance(found, Image) else next(present(found, Platform.host()), None)
        if image is None or not _is_image(image):
            return None
    except (NotFoundError, InvalidError):
        return None
    return Kept(layout, descriptor, names, found, image)


def _is_image(image: Image) -> bool:
    from layers import mediatype  # noqa: PLC0415

    return image.manifest.config.media_type in mediatype.CONFIGS


def present(index: Index, first: Platform | None = None) -> Iterator[Image]:
    """Give the images of an index whose documents are here, beginning with the one for a platform."""
    descriptors = [each for each in index.manifest.manifests if each.platform is None or each.platform.os != "unknown"]
    if first is not None:
        with contextlib.suppress(NotFoundError):
            best = index.select(first)
            descriptors.sort(key=lambda each: each.digest != best.digest)
    for descriptor in descriptors:
        try:
            found = index.load(descriptor)
        except NotFoundError:
            continue
        if isinstance(found, Index):
            yield from present(found, first)
        else:
            yield found


def layer_sizes(layout: Layout, image: Image) -> list[int]:
    """Give the bytes of files in each layer; of one that is not here or cannot be read, those of its blob."""
    return [_layer_size(layout, layer) for layer in image.layers]


def _layer_size(layout: Layout, layer: Layer) -> int:
    digest = layer.descriptor.digest
    known = layout.read_side(digest, _SIZE)
    if known is not None and known.isdigit():
        return int(known)
    from layers.store.trees import Trees  # noqa: PLC0415 - a size that is known needs no reading

    try:
        entries = Trees(layout).index(layer).entries
        # a link counts with the length of its target, as lstat and so Docker's overlay2 have it
        size = sum(len(entry.linkname) if entry.kind == "symlink" else entry.size for entry in entries)
    except (NotFoundError, VerificationError, ChangesetError):  # fsck says what is wrong; a list has others to show
        return layer.descriptor.size
    layout.write_side(digest, _SIZE, b"%d" % size)
    return size


def complete(layout: Layout, image: Image) -> bool:
    """Tell whether all layers of an image are here."""
    return all(layout.blobs.has(each.descriptor.digest, each.descriptor.size) for each in image.layers)


def shared_layers(images: Sequence[Image]) -> set[Digest]:
    """Give the blobs of layers that more than one of these images has."""
    seen: set[Digest] = set()
    several: set[Digest] = set()
    for image in images:
        own = {layer.descriptor.digest for layer in image.layers}
        several |= seen & own
        seen |= own
    return several


def rename(layout: Layout, name: Reference, descriptor: Descriptor) -> None:
    """Let a name lead to an image; the one before stays without a name, but not where it is the same, packed anew."""
    before = dict(layout.names()).get(name)
    layout.tag(name, descriptor)
    if before is None or before.digest == descriptor.digest:
        return
    nameless = any(not each.names and each.descriptor.digest == before.digest for each in layout.images())
    if nameless and _same_image(layout, before, descriptor):
        layout.forget(before.digest)


def _same_image(layout: Layout, first: Descriptor, second: Descriptor) -> bool:
    try:
        images = [layout.get(each.digest) for each in (first, second)]
    except (NotFoundError, InvalidError):
        return False
    ids = {each.id if isinstance(each, Image) else each.digest for each in images}
    return len(ids) == 1


def owners(layout: Layout, digest: Digest) -> list[Digest]:
    """Give the kept indexes that list a manifest, themselves or through another index."""
    from layers.store import gc  # noqa: PLC0415 - seldom

    return [
        each.descriptor.digest
        for each in layout.images()
        if each.descriptor.digest != digest and digest in gc.reachable(layout, [each.descriptor])
    ]
