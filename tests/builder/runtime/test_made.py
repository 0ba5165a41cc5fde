"""Files of processes that have become another user."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from builder.runtime.calls import Call
from builder.runtime.made import Made
from builder.runtime.places import Places
from builder.runtime.recorder import Recording
from builder.runtime.shown import Shown

if TYPE_CHECKING:
    from pathlib import Path

ME = os.getpid()
Noted = list[tuple[str, tuple[int, int]]]


@pytest.fixture
def noted() -> Noted:
    """What was noted: the name of a file, and whose it is."""
    return []


@pytest.fixture
def made(tmp_path: Path, noted: Noted) -> Made:
    places = Places(os.stat("/"), b"", (), is_steady=True)
    shown = Shown(Recording(str(tmp_path), str(tmp_path)))

    def note(file: int, owner: tuple[int, int]) -> None:
        noted.append((os.path.basename(os.readlink(f"/proc/self/fd/{file}")), owner))

    return Made(places, shown, note)


def call(path: Path) -> Call:
    return Call(ME, None, os.fsencode(path), follow=False)


def test_a_file_is_noted_once_it_is_there(tmp_path: Path, made: Made, noted: Noted) -> None:
    made.expect(call(tmp_path / "f"), (33, 34))
    made.settle(1)
    assert [] == noted

    (tmp_path / "f").touch()
    made.settle(1)
    made.settle(1)

    assert [("f", (33, 34))] == noted


def test_its_directory_may_get_another_name(tmp_path: Path, made: Made, noted: Noted) -> None:
    (tmp_path / "d").mkdir()
    made.expect(call(tmp_path / "d/f"), (33, 34))
    (tmp_path / "d").rename(tmp_path / "e")
    (tmp_path / "e/f").mkdir()
    made.settle()

    assert [("f", (33, 34))] == noted


def test_what_is_there_has_its_owner(tmp_path: Path, made: Made, noted: Noted) -> None:
    (tmp_path / "f").touch()
    made.expect(call(tmp_path / "f"), (33, 34))
    made.settle()

    assert [] == noted


def test_what_was_not_made_is_expected_no_more(tmp_path: Path, made: Made, noted: Noted) -> None:
    """The call failed; later somebody else makes such a file."""
    made.expect(call(tmp_path / "f"), (33, 34))
    made.settle(ME)
    (tmp_path / "f").touch()
    made.settle()

    assert [] == noted


def test_a_directory_with_a_setgid_bit_hands_its_group_on(tmp_path: Path, made: Made, noted: Noted) -> None:
    (tmp_path / "team").mkdir()
    (tmp_path / "team").chmod(0o2777)
    made.expect(call(tmp_path / "team/f"), (33, 34))
    (tmp_path / "team/f").touch()
    made.settle()

    assert [("f", (33, 0))] == noted


def test_what_no_layer_has_is_left_alone(made: Made, noted: Noted) -> None:
    with pytest.raises(FileNotFoundError):
        made.expect(Call(ME, None, b"/no-such-directory/f", follow=False), (33, 34))
    made.expect(Call(ME, None, b"/proc/self/f", follow=False), (33, 34))
    made.expect(Call(ME, None, b"/", follow=False), (33, 34))
    made.settle()

    assert [] == noted
