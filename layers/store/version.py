"""The version of what a store has besides the standard's files; without one it is the first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layers.errors import StoreError
from layers.store.files import disk_errors

if TYPE_CHECKING:
    from pathlib import Path

VERSION = 1
"""Raised when an earlier program would misread what this one writes."""
HINT = "use the program that made it, or another directory: --root DIRECTORY, or PYBUILD_ROOT"


def check_version(root: Path) -> None:
    """Refuse a store that a later version has made.

    Raises:
        StoreError: it is of another version than this one knows, or cannot be read.
    """
    path = root / "version"
    try:
        with disk_errors("read", path):
            content = path.read_bytes().strip()
    except StoreError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return
        raise
    if not content.isdigit() or int(content[:9]) > VERSION:
        text = content[:20].decode("ascii", "replace")
        raise StoreError(f"{root} is a store of version {text}, and only {VERSION} is known", hint=HINT)
