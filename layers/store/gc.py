"""Free what no name leads to: mark what is reachable from ``index.json``, and sweep the rest.

What a build has written has no name until it ends; it holds :meth:`Layout.using` that long, and a collector waits for
it or goes away. Tools that know nothing of that lock must not write to the store while a collector is at work.
"""

from __future__ import annotations

import os
import shutil
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from layers import mediatype
from layers.config import ImageConfig, chain_ids
from layers.digest import Digest
from layers.errors import BusyError, InvalidError, NotFoundError
from layers.frozen import frozen
from layers.image import read_document
from layers.jsonread import parse_object
from layers.model import Descriptor, IndexManifest, Manifest
from layers.store.files import TEMPORARY, disk_errors
from layers.store.parts import DIRECTORY

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator
    from pathlib import Path

    from layers.reference import Reference
    from layers.store.layout import Layout

FRESH = 60.0
"""Seconds for which a temporary file is left alone, whoever writes it."""
_RESUMED = 24 * 3600.0
"""Seconds for which the beginning of a blob waits for the rest."""


@frozen
class Collected:
    """What a collection freed."""

    digests: tuple[Digest, ...]
    """The blobs that are gone."""
    size: int
    """Bytes of blobs, of what was derived from them, and of what killed builds had left."""


@frozen
class Removed:
    """What a removal did."""

    untagged: tuple[Reference, ...]
    forgotten: Digest | None
    """The manifest that nothing leads to any more; its blobs go with the next collection."""


def reachable(layout: Layout, descriptors: Iterable[Descriptor]) -> dict[Digest, int]:
    """Give every blob that these manifests and indexes need, and its size in bytes, whether it is there or not.

    Raises:
        InvalidError: a document breaks its schema, so that nobody knows what it needs.
        VerificationError: a document is not what its descriptor promised.
    """
    found: dict[Digest, int] = {}
    for descriptor, manifest in _walk(layout, descriptors):
        found[descriptor.digest] = descriptor.size
        if manifest is not None:
            found |= {each.digest: each.size for each in (manifest.config, *manifest.layers)}
    return found


def _walk(layout: Layout, descriptors: Iterable[Descriptor]) -> Iterator[tuple[Descriptor, Manifest | None]]:
    """Give each manifest and index that these lead to, once; None for an index and for what is not there."""
    seen: set[Digest] = set()
    left = list(descriptors)
    while left:
        descriptor = left.pop()
        if descriptor.digest in seen:
            continue
        seen.add(descriptor.digest)
        try:
            content = read_document(layout.blobs, descriptor)
        except NotFoundError:  # an index may list images that were never fetched
            yield descriptor, None
            continue
        if "manifests" in parse_object(content, f"manifest {descriptor.digest}"):
            left += IndexManifest.from_bytes(content).manifests
            yield descriptor, None
        else:
            yield descriptor, Manifest.from_bytes(content)


def stored_size(layout: Layout, descriptor: Descriptor) -> int:
    """Give the bytes on disk of an image or index, compressed as it is; what it shares with others counts as well."""
    return sum(size for digest, size in reachable(layout, [descriptor]).items() if layout.blobs.has(digest))


def stacks(layout: Layout) -> set[Digest]:
    """Give the chain ids of every stack of layers in a kept image: what unpacked layers are kept under.

    Raises:
        InvalidError: a document breaks its schema.
        VerificationError: a document is not what its descriptor promised.
    """
    found: set[Digest] = set()
    for _, manifest in _walk(layout, [each.descriptor for each in layout.images()]):
        if manifest is not None and manifest.config.media_type in mediatype.CONFIGS:
            config = ImageConfig.from_bytes(read_document(layout.blobs, manifest.config))
            found.update(chain_ids(config.diff_ids))
    return found


def collect(
    layout: Layout, *, keep: Collection[Digest] = (), wait: float | None = 0.0, fresh: float = FRESH
) -> Collected:
    """Delete every blob that no name and no kept image needs; blobs in ``keep`` stay, but not what they name in turn.

    What was derived from a deleted blob goes too, and temporary files that a killed process has left: those that are
    older than ``fresh`` seconds.

    Raises:
        BusyError: a build uses the store, and the wait (seconds; None is for ever) is over.
        InvalidError: a document is broken, so that nobody knows what it needs; nothing is deleted.
        VerificationError: likewise.
        StoreError: the disk refuses.
    """
    with layout.lock.exclusive(wait=wait):
        live = {*reachable(layout, [each.descriptor for each in layout.images()]), *keep}
        dead = [digest for digest in layout.blobs.list() if digest not in live]
        # small ones first: a manifest goes before the layers that it would lack
        dead.sort(key=lambda digest: (layout.blobs.size(digest), digest))
        size = sum(layout.blobs.delete(digest) for digest in dead)
        return Collected(tuple(dead), size + _sweep_side(layout, live) + _sweep_unfinished(layout, fresh))


def sweep(layout: Layout) -> int:
    """Delete temporary files that killed processes have left, unless somebody is using the store; give their bytes."""
    try:
        with layout.lock.exclusive(wait=0):
            return _sweep_unfinished(layout, FRESH)
    except BusyError:
        return 0


def remove(layout: Layout, text: str, *, force: bool = False) -> Removed:
    """Take a name away, or an image by its id with all its names; what nothing leads to goes with the next collection.

    Raises:
        NotFoundError: nothing is called that.
        InvalidError: several ids begin so; or, unless by force, the image has several names; or it is one of an index.
    """
    descriptor, reference = layout.resolve(text)
    names = {each.descriptor.digest: each.names for each in layout.images()}
    if reference is not None:
        layout.untag(reference)
        last = len(names[descriptor.digest]) == 1
        return Removed((reference,), descriptor.digest if last else None)
    if descriptor.digest not in names:
        raise InvalidError(f"{descriptor.digest.short} is one image of an index", hint="remove the index")
    several = names[descriptor.digest]
    if len(several) > 1 and not force:
        shown = ", ".join(each.familiar for each in several)
        raise InvalidError(f"image {text} has several names: {shown}", hint="remove them one by one, or use force")
    return Removed(layout.forget(descriptor.digest), descriptor.digest)


def _sweep_side(layout: Layout, live: Collection[Digest]) -> int:
    size = 0
    for directory in _children(layout.root / "side"):
        for path in _children(directory):
            try:
                digest = Digest.parse(f"{directory.name}:{path.name.partition('.')[0]}")
            except InvalidError:
                continue
            if digest not in live:
                size += _delete(path)
    return size


def temporary(root: Path) -> list[Path]:
    """Give all temporary files of a store, also those of commands that run."""
    return [*_children(root / "tmp"), *root.glob(f"cache/*/{TEMPORARY}*")]


def _sweep_unfinished(layout: Layout, fresh: float) -> int:
    """Delete what killed processes have left, and what came of blobs so long ago that nobody will go on with it."""
    begun = [path for each in _children(layout.root / DIRECTORY) for path in _children(each)]
    return _sweep_old(temporary(layout.root), fresh) + _sweep_old(begun, _RESUMED)


def _sweep_old(paths: Iterable[Path], age: float) -> int:
    now, size = time.time(), 0
    for path in paths:
        with suppress(FileNotFoundError):  # whoever wrote it, without the lock, has put it in its place meanwhile
            # a time to come is as old: the clock was put back since
            if abs(now - path.lstat().st_mtime) >= age:
                size += _delete(path)
    return size


def _children(directory: Path) -> list[Path]:
    return list(directory.iterdir()) if directory.is_dir() else []


def _delete(path: Path) -> int:
    """Delete a file or directory and give the bytes of the file."""
    with disk_errors("delete", path):
        status = os.lstat(path)
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
            return 0
        path.unlink()
        return status.st_size
