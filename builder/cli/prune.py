"""``pybuild image prune``, ``builder prune`` and ``system prune``."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from builder.cli import common as opt
from builder.cli.human import parse_size, point_in_time, size
from builder.cli.imagefilters import Filters
from builder.cli.stored import kept_images, open_layout
from builder.errors import BuildError, IsolationError
from layers.errors import BusyError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from builder.cache.cache import Record
    from builder.cache.local import LocalCache
    from layers.digest import Digest
    from layers.store.gc import Collected
    from layers.store.layout import Layout

_FILTERS = ("until", "label", "label!")
_All = Annotated[bool, typer.Option("-a", "--all", help="Also images that have names, not only those without.")]


def image_prune(
    everything: _All = False,
    filters: opt.Filter = None,
    force: opt.Yes = False,
    root: opt.Root = "",
) -> None:
    """Delete images without a name, or with -a all images.

    Example: pybuild image prune --filter until=24h
    """
    layout = open_layout(root)
    wanted = Filters(layout, filters or (), _FILTERS)
    if not force:
        which = "images without at least one container associated to them" if everything else "dangling images"
        opt.confirm(f"This will remove all {which}.")
    _prune_images(layout, wanted, everything=everything)
    _say_freed(collect(layout).size)


def system_prune(
    everything: _All = False,
    filters: opt.Filter = None,
    force: opt.Yes = False,
    root: opt.Root = "",
) -> None:
    """Delete images without a name, and the build cache that no image uses.

    Example: pybuild system prune -f
    """
    layout = open_layout(root)
    wanted = Filters(layout, filters or (), _FILTERS)
    if not force:
        images = "all images without at least one container associated to them" if everything else "all dangling images"
        opt.confirm(f"This will remove:\n  - {images}\n  - unused build cache\n")
    with _alone(layout):
        _prune_images(layout, wanted, everything=everything)
        limit = next((point_in_time(each[6:]) for each in filters or () if each.startswith("until=")), None)
        freed = _prune_cache(layout, everything=everything, until=limit, keep_storage=0)
    _say_freed(freed + collect(layout).size)


def builder_prune(
    everything: Annotated[
        bool, typer.Option("-a", "--all", help="Also what images use, unpacked layers and cache mounts.")
    ] = False,
    filters: opt.Filter = None,
    keep_storage: Annotated[str, typer.Option("--keep-storage", metavar="SIZE", help="Keep so much, the newest.")] = "",
    force: opt.Yes = False,
    root: opt.Root = "",
) -> None:
    """Delete the build cache.

    Example: pybuild builder prune --filter until=72h
    """
    layout = open_layout(root)
    keep, until = parse_size(keep_storage or "0"), None
    if keep is None:
        raise BuildError(f"invalid --keep-storage {keep_storage!r}", hint="write a size: 512MB, 10GB")
    for each in filters or ():
        key, _, value = each.partition("=")
        until = point_in_time(value)
        if key != "until" or until is None:
            raise BuildError(f"invalid filter {each!r}", hint="the filter is until=24h, or until=TIME")
    if not force:
        opt.confirm(f"This will remove all {'build cache' if everything else 'dangling build cache'}.")
    with _alone(layout):
        freed = _prune_cache(layout, everything=everything, until=until, keep_storage=keep)
    freed += collect(layout).size
    print(f"Total:\t{size(freed)}")


def collect(layout: Layout, keep: Collection[Digest] = ()) -> Collected:
    """Delete the blobs that no image, no container and no cache record needs; those in ``keep`` stay as well.

    Raises:
        BusyError: a build, a pull or a push is using the store.
    """
    from builder.containers.store import Containers  # noqa: PLC0415 - only where something is deleted
    from layers.store import gc  # noqa: PLC0415 - only where something is deleted

    with _said_plainly():
        return gc.collect(layout, keep={*cache_of(layout).blobs(), *Containers(layout).blobs(), *keep})


def cache_of(layout: Layout) -> LocalCache:
    """Give the records of the store's build cache."""
    from builder.cache.local import LocalCache  # noqa: PLC0415 - only where something is deleted

    return LocalCache(layout.root / "cache" / "steps")


@contextlib.contextmanager
def _alone(layout: Layout) -> Iterator[None]:
    """Keep builds out."""
    with _said_plainly(), layout.lock.exclusive(wait=0):
        yield


@contextlib.contextmanager
def _said_plainly() -> Iterator[None]:
    """Say who holds the store, and not which file."""
    try:
        yield
    except BusyError as error:
        raise BusyError("a build, a pull or a push is using the store", hint="wait until it ends") from error


def _prune_images(layout: Layout, wanted: Filters, *, everything: bool) -> None:
    """Forget images, and say which."""
    from builder.containers.store import Containers  # noqa: PLC0415 - only where something is deleted

    lines: list[str] = []
    in_use = {each.base for each in Containers(layout).all()}
    for kept in list(kept_images(layout)):
        if (everything or not kept.names) and str(kept.digest) not in in_use and wanted.take(kept):
            lines += [f"untagged: {each.familiar}" for each in layout.forget(kept.digest)]
            lines.append(f"deleted: {kept.id}")
    if lines:
        print("Deleted Images:\n" + "\n".join(lines) + "\n")


def _prune_cache(layout: Layout, *, everything: bool, until: dt.datetime | None, keep_storage: int) -> int:
    """Forget records and remove what was unpacked, and give the bytes freed, without those of blobs."""
    from builder.containers.store import Containers  # noqa: PLC0415 - only where something is deleted
    from layers.store import gc  # noqa: PLC0415 - likewise

    used = gc.reachable(layout, [each.descriptor for each in layout.images()])
    removed = 0
    for path, record in _oldest_first(cache_of(layout), keep_storage):
        modified = dt.datetime.fromtimestamp(path.stat().st_mtime, tz=dt.UTC)
        in_use = any(blob.digest in used for blob in record.blobs.values())
        if (everything or not in_use) and (until is None or modified < until):
            path.unlink(missing_ok=True)
            removed += 1
    freed = 0
    if until is None and not keep_storage:
        mounted = Containers(layout).stacks()
        keep = mounted if everything else gc.stacks(layout) | mounted
        freed = _remove_derived(layout.root, keep, everything=everything)
    print(f"Deleted build cache objects:\t{removed}")
    return freed


def _oldest_first(cache: LocalCache, keep_storage: int) -> list[tuple[Path, Record]]:
    """Give the records, but not the newest ones that have ``keep_storage`` bytes of blobs between them."""
    records = sorted(cache.records(), key=lambda each: each[0].stat().st_mtime, reverse=True)
    kept = 0
    for i, (_, record) in enumerate(records):
        kept += sum(blob.size for blob in record.blobs.values())
        if kept > keep_storage:
            return records[i:][::-1]
    return []


def _remove_derived(root: Path, keep: Collection[Digest], *, everything: bool) -> int:
    """Remove unpacked layers, and with ``everything`` cache mounts and downloads; give the bytes freed.

    Files of other owners can only be removed in the user namespace in which they were made.
    """
    unpacked = root / "unpacked"
    others = [root / "cache" / name for name in ("files", "mounts", "downloads")] if everything else []
    if not any(any(directory.glob("*/*")) or any(directory.glob("*")) for directory in (unpacked, *others)):
        return 0
    from builder.runtime.unpacked import Unpacked  # noqa: PLC0415 - only where something is unpacked
    from builder.runtime.userns import enter  # noqa: PLC0415 - likewise

    try:
        namespace = enter()
    except IsolationError as error:
        print(f"unpacked layers stay: {error}", file=sys.stderr)
        return 0
    freed = Unpacked(unpacked, namespace).prune(keep)
    if everything:
        others += [each for each in unpacked.iterdir() if each.name != namespace.kind]
    return freed + sum(map(_remove_tree, others))


def _remove_tree(directory: Path) -> int:
    freed = 0
    for parent, _, files in os.walk(directory):
        for name in files:
            with contextlib.suppress(OSError):
                freed += os.lstat(os.path.join(parent, name)).st_size
    shutil.rmtree(directory, ignore_errors=True)
    return freed


def _say_freed(count: int) -> None:
    print(f"Total reclaimed space: {size(count)}")
