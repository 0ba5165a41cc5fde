"""History times, and SOURCE_DATE_EPOCH."""

from __future__ import annotations

import pytest

from builder.errors import BuildError
from builder.execute.times import dated, parse_epoch, rfc3339
from layers.config import History, ImageConfig
from layers.platform import Platform

EARLY, LATE, LATEST = "2020-01-01T00:00:00Z", "2024-01-01T00:00:00Z", "2025-01-01T00:00:00Z"
EPOCH_2022 = 1_640_995_200


def config(*times: str | None) -> ImageConfig:
    return ImageConfig(Platform("linux", "amd64"), history=tuple(History(created=each) for each in times))


def times(found: ImageConfig) -> list[str | None]:
    return [each.created for each in found.history]


def test_a_step_without_a_layer_has_the_time_of_the_first_new_layer() -> None:
    assert [EARLY, LATE, LATE, LATEST] == times(dated(config(EARLY, None, LATE, LATEST), 1, None))


def test_after_a_layer_it_has_the_time_of_the_layer_before() -> None:
    assert [EARLY, LATE, LATE, LATE, LATEST] == times(dated(config(EARLY, None, LATE, None, LATEST), 1, None))


def test_with_no_new_layer_it_has_the_time_of_the_base() -> None:
    assert [EARLY, EARLY] == times(dated(config(EARLY, None), 1, None))


def test_the_image_is_as_old_as_its_last_step() -> None:
    assert dated(config(EARLY, LATE), 1, None).created == LATE
    assert dated(config(), 0, None).created is None


def test_an_epoch_lowers_new_times_and_leaves_inherited_ones() -> None:
    found = dated(config(LATEST, None, LATE), 1, EPOCH_2022)
    assert [LATEST, "2022-01-01T00:00:00Z", "2022-01-01T00:00:00Z"] == times(found)
    assert found.created == "2022-01-01T00:00:00Z"


def test_an_epoch_never_raises_a_time() -> None:
    assert [EARLY] == times(dated(config(EARLY), 0, EPOCH_2022))


def test_a_time_that_cannot_be_read_counts_as_late() -> None:
    assert ["2022-01-01T00:00:00Z"] == times(dated(config("yesterday"), 0, EPOCH_2022))


def test_times_are_written_in_utc_with_fractions_only_where_there_are_some() -> None:
    assert rfc3339(0) == "1970-01-01T00:00:00Z"
    assert rfc3339(1.5) == "1970-01-01T00:00:01.5Z"
    assert rfc3339(100) == "1970-01-01T00:01:40Z"


@pytest.mark.parametrize("text", ["", "x", "1.5", "9" * 30])
def test_an_epoch_is_a_whole_number_of_seconds(text: str) -> None:
    assert parse_epoch("1640995200") == EPOCH_2022
    with pytest.raises(BuildError, match="SOURCE_DATE_EPOCH"):
        parse_epoch(text)
