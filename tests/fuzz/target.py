"""What is fuzzed: a reader of something from outside, and the errors by which it may refuse."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from builder.errors import BuildError
from layers.errors import LayersError

if TYPE_CHECKING:
    from collections.abc import Callable

ALLOWED = (BuildError, LayersError)
"""What a reader may raise; anything else is a bug."""
MAX_CPU = 5.0
"""Seconds of processor time for one input of at most ``Target.size`` bytes, watched by the fuzzer, which is slower."""


class Target(NamedTuple):
    """One reader."""

    read: Callable[[bytes], object]
    size: int = 4096
    """Bytes of the longest input that is tried."""
    words: tuple[str, ...] = ()
    """What is worth putting into an input."""


class SlowError(Exception):
    """An input took more time than any input of its size may."""


def attempt(read: Callable[[bytes], object], content: bytes) -> None:
    """Read some bytes; an error of the project's own is an answer too, and has to be one that can be shown.

    Raises:
        Exception: any other, which is a bug.
    """
    try:
        read(content)
    except ALLOWED as error:
        check_shown(error, error.hint)


def check_shown(error: Exception, hint: str = "") -> None:
    """Check that an error says something."""
    assert str(error)
    assert isinstance(hint, str)


def timed(read: Callable[[bytes], object], content: bytes) -> None:
    """Read some bytes as :func:`attempt` does.

    Raises:
        SlowError: it took longer than ``MAX_CPU``.
    """
    started = time.process_time()
    attempt(read, content)
    spent = time.process_time() - started
    if spent > MAX_CPU:
        raise SlowError(f"{len(content)} bytes took {spent:.1f} s of processor time")


def text_of(content: bytes) -> str:
    """Give bytes as the text of an argument or a variable, which may be any bytes."""
    return content.decode("utf-8", "surrogateescape")


def header_of(content: bytes) -> str:
    """Give bytes as the value of an HTTP header."""
    return content.translate(None, b"\r\n\x00").decode("latin-1")
