"""Did you mean ...: the nearest of the names that would have been right."""

from __future__ import annotations

from difflib import get_close_matches
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_MAX_WORD = 64
"""A longer word is no slip of the pen, and comparing takes time by the square."""

_MAX_NAMES = 1000
"""Names that are compared; a Dockerfile may set any number."""


def nearest(word: str, names: Iterable[str]) -> str:
    """Give the name most like the word, or "" where none is near or the word itself is among them."""
    names = list(islice(names, _MAX_NAMES))
    if len(word) > _MAX_WORD or word in names:
        return ""
    folded = {name.lower(): name for name in names}
    found = get_close_matches(word.lower(), folded, n=1, cutoff=0.6)
    return folded[found[0]] if found else ""


def did_you_mean(word: str, names: Iterable[str], otherwise: str = "") -> str:
    """Give the hint of an error about an unknown word."""
    name = nearest(word, names)
    return f"did you mean {name}?" if name else otherwise
