"""What follows an instruction's name: JSON arrays, words, and ``name=value`` pairs."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import NoReturn

from builder.dockerfile.words import BLANKS
from builder.errors import DockerfileError

_SEPARATORS = re.compile(r"[\t\v\f\r ]+")
"""What divides plain words; other blanks of Unicode are only cut off at the ends of a line."""


def split_name(line: str) -> tuple[str, str]:
    """Give an instruction's name as written and what follows it."""
    name, *rest = _SEPARATORS.split(line.strip(BLANKS), maxsplit=1)
    return name, rest[0] if rest else ""


def plain_words(rest: str) -> list[str]:
    """Split at blanks and at nothing else: neither quotes nor escapes count."""
    return _SEPARATORS.split(rest) if rest else []


def json_words(rest: str) -> list[str] | None:
    """Give the strings of a JSON array; None where the text is no JSON array and so another form is meant.

    Raises:
        DockerfileError: a JSON array of something else than strings.
    """
    rest = rest.lstrip(BLANKS)
    if not rest.startswith("["):
        return None
    try:
        # Numbers are never needed: reading them as nothing keeps a long one from being an error of its own.
        values = json.loads(rest, parse_int=len, parse_float=len, parse_constant=_no_json)
    except (ValueError, RecursionError):
        return None
    if not all(isinstance(value, str) for value in values):
        raise DockerfileError(
            "when using JSON array syntax, arrays must be comprised of strings only",
            hint='put each word in double quotes: ["echo", "1"]',
        )
    return [_without_lone_surrogates(value) for value in values]


def quoted_words(rest: str, escape: str) -> list[str]:
    """Split at blanks outside quotes; quotes and escapes stay in the words, an escape at the very end does not."""
    return _quoted_word(escape).findall(rest)


def pairs(rest: str, name: str, escape: str) -> tuple[tuple[str, str], ...]:
    """Give the pairs of ENV and LABEL: ``k=v k2=v2``, or ``k v`` with all that follows as one value.

    Raises:
        DockerfileError: a word without ``=``, an empty name, no value.
    """
    words = quoted_words(rest, escape)
    if not words:
        raise DockerfileError(f"{name} requires at least one argument", hint=f"{name} key=value ...")
    if is_old_form(words):
        key, *value = _SEPARATORS.split(rest, maxsplit=1)
        if not value:
            raise DockerfileError(f"{name} must have two arguments", hint=f"{name} {key[:160]}=value")
        return ((key, value[0]),)
    found = []
    for word in words:
        key, equals, value_text = word.partition("=")
        if not equals:
            raise DockerfileError(
                f"can't find = in {word[:160]!r}: must be of the form name=value",
                hint="put a value with blanks in quotes",
            )
        if not key:
            raise DockerfileError(f"{name} names can not be blank")
        found.append((key, value_text))
    return tuple(found)


def is_old_form(words: list[str]) -> bool:
    """Tell whether these words of ENV or LABEL are ``key value`` rather than ``key=value``."""
    return bool(words) and "=" not in words[0]


@lru_cache(maxsize=2)
def _quoted_word(escape: str) -> re.Pattern[str]:
    e = re.escape(escape)
    return re.compile(rf"""(?s:[^{BLANKS}'"{e}]++|{e}.|'[^']*+'?|"(?:[^"{e}]|{e}.)*+"?)++""")


def _no_json(constant: str) -> NoReturn:
    """Refuse ``NaN`` and ``Infinity``, which Python would take."""
    raise ValueError(constant)


def _without_lone_surrogates(text: str) -> str:
    r"""Give the text with what ``"\ud800"`` alone means replaced: no bytes can be written for it."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
