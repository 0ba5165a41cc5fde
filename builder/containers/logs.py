"""What a container's process wrote, kept line by line: the form of Docker's ``json-file``.

A byte that is no UTF-8 is kept as a lone surrogate, so that what is shown is what was written.
"""

from __future__ import annotations

import json
import os
import threading
import time
from typing import TYPE_CHECKING, NamedTuple, Self

from builder.containers.store import now

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import TracebackType

_LONGEST = 16 << 10
"""Bytes of a line that are kept as one."""
_BLOCK = 1 << 16
_LOOK = 0.05
"""Seconds between two looks at a log that is followed."""


class Line(NamedTuple):
    """A line, or a part of a long one, with what ended it."""

    stream: str
    """``stdout`` or ``stderr``."""
    time: str
    """RFC 3339."""
    text: bytes


class LogWriter:
    """Appends to a container's log; for several threads."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab", buffering=0)
        self._lock = threading.Lock()
        self._begun = {"stdout": b"", "stderr": b""}

    def write(self, stream: str, data: bytes) -> None:
        """Take what was written: whole lines go to the file, the rest waits for its end."""
        with self._lock:
            *lines, rest = (self._begun[stream] + data).split(b"\n")
            parts = [line + b"\n" for line in lines]
            while len(rest) >= _LONGEST:
                parts.append(rest[:_LONGEST])
                rest = rest[_LONGEST:]
            self._begun[stream] = rest
            self._append(stream, parts)

    def _append(self, stream: str, parts: list[bytes]) -> None:
        if parts:
            moment = now()
            lines = [
                json.dumps({"log": part.decode("utf-8", "surrogateescape"), "stream": stream, "time": moment})
                for part in parts
            ]
            self._file.write(("\n".join(lines) + "\n").encode())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write lines that have no end, and close the file."""
        with self._lock:
            for stream, rest in self._begun.items():
                self._append(stream, [rest] if rest else [])
            self._file.close()


def lines(path: Path, tail: int | None = None) -> Iterator[Line]:
    """Give what is in a log, or the last ``tail`` lines of it."""
    yield from _parsed(_raw(path, 0 if tail is None else _start_of(path, tail)))


def follow(path: Path, tail: int | None, running: Callable[[], bool]) -> Iterator[Line]:
    """Give what is in a log and what is added, as it comes, until ``running`` gives False."""
    position = _start_of(path, tail) if tail is not None else 0
    while True:
        more = running()  # before it is read: what was written until then is read
        found = list(_raw(path, position))
        position += sum(map(len, found))
        yield from _parsed(iter(found))
        if not more:
            return
        if not found:
            time.sleep(_LOOK)


def _raw(path: Path, start: int) -> Iterator[bytes]:
    """Give whole lines of the file."""
    try:
        with path.open("rb") as file:
            file.seek(start)
            for line in file:
                if not line.endswith(b"\n"):  # it is being written
                    return
                yield line
    except FileNotFoundError:
        return


def _parsed(found: Iterator[bytes]) -> Iterator[Line]:
    for raw in found:
        entry = json.loads(raw)
        yield Line(entry["stream"], entry["time"], entry["log"].encode("utf-8", "surrogateescape"))


def _start_of(path: Path, count: int) -> int:
    """Give where the last ``count`` lines of a file begin."""
    try:
        with path.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            position, wanted = end, count + 1  # the newline before the first of them
            while position > 0:
                size = min(_BLOCK, position)
                position -= size
                file.seek(position)
                block = file.read(size)
                found = block.count(b"\n")
                if found >= wanted:
                    for _ in range(wanted):
                        size = block.rindex(b"\n", 0, size)
                    return position + size + 1
                wanted -= found
            return 0 if count else end
    except FileNotFoundError:
        return 0
