"""Text in the columns of a terminal: what would move the cursor is left out, and wide characters count for two."""

from __future__ import annotations

import re
import unicodedata

_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]?|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~]?)")
"""Control sequences of ECMA-48, operating system commands and the like, and the shorter escapes."""


def fit(text: str, width: int) -> str:
    """Give as much of a text as so many columns hold, as one line without control characters."""
    text = _SEQUENCE.sub("", text).expandtabs()
    if text.isascii() and text.isprintable():
        return text[:width]
    shown, used = [], 0
    for character in text:
        used += columns(character)
        if used > width:
            break
        if character.isprintable():
            shown.append(character)
    return "".join(shown)


def row(text: str, end: str, width: int) -> str:
    """Give a line of ``width`` columns that begins with a text, cut where it must be, and ends with another."""
    fitted = fit(text, width - len(end) - 1)
    return f"{fitted}{' ' * (width - columns(fitted) - len(end))}{end}"


def columns(text: str) -> int:
    """Give how many columns a text takes."""
    if text.isascii() and text.isprintable():
        return len(text)
    return sum(map(_columns, text))


def _columns(character: str) -> int:
    if not character.isprintable() or unicodedata.category(character) in {"Mn", "Me"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1
