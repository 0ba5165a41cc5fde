from __future__ import annotations

from typing import TYPE_CHECKING

from builder.runtime.remembered import Remembered

if TYPE_CHECKING:
    from pathlib import Path


def test_what_worked_is_known_the_next_time(tmp_path: Path) -> None:
    Remembered(tmp_path / "works").add("runc with real root")

    assert Remembered(tmp_path / "works").works("runc with real root")
    assert not Remembered(tmp_path / "works").works("crun with real root")


def test_what_worked_elsewhere_is_not_believed(tmp_path: Path) -> None:
    """The first line says on which machine, as whom and among what it worked."""
    path = tmp_path / "works"
    Remembered(path).add("runc with real root")
    path.write_text("0" * 64 + "\n" + path.read_text().partition("\n")[2])

    assert not Remembered(path).works("runc with real root")


def test_a_file_that_is_no_text_is_as_good_as_none(tmp_path: Path) -> None:
    (tmp_path / "works").write_bytes(b"\xff\xfe")

    assert not Remembered(tmp_path / "works").works("runc with real root")


def test_what_was_forgotten_is_tried_again(tmp_path: Path) -> None:
    remembered = Remembered(tmp_path / "works")
    remembered.add("runc with real root")
    remembered.forget()
    remembered.forget()

    assert not Remembered(tmp_path / "works").works("runc with real root")


def test_where_nothing_can_be_written_nothing_is_remembered(tmp_path: Path) -> None:
    Remembered(tmp_path / "missing" / "works").add("runc with real root")

    assert not (tmp_path / "missing").exists()
