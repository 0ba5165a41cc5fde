"""Keeping collectors away from what was pushed and has no name yet."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from layers.errors import BusyError
from layers.serving.refusal import RefusalError

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator

    from layers.store.layout import Layout


class Lease:
    """Holds the store's lock, as a build does, while a push is under way: from its first blob until it has a name.

    A push is several requests, and nobody says where it ends. What it has brought, or was told that it need not bring,
    waits for a manifest that names it, and is given up some time after the last sign of life.
    """

    def __init__(self, layout: Layout, seconds: float, wait: float) -> None:
        """Keep what waits for ``seconds``; have patience with a collector for ``wait`` seconds."""
        self._layout = layout
        self._seconds = seconds
        self._wait = wait
        self._guard = threading.Lock()
        self._working = 0
        self._waiting: dict[Hashable, float] = {}
        self._held: ExitStack | None = None

    @contextmanager
    def working(self) -> Iterator[None]:
        """Hold the store for one request of a push.

        Raises:
            RefusalError: a collector is at work, and the wait is over.
        """
        with self._guard:
            self._take()
            self._working += 1
        try:
            yield
        finally:
            with self._guard:
                self._working -= 1
                later = time.monotonic() + self._seconds
                self._waiting = {each: max(until, later) for each, until in self._waiting.items()}
                self._let_go()

    def expect(self, what: Hashable, *, for_ever: bool = False) -> None:
        """Keep something until it is :meth:`settled`, or the time is over; called while working."""
        with self._guard:
            self._waiting[what] = float("inf") if for_ever else time.monotonic() + self._seconds

    def settled(self, what: Iterable[Hashable]) -> None:
        """Say that these need not be kept any more: they have a name, or are gone."""
        with self._guard:
            for each in what:
                self._waiting.pop(each, None)
            self._let_go()

    def expire(self) -> None:
        """Give up what has waited too long."""
        now = time.monotonic()
        with self._guard:
            self._waiting = {each: until for each, until in self._waiting.items() if until > now}
            self._let_go()

    def close(self) -> None:
        """Keep nothing any more; no request is at work."""
        with self._guard:
            self._waiting.clear()
            self._let_go()

    def _take(self) -> None:
        if self._held is not None:
            return
        with ExitStack() as stack:
            try:
                stack.enter_context(self._layout.using(wait=self._wait))
            except BusyError:
                retry = {"Retry-After": "5"}
                raise RefusalError(503, "UNAVAILABLE", "the store is being pruned", headers=retry) from None
            self._held = stack.pop_all()

    def _let_go(self) -> None:
        if self._held is not None and not self._working and not self._waiting:
            self._held.close()
            self._held = None
