"""Text in the columns of a terminal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.cli.columns import columns, fit, row


@pytest.mark.parametrize(
    ("text", "width", "expected"),
    [
        ("plain", 3, "pla"),
        ("\u4e2d\u6587", 3, "\u4e2d"),
        ("e\u0301tude", 2, "e\u0301t"),
        ("\x1b[1;31mred\x1b[0m", 9, "red"),
        ("\x1b]8;;http://a\x1b\\link\x1b]8;;\x1b\\", 9, "link"),
        ("a\tb", 20, "a       b"),
        ("cut \x1b[", 9, "cut "),
    ],
)
def test_a_text_is_cut_to_columns(text: str, width: int, expected: str) -> None:
    assert expected == fit(text, width)


@given(st.text(), st.integers(20, 60))
def test_no_text_takes_more_than_its_columns_or_moves_the_cursor(text: str, width: int) -> None:
    assert columns(fit(text, width)) <= width
    assert fit(text, width).isprintable()
    assert width == columns(row(text, "1.0s", width))
