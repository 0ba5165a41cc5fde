"""Try every way to run a step, each in a process of its own, and tell what it answered: for people who look for why."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from typing import TYPE_CHECKING, NoReturn

from builder.errors import BuildError
from builder.runtime.ladder import CHOICES, choose
from layers.frozen import frozen

if TYPE_CHECKING:
    from pathlib import Path


@frozen
class Finding:
    """What came of one way."""

    isolation: str
    """What ``--isolation`` calls it."""
    works: bool
    answer: str
    """How it works and what a better machine would have; else what was tried, the answers, and what would help."""
    network: str = ""
    """Which network steps have there by default, and why; empty where it does not work."""


def survey(directory: Path) -> list[Finding]:
    """Try all ways, the best first, with temporary files below ``directory``; call it while there is one thread."""
    return [_tried(isolation, directory) for isolation in CHOICES if isolation != "auto"]


def _tried(isolation: str, directory: Path) -> Finding:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _be_the_child(isolation, directory, writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as answer:
        text = answer.read()
    os.waitpid(child, 0)
    return (
        Finding(**json.loads(text)) if text else Finding(isolation, works=False, answer="the process that tried died")
    )


def _be_the_child(isolation: str, directory: Path, writing: int) -> NoReturn:
    # Namespaces are entered for good, so the next way needs another process.
    try:
        os.write(writing, json.dumps(asdict(_try(isolation, directory))).encode())
    finally:
        os._exit(0)


def _try(isolation: str, directory: Path) -> Finding:
    try:
        with choose(isolation, directory) as found:
            told = "; ".join((found.attempts[-1].name, *found.notes))
            found.give_network()
            found.await_network()
            return Finding(isolation, works=True, answer=told.replace("\n", " "), network=found.network)
    except BuildError as error:
        message = error.message.partition(" works here: ")[2] or error.message
        return Finding(isolation, works=False, answer=message.replace("\n", " "))
