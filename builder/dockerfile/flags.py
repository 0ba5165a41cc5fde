"""Flags of an instruction: leading ``--name`` and ``--name=value`` words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from builder.dockerfile.suggest import did_you_mean
from builder.dockerfile.words import BLANKS
from builder.errors import DockerfileError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Kind = Literal["bool", "string", "strings"]


class Flags:
    """The flags of one instruction, checked against those that it has."""

    def __init__(self, words: Sequence[str], kinds: Mapping[str, Kind]) -> None:
        """Read flag words.

        Raises:
            DockerfileError: an unknown flag, one given twice, a missing or wrong value.
        """
        self._values: dict[str, list[str]] = {}
        for word in words:
            dashed, equals, value = word.partition("=")
            name = dashed[2:]
            kind = kinds.get(name)
            if kind is None:
                known = sorted(f"--{known}" for known in kinds)
                otherwise = f"the flags are {', '.join(known)}" if known else "this instruction has no flags"
                raise DockerfileError(f"unknown flag: {dashed[:160]}", hint=did_you_mean(dashed, known, otherwise))
            if name in self._values and kind != "strings":
                raise DockerfileError(f"duplicate flag specified: {dashed}")
            if (kind != "bool" and not equals) or (kind == "bool" and equals and not value):
                raise DockerfileError(f"missing a value on flag: {dashed}")
            if kind == "bool" and value.lower() not in {"", "true", "false"}:
                raise DockerfileError(f"expecting boolean value for flag {dashed}, not: {value[:160]}")
            self._values.setdefault(name, []).append(value)

    def text(self, name: str, default: str = "") -> str:
        """Give the value of a flag that holds text."""
        return self._values.get(name, [default])[0]

    def texts(self, name: str) -> tuple[str, ...]:
        """Give all values of a flag that may be given several times, in order."""
        return tuple(self._values.get(name, ()))

    def true(self, name: str) -> bool:
        """Tell whether a flag is given and not false."""
        return self.given(name) is True

    def given(self, name: str) -> bool | None:
        """Tell whether a flag is true or false; None where it is not given."""
        values = self._values.get(name)
        return None if values is None else values[0].lower() != "false"


def split_flags(text: str, escape: str) -> tuple[list[str], str]:
    """Give the flag words in front, without their quotes and escapes, and what follows them.

    ``--`` alone ends the flags and belongs to neither.
    """
    words: list[str] = []
    if "--" not in text:
        return words, text.strip(BLANKS)
    at = 0
    while True:
        while at < len(text) and text[at] in BLANKS:
            at += 1
        if not text.startswith("--", at):
            return words, text[at:].strip(BLANKS)
        word, at = _flag_word(text, at, escape)
        if word == "--":
            return words, text[at:].strip(BLANKS)
        words.append(word)


def _flag_word(text: str, at: int, escape: str) -> tuple[str, int]:
    """Read one word from ``at``: give it without quotes and escapes, and where it ends."""
    out: list[str] = []
    quote = ""
    while at < len(text):
        char = text[at]
        if not quote and char in BLANKS:
            break
        if char == quote:
            quote = ""
        elif not quote and char in "'\"":
            quote = char
        elif char == escape:
            at += 1
            out.append(text[at : at + 1])  # nothing, where the escape is the last character
        else:
            out.append(char)
        at += 1
    return "".join(out), min(at, len(text))
