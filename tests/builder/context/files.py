"""Small trees on disk for the tests of this room."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from builder.context.select import Selected
    from layers.changeset.entry import Change


def make(root: Path, *names: str) -> Path:
    """Make ``dir/``, ``file`` (which holds its own name), ``link -> target`` under ``root``."""
    for name in names:
        path = root / name.partition(" -> ")[0]
        path.parent.mkdir(parents=True, exist_ok=True)
        if " -> " in name:
            path.symlink_to(name.partition(" -> ")[2])
        elif name.endswith("/"):
            path.mkdir(exist_ok=True)
        else:
            path.write_text(name)
    return root


def paths(changes: Iterable[Change]) -> list[str]:
    """Give the paths, directories with a slash."""
    return [
        os.fsdecode(change.path) + ("/" if change.entry is not None and change.entry.kind == "directory" else "")
        for change in changes
    ]


def taken(selection: Iterable[Selected]) -> list[str]:
    """Give what a selection brings into a destination directory."""
    return [path for selected in selection for path in paths(selected.walk())]


def content(change: Change) -> bytes:
    """Read the file of a change."""
    assert change.open is not None
    source = change.open()
    assert isinstance(source, int)
    with os.fdopen(source, "rb") as file:
        return file.read()
