"""Made-up Dockerfiles, a few of those that ``python -m tests.fuzz.generated`` parses."""

from __future__ import annotations

from tests.fuzz.generated import run


def test_made_up_dockerfiles_are_parsed_or_refused_and_twice_the_lines_take_twice_the_work() -> None:
    tally = run(400, seed=7, each=20)

    assert 400 == tally.files
    assert 0 < tally.refused < 400
    assert tally.repeated > 5
