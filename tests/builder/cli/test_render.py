"""Events as text."""

from __future__ import annotations

import io
import json
import re
from typing import TYPE_CHECKING

from builder.cli.columns import columns
from builder.cli.render import Lines, Plain, Quiet, RawJson
from builder.cli.tty import Terminal
from builder.errors import SourceRange
from builder.events import Noted, Output, Progress, Step, StepCached, StepFailed, StepFinished, StepStarted, Warned

if TYPE_CHECKING:
    import pytest

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


def drawn(*events: Event) -> list[str]:
    """Give the screen of a terminal of 80 columns on which a build's events were drawn."""
    stream = io.StringIO()
    terminal = Terminal(stream, color=False)
    for event in events:
        terminal(event)
    terminal.close()
    screen: list[str] = []
    for part in re.split(r"(\x1b\[\d+A\x1b\[J)", stream.getvalue()):
        if up := re.fullmatch(r"\x1b\[(\d+)A\x1b\[J", part):
            del screen[len(screen) - int(up[1]) :]
        else:
            screen += part.split("\n")[:-1]
    return screen


def test_a_terminal_is_left_with_each_step_once_and_a_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    wide = Step(4, "[2/2] RUN echo " + "\u4e2d\u6587" * 60)
    screen = drawn(
        StepCached(STEP), StepStarted(wide), Output(wide, "\u4e2d".encode() * 90 + b"\n"), StepFinished(wide, 1.5)
    )
    assert [" => CACHED [2/2] RUN make", 78, " (2/2) FINISHED"] == [
        screen[0],
        columns(screen[1].rstrip()) - 1,
        screen[2][-15:],
    ]
    assert len(screen) == 3


def test_what_a_step_writes_moves_no_cursor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    hostile = b"\x1b[31mred\x1b[0m \x1b[2J\x1b[1;1Hhome \x1b]0;title\x07bell\x07\x08\ttab\x9b1A\n"
    screen = drawn(StepStarted(STEP), Output(STEP, hostile), StepFailed(STEP, 0, "no"))
    assert screen[1].startswith(" => => # red home bell")
    assert all(line.isprintable() for line in screen)


def test_a_failed_step_on_a_terminal_shows_more_than_its_running_one_and_the_line_without_end() -> None:
    lines = b"".join(b"line %d\n" % number for number in range(60))
    screen = drawn(StepStarted(STEP), Output(STEP, lines + b"10%\r20%"), StepFailed(STEP, 0, "no"))
    assert [f" => => # line {number}" for number in range(11, 60)] == screen[1:50]
    assert screen[50] == " => => # 20%"
    assert screen[51].endswith("(0/1)")


def test_quiet_shows_the_last_lines_of_a_step_that_failed_and_of_no_other() -> None:
    stream = io.StringIO()
    quiet = Quiet(stream)
    other = Step(4, "[1/2] RUN true")
    for event in (Output(other, b"fine\n"), StepFinished(other, 1), Output(STEP, b"a\nb"), StepFailed(STEP, 1, "no")):
        quiet(event)
    quiet.close()
    assert ["------", " > [2/2] RUN make:", "a", "b", "------"] == stream.getvalue().splitlines()


def test_a_line_without_end_is_cut_where_it_would_fill_the_memory() -> None:
    lines = Lines()
    whole = [line for _ in range(64) for line in lines.feed(STEP, b"x" * 50_000)]
    assert {1 << 16} == {len(line) for line in whole}
    assert 64 * 50_000 == sum(map(len, [*whole, *lines.rest(STEP)]))
    for done in range(20_000):
        assert not lines.feed(STEP, b"\r%d of 20000" % done)
    assert ["19999 of 20000"] == lines.rest(STEP)
