"""``pybuild images --tree``: images and the platforms that they are for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.cli.human import size
from builder.cli.stored import layer_sizes
from layers.errors import NotFoundError
from layers.image import Image, Index

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from builder.cli.stored import Kept
    from layers.model import Descriptor
    from layers.store.layout import Layout

_HEADS = ("IMAGE", "ID", "DISK USAGE", "CONTENT SIZE")


def print_tree(found: Sequence[Kept], *, no_trunc: bool) -> None:
    """Print each image under its names, and below it a line for each platform."""
    rows: list[tuple[str, ...]] = []
    for kept in found:
        names = [name.familiar for name in kept.names] or ["<untagged>"]
        rows += [(name, "", "", "") for name in names[:-1]]
        children = list(_children(kept.found)) if isinstance(kept.found, Index) else [kept.found.descriptor]
        lines = [_line(kept.layout, child, no_trunc=no_trunc) for child in children]
        used, content = sum(line[2] for line in lines), sum(line[3] for line in lines)
        rows.append((names[-1], _id(str(kept.digest), no_trunc=no_trunc), size(used, 3), size(content, 3)))
        if isinstance(kept.found, Index):
            for i, (platform, id_, disk, packed) in enumerate(lines):
                branch = "└─" if i == len(lines) - 1 else "├─"
                rows.append((f"{branch} {platform}", id_, size(disk, 3), size(packed, 3)))
    widths = [max(len(row[i]) for row in (_HEADS, *rows)) for i in range(4)]
    for row in (_HEADS, *rows):
        left = [f"{row[i]:<{widths[i]}}" for i in (0, 1)]
        right = [f"{row[i]:>{widths[i]}}" for i in (2, 3)]
        print("   ".join([*left, *right]).rstrip())


def _children(index: Index) -> Iterator[Descriptor]:
    for child in index.manifest.manifests:
        if child.platform is None or child.platform.os != "unknown":
            yield child


def _line(layout: Layout, child: Descriptor, *, no_trunc: bool) -> tuple[str, str, int, int]:
    """Give platform, id, bytes of files and bytes of blobs; zeros where the image is not here."""
    platform = child.platform.full if child.platform else "unknown"
    id_ = _id(str(child.digest), no_trunc=no_trunc)
    try:
        found = layout.get(child.digest)
    except NotFoundError:
        return platform, id_, 0, 0
    if not isinstance(found, Image):
        return platform, id_, 0, 0
    if child.platform is None:
        platform = found.platform.full
    blobs = {layer.descriptor.digest: layer.descriptor.size for layer in found.layers}
    return platform, id_, sum(layer_sizes(layout, found)), sum(blobs.values())


def _id(digest: str, *, no_trunc: bool) -> str:
    return digest if no_trunc else digest.partition(":")[2][:12]
