"""Where the time of a build goes: phases with a beginning and an end, of several threads."""

from __future__ import annotations

import json
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_Item = TypeVar("_Item")


class Span(NamedTuple):
    """One piece of work."""

    phase: str
    """``parse``, ``base`` (found or pulled), ``context`` (walked, and read where it is not known), ``unpack``, ``run``,
    ``layer`` (from its first file to its last byte) with what goes on meanwhile: ``diff`` (what a RUN has changed),
    ``compress`` and ``hash``; ``export``."""
    what: str
    """Which step it was for."""
    start: float
    """Seconds since the build began."""
    seconds: float
    thread: int
    """Below zero where several did it: a number for each phase."""


class Costs:
    """Notes how long each piece of work takes; for several threads."""

    def __init__(self) -> None:
        """Begin now."""
        self._began = time.monotonic()
        self._spans: list[Span] = []
        self._lanes: dict[str, int] = {}

    @contextmanager
    def phase(self, name: str, what: str = "") -> Iterator[None]:
        """Note what is done in the ``with`` block."""
        start = time.monotonic()
        try:
            yield
        finally:
            seconds = time.monotonic() - start
            self._spans.append(Span(name, what, start - self._began, seconds, threading.get_ident()))

    def add(self, name: str, what: str, seconds: float) -> None:
        """Note work that went on beside other work and ends now, its seconds summed up."""
        start = time.monotonic() - self._began - seconds
        self._spans.append(
            Span(name, what, max(0.0, start), seconds, self._lanes.setdefault(name, -1 - len(self._lanes)))
        )

    def timed(self, name: str, what: str, items: Iterable[_Item]) -> Iterator[_Item]:
        """Give the same items, and note how long it took to make them."""
        seconds, making = 0.0, iter(items)
        try:
            while True:
                start = time.monotonic()
                try:
                    item = next(making, None)
                finally:
                    seconds += time.monotonic() - start
                if item is None:
                    return
                yield item
        finally:
            self.add(name, what, seconds)

    @property
    def spans(self) -> tuple[Span, ...]:
        """All that was noted, in the order in which it ended."""
        return tuple(self._spans)

    def summary(self) -> str:
        """Give one line: each phase and its seconds, the longest first; phases of several threads add up."""
        whole = time.monotonic() - self._began
        sums: dict[str, float] = {}
        for span in self._spans:
            sums[span.phase] = sums.get(span.phase, 0.0) + span.seconds
        parts = [f"{name} {seconds:.2f}s" for name, seconds in sorted(sums.items(), key=lambda item: -item[1])]
        return f"time: {whole:.2f}s" + (f" ({', '.join(parts)})" if parts else "")

    def trace(self) -> bytes:
        """Give all of it in the trace-event format, which browsers' trace viewers and Perfetto open."""
        threads = {ident: number for number, ident in enumerate(dict.fromkeys(span.thread for span in self._spans), 1)}
        events = [
            {
                "name": span.what or span.phase,
                "cat": span.phase,
                "ph": "X",
                "ts": round(span.start * 1e6),
                "dur": round(span.seconds * 1e6),
                "pid": 1,
                "tid": threads[span.thread],
            }
            for span in sorted(self._spans, key=lambda span: span.start)
        ]
        return json.dumps({"traceEvents": events, "displayTimeUnit": "ms"}, separators=(",", ":")).encode() + b"\n"
