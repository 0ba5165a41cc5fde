"""``pybuild fsck``: is everything in the store what its name says?"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from builder.cli import common as opt
from builder.cli.human import size
from builder.cli.prune import cache_of
from builder.cli.stored import open_layout
from builder.errors import BuildError, IsolationError
from layers.errors import BusyError, LayersError, NotFoundError
from layers.store.files import TEMPORARY

if TYPE_CHECKING:
    from builder.cache.cache import Record
    from builder.containers.store import Containers
    from layers.digest import Digest
    from layers.store.check import Check
    from layers.store.layout import Layout

_UNFINISHED = ".new-"


def fsck(
    repair: Annotated[
        bool, typer.Option("--repair", help="Delete what is damaged or belongs to nothing; forget what lost a part.")
    ] = False,
    root: opt.Root = "",
) -> None:
    """Recompute every digest in the store, and find what is missing, damaged, left over, or belongs to nothing.

    The exit code is 1 where content is damaged or an image or container lacks a part. What killed builds have left
    over, and derived data that cannot be used, is listed and does no harm.

    Example: pybuild fsck
    """
    from builder.containers.store import Containers  # noqa: PLC0415 - what --help does not need
    from layers.store.check import Check  # noqa: PLC0415 - likewise

    layout = open_layout(root)
    check, containers = Check(layout), Containers(layout)
    lines = [f"damaged blob {digest}: {reason}" for digest, reason in check.damaged.items()]
    lines += [f"broken image {name} ({digest}): {reason}" for digest, (name, reason) in check.broken.items()]
    doubtful = layout.doubtful()
    lines += [f"broken name in index.json: {first} or {second}" for first, second in doubtful]
    lost = _broken_containers(containers)
    lines += [f"broken container {path.stem[:12]}: {reason}" for path, reason in lost.items()]
    orphans = _orphans(layout, containers) - set(check.damaged) if not check.broken else set()
    lines += [f"orphan blob {digest}" for digest in sorted(orphans)]
    left, unusable = _left_over(layout, containers), _unusable(layout)
    lines += [f"left over {path.relative_to(layout.root)}" for path in left]
    lines += [f"unusable {path.relative_to(layout.root)}" for path in unusable]
    total = sum(layout.blobs.size(digest) for digest in orphans)
    count = len(list(layout.blobs.list()))
    lines.append(
        f"{count} blobs: {len(check.damaged)} damaged, {len(orphans)} orphans ({size(total)}); "
        f"{len(check.broken)} broken images, {len(lost)} broken containers; "
        f"{len(left)} left over, {len(unusable)} unusable"
    )
    print("\n".join(lines))
    if repair:
        for path in (*lost, *unusable):
            path.unlink(missing_ok=True)
        layout.drop_doubtful()
        _repair(layout, check, left)
    elif check.damaged or check.broken or doubtful or lost:
        sys.stdout.flush()
        raise BuildError("the store is damaged", hint="pybuild fsck --repair deletes what cannot be saved")


def _broken_containers(containers: Containers) -> dict[Path, str]:
    """Give the records of containers that cannot be read, or whose image is not here, and what is wrong."""
    found: dict[Path, str] = {}
    readable = {each.id: each for each in containers.all()}
    for path in sorted(containers.directory.glob("*.json")):
        container = readable.get(path.stem)
        if container is None:
            found[path] = "its record cannot be read"
            continue
        try:
            containers.image(container)
        except LayersError as error:
            found[path] = f"{container.name}: {error.message}"
    return found


def _orphans(layout: Layout, containers: Containers) -> set[Digest]:
    """Give the blobs that no image, no container and no cache record needs."""
    from layers.store import gc  # noqa: PLC0415 - what --help does not need

    needed = gc.reachable(layout, [each.descriptor for each in layout.images()])
    return set(layout.blobs.list()) - set(needed) - cache_of(layout).blobs() - containers.blobs()


def _left_over(layout: Layout, containers: Containers) -> list[Path]:
    """Give what killed processes have left; nothing while the store is used: it may be somebody's.

    Containers do not use the store while they run: as long as one does, what is below ``run`` may be its.
    """
    from layers.store import gc  # noqa: PLC0415 - what --help does not need
    from layers.store.scratch import abandoned  # noqa: PLC0415 - likewise

    try:
        with layout.lock.exclusive(wait=0):
            found = [*gc.temporary(layout.root)]
            if not any(map(containers.is_running, containers.all())):
                found += layout.root.glob("run/*")
            for parent in (*layout.root.glob("unpacked/*"), *layout.root.glob("cache/mounts/*")):
                found += [*abandoned(parent, _UNFINISHED), *parent.glob(f"{TEMPORARY}*")]
            return sorted(found)
    except BusyError:
        return []


def _unusable(layout: Layout) -> list[Path]:
    """Give what was derived and is not what was written, or has lost its content: it is passed over and made anew."""
    from builder.context.memo import is_memo  # noqa: PLC0415 - what --help does not need
    from layers.store.check import unusable_side  # noqa: PLC0415 - likewise

    cache = cache_of(layout)
    usable = {path for path, record in cache.records() if any(map(layout.blobs.has, _digests(record)))}
    memos = (path for path in layout.root.glob("cache/files/[!.]*") if not is_memo(path))
    return [*unusable_side(layout), *sorted(set(cache.paths()) - usable), *sorted(memos)]


def _repair(layout: Layout, check: Check, left: list[Path]) -> None:
    """Forget broken images, drop cache records without content, and delete damaged blobs, orphans and left-overs."""
    from builder.containers.store import Containers  # noqa: PLC0415 - what --help does not need
    from layers.store import gc  # noqa: PLC0415 - likewise

    for digest in check.broken:
        for name in layout.forget(digest):
            print(f"forgot {name.familiar}")
    cache = cache_of(layout)
    for path, record in list(cache.records()):
        if any(blob in check.damaged or not layout.blobs.has(blob) for blob in _digests(record)):
            path.unlink(missing_ok=True)
    freed = sum(layout.blobs.delete(digest) for digest in check.damaged)
    try:
        keep = cache.blobs() | Containers(layout).blobs()
        freed += gc.collect(layout, keep=keep, fresh=0).size
    except NotFoundError as error:
        print(f"orphans stay: {error}", file=sys.stderr)
    _remove(left)
    print(f"repaired; freed {size(freed)}")


def _remove(paths: list[Path]) -> None:
    """Remove files and directories; those that hold files of other owners, in the user namespace of these."""
    for path in paths:
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
    if not (stay := [path for path in paths if path.exists()]):
        return
    from builder.runtime.userns import enter  # noqa: PLC0415 - only where something is left

    try:
        enter()
    except IsolationError as error:
        print(f"{len(stay)} directories stay: {error}", file=sys.stderr)
    for path in stay:
        shutil.rmtree(path, ignore_errors=True)


def _digests(record: Record) -> list[Digest]:
    return [blob.digest for blob in record.blobs.values()]
