"""What is looked for of a secret, and what is said where it is found."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.errors import LeakError, SourceRange
from builder.events import Event, Warned
from builder.execute.guard import RULE, Guard, guard_of
from builder.execute.secrets import Secret
from builder.execute.state import from_scratch, with_container
from layers.changeset.entry import Entry
from layers.platform import Platform

if TYPE_CHECKING:
    from pathlib import Path

    from builder.execute.guard import ScanMode

HERE = SourceRange("Dockerfile", 3, 4)
VALUE = b"gh-0123-Secret"
TEXT = VALUE.decode()
STATE = from_scratch(Platform("linux", "amd64"))


def guard(*values: bytes, mode: ScanMode = "error", told: list[Event] | None = None) -> Guard:
    secrets = {f"s{number}": Secret(value=value) for number, value in enumerate(values)}
    events: list[Event] = [] if told is None else told
    return guard_of(secrets, mode, events.append).at(HERE)


def is_found(found: Guard, text: str) -> bool:
    try:
        found.check_history(text)
    except LeakError:
        return True
    return False


@pytest.mark.parametrize("value", [VALUE, VALUE + b"\n", b"\n  " + VALUE + b"\r\n"])
def test_the_blanks_around_a_value_do_not_count(value: bytes) -> None:
    assert is_found(guard(value), f"RUN echo {VALUE.decode()}!")
    assert not is_found(guard(value), f"RUN echo {VALUE.decode()[:-1]}")


@pytest.mark.parametrize(
    "value", [b"", b"\n", b"1", b"sevenof7", b"0000000000000000", b"postgres", b"developer", b"Administrator"]
)
def test_what_is_in_half_of_all_programs_is_not_looked_for(value: bytes) -> None:
    """Less than eight bytes, less than five different ones, a word or a name."""
    looked_for = value == b"sevenof7"

    assert looked_for == is_found(guard(value), f"RUN {value.decode()} and {value.decode()}")
    assert looked_for == (guard(value).search() is not None)


@given(before=st.binary(max_size=7), value=st.binary(min_size=8, max_size=40), after=st.binary(max_size=7))
def test_a_value_is_found_in_base64_wherever_it_stands(before: bytes, value: bytes, after: bytes) -> None:
    found = guard(value)
    if found.values:
        encoded = base64.b64encode(before + value.strip() + after).decode()

        assert is_found(found, f"RUN curl -H 'Authorization: Basic {encoded}'")


def test_an_error_says_where_and_of_which_secret_but_not_its_value() -> None:
    with pytest.raises(LeakError) as raised:
        guard(b"another-value-1", VALUE).check_history(f"RUN {VALUE.decode()}")

    assert "Dockerfile:3: the value of secret 's1' is in the history of the image" == str(raised.value)
    assert "--secret-scan=warn" in raised.value.hint
    assert VALUE.decode() not in repr(guard(VALUE))


def test_a_warning_is_told_once() -> None:
    told: list[Event] = []
    found = guard(VALUE, mode="warn", told=told)
    for _ in range(2):
        found.check_history(VALUE.decode())
        found.check_pairs("--label", {"a": VALUE.decode()})

    places = ["the history of the image", "what --label says"]
    assert [Warned(RULE, f"the value of secret 's0' is in {place}", HERE) for place in places] == told


@pytest.mark.parametrize(
    ("key", "changes"),
    [("Env", {"env": (f"B={TEXT}",)}), ("Labels", {"labels": {TEXT: "b"}}), ("User", {"user": TEXT})],
)
def test_what_an_instruction_adds_to_the_config_is_looked_at(key: str, changes: dict[str, Any]) -> None:
    with pytest.raises(LeakError) as raised:
        guard(VALUE).check_config(STATE, with_container(STATE, "X", **changes))

    assert f"the value of secret 's0' is in the config of the image ({key})" == raised.value.message


def test_what_the_config_had_before_is_not_looked_at() -> None:
    """A base image has it whatever this build does."""
    before = with_container(STATE, "ENV", env=(f"A={TEXT}",), labels={"a": TEXT})

    guard(VALUE).check_config(before, with_container(before, "ENV B=b", env=(f"A={TEXT}", "B=b")))


def test_a_path_that_has_the_value_is_shown_without_it() -> None:
    search = guard(VALUE).search()
    assert search is not None
    with pytest.raises(LeakError, match=r"is in /tmp/\*\*\*\.d of the step's layer"):
        search.look_at_entries([Entry(b"tmp/" + VALUE + b".d", "directory", 0o755)])


def test_with_off_nothing_is_looked_for() -> None:
    events: list[Event] = []

    assert Guard() == guard_of({"a": Secret(value=VALUE)}, "off", events.append)


def test_a_secret_that_cannot_be_read_is_in_nothing(tmp_path: Path) -> None:
    events: list[Event] = []

    assert () == guard_of({"a": Secret(tmp_path / "gone")}, "error", events.append).values
