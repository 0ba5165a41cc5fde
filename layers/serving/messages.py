"""A request and its answer, whoever carries them."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import field
from typing import TYPE_CHECKING, Any, Protocol

from layers.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from layers.serving.uploads import Source


class Headers(Protocol):
    """The header fields of a request, by names in any case."""

    def get(self, name: str, /) -> str | None:
        """Give the first field of that name."""

    def get_all(self, name: str, /) -> Sequence[str] | None:
        """Give all fields of that name."""


@frozen
class Request:
    """What a client asks."""

    method: str
    path: str
    """Decoded, without the query."""
    query: Mapping[str, Sequence[str]]
    headers: Headers
    body: Source

    def parameter(self, name: str) -> str:
        """Give the first value of a parameter in the query; ``""`` where it has none."""
        return next(iter(self.query.get(name, ())), "")


class FilePart:
    """Some bytes of an open file, to be sent without being read; closed by who sends them."""

    def __init__(self, file: int, start: int, count: int) -> None:
        self.file = file
        self.start = start
        self.count = count

    def close(self) -> None:
        with contextlib.suppress(OSError):
            os.close(self.file)


@frozen
class Response:
    """What the client is told."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | FilePart = b""

    @property
    def size(self) -> int:
        """Bytes of the content."""
        return len(self.content) if isinstance(self.content, bytes) else self.content.count


def json_response(document: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Response:
    """Give a JSON document as the answer."""
    return Response(200, {"Content-Type": "application/json", **(headers or {})}, json.dumps(document).encode())
