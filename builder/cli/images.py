"""``pybuild images``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from builder.cli import common as opt
from builder.cli import table
from builder.cli.human import ago, created_at, size
from builder.cli.imagefilters import Filters
from builder.cli.stored import kept_images, open_layout

if TYPE_CHECKING:
    from collections.abc import Iterator

    from builder.cli.stored import Kept

_FILTERS = ("dangling", "label", "before", "since", "reference", "until")
_HEADS = {
    "ID": "IMAGE ID",
    "Repository": "REPOSITORY",
    "Tag": "TAG",
    "Digest": "DIGEST",
    "CreatedSince": "CREATED",
    "CreatedAt": "CREATED AT",
    "Size": "SIZE",
    "Containers": "CONTAINERS",
    "VirtualSize": "SIZE",
    "SharedSize": "SHARED SIZE",
    "UniqueSize": "UNIQUE SIZE",
}


def images(
    repository: Annotated[str, typer.Argument(metavar="[REPOSITORY[:TAG]]", help="Only images of this name.")] = "",
    everything: Annotated[bool, typer.Option("-a", "--all", help="Show all images; none are hidden anyway.")] = False,
    digests: Annotated[bool, typer.Option("--digests", help="Show digests.")] = False,
    filters: Annotated[
        list[str] | None, typer.Option("-f", "--filter", metavar="KEY=VALUE", help=f"By {', '.join(_FILTERS)}.")
    ] = None,
    form: opt.Format = "",
    no_trunc: opt.NoTrunc = False,
    quiet: opt.QuietIds = False,
    tree: Annotated[bool, typer.Option("--tree", help="Show the platforms of each image.")] = False,
    root: opt.Root = "",
) -> None:
    """List images, the newest first.

    Example: pybuild images --filter dangling=true --format '{{.ID}} {{.Size}}'
    """
    del everything
    layout = open_layout(root)
    given = [*(filters or ()), *([f"reference={repository}"] if repository else [])]
    wanted = Filters(layout, given, _FILTERS)
    found = [kept for kept in kept_images(layout) if wanted.take(kept)]
    found.sort(key=lambda kept: kept.created, reverse=True)
    if tree:
        from builder.cli.imagetree import print_tree  # noqa: PLC0415 - only where it is asked for

        print_tree([kept for kept in found if wanted.names(kept) or not wanted.by_name], no_trunc=no_trunc)
        return
    rows = [row for kept in found for row in _rows(kept, wanted, no_trunc=no_trunc)]
    if quiet and not form:
        for row in rows:
            print(row["ID"])
        return
    columns = ["Repository", "Tag", "ID", "CreatedSince", "Size"]
    if digests:
        columns.insert(2, "Digest")
    table.print_rows(rows, columns, _HEADS, form)


def _rows(kept: Kept, wanted: Filters, *, no_trunc: bool) -> Iterator[dict[str, str]]:
    """Give a row for each name; one for an image that has none."""
    if kept.names:
        labels = [(name.familiar_name, name.tag or "<none>") for name in wanted.names(kept)]
    else:
        labels = [] if wanted.by_name else [("<none>", "<none>")]
    if not labels:
        return
    created, total = kept.image.config.created, kept.size
    for repository, tag in labels:
        yield {
            "Repository": repository,
            "Tag": tag,
            "ID": str(kept.id) if no_trunc else kept.id.short,
            "Digest": str(kept.digest),
            "CreatedSince": ago(created),
            "CreatedAt": created_at(created),
            "Size": size(total, 3),
            "VirtualSize": size(total),
            "SharedSize": "N/A",
            "UniqueSize": "N/A",
            "Containers": "N/A",
        }
