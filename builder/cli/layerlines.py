"""A line for each layer on its way, as ``docker pull`` and ``docker push`` show them."""

from __future__ import annotations

import shutil
import sys
import threading
import time
from typing import TYPE_CHECKING, TextIO

from builder.cli.columns import fit
from builder.cli.human import size

if TYPE_CHECKING:
    from collections.abc import Sequence

_PAUSE = 0.1
_BAR = 40
_BESIDE_BAR = 45
"""The columns that an id, a verb and two sizes take."""


class LayerLines:
    """Shows what becomes of layers; on a terminal each line changes in place. Called by several threads."""

    def __init__(self, verb: str, stream: TextIO | None, *, terminal: bool | None = None) -> None:
        """Show lines on ``stream``, None for none at all; ``verb`` is what is done to a layer: Downloading."""
        self._verb = verb
        self._stream = stream
        self._terminal = stream is not None and (stream.isatty() if terminal is None else terminal)
        self._lock = threading.Lock()
        self._lines: dict[str, str] = {}
        self._drawn = 0
        self._drawn_at = 0.0

    def begin(self, ids: Sequence[str], state: str) -> None:
        """Show layers that nothing has happened to yet."""
        for id_ in ids:
            self.state(id_, state)

    def state(self, id_: str, text: str) -> None:
        """Show what has become of a layer; saying the same again shows nothing."""
        with self._lock:
            if self._lines.get(id_) == text or self._stream is None:
                return
            self._lines[id_] = text
            if self._terminal:
                self._draw()
            else:
                self._stream.write(f"{id_}: {text}\n")
                self._stream.flush()

    def progress(self, id_: str, done: int, total: int) -> None:
        """Show how far a layer is, on a terminal, and not too often."""
        if not self._terminal or time.monotonic() - self._drawn_at < _PAUSE:
            return
        length = max(4, min(_BAR, shutil.get_terminal_size().columns - _BESIDE_BAR))
        bar = ("=" * (length * min(done, total) // max(total, 1)) + ">").ljust(length + 1)
        with self._lock:
            self._lines[id_] = f"{self._verb} [{bar}] {size(done)}/{size(total)}"
            self._draw()

    def _draw(self) -> None:
        assert self._stream is not None
        width, height = shutil.get_terminal_size()
        up = f"\x1b[{self._drawn}A" if self._drawn else ""
        lines = [fit(f"{id_}: {text}", width - 1) for id_, text in self._lines.items()][-max(1, height - 1) :]
        self._stream.write(up + "".join(f"\x1b[2K{line}\n" for line in lines))
        self._stream.flush()
        self._drawn, self._drawn_at = len(lines), time.monotonic()


def stdout_lines(verb: str, *, quiet: bool) -> LayerLines:
    """Give lines on standard output, or none where it shall be quiet."""
    return LayerLines(verb, None if quiet else sys.stdout)
