"""A build's events as text: plain lines, JSON lines or nothing; ``tty.py`` draws on a terminal.

All of it goes to standard error; standard output is for data.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from builder.cli.human import size
from builder.events import Measured, Noted, Output, Progress, StepCached, StepFailed, StepFinished, StepStarted, Warned
from layers.digest import Digest

if TYPE_CHECKING:
    from builder.events import Event, Step


KEPT_LINES = 50
"""How many of a failed step's last lines are shown where its output was not."""
_LONGEST = 1 << 16


class Renderer(Protocol):
    """Takes a build's events, from several threads at once, and shows them."""

    def __call__(self, event: Event) -> None:
        """Show one event."""

    def close(self) -> None:
        """Show what is left; no event comes after."""


class Quiet:
    """Shows nothing but the last lines of a step that failed."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self._lines = Lines()
        self._last: dict[int, deque[str]] = {}

    def __call__(self, event: Event) -> None:
        """Keep a step's last lines, and show them where it fails."""
        with self._lock:
            match event:
                case Output(step=step, data=data):
                    kept = self._last.setdefault(step.number, deque(maxlen=KEPT_LINES))
                    kept.extend(self._lines.feed(step, data))
                case StepFinished(step=step):
                    self._last.pop(step.number, None)
                case StepFailed(step=step):
                    lines = [*self._last.pop(step.number, ()), *self._lines.rest(step)]
                    rule = "-" * 6
                    self._stream.write("\n".join([rule, f" > {step.title}:", *lines, rule, ""]) if lines else "")

    def close(self) -> None:
        """Flush."""
        self._stream.flush()


class Lines:
    """Cuts a step's output into lines, keeping an unfinished one until its end comes or it has 64 KiB."""

    def __init__(self) -> None:
        self._rest: dict[int, bytes] = {}

    def feed(self, step: Step, data: bytes) -> list[str]:
        """Give the lines that are whole now."""
        *lines, rest = (self._rest.pop(step.number, b"") + data).split(b"\n")
        if len(rest) > _LONGEST:
            rest = rest[rest.rfind(b"\r", 0, -1) + 1 :]  # what stands before is overwritten
            while len(rest) > _LONGEST:
                lines.append(rest[:_LONGEST])
                rest = rest[_LONGEST:]
        if rest:
            self._rest[step.number] = rest
        return [self._text(line) for line in lines]

    def unfinished(self, step: Step) -> str:
        """Give what there is of a line whose end has not come, such as a bar of progress."""
        return self._text(self._rest.get(step.number, b""))

    def rest(self, step: Step) -> list[str]:
        """Give the last line where it had no end."""
        rest = self._rest.pop(step.number, b"")
        return [self._text(rest)] if rest else []

    @staticmethod
    def _text(line: bytes) -> str:
        """Give what a terminal would show in the end: after a carriage return, what overwrote it."""
        return line.rstrip(b"\r").rsplit(b"\r", 1)[-1].decode("utf-8", "replace")


class Plain:
    """One line for each thing that happens, numbered by step: for logs and pipelines."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self._lines = Lines()
        self._started: dict[int, float] = {}
        self._shown_at: dict[tuple[int, str], float] = {}
        self._memory: dict[int, int] = {}

    def __call__(self, event: Event) -> None:
        """Write the event's lines."""
        with self._lock:
            for line in self._render(event):
                self._stream.write(line + "\n")
            self._stream.flush()

    def close(self) -> None:
        """Flush."""
        self._stream.flush()

    def _render(self, event: Event) -> list[str]:
        match event:
            case StepStarted(step=step):
                self._started[step.number] = time.monotonic()
                return [f"#{step.number} {step.title}"]
            case StepCached(step=step):
                return [f"#{step.number} {step.title}", f"#{step.number} CACHED", ""]
            case Output(step=step, data=data):
                return self._output(step, self._lines.feed(step, data))
            case Noted(step=step, text=text):
                return [f"#{step.number} {text}"]
            case Progress():
                return self._progress(event)
            case Measured(step=step, memory=memory):
                self._memory[step.number] = memory
                return []
            case StepFinished(step=step, seconds=seconds):
                used = f", {size(memory)}" if (memory := self._memory.pop(step.number, 0)) else ""
                return [*self._output(step, self._lines.rest(step)), f"#{step.number} DONE {seconds:.1f}s{used}", ""]
            case StepFailed(step=step, message=message):
                return [*self._output(step, self._lines.rest(step)), f"#{step.number} ERROR: {message}", ""]
            case Warned():
                return [warning_line(event)]

    def _output(self, step: Step, lines: list[str]) -> list[str]:
        seconds = time.monotonic() - self._started.get(step.number, time.monotonic())
        return [f"#{step.number} {seconds:.3f} {line}" for line in lines]

    def _progress(self, event: Progress) -> list[str]:
        """Show a transfer at its end, and every five seconds before."""
        key, now = (event.step.number, event.part), time.monotonic()
        last = self._shown_at.setdefault(key, now)
        if event.done < event.total and now - last < 5:
            return []
        self._shown_at[key] = now
        state = "done" if event.done >= event.total else f"/ {size(event.total)}"
        return [f"#{event.step.number} {event.part} {size(event.done)} {state}"]


class RawJson:
    """One JSON object a line, in the form of BuildKit's ``rawjson``."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self._started: dict[int, str] = {}

    def __call__(self, event: Event) -> None:
        """Write the event as one line."""
        with self._lock:
            self._stream.write(json.dumps(self._document(event), separators=(",", ":")) + "\n")
            self._stream.flush()

    def close(self) -> None:
        """Flush."""
        self._stream.flush()

    def _document(self, event: Event) -> dict[str, Any]:
        now = dt.datetime.now(tz=dt.UTC).isoformat()
        match event:
            case StepStarted(step=step):
                self._started[step.number] = now
                return {"vertexes": [self._vertex(step)]}
            case StepCached(step=step):
                self._started[step.number] = now
                return {"vertexes": [self._vertex(step) | {"completed": now, "cached": True}]}
            case StepFinished(step=step):
                return {"vertexes": [self._vertex(step) | {"completed": now}]}
            case StepFailed(step=step, message=message):
                return {"vertexes": [self._vertex(step) | {"completed": now, "error": message}]}
            case Output(step=step, data=data):
                text = base64.b64encode(data).decode()
                return {"logs": [{"vertex": _name(step), "stream": 1, "data": text, "timestamp": now}]}
            case Noted(step=step, text=note):
                text = base64.b64encode(note.encode() + b"\n").decode()
                return {"logs": [{"vertex": _name(step), "stream": 2, "data": text, "timestamp": now}]}
            case Measured(step=step, memory=memory):
                return {"statuses": [{"id": "memory", "vertex": _name(step), "current": memory, "timestamp": now}]}
            case Progress(step=step, part=part, done=done, total=total):
                status = {"id": part, "vertex": _name(step), "current": done, "total": total, "timestamp": now}
                return {"statuses": [status]}
            case Warned(rule=rule, message=message, where=where):
                place = {"file": where.file, "line": where.start} if where else {}
                return {"warnings": [{"rule": rule, "message": message, **place}]}

    def _vertex(self, step: Step) -> dict[str, Any]:
        return {"digest": _name(step), "name": step.title, "started": self._started.get(step.number)}


def _name(step: Step) -> str:
    return str(Digest.of(f"{step.number} {step.title}".encode()))


def warning_line(event: Warned) -> str:
    """Give a warning as one line."""
    place = f" ({event.where})" if event.where else ""
    return f"WARN: {event.rule}: {event.message}{place}"
