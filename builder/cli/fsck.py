"""``pybuild fsck``: is everything in the store what its name says?"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from builder.cli import common as opt
from builder.cli.human import size
from builder.cli.prune import cache_of, collect
from builder.cli.stored import open_layout
from builder.errors import BuildError
from layers.errors import LayersError, NotFoundError, VerificationError
from layers.image import Image, Index, load
from layers.mediatype import is_elsewhere

if TYPE_CHECKING:
    from layers.digest import Digest
    from layers.model import Descriptor
    from layers.store.layout import Layout

_CHUNK = 1 << 20


def fsck(
    repair: Annotated[
        bool, typer.Option("--repair", help="Delete what is damaged or belongs to nothing; forget what lost a part.")
    ] = False,
    root: opt.Root = "",
) -> None:
    """Recompute every digest in the store, and find what is missing, damaged, or belongs to nothing.

    Example: pybuild fsck
    """
    layout = open_layout(root)
    damaged = _damaged_blobs(layout)
    for digest, reason in damaged.items():
        print(f"damaged blob {digest}: {reason}")
    broken = _broken_images(layout, set(damaged))
    for descriptor, (name, reason) in broken.items():
        print(f"broken image {name} ({descriptor}): {reason}")
    orphans = _orphans(layout) - set(damaged) if not broken else set()
    total = sum(layout.blobs.size(digest) for digest in orphans)
    for digest in sorted(orphans):
        print(f"orphan blob {digest}")
    count = len(list(layout.blobs.list()))
    print(f"{count} blobs: {len(damaged)} damaged, {len(orphans)} orphans ({size(total)}); {len(broken)} broken images")
    if repair:
        _repair(layout, set(damaged), set(broken))
    elif damaged or broken:
        sys.stdout.flush()
        raise BuildError("the store is damaged", hint="pybuild fsck --repair deletes what cannot be saved")


def _damaged_blobs(layout: Layout) -> dict[Digest, str]:
    """Read every blob; give those that are not what they are called."""
    found: dict[Digest, str] = {}
    for digest in sorted(layout.blobs.list()):
        try:
            with layout.blobs.open(digest) as reader:
                while reader.read(_CHUNK):
                    pass
        except VerificationError as error:
            found[digest] = f"its content is {error.actual}"
        except LayersError as error:
            found[digest] = error.message
    return found


def _broken_images(layout: Layout, damaged: set[Digest]) -> dict[Digest, tuple[str, str]]:
    """Give the images and indexes that lack a part, with their names and what is wrong."""
    found: dict[Digest, tuple[str, str]] = {}
    for stored in layout.images():
        reason = _reason(layout, stored.descriptor, damaged)
        if reason:
            names = ", ".join(each.familiar for each in stored.names) or "<none>"
            found[stored.descriptor.digest] = (names, reason)
    return found


def _reason(layout: Layout, descriptor: Descriptor, damaged: set[Digest], *, listed: bool = False) -> str:
    """Give what an image lacks; an index may list images that were never fetched (``listed``)."""
    if listed and not layout.blobs.has(descriptor.digest):
        return ""
    try:
        found = load(layout.blobs, descriptor)
    except LayersError as error:
        return error.message
    if isinstance(found, Index):
        reasons = (_reason(layout, each, damaged, listed=True) for each in found.manifest.manifests)
        return next(filter(None, reasons), "")
    return _layer_reason(layout, found, damaged)


def _layer_reason(layout: Layout, image: Image, damaged: set[Digest]) -> str:
    for layer in image.layers:
        digest = layer.descriptor.digest
        if digest in damaged:
            return f"layer {digest} is damaged"
        elsewhere = layer.descriptor.urls and is_elsewhere(layer.descriptor.media_type)
        if not elsewhere and not layout.blobs.has(digest, layer.descriptor.size):
            return f"layer {digest} is missing, or has another size"
    return ""


def _orphans(layout: Layout) -> set[Digest]:
    """Give the blobs that no image and no cache record needs."""
    from builder.containers.store import Containers  # noqa: PLC0415 - what --help does not need
    from layers.store import gc  # noqa: PLC0415 - likewise

    needed = gc.reachable(layout, [each.descriptor for each in layout.images()])
    return set(layout.blobs.list()) - set(needed) - cache_of(layout).blobs() - Containers(layout).blobs()


def _repair(layout: Layout, damaged: set[Digest], broken: set[Digest]) -> None:
    """Forget broken images, drop cache records without content, and delete damaged blobs and orphans."""
    for digest in broken:
        for name in layout.forget(digest):
            print(f"forgot {name.familiar}")
    for path, record in list(cache_of(layout).records()):
        if any(blob.digest in damaged or not layout.blobs.has(blob.digest) for blob in record.blobs.values()):
            path.unlink(missing_ok=True)
    freed = sum(layout.blobs.delete(digest) for digest in damaged)
    try:
        freed += collect(layout).size
    except NotFoundError as error:
        print(f"orphans stay: {error}", file=sys.stderr)
    print(f"repaired; freed {size(freed)}")
