"""A terminal with nobody before it: a program that runs in it is typed to, and what it shows is read."""

from __future__ import annotations

import fcntl
import os
import select
import struct
import subprocess
import termios
import time
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

_PATIENCE = 60.0


class Terminal:
    """A program in a terminal of its own; leave the ``with`` block to kill it."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], directory: Path) -> None:
        self._master, side = os.openpty()
        self.resize(33, 77)
        self.process = subprocess.Popen(
            ["setsid", "--ctty", *command],
            stdin=side,
            stdout=side,
            stderr=side,
            cwd=directory,
            env=dict(environment),
        )
        os.close(side)
        self._before = termios.tcgetattr(self._master)
        self.shown = b""
        self._seen = 0

    def resize(self, rows: int, columns: int) -> None:
        """Let the window have another size."""
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def press(self, keys: bytes) -> None:
        """Type."""
        os.write(self._master, keys)

    def until(self, text: bytes) -> None:
        """Wait until a text is shown, behind all that was waited for before."""
        end = time.monotonic() + _PATIENCE
        while text not in self.shown[self._seen :]:
            assert time.monotonic() < end, f"{text!r} is not shown: {self.shown!r}"
            assert self._read(0.2) or self.process.poll() is None, f"{text!r} was not shown: {self.shown!r}"
        self._seen = self.shown.index(text, self._seen) + len(text)

    def code(self) -> int:
        """Wait until the program ends, and give its exit code."""
        end = time.monotonic() + _PATIENCE
        while self.process.poll() is None:
            self._read(0.05)
            assert time.monotonic() < end, f"it does not end: {self.shown!r}"
        while self._read(0):
            pass
        return self.process.returncode

    def is_restored(self) -> bool:
        """Tell whether the terminal is as it was."""
        return termios.tcgetattr(self._master)[:6] == self._before[:6]

    def _read(self, seconds: float) -> bool:
        if not select.select([self._master], [], [], seconds)[0]:
            return False
        try:
            data = os.read(self._master, 1 << 16)
        except OSError:  # nobody has it open any more
            return False
        self.shown += data
        return bool(data)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._master)
