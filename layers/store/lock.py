"""Locks between processes that end with their holder, however it ends.

``flock`` belongs to an open file: the kernel lets go when the process is killed, and two threads that open the file
each exclude one another as two processes do.
"""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from layers.errors import BusyError
from layers.store.files import disk_errors

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_SHORTEST_PAUSE = 0.005
_LONGEST_PAUSE = 0.25


class Lock:
    """A lock file: held by many together or by one alone."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def shared(self, *, wait: float | None = None) -> Iterator[None]:
        """Hold the lock together with others, for ``wait`` seconds' patience; None waits for ever.

        Raises:
            BusyError: somebody holds it alone, and the wait is over.
            StoreError: the lock file cannot be made.
        """
        with self._hold(fcntl.LOCK_SH, wait):
            yield

    @contextmanager
    def exclusive(self, *, wait: float | None = None) -> Iterator[None]:
        """Hold the lock alone, for ``wait`` seconds' patience; None waits for ever.

        One who waits keeps nobody out: while others come and go, it may wait long.

        Raises:
            BusyError: somebody holds it, and the wait is over.
            StoreError: the lock file cannot be made.
        """
        with self._hold(fcntl.LOCK_EX, wait):
            yield

    @contextmanager
    def _hold(self, kind: int, wait: float | None) -> Iterator[None]:
        with disk_errors("open the lock", self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            with disk_errors("lock", self.path):
                self._acquire(descriptor, kind, wait)
            yield
        finally:
            os.close(descriptor)

    def _acquire(self, descriptor: int, kind: int, wait: float | None) -> None:
        if wait is None:
            fcntl.flock(descriptor, kind)
            return
        deadline = time.monotonic() + wait
        pause = _SHORTEST_PAUSE
        while True:
            try:
                fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
            except BlockingIOError:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise BusyError(f"{self.path} is held by another process", hint="wait until it ends") from None
                time.sleep(min(pause, left))
                pause = min(pause * 2, _LONGEST_PAUSE)
            else:
                return
