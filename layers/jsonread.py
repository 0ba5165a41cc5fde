"""Read JSON that came from outside, naming the path of what is wrong."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeVar

from layers.errors import InvalidError

if TYPE_CHECKING:
    from collections.abc import Collection

T = TypeVar("T")

MAX_DOCUMENT = 8 << 20
"""Bytes of the largest manifest, index or config that is read; distribution-spec asks for at least 4 MiB."""


def parse_object(content: bytes, what: str) -> dict[str, Any]:
    """Give the JSON object in these bytes.

    Raises:
        InvalidError: too large, no JSON, nested too deeply, not an object.
    """
    value = _parse(content, what)
    if not isinstance(value, dict):
        raise InvalidError(f"{what} is a JSON {type(value).__name__}, not an object")
    return value


def parse_objects(content: bytes, what: str) -> list[dict[str, Any]]:
    """Give the JSON objects in the list that these bytes are.

    Raises:
        InvalidError: too large, no JSON, nested too deeply, not a list of objects.
    """
    values = _parse(content, what)
    if not isinstance(values, list):
        raise InvalidError(f"{what} is a JSON {type(values).__name__}, not a list")
    for i, value in enumerate(values):
        if not isinstance(value, dict):
            raise InvalidError(f"{what}[{i}] is a JSON {type(value).__name__}, not an object")
    return values


def _parse(content: bytes, what: str) -> Any:
    if len(content) > MAX_DOCUMENT:
        raise InvalidError(f"{what} has {len(content)} bytes, more than the {MAX_DOCUMENT} allowed")
    try:
        # from str, since json takes bytes for UTF-16 or UTF-32 as well, and other readers of these documents do not
        return json.loads(content.decode(), parse_constant=_no_number)
    except RecursionError:
        raise InvalidError(f"{what} is nested too deeply") from None
    except (ValueError, UnicodeDecodeError) as error:
        raise InvalidError(f"{what} is not JSON: {error}") from None


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")


def get(source: dict[str, Any], kind: type[T], key: str, where: str) -> T | None:
    """Give ``source[key]`` where it is there and not null, checked to be a ``kind``.

    Raises:
        InvalidError: another type; a bool is not an int here.
    """
    value = source.get(key)
    if value is None:
        return None
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise InvalidError(f"{where}.{key} is a {type(value).__name__}, not a {kind.__name__}")
    return value


def require(source: dict[str, Any], kind: type[T], key: str, where: str) -> T:
    """Give ``source[key]`` as :func:`get` does, and insist that it is there.

    Raises:
        InvalidError: missing, null, or of another type.
    """
    value = get(source, kind, key, where)
    if value is None:
        raise InvalidError(f"{where}.{key} is missing")
    return value


def strings(source: dict[str, Any], key: str, where: str) -> tuple[str, ...] | None:
    """Give a list of strings; None where it is missing or null.

    Raises:
        InvalidError: no list, or something else in it.
    """
    values = get(source, list, key, where)
    if values is None:
        return None
    for i, value in enumerate(values):
        if not isinstance(value, str):
            raise InvalidError(f"{where}.{key}[{i}] is a {type(value).__name__}, not a str")
    return tuple(values)


def string_map(source: dict[str, Any], key: str, where: str) -> dict[str, str] | None:
    """Give an object of strings, in its order; None where it is missing or null.

    Raises:
        InvalidError: no object, or something else in it.
    """
    values = get(source, dict, key, where)
    if values is None:
        return None
    for name, value in values.items():
        if not isinstance(value, str):
            raise InvalidError(f"{where}.{key}.{name} is a {type(value).__name__}, not a str")
    return dict(values)


def without(source: dict[str, Any], known: Collection[str]) -> dict[str, Any]:
    """Give what is in an object beyond the keys that are known."""
    return {key: value for key, value in source.items() if key not in known}


def dump(value: Any, *, indent: int | None = None) -> bytes:
    """Give JSON in the form Go's encoder writes, which the digests of other builders rest on."""
    text = json.dumps(value, ensure_ascii=False, indent=indent, separators=(",", ":" if indent is None else ": "))
    for character in "<>&\u2028\u2029":
        if character in text:
            text = text.replace(character, f"\\u{ord(character):04x}")
    return text.encode("utf-8", "backslashreplace")
