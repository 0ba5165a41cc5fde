"""Rows on standard output: as a table, through a template, or as JSON, whichever ``--format`` asks for."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

from builder.errors import BuildError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_NARROWEST, _GAP = 10, 3
"""Docker's tables: a column has at least ten characters, its gap of three among them."""
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def print_rows(
    rows: Sequence[Mapping[str, str]], columns: Sequence[str], heads: Mapping[str, str], form: str = "table"
) -> None:
    """Print rows.

    Args:
        rows: the fields of each line.
        columns: the fields of the table that is printed when nothing else is asked for.
        heads: the heading of every field that there is.
        form: ``table``, ``json``, ``raw``, a template for each line, or ``table`` and a template of columns.

    Raises:
        BuildError: the template cannot be read, or names a field that there is not.
    """
    form = form.strip(" ") or "table"
    if form == "table":
        write_table([[heads[name] for name in columns], *([row[name] for name in columns] for row in rows)])
        return
    if form == "raw":
        raise BuildError("--format raw is not known", hint="choose table, json, or a template such as '{{.ID}}'")
    from builder.cli.template import Template  # noqa: PLC0415 - a plain table needs none
    from builder.cli.template_functions import Row  # noqa: PLC0415

    if form == "json":
        form = "{{json .}}"
    words = form[len("table") :].strip(" ") if form.startswith("table") else form
    template = Template.parse(words.replace("\\t", "\t").replace("\\n", "\n"))
    lines = [template.render(Row(row)) for row in rows]
    if not form.startswith("table"):
        sys.stdout.write("".join(f"{line}\n" for line in lines))
        return
    write_table([line.split("\t") for line in (template.render(Row(heads)), *lines)])


def write_table(rows: Sequence[Sequence[str]]) -> None:
    """Print cells in columns that are as wide as their widest cell; the last cell of a row is not padded.

    Control characters are shown and not sent: names and histories come from strangers, and a terminal obeys.
    """
    rows = [[_CONTROLS.sub(_escaped, cell) for cell in row] for row in rows]
    widths: dict[int, int] = {}
    for row in rows:
        for i, cell in enumerate(row[:-1]):
            widths[i] = max(widths.get(i, _NARROWEST), len(cell) + _GAP)
    for row in rows:
        padded = [f"{cell:<{widths[i]}}" for i, cell in enumerate(row[:-1])]
        sys.stdout.write("".join([*padded, *row[-1:]]) + "\n")


def _escaped(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()
