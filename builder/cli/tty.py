"""A build on a terminal: finished steps scroll by, running ones are redrawn with their time and last lines."""

from __future__ import annotations

import shutil
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TextIO

from builder.cli.render import Lines, size, warning_line
from builder.events import Noted, Output, Progress, StepCached, StepFailed, StepFinished, StepStarted, Warned

if TYPE_CHECKING:
    from builder.events import Event, Step

_LOG_LINES = 6
_BLUE, _RED, _YELLOW, _RESET = "\x1b[34m", "\x1b[31m", "\x1b[33m", "\x1b[0m"


@dataclass(slots=True)
class _Active:
    step: Step
    started: float
    lines: list[str] = field(default_factory=list)
    note: str = ""


class Terminal:
    """Draws on a terminal that understands ANSI sequences; ``color`` is off where NO_COLOR asks for it."""

    def __init__(self, stream: TextIO, *, color: bool) -> None:
        self._stream = stream
        self._color = color
        self._lock = threading.Lock()
        self._lines = Lines()
        self._active: dict[int, _Active] = {}
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
        """Leave the terminal with whole lines."""
        self._closed.set()
        if self._ticker is not None:
            self._ticker.join()
        with self._lock:
            self._redraw([f"{active.step.title}" for active in self._active.values()], final=True)

    def _run(self) -> None:
        while not self._closed.wait(0.1):
            with self._lock:
                self._redraw([])

    def _take(self, event: Event) -> list[str]:
        """Note the event; give the lines that stay."""
        match event:
            case StepStarted(step=step):
                self._active[step.number] = _Active(step, time.monotonic())
            case StepCached(step=step):
                return [self._paint(_BLUE, f" => CACHED {step.title}")]
            case Output(step=step, data=data):
                self._log(step, self._lines.feed(step, data))
            case Noted(step=step, text=text):
                self._log(step, [text])
            case Progress(step=step, part=part, done=done, total=total):
                if step.number in self._active:
                    self._active[step.number].note = f"{part} {size(done)} / {size(total)}"
            case StepFinished(step=step, seconds=seconds):
                self._active.pop(step.number, None)
                return [self._paint(_BLUE, self._row(f" => {step.title}", seconds))]
            case StepFailed(step=step, seconds=seconds):
                active = self._active.pop(step.number, None)
                self._log(step, self._lines.rest(step))
                tail = [f" => => # {line}" for line in (active.lines if active else [])]
                return [self._paint(_RED, self._row(f" => ERROR {step.title}", seconds)), *tail]
            case Warned():
                return [self._paint(_YELLOW, warning_line(event))]
        return []

    def _log(self, step: Step, lines: list[str]) -> None:
        if step.number in self._active:
            active = self._active[step.number]
            active.lines = [*active.lines, *lines][-_LOG_LINES:]

    def _paint(self, color: str, text: str) -> str:
        return f"{color}{text}{_RESET}" if self._color else text

    @staticmethod
    def _row(text: str, seconds: float) -> str:
        width = max(40, shutil.get_terminal_size().columns)
        time_text = f"{seconds:.1f}s"
        room = width - len(time_text) - 2
        return f"{text[:room]:<{room}} {time_text}"

    def _redraw(self, done: list[str], *, final: bool = False) -> None:
        now = time.monotonic()
        width = max(40, shutil.get_terminal_size().columns)
        out = [f"\x1b[{self._drawn}A\x1b[J" if self._drawn else ""]
        out += [line + "\n" for line in done]
        rows: list[str] = []
        if not final:
            for active in self._active.values():
                rows.append(self._row(f" => {active.step.title}", now - active.started))
                rows += [f" => => # {line}"[: width - 1] for line in active.lines]
                if active.note:
                    rows.append(f" => => {active.note}"[: width - 1])
            rows = rows[: max(4, shutil.get_terminal_size().lines - 2)]
        out += [row + "\n" for row in rows]
        self._stream.write("".join(out))
        self._stream.flush()
        self._drawn, self._drawn_at = len(rows), now
