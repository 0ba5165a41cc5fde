"""Texts as Go prints them."""

from __future__ import annotations

import pytest

from builder.execute import gotext


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", '"plain"'),
        ('a "b" \\', '"a \\"b\\" \\\\"'),
        ("line\nnext\t", '"line\\nnext\\t"'),
        ("\x00\x7f", '"\\x00\\x7f"'),
        ("grün 世", '"grün 世"'),
        ("\u200b", '"\\u200b"'),
        ("\U000e0001", '"\\U000e0001"'),
    ],
)
def test_quoting_is_that_of_percent_q(text: str, expected: str) -> None:
    assert expected == gotext.quote(text)


def test_a_list_is_quoted_word_by_word_without_commas() -> None:
    assert '["/bin/sh" "-c" "x y"]' == gotext.quoted_list(["/bin/sh", "-c", "x y"])


@pytest.mark.parametrize(
    ("nanoseconds", "expected"),
    [
        (0, "0s"),
        (1, "1ns"),
        (1_500, "1.5µs"),
        (200_000_000, "200ms"),
        (1_500_000_000, "1.5s"),
        (5 * 60 * 10**9, "5m0s"),
        (3_605 * 10**9, "1h0m5s"),
        (-(10**9), "-1s"),
    ],
)
def test_durations_are_those_of_go(nanoseconds: int, expected: str) -> None:
    assert expected == gotext.duration(nanoseconds)
