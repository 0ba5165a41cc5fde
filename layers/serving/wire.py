"""HTTP/1.1 as hostile or slow clients speak it: the body of a request, and how long somebody is waited for.

Spec: RFC 9112, sections 6 and 7.
"""

from __future__ import annotations

import math
import re
import time
from typing import TYPE_CHECKING, BinaryIO, cast

from layers.serving.refusal import RefusalError

if TYPE_CHECKING:
    import io
    from collections.abc import Callable, Sequence

    from layers.serving.messages import Headers

_HEX = re.compile(rb"([0-9a-fA-F]{1,15})[ \t]*(?:;[^\r\n]*)?\r?\n")
_DECIMAL = re.compile(r"[0-9]{1,18}")
_MAX_LINE = 4096
_MAX_TRAILERS = 100
_RATE = 1024
"""Bytes a second that a client has to send or take in the long run."""


class BrokenError(Exception):
    """The client has gone, or speaks no HTTP: there is nobody to answer."""


class Pace:
    """How long a client may keep this connection waiting, as a deadline that somebody else watches over."""

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._credit = patience
        self.deadline = math.inf
        """On the monotonic clock; when it has passed the connection is to be cut."""

    def wait(self, operation: Callable[[], int]) -> int:
        """Carry out something that takes the client's part, and give its number of bytes."""
        start = time.monotonic()
        self.deadline = start + self._credit
        try:
            count = operation()
        finally:
            self.deadline = math.inf
        spent = time.monotonic() - start
        self._credit = min(self._patience, self._credit - spent + count / _RATE)
        return count

    def renew(self) -> None:
        """Begin anew, with the next request."""
        self._credit = self._patience


class Body:
    """The body of one request; ``Content-Length`` or chunked, read as it comes."""

    def __init__(self, source: BinaryIO, headers: Headers, pace: Pace, go_on: Callable[[], None]) -> None:
        """Look at what the headers promise; ``go_on`` is called before the first byte is read.

        Raises:
            RefusalError: the headers contradict one another, or ask for what is not known.
        """
        self._source = cast("io.BufferedReader", source)
        self._pace = pace
        self._go_on = go_on
        self._begun = False
        self._chunked = _is_chunked(headers)
        self._left = 0 if self._chunked else _length(headers.get_all("Content-Length") or ())
        self._over = not self._chunked and not self._left

    @property
    def over(self) -> bool:
        """Whether all of it has been read, so that the next request may follow."""
        return self._over

    @property
    def promised(self) -> bool:
        """Whether the client waits to be told to send it."""
        return not self._begun and not self._over

    def read(self, size: int, /) -> bytes:
        """Give up to ``size`` bytes as soon as there are some, and none at the end.

        Raises:
            BrokenError: the connection ended, or what came is not chunked as it should be.
        """
        if self._over:
            return b""
        if not self._begun:
            self._begun = True
            self._go_on()
        if self._chunked and not self._left and not self._next_chunk():
            return b""
        found: list[bytes] = []

        def read() -> int:
            found.append(self._source.read1(min(size, self._left)))
            return len(found[0])

        if not self._pace.wait(read):
            raise BrokenError("the connection ended within a body")
        self._left -= len(found[0])
        if not self._left:
            if self._chunked:
                self._line(b"\r\n")
            else:
                self._over = True
        return found[0]

    def _next_chunk(self) -> bool:
        """Read a chunk's length; False at the end of all, where the trailers are read over."""
        found = _HEX.fullmatch(self._line())
        if found is None:
            raise BrokenError("a chunk has no length")
        self._left = int(found[1], 16)
        if self._left:
            return True
        for _ in range(_MAX_TRAILERS):
            if self._line() in {b"\r\n", b"\n"}:
                self._over = True
                return False
        raise BrokenError("too many trailers")

    def _line(self, expected: bytes = b"") -> bytes:
        found: list[bytes] = []

        def read() -> int:
            found.append(self._source.readline(_MAX_LINE))
            return len(found[0])

        self._pace.wait(read)
        if not found[0].endswith(b"\n") or (expected and found[0] not in {expected, b"\n"}):
            raise BrokenError("the connection ended within a body, or a chunk is not as long as it says")
        return found[0]


def _is_chunked(headers: Headers) -> bool:
    found = headers.get_all("Transfer-Encoding") or ()
    if not found:
        return False
    if headers.get("Content-Length") is not None:
        # two lengths are two requests to somebody on the way (RFC 9112, 6.1)
        raise RefusalError(400, "UNSUPPORTED", "a request has either Content-Length or Transfer-Encoding")
    if [each.strip().lower() for each in found] != ["chunked"]:
        raise RefusalError(501, "UNSUPPORTED", "the only Transfer-Encoding is chunked")
    return True


def _length(values: Sequence[str]) -> int:
    given = {each.strip() for value in values for each in value.split(",")}
    if not given:
        return 0
    if len(given) > 1 or not _DECIMAL.fullmatch(next(iter(given))):
        raise RefusalError(400, "SIZE_INVALID", "invalid Content-Length")
    return int(next(iter(given)))
