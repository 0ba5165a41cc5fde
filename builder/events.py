"""What a build reports while it goes on; each goes to a ``Listener``, in order within one step."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING

from layers.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Iterator

    from builder.errors import SourceRange


@frozen
class Step:
    """One line of progress: an instruction, a base image, a transfer or an export."""

    number: int
    """Counted from 1 over the whole build."""
    title: str
    """``[build 2/5] RUN make``."""
    where: SourceRange | None = None


@frozen
class StepStarted:
    """Work on a step began."""

    step: Step


@frozen
class StepCached:
    """A step's result was known; no :class:`StepStarted` came before."""

    step: Step


@frozen
class Output:
    """A step's command wrote this; cut anywhere, not only at line ends."""

    step: Step
    data: bytes


@frozen
class Progress:
    """A part of a step went on: ``done`` of ``total`` bytes."""

    step: Step
    part: str
    done: int
    total: int


@frozen
class Measured:
    """A step's command has ended."""

    step: Step
    memory: int
    """Bytes of its largest process."""


@frozen
class Noted:
    """One line of information about a step."""

    step: Step
    text: str


@frozen
class StepFinished:
    """A step is done."""

    step: Step
    seconds: float


@frozen
class StepFailed:
    """A step went wrong; the error itself is raised by ``build()``."""

    step: Step
    seconds: float
    message: str


@frozen
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
        message = getattr(error, "message", "") or getattr(error, "strerror", "") or type(error).__name__
        listener(StepFailed(step, time.monotonic() - began, message))
        raise
    listener(StepFinished(step, time.monotonic() - began))
