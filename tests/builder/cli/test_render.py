"""Events as text."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

import pytest

from builder.cli.render import Plain, RawJson, size
from builder.cli.tty import Terminal
from builder.errors import SourceRange
from builder.events import Noted, Output, Progress, Step, StepCached, StepFailed, StepFinished, StepStarted, Warned

if TYPE_CHECKING:
    from builder.cli.render import Renderer
    from builder.events import Event

STEP = Step(3, "[2/2] RUN make")
WARNING = Warned("Rule", "careful", SourceRange("Dockerfile", 4, 4))


def shown(renderer: type[Plain | RawJson], *events: Event) -> list[str]:
    stream = io.StringIO()
    render: Renderer = renderer(stream)
    for event in events:
        render(event)
    render.close()
    return stream.getvalue().splitlines()


def test_plain_numbers_every_line_and_times_output() -> None:
    lines = shown(Plain, StepStarted(STEP), Output(STEP, b"one\ntw"), Output(STEP, b"o\n"), StepFinished(STEP, 1.25))
    assert lines[0] == "#3 [2/2] RUN make"
    assert [line.split(" ", 2)[2] for line in lines[1:3]] == ["one", "two"]
    assert lines[3] == "#3 DONE 1.2s"


def test_plain_shows_a_last_line_without_end_and_what_a_carriage_return_leaves() -> None:
    lines = shown(Plain, StepStarted(STEP), Output(STEP, b"10%\r20%\nlast"), StepFailed(STEP, 0, "exit code: 1"))
    assert [line.split(" ", 2)[2] for line in lines[1:3]] == ["20%", "last"]
    assert lines[3] == "#3 ERROR: exit code: 1"


def test_plain_shows_cached_steps_warnings_and_the_end_of_a_transfer() -> None:
    lines = shown(
        Plain,
        StepCached(STEP),
        WARNING,
        Noted(STEP, "note"),
        Progress(STEP, "blob", 1, 2),
        Progress(STEP, "blob", 2, 2),
    )
    assert [
        "#3 [2/2] RUN make",
        "#3 CACHED",
        "",
        "WARN: Rule: careful (Dockerfile:4)",
        "#3 note",
        "#3 blob 2B done",
    ] == lines


def test_raw_json_is_one_object_a_line() -> None:
    events: list[Event] = [
        StepStarted(STEP),
        Output(STEP, b"hi"),
        Noted(STEP, "n"),
        Progress(STEP, "p", 1, 2),
        StepFinished(STEP, 1),
        StepCached(STEP),
        StepFailed(STEP, 1, "no"),
        WARNING,
    ]
    documents = [json.loads(line) for line in shown(RawJson, *events)]
    assert ["vertexes", "logs", "logs", "statuses", "vertexes", "vertexes", "vertexes", "warnings"] == [
        next(iter(document)) for document in documents
    ]
    assert documents[1]["logs"][0]["data"] == "aGk="
    assert documents[5]["vertexes"][0]["cached"] is True
    assert documents[6]["vertexes"][0]["error"] == "no"


def test_a_terminal_ends_with_whole_lines_of_what_happened() -> None:
    stream = io.StringIO()
    terminal = Terminal(stream, color=False)
    terminal.tick()
    for event in (StepStarted(STEP), Output(STEP, b"line\n"), WARNING, StepFailed(STEP, 2.0, "no"), StepCached(STEP)):
        terminal(event)
    terminal.close()
    text = stream.getvalue()
    assert "=> ERROR [2/2] RUN make" in text
    assert " => => # line" in text
    assert "WARN: Rule: careful" in text
    assert text.endswith("\n")


@pytest.mark.parametrize(
    ("count", "expected"), [(0, "0B"), (999, "999B"), (1000, "1kB"), (1_138_806, "1.139MB"), (10**10, "10GB")]
)
def test_sizes_are_dockers(count: int, expected: str) -> None:
    assert expected == size(count)
