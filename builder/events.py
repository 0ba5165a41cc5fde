"""What a build reports while it goes on; each goes to a ``Listener``, in order within one step."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from builder.errors import SourceRange


@dataclass(frozen=True, slots=True)
class Step:
    """One line of progress: an instruction, a base image, a transfer or an export."""

    number: int
    """Counted from 1 over the whole build."""
    title: str
    """``[build 2/5] RUN make``."""
    where: SourceRange | None = None


@dataclass(frozen=True, slots=True)
class StepStarted:
    """Work on a step began."""

    step: Step


@dataclass(frozen=True, slots=True)
class StepCached:
    """A step's result was known; no :class:`StepStarted` came before."""

    step: Step


@dataclass(frozen=True, slots=True)
class Output:
    """A step's command wrote this; cut anywhere, not only at line ends."""

    step: Step
    data: bytes


@dataclass(frozen=True, slots=True)
class Progress:
    """A part of a step went on: ``done`` of ``total`` bytes."""

    step: Step
    part: str
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Measured:
    """A step's command has ended."""

    step: Step
    memory: int
    """Bytes of its largest process."""


@dataclass(frozen=True, slots=True)
class Noted:
    """One line of information about a step."""

    step: Step
    text: str


@dataclass(frozen=True, slots=True)
class StepFinished:
    """A step is done."""

    step: Step
    seconds: float


@dataclass(frozen=True, slots=True)
class StepFailed:
    """A step went wrong; the error itself is raised by ``build()``."""

    step: Step
    seconds: float
    message: str


@dataclass(frozen=True, slots=True)
class Warned:
    """Something is allowed and yet probably not what was meant."""

    rule: str
    message: str
    where: SourceRange | None = None


Event = StepStarted | StepCached | Output | Progress | Measured | Noted | StepFinished | StepFailed | Warned
Listener = Callable[[Event], None]


@contextmanager
def reported(listener: Listener, step: Step) -> Iterator[Step]:
    """Report a step's beginning and, however it comes, its end."""
    listener(StepStarted(step))
    began = time.monotonic()
    try:
        yield step
    except BaseException as error:
        message = getattr(error, "message", "") or type(error).__name__
        listener(StepFailed(step, time.monotonic() - began, message))
        raise
    listener(StepFinished(step, time.monotonic() - began))
