"""``--filter`` of the commands that choose among images."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from builder.cli.human import point_in_time
from builder.cli.stored import find
from builder.errors import BuildError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from builder.cli.stored import Kept
    from layers.reference import Reference
    from layers.store.layout import Layout

    Test = Callable[[Kept], bool]

_TRUE, _FALSE = frozenset({"1", "t", "true"}), frozenset({"0", "f", "false"})


class Filters:
    """Which images are wanted; an image has to pass every key, by any of the key's values."""

    def __init__(self, layout: Layout, given: Sequence[str], allowed: Collection[str]) -> None:
        """Read ``key=value`` each.

        Raises:
            BuildError: no pair, a key that is not one of ``allowed``, or a value that does not fit it.
            NotFoundError: ``before`` or ``since`` an image that is not here.
        """
        self._layout = layout
        self._tests: dict[str, list[Test]] = {}
        self._names: list[str] = []
        for text in given:
            key, equals, value = text.partition("=")
            key = key.strip().lower()
            if not equals or not key:
                raise BuildError(f"invalid filter {text!r}", hint="write --filter KEY=VALUE")
            if key not in allowed:
                raise BuildError(f"invalid filter {key!r}", hint=f"the filters are {', '.join(sorted(allowed))}")
            self._add(key, value.strip())

    def _add(self, key: str, value: str) -> None:
        match key:
            case "dangling":
                wanted = _boolean(value)
                self._tests.setdefault(key, []).append(lambda kept: (not kept.names) == wanted)
            case "label":
                # labels are the exception: an image has to have all of them
                self._tests.setdefault(f"label {value}", []).append(lambda kept: _has_label(kept, value))
            case "label!":
                self._tests.setdefault(f"label! {value}", []).append(lambda kept: not _has_label(kept, value))
            case "before":
                end = find(self._layout, value).created
                self._tests.setdefault(key, []).append(lambda kept: kept.created < end)
            case "since":
                start = find(self._layout, value).created
                self._tests.setdefault(key, []).append(lambda kept: kept.created > start)
            case "until":
                latest = point_in_time(value)
                if latest is None:
                    hint = "write a time (2026-01-31T12:00:00), or how long ago (24h, 90m)"
                    raise BuildError(f"invalid filter until={value!r}", hint=hint)
                self._tests.setdefault(key, []).append(lambda kept: kept.created < latest)
            case _:
                glob(value)
                self._names.append(value)

    def take(self, kept: Kept) -> bool:
        """Tell whether an image is wanted, whatever it is called."""
        return all(any(test(kept) for test in tests) for tests in self._tests.values())

    def names(self, kept: Kept) -> tuple[Reference, ...]:
        """Give those names of an image that are wanted."""
        if not self._names:
            return kept.names
        return tuple(name for name in kept.names if any(named(name, pattern) for pattern in self._names))

    @property
    def by_name(self) -> bool:
        """Whether only images of certain names are wanted."""
        return bool(self._names)


def _boolean(value: str) -> bool:
    if value.lower() not in _TRUE | _FALSE:
        raise BuildError(f"invalid filter dangling={value!r}", hint="it is true or false")
    return value.lower() in _TRUE


def _has_label(kept: Kept, wanted: str) -> bool:
    key, equals, value = wanted.partition("=")
    labels = kept.image.config.config.labels
    return key in labels and (not equals or labels[key] == value)


def named(name: Reference, pattern: str) -> bool:
    """Tell whether a pattern matches a name as a person writes it, with its tag or without."""
    expression = glob(pattern)
    return any(
        expression.fullmatch(text) for text in (name.familiar, name.familiar_name, f"{name.familiar_name}:{name.tag}")
    )


def glob(pattern: str) -> re.Pattern[str]:
    """Read a pattern as Go's ``path.Match`` does: ``*`` and ``?`` stop at slashes.

    Raises:
        BuildError: a class that does not end.
    """
    parts: list[str] = []
    position = 0
    while position < len(pattern):
        character = pattern[position]
        if character == "[":
            end = pattern.find("]", position + 2)
            if end < 0:
                raise BuildError(f"invalid pattern {pattern!r}: a [ is not closed")
            inside = pattern[position + 1 : end].replace("\\", "\\\\")
            parts.append(f"[{inside}]")
            position = end
        elif character == "\\" and position + 1 < len(pattern):
            position += 1
            parts.append(re.escape(pattern[position]))
        else:
            parts.append({"*": "[^/]*", "?": "[^/]"}.get(character, re.escape(character)))
        position += 1
    try:
        return re.compile("".join(parts))
    except re.error as error:
        raise BuildError(f"invalid pattern {pattern!r}: {error}") from None
