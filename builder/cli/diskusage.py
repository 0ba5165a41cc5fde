"""``pybuild system df``: what takes how much of the disk."""

from __future__ import annotations

import datetime as dt
import os
from typing import TYPE_CHECKING, Annotated

import typer

from builder.cli import common as opt
from builder.cli import table
from builder.cli.human import ago, duration, size
from builder.cli.prune import cache_of
from builder.cli.stored import kept_images, open_layout
from builder.containers.store import Containers

if TYPE_CHECKING:
    from pathlib import Path

    from builder.cache.cache import Record
    from builder.cli.stored import Kept
    from layers.digest import Digest
    from layers.store.layout import Layout

_COLUMNS = ("Type", "TotalCount", "Active", "Size", "Reclaimable")
_HEADS = {
    "Type": "TYPE",
    "TotalCount": "TOTAL",
    "Active": "ACTIVE",
    "Size": "SIZE",
    "Reclaimable": "RECLAIMABLE",
}


def df(
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Show each image and each cache record.")] = False,
    form: opt.Format = "",
    root: opt.Root = "",
) -> None:
    """Show what images and the build cache take of the disk.

    Example: pybuild system df -v
    """
    layout = open_layout(root)
    found = sorted(kept_images(layout), key=lambda kept: kept.created, reverse=True)
    blobs = [_blobs(layout, kept) for kept in found]
    used = {digest: count for each in blobs for digest, count in each.items()}
    records = sorted(cache_of(layout).records(), key=lambda each: each[0].stat().st_mtime, reverse=True)
    if verbose:
        _print_images(found, blobs)
        _print_cache(records, set(used))
        return
    images = sum(used.values())
    cached = {blob.digest: blob.size for _, record in records for blob in record.blobs.values()}
    only_cached = sum(count for digest, count in cached.items() if digest not in used)
    unpacked = _tree_size(layout.root / "unpacked") + _tree_size(layout.root / "cache")
    containers = Containers(layout)
    everyone = containers.all()
    running = [each for each in everyone if containers.is_running(each)]
    own = sum(layout.blobs.size(each) for each in containers.blobs() - set(used) if layout.blobs.has(each))
    bases = {each.base for each in everyone}
    held = {digest for kept, each in zip(found, blobs, strict=True) if str(kept.digest) in bases for digest in each}
    free = sum(count for digest, count in used.items() if digest not in held)
    active = sum(str(kept.digest) in bases for kept in found)
    rows = [
        _row("Images", len(found), active, images, free),
        _row("Containers", len(everyone), len(running), own, 0 if running else own),
        _row("Local Volumes", 0, 0, 0, 0),
        _row("Build Cache", len(records), 0, only_cached + unpacked, only_cached + unpacked),
    ]
    table.print_rows(rows, _COLUMNS, _HEADS, form)


def _row(kind: str, count: int, active: int, total: int, reclaimable: int) -> dict[str, str]:
    share = f" ({100 * reclaimable // total}%)" if total and kind != "Build Cache" else ""
    numbers = {"TotalCount": str(count), "Active": str(active), "Size": size(total)}
    return {"Type": kind, **numbers, "Reclaimable": size(reclaimable) + share}


def _blobs(layout: Layout, kept: Kept) -> dict[Digest, int]:
    """Give the blobs of an image or index that are here, and their bytes on disk."""
    from layers.store import gc  # noqa: PLC0415 - what --help does not need

    needed = gc.reachable(layout, [kept.descriptor])
    return {digest: count for digest, count in needed.items() if layout.blobs.has(digest)}


def _print_images(found: list[Kept], blobs: list[dict[Digest, int]]) -> None:
    print("Images space usage:\n")
    owners: dict[Digest, int] = {}
    for each in blobs:
        for digest in each:
            owners[digest] = owners.get(digest, 0) + 1
    rows = [["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE", "SHARED SIZE", "UNIQUE SIZE", "CONTAINERS"]]
    for kept, own in zip(found, blobs, strict=True):
        total = sum(own.values())
        shared = sum(count for digest, count in own.items() if owners[digest] > 1)
        for name, tag in [(each.familiar_name, each.tag or "<none>") for each in kept.names] or [("<none>", "<none>")]:
            sizes = [size(total, 3), size(shared), size(total - shared)]
            rows.append([name, tag, kept.id.short, ago(kept.image.config.created), *sizes, "0"])
    table.write_table(rows)


def _print_cache(records: list[tuple[Path, Record]], used: set[Digest]) -> None:
    total = sum(blob.size for _, record in records for blob in record.blobs.values() if blob.digest not in used)
    print(f"\nBuild cache usage: {size(total)}\n")
    rows = [["CACHE ID", "CACHE TYPE", "SIZE", "CREATED", "LAST USED", "USAGE", "SHARED"]]
    for path, record in records:
        status = path.stat()
        last = dt.datetime.now(tz=dt.UTC) - dt.datetime.fromtimestamp(status.st_mtime, tz=dt.UTC)
        shared = any(blob.digest in used for blob in record.blobs.values())
        count = sum(blob.size for blob in record.blobs.values())
        times = [ago(record.created), f"{duration(last)} ago"]
        rows.append([path.name[:12], "regular", size(count), *times, "1", str(shared).lower()])
    table.write_table(rows)


def _tree_size(directory: Path) -> int:
    total = 0
    for parent, _, files in os.walk(directory):
        for name in files:
            try:
                total += os.lstat(os.path.join(parent, name)).st_blocks * 512
            except OSError:  # it has gone meanwhile, or belongs to another id
                continue
    return total
