"""The functions of Go's templates and those that Docker adds; and how Go prints values."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus

from builder.errors import BuildError
from builder.execute.gotext import duration

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_VERB = re.compile(r"%(?P<flags>[-+# 0]*)(?P<width>\d+)?(?:\.(?P<precision>\d+))?(?P<verb>[a-zA-Z%])")
_MAX_WIDTH = 10_000


class TemplateError(BuildError):
    """A template that cannot be read, or does not fit what it is given."""

    def __init__(self, message: str) -> None:
        super().__init__(f"template: {message}", hint="see https://docs.docker.com/engine/cli/formatting/")


class Row(dict[str, Any]):
    """The fields of one line; as JSON its keys are sorted and ``<`` is escaped, as Docker's are."""


class NoList(list[Any]):
    """A list that is not there: printed as an empty one, null as JSON."""


class NoMap(dict[str, Any]):
    """A map that is not there: printed as an empty one, null as JSON."""


class Empty(dict[str, Any]):
    """A structure without fields: what stands behind each volume and port."""


class NoPointer(dict[str, Any]):
    """A pointer to nothing: printed as nil, null as JSON."""


class Struct(dict[str, Any]):
    """A structure: printed as the values of its fields in order; as JSON, without optional ones that are empty."""

    def __init__(self, values: Mapping[str, Any], fields: tuple[str, ...], optional: frozenset[str]) -> None:
        super().__init__(values)
        self.fields = fields
        self.optional = optional


class Duration(int):
    """Nanoseconds: printed as Go prints them, a number as JSON."""

    def __str__(self) -> str:
        return duration(int(self))


class Time(str):
    """A time of RFC 3339 in UTC: printed as Go prints one, as it is as JSON."""

    __slots__ = ()


def truth(value: Any) -> bool:
    """Tell whether Go's templates take a value for true: not where it is zero or empty."""
    return bool(value)


def shown(value: Any) -> str:
    """Give a value as Go's ``%v`` prints it."""
    if isinstance(value, str):
        return f"{value[:10]} {value[11:-1]} +0000 UTC" if isinstance(value, Time) else value
    if value is None or isinstance(value, NoPointer):
        return "<nil>"
    if isinstance(value, Struct):
        return "{" + " ".join(shown(value[name]) for name in value.fields) + "}"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Empty):
        return "{}"
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{shown(value[key])}" for key in sorted(value)) + "]"
    if isinstance(value, list | tuple):
        return "[" + " ".join(map(shown, value)) + "]"
    if isinstance(value, float):
        return f"{value:g}"
    return str(value)


def to_json(value: Any) -> str:
    """Give a value as JSON, as Go's encoder writes it."""
    text = json.dumps(_plain(value), ensure_ascii=False, separators=(",", ":"), sort_keys=isinstance(value, Row))
    if isinstance(value, Row):
        for character in "<>&\u2028\u2029":
            text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _plain(value: Any) -> Any:
    if isinstance(value, NoList | NoMap | NoPointer):
        return None
    if isinstance(value, Duration):
        return int(value)
    if isinstance(value, Struct):
        return {key: _plain(each) for key, each in value.items() if each or key not in value.optional}
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value


def _index(value: Any, *keys: Any) -> Any:
    for key in keys:
        if isinstance(value, dict):
            value = value.get(key)  # Go gives a map's zero value
        elif value is None:
            raise TemplateError("error calling index: index of untyped nil")
        elif not isinstance(key, int) or isinstance(key, bool):
            raise TemplateError(f"error calling index: cannot index a list with {shown(key)}")
        elif not 0 <= key < len(value):
            raise TemplateError(f"error calling index: index out of range: {key}")
        else:
            value = ord(value[key]) if isinstance(value, str) else value[key]
    return value


def _slice(value: Any, *bounds: int) -> Any:
    start, end = (bounds[0] if bounds else 0), (bounds[1] if len(bounds) > 1 else len(value))
    if not 0 <= start <= end <= len(value):
        raise TemplateError(f"error calling slice: index out of range: {start}:{end}")
    return value[start:end]


def _print(*values: Any) -> str:
    """Give Go's ``Sprint``: a blank between two values neither of which is a string."""
    text, before = "", True
    for value in values:
        is_text = isinstance(value, str)
        text += ("" if before or is_text else " ") + shown(value)
        before = is_text
    return text


def _printf(form: str, *values: Any) -> str:
    left = list(values)

    def convert(found: re.Match[str]) -> str:
        verb = found["verb"]
        if verb == "%":
            return "%"
        if not left:
            return f"%!{verb}(MISSING)"
        value, width = left.pop(0), int(found["width"] or 0)
        if width > _MAX_WIDTH or int(found["precision"] or 0) > _MAX_WIDTH:
            raise TemplateError("printf: the width is too large")
        text = _verb(verb, found["flags"], found["precision"], value)
        if "-" in found["flags"]:
            return text.ljust(width)
        if "0" in found["flags"] and isinstance(value, int | float):
            return text.zfill(width)
        return text.rjust(width)

    text = _VERB.sub(convert, form)
    if left:
        text += "%!(EXTRA " + ", ".join(f"{_go_type(each)}={shown(each)}" for each in left) + ")"
    return text


def _verb(verb: str, flags: str, precision: str | None, value: Any) -> str:
    """Give one value as a verb of ``printf`` asks; what does not fit is shown as Go shows it."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if verb in "vs" and (verb == "v" or not number):
        text = shown(value)
        return text[: int(precision)] if precision and isinstance(value, str) else text
    if verb == "q" and isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if verb == "q" and isinstance(value, list | tuple):
        return "[" + " ".join(_verb("q", flags, precision, each) for each in value) + "]"
    if verb == "t" and isinstance(value, bool):
        return shown(value)
    if verb in "dboxX" and isinstance(value, int) and not isinstance(value, bool):
        return format(value, ("+" if "+" in flags else "") + ("#" if "#" in flags else "") + verb)
    if verb in "xX" and isinstance(value, str):
        text = value.encode().hex()
        return text.upper() if verb == "X" else text
    if verb == "c" and isinstance(value, int):
        return chr(value)
    if verb in "eEfFgG" and isinstance(value, float):
        return format(value, ("+" if "+" in flags else "") + f".{precision or 6}" + verb)
    return f"%!{verb}({_go_type(value)}={shown(value)})"


def _go_type(value: Any) -> str:
    names = {str: "string", bool: "bool", int: "int", float: "float64", list: "[]interface {}"}
    return names.get(type(value), "map[string]interface {}" if isinstance(value, dict) else "<nil>")


def _eq(first: Any, *others: Any) -> bool:
    if not others:
        raise TemplateError("error calling eq: missing argument for comparison")
    return any(_comparable(first) == _comparable(each) for each in others)


def _comparable(value: Any) -> tuple[str, Any]:
    kind = "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__
    return kind, value


def _less(first: Any, second: Any) -> bool:
    if _comparable(first)[0] != _comparable(second)[0] or isinstance(first, bool | dict | list | None):
        raise TemplateError("error calling lt: incompatible types for comparison")
    result: bool = first < second
    return result


def _length(value: Any) -> int:
    return len(value.encode()) if isinstance(value, str) else len(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TemplateError(f"wrong type for value; expected string; got {_go_type(value)}")
    return value


def _truncate(text: str, length: int) -> str:
    return text[: max(0, length)]


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "not": lambda value: not truth(value),
    "len": _length,
    "index": _index,
    "slice": _slice,
    "print": _print,
    "printf": _printf,
    "println": lambda *values: " ".join(map(shown, values)) + "\n",
    "html": lambda *values: _html(_print(*values)),
    "js": lambda *values: json.dumps(_print(*values))[1:-1],
    "urlquery": lambda *values: quote_plus(_print(*values)),
    "eq": _eq,
    "ne": lambda first, second: not _eq(first, second),
    "lt": _less,
    "le": lambda first, second: _less(first, second) or _eq(first, second),
    "gt": lambda first, second: _less(second, first),
    "ge": lambda first, second: not _less(first, second),
    "json": to_json,
    "split": lambda text, separator: _text(text).split(separator) if separator else list(text),
    "join": lambda values, separator: separator.join(map(shown, values)),
    "title": lambda text: re.sub(r"(?:^|(?<=\W))\w", lambda found: found[0].upper(), _text(text)),
    "lower": lambda text: _text(text).lower(),
    "upper": lambda text: _text(text).upper(),
    "pad": lambda text, before, after: " " * min(before, _MAX_WIDTH) + text + " " * min(after, _MAX_WIDTH),
    "truncate": _truncate,
}
"""All functions but ``and`` and ``or``, which look at no more of their arguments than they have to."""


def _html(text: str) -> str:
    for character, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&#34;"), ("'", "&#39;")):
        text = text.replace(character, entity)
    return text
