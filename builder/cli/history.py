"""``pybuild history``."""

from __future__ import annotations

from typing import Annotated

import typer

from builder.cli import common as opt
from builder.cli import table
from builder.cli.human import ago, rfc3339, size
from builder.cli.stored import find, layer_sizes, open_layout
from layers.platform import Platform

_COLUMNS = ("ID", "CreatedSince", "CreatedBy", "Size", "Comment")
_HEADS = {
    "ID": "IMAGE",
    "CreatedSince": "CREATED",
    "CreatedAt": "CREATED AT",
    "CreatedBy": "CREATED BY",
    "Size": "SIZE",
    "Comment": "COMMENT",
}
_WIDTH = 45


def history(
    name: Annotated[str, typer.Argument(metavar="IMAGE", help="Name or id.")],
    human: Annotated[bool, typer.Option("--human/--no-human", "-H", help="Sizes and times for people.")] = True,
    form: opt.Format = "",
    no_trunc: opt.NoTrunc = False,
    quiet: opt.QuietIds = False,
    platform: opt.PlatformName = "",
    root: opt.Root = "",
) -> None:
    """Show how an image came to be, the newest step first.

    Example: pybuild history --no-trunc app:dev
    """
    layout = open_layout(root)
    kept = find(layout, name, Platform.parse(platform) if platform else None)
    sizes = iter(layer_sizes(layout, kept.image))
    rows: list[dict[str, str]] = []
    for entry in kept.image.config.history:
        by, count = entry.created_by.replace("\t", " "), 0 if entry.empty_layer else next(sizes, 0)
        if not no_trunc and len(by) > _WIDTH:
            by = by[: _WIDTH - 1] + "…"
        created = rfc3339(entry.created)
        row = {"ID": "<missing>", "CreatedSince": ago(entry.created) if human else created, "CreatedAt": created}
        rows.append(row | {"CreatedBy": by, "Size": size(count, 3) if human else str(count), "Comment": entry.comment})
    rows.reverse()
    if rows:
        rows[0]["ID"] = str(kept.id) if no_trunc else kept.id.short
    if quiet and not form:
        for row in rows:
            print(row["ID"])
        return
    heads = _HEADS if human else _HEADS | {"CreatedSince": "CREATED AT"}
    table.print_rows(rows, _COLUMNS, heads, form)
