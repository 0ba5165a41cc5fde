"""Sizes and times; what is expected is what docker/go-units gives."""

from __future__ import annotations

import datetime as dt

import pytest

from builder.cli.human import ago, created_at, duration, parse_size, parse_time, point_in_time, rfc3339, size

NOW = dt.datetime(2026, 1, 31, 12, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("count", "four", "three"),
    [
        (0, "0B", "0B"),
        (999, "999B", "999B"),
        (1000, "1kB", "1kB"),
        (1982259, "1.982MB", "1.98MB"),
        (3964515, "3.965MB", "3.96MB"),
        (124_000_000, "124MB", "124MB"),
        (2_500_000_000, "2.5GB", "2.5GB"),
        (10**15, "1PB", "1PB"),
    ],
)
def test_sizes_are_in_powers_of_ten(count: int, four: str, three: str) -> None:
    assert (four, three) == (size(count), size(count, 3))


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "Less than a second"),
        (1, "1 second"),
        (59, "59 seconds"),
        (60, "About a minute"),
        (119, "About a minute"),
        (120, "2 minutes"),
        (3599, "59 minutes"),
        (3600, "About an hour"),
        (5399, "About an hour"),
        (5400, "2 hours"),
        (47 * 3600, "47 hours"),
        (48 * 3600, "2 days"),
        (13 * 86400, "13 days"),
        (14 * 86400, "2 weeks"),
        (59 * 86400, "8 weeks"),
        (60 * 86400, "2 months"),
        (729 * 86400, "24 months"),
        (730 * 86400, "2 years"),
    ],
)
def test_a_length_of_time_has_one_unit(seconds: int, expected: str) -> None:
    assert expected == duration(dt.timedelta(seconds=seconds))


def test_times_are_read_and_shown() -> None:
    text = "2026-01-31T10:59:59.123456789+00:00"
    assert "About an hour ago" == ago(text, NOW)
    assert "2026-01-31 10:59:59 +0000 UTC" == created_at(text)
    assert "2026-01-31T10:59:59Z" == rfc3339(text)


@pytest.mark.parametrize("text", [None, "", "never", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59-12:00"])
def test_a_time_that_nobody_knows_is_not_available(text: str | None) -> None:
    assert (None, "N/A", "N/A") == (parse_time(text), ago(text), rfc3339(text))
    assert "0001-01-01 00:00:00 +0000 UTC" == created_at(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("24h", NOW - dt.timedelta(hours=24)),
        ("1h30m", NOW - dt.timedelta(minutes=90)),
        ("0.5h", NOW - dt.timedelta(minutes=30)),
        ("1700000000", dt.datetime(2023, 11, 14, 22, 13, 20, tzinfo=dt.UTC)),
        ("2026-01-31", dt.datetime(2026, 1, 31, tzinfo=dt.UTC)),
        ("2026-01-31T01:02:03Z", dt.datetime(2026, 1, 31, 1, 2, 3, tzinfo=dt.UTC)),
        ("yesterday", None),
        ("", None),
        ("10", dt.datetime(1970, 1, 1, 0, 0, 10, tzinfo=dt.UTC)),
    ],
)
def test_a_point_in_time_is_absolute_or_long_ago(text: str, expected: dt.datetime | None) -> None:
    assert expected == point_in_time(text, NOW)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("12", 12),
        ("1k", 1024),
        ("512MB", 512 << 20),
        ("1.5 GiB", 3 << 29),
        ("x", None),
        ("-1", None),
        ("9" * 400, None),
    ],
)
def test_a_size_that_somebody_writes_is_in_powers_of_1024(text: str, expected: int | None) -> None:
    assert expected == parse_size(text)
