"""What fuzzing has kept: each input is read, or refused by an error of the project's own."""

from __future__ import annotations

import pytest

from tests.fuzz.__main__ import SEEDS, seeds
from tests.fuzz.target import attempt
from tests.fuzz.targets import TARGETS


@pytest.mark.parametrize("name", TARGETS)
def test_what_is_kept_is_read_or_refused(name: str) -> None:
    inputs = seeds(name)

    assert inputs
    for content in inputs:
        attempt(TARGETS[name].read, content)


def test_what_is_kept_is_small_and_of_the_targets_that_there_are() -> None:
    files = sorted(SEEDS.iterdir())

    assert sorted(f"{name}.txt" for name in TARGETS) == [path.name for path in files]
    assert sum(path.stat().st_size for path in files) < 200_000
