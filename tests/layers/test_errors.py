"""The tree of errors is as its module draws it, and each says how to go on where that is known."""

from __future__ import annotations

import inspect
import re

from layers import errors
from layers.errors import LayersError, VerificationError


def test_the_drawing_shows_every_error_below_its_parent() -> None:
    drawn: dict[str, str] = {}
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        if found := re.match(r"([│├└─ ]*)(\w+Error)\b", line):
            depth = len(found[1]) // 4
            path[depth:] = [found[2]]
            drawn[found[2]] = path[depth - 1] if depth else "Exception"

    classes = inspect.getmembers(errors, lambda member: inspect.isclass(member) and issubclass(member, LayersError))

    assert {name: kind.__bases__[0].__name__ for name, kind in classes} == drawn


def test_an_error_is_its_message_and_keeps_its_hint() -> None:
    error = LayersError("it is broken", hint="mend it")

    assert ("it is broken", "it is broken", "mend it") == (str(error), error.message, error.hint)


def test_a_verification_error_names_both_sides() -> None:
    assert "the size: expected 1, got 2" == str(VerificationError("the size", expected=1, actual=2))
