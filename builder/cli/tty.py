"""A build on a terminal: finished steps scroll by, running ones are redrawn with their time and last lines."""

from __future__ import annotations

import shutil
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, TextIO

from builder.cli.columns import fit, row
from builder.cli.human import size
from builder.cli.render import KEPT_LINES, Lines, warning_line
from builder.events import Noted, Output, Progress, StepCached, StepFailed, StepFinished, StepStarted, Warned

if TYPE_CHECKING:
    from builder.events import Event, Step

_LOG_LINES = 6
_BLUE, _RED, _YELLOW, _RESET = "\x1b[34m", "\x1b[31m", "\x1b[33m", "\x1b[0m"


@dataclass(slots=True)
class _Active:
    step: Step
    started: float
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=KEPT_LINES))
    note: str = ""


class Terminal:
    """Draws on a terminal that understands ANSI sequences; ``color`` is off where NO_COLOR asks for it."""

    def __init__(self, stream: TextIO, *, color: bool) -> None:
        self._stream = stream
        self._color = color
        self._lock = threading.Lock()
        self._lines = Lines()
        self._active: dict[int, _Active] = {}
        self._known = self._done = 0
        self._drawn = 0
        self._drawn_at = 0.0
        self._began = time.monotonic()
        self._closed = threading.Event()
        self._ticker: threading.Thread | None = None

    def __call__(self, event: Event) -> None:
        """Show the event now where it ends or begins something, else at the next redraw."""
        with self._lock:
            done = self._take(event)
            if done or time.monotonic() - self._drawn_at > 0.05:
                self._redraw(done)

    def tick(self) -> None:
        """Begin to redraw ten times a second; called when the process may have threads."""
        if self._ticker is None:
            self._ticker = threading.Thread(target=self._run, daemon=True)
            self._ticker.start()

    def close(self) -> None:
        """Leave the terminal with whole lines, the last of which says how many steps it was and how long they took."""
        self._closed.set()
        if self._ticker is not None:
            self._ticker.join()
        with self._lock:
            ended = " FINISHED" if self._done == self._known else ""
            left = [active.step.title for active in self._active.values()]
            self._active.clear()
            self._redraw([*left, self._head() + ended] if self._known else left)

    def _run(self) -> None:
        while not self._closed.wait(0.1):
            with self._lock:
                self._redraw([])

    def _take(self, event: Event) -> list[str]:
        """Note the event; give the lines that stay."""
        match event:
            case StepStarted(step=step):
                self._known += 1
                self._active[step.number] = _Active(step, time.monotonic())
            case StepCached(step=step):
                self._known += 1
                self._done += 1
                return [self._paint(_BLUE, fit(f" => CACHED {step.title}", _width()))]
            case Output(step=step, data=data):
                self._log(step, self._lines.feed(step, data))
            case Noted(step=step, text=text):
                self._log(step, [text])
            case Progress(step=step, part=part, done=done, total=total):
                if step.number in self._active:
                    self._active[step.number].note = f"{part} {size(done)} / {size(total)}"
            case StepFinished(step=step, seconds=seconds):
                self._done += 1
                self._active.pop(step.number, None)
                return [self._paint(_BLUE, _timed(f" => {step.title}", seconds))]
            case StepFailed(step=step, seconds=seconds):
                self._log(step, self._lines.rest(step))
                active = self._active.pop(step.number, None)
                tail = [fit(f" => => # {line}", 4096) for line in (active.lines if active else [])]
                return [self._paint(_RED, _timed(f" => ERROR {step.title}", seconds)), *tail]
            case Warned():
                return [self._paint(_YELLOW, warning_line(event))]
        return []

    def _log(self, step: Step, lines: list[str]) -> None:
        if step.number in self._active:
            self._active[step.number].lines.extend(lines)

    def _paint(self, color: str, text: str) -> str:
        return f"{color}{text}{_RESET}" if self._color else text

    def _head(self) -> str:
        return f"[+] Building {time.monotonic() - self._began:.1f}s ({self._done}/{self._known})"

    def _redraw(self, done: list[str]) -> None:
        """Put lines that stay above the running steps, and draw those anew."""
        now, width, height = time.monotonic(), _width(), shutil.get_terminal_size().lines
        rows = [self._head()] if self._active else []
        for active in self._active.values():
            rows.append(_timed(f" => {active.step.title}", now - active.started))
            lines = [*islice(reversed(active.lines), _LOG_LINES)][::-1]
            if unfinished := self._lines.unfinished(active.step):
                lines = [*lines, unfinished][-_LOG_LINES:]
            rows += [fit(f" => => # {line}", width) for line in lines]
            if active.note:
                rows.append(fit(f" => => {active.note}", width))
        rows = rows[: max(4, height - 2)]
        up = f"\x1b[{self._drawn}A\x1b[J" if self._drawn else ""
        self._stream.write(up + "".join(f"{line}\n" for line in [*done, *rows]))
        self._stream.flush()
        self._drawn, self._drawn_at = len(rows), now


def _width() -> int:
    """Give how many columns a line may take; the last is left alone, for some terminals wrap there."""
    return max(40, shutil.get_terminal_size().columns) - 1


def _timed(text: str, seconds: float) -> str:
    return row(text, f"{seconds:.1f}s", _width())
