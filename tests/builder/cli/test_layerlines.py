"""What is shown of layers on their way."""

from __future__ import annotations

import io

import pytest

from builder.cli.layerlines import LayerLines


def test_a_log_has_a_line_for_each_new_state() -> None:
    stream = io.StringIO()
    lines = LayerLines("Pushing", stream, terminal=False)
    lines.begin(["aaa", "bbb"], "Preparing")
    lines.progress("aaa", 1, 2)
    lines.state("aaa", "Pushed")
    lines.state("aaa", "Pushed")
    assert ["aaa: Preparing", "bbb: Preparing", "aaa: Pushed"] == stream.getvalue().splitlines()


@pytest.mark.parametrize(("columns", "half"), [(120, 20), (81, 18), (20, 2)])
def test_on_a_terminal_each_line_changes_in_place(monkeypatch: pytest.MonkeyPatch, columns: int, half: int) -> None:
    """The bar is as long as the terminal lets it be."""
    monkeypatch.setenv("COLUMNS", str(columns))
    stream = io.StringIO()
    lines = LayerLines("Downloading", stream, terminal=True)
    lines.begin(["aaa", "bbb"], "Waiting")
    lines._drawn_at = 0
    lines.progress("bbb", 500, 1000)
    lines.progress("bbb", 600, 1000)  # too soon after the last one to be drawn
    last = stream.getvalue().rpartition("\x1b[2A")[2]
    line = f"bbb: Downloading [{'=' * half}>{' ' * half}] 500B/1kB"
    assert ["\x1b[2Kaaa: Waiting", f"\x1b[2K{line[: columns - 1]}"] == last.splitlines()


def test_quiet_shows_nothing() -> None:
    lines = LayerLines("Pushing", None)
    lines.state("aaa", "Pushed")
    lines.progress("aaa", 1, 2)
