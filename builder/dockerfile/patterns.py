r"""Shell patterns inside ``${name#pattern}``, ``${name%pattern}`` and ``${name/pattern/text}``.

``*`` is any text, ``?`` any character; ``\*``, ``\?`` and ``\\`` stand for the second character. A pattern is cut at
its stars and the pieces are looked for one after the other, so no pattern takes more than pieces times characters.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

from builder.errors import DockerfileError

_ANY = ""
"""Stands for ``?`` in a piece: a character is never the empty string."""


@dataclass(frozen=True)
class _Piece:
    """What stands between two stars: characters, and :data:`_ANY` for any one."""

    items: tuple[str, ...]

    @cached_property
    def _regex(self) -> re.Pattern[str]:
        return re.compile("".join(re.escape(item) if item else "." for item in self.items), re.DOTALL)

    def first(self, text: str, start: int) -> int:
        """Give where the piece first stands at or after ``start``, or -1."""
        if _ANY not in self.items:
            return text.find("".join(self.items), start)
        found = self._regex.search(text, start)
        return found.start() if found else -1

    def last(self, text: str, start: int) -> int:
        """Give where the piece last stands at or after ``start``, or -1."""
        if _ANY not in self.items:
            return text.rfind("".join(self.items), start)
        for at in range(len(text) - len(self.items), start - 1, -1):
            if self._regex.match(text, at):
                return at
        return -1

    def stands(self, text: str, at: int) -> bool:
        """Tell whether the piece stands right there."""
        if _ANY not in self.items:
            return text.startswith("".join(self.items), at)
        return self._regex.match(text, at) is not None

    def reversed(self) -> _Piece:
        return _Piece(self.items[::-1])


def trim_prefix(pattern: str, value: str, *, longest: bool) -> str:
    """Give the value without the shortest or longest beginning that matches; the value itself where none does.

    Raises:
        DockerfileError: a backslash before something that needs none.
    """
    end = _match_beginning(_pieces(pattern), value, longest=longest)
    return value if end is None else value[end:]


def trim_suffix(pattern: str, value: str, *, longest: bool) -> str:
    """Give the value without the shortest or longest end that matches; the value itself where none does.

    Raises:
        DockerfileError: a backslash before something that needs none.
    """
    mirrored = [piece.reversed() for piece in reversed(_pieces(pattern))]
    end = _match_beginning(mirrored, value[::-1], longest=longest)
    return value if end is None else value[: len(value) - end]


def replace(pattern: str, replacement: str, value: str, *, everywhere: bool, limit: int) -> str:
    """Give the value with the first or every shortest match replaced; an empty match stands between all characters.

    Raises:
        DockerfileError: a backslash before something that needs none; a result of more than ``limit`` characters.
    """
    pieces = _pieces(pattern)
    if not any(piece.items for piece in pieces):
        return _bounded(
            [replacement, *(char + replacement for char in value)] if everywhere else [replacement, value], limit
        )
    if not _may_match(pieces, value):
        return value
    out: list[str] = []
    size = at = 0
    while (found := _find(pieces, value, at)) is not None:
        out += (value[at : found[0]], replacement)
        size += found[0] - at + len(replacement)
        at = found[1]
        if not everywhere or size > limit:
            break
    return _bounded([*out, value[at:]], limit)


def _bounded(parts: list[str], limit: int) -> str:
    if sum(map(len, parts)) > limit:
        raise DockerfileError(f"a variable's replacement has more than {limit} characters")
    return "".join(parts)


def _match_beginning(pieces: list[_Piece], value: str, *, longest: bool) -> int | None:
    """Give the end of the shortest or longest match at the beginning of the value."""
    if not _may_match(pieces, value):
        return None
    if not pieces[0].stands(value, 0):
        return None
    at = len(pieces[0].items)
    for number, piece in enumerate(pieces[1:], 2):
        last = longest and number == len(pieces)
        start = piece.last(value, at) if last else piece.first(value, at)
        if start < 0:
            return None
        at = start + len(piece.items)
    return at


def _may_match(pieces: list[_Piece], value: str) -> bool:
    """Tell whether the value has room for the pattern; making a regular expression of a longer one may take seconds."""
    return sum(len(piece.items) for piece in pieces) <= len(value)


def _find(pieces: list[_Piece], value: str, start: int) -> tuple[int, int] | None:
    """Give start and end of the leftmost shortest match at or after ``start``."""
    begin = at = -1
    for piece in pieces:
        at = piece.first(value, start if at < 0 else at)
        if at < 0:
            return None
        begin = at if begin < 0 else begin
        at += len(piece.items)
    return begin, at


def _pieces(pattern: str) -> list[_Piece]:
    """Cut a pattern at its stars."""
    pieces: list[list[str]] = [[]]
    characters = iter(range(len(pattern)))
    for i in characters:
        char = pattern[i]
        if char == "*":
            pieces.append([])
        elif char == "?":
            pieces[-1].append(_ANY)
        elif char == "\\":
            following = pattern[i + 1 : i + 2]
            if following in {"}", "/"}:  # these are escaped for the word's sake, not the pattern's
                continue
            if following not in {"*", "?", "\\"}:
                raise DockerfileError(
                    f"invalid escape '\\{following}' in pattern {pattern[:160]!r}",
                    hint="a backslash stands only before *, ?, \\, / and }",
                )
            pieces[-1].append(following)
            next(characters)
        else:
            pieces[-1].append(char)
    return [_Piece(tuple(items)) for items in pieces]
