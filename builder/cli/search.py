"""``pybuild search``."""

from __future__ import annotations

from typing import Annotated

import typer

from builder.cli import common as opt
from builder.cli import table
from builder.cli.environment import Environment
from builder.errors import BuildError
from layers.reference import DOCKER_HUB

_COLUMNS = ("Name", "Description", "StarCount", "IsOfficial")
_HEADS = {
    "Name": "NAME",
    "Description": "DESCRIPTION",
    "StarCount": "STARS",
    "IsOfficial": "OFFICIAL",
    "IsAutomated": "AUTOMATED",
}
_WIDTH = 45


def search(
    term: Annotated[str, typer.Argument(metavar="TERM", help="What to look for; REGISTRY/TERM looks elsewhere.")],
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="How many results.")] = 25,
    filters: opt.ShortFilter = None,
    form: opt.Format = "",
    no_trunc: opt.NoTrunc = False,
    insecure: opt.Insecure = False,
) -> None:
    """Find images on Docker Hub, or in the catalog of another registry.

    Example: pybuild search --filter is-official=true --limit 5 debian
    """
    stars, official = _read_filters(filters or [])
    first, slash, rest = term.partition("/")
    elsewhere = bool(slash) and (first == "localhost" or "." in first or ":" in first)
    registry, term = (first, rest) if elsewhere else (DOCKER_HUB, term)
    with Environment().client(insecure=[registry] if insecure else []) as client:
        found = client.search(term, limit, registry=registry)
    rows = []
    for each in found:
        if each.stars < stars or (official is not None and each.official != official):
            continue
        text = " ".join(each.description.split())
        if not no_trunc and len(text) > _WIDTH:
            text = text[: _WIDTH - 1] + "…"
        row = {"Name": f"{first}/{each.name}" if elsewhere else each.name, "Description": text}
        row |= {"StarCount": str(each.stars), "IsOfficial": "[OK]" if each.official else "", "IsAutomated": ""}
        rows.append(row)
    table.print_rows(rows, _COLUMNS, _HEADS, form)


def _read_filters(given: list[str]) -> tuple[int, bool | None]:
    """Give the least number of stars, and whether to be official where that matters."""
    stars, official = 0, None
    for each in given:
        key, _, value = each.partition("=")
        if key == "stars" and value.isdecimal():
            stars = int(value)
        elif key == "is-official" and value.lower() in {"true", "false", "1", "0"}:
            official = value.lower() in {"true", "1"}
        else:
            raise BuildError(f"invalid filter {each!r}", hint="the filters are stars=NUMBER and is-official=true")
    return stars, official
