"""Directories that go when who uses them does."""

from __future__ import annotations

import errno
import fcntl
import shutil
from typing import TYPE_CHECKING

import pytest

from layers.errors import StoreError
from layers.store.scratch import abandoned, scratch_directory

if TYPE_CHECKING:
    from pathlib import Path


def test_a_directory_is_there_for_the_block_alone(tmp_path: Path) -> None:
    with scratch_directory(tmp_path / "new") as path:
        (path / "file").write_bytes(b"x")
        assert [] == list(abandoned(path.parent))
    assert [] == list((tmp_path / "new").iterdir())


def test_one_that_got_another_name_stays(tmp_path: Path) -> None:
    with scratch_directory(tmp_path, ".new-") as path:
        path.rename(tmp_path / "done")
    assert [tmp_path / "done"] == list(tmp_path.iterdir())


def test_what_a_killed_process_left_goes_with_the_next_one(tmp_path: Path) -> None:
    (tmp_path / "build-dead").mkdir()
    (tmp_path / "other").mkdir()
    with scratch_directory(tmp_path) as first, scratch_directory(tmp_path) as second:
        assert {first, second, tmp_path / "other"} == set(tmp_path.iterdir())


def test_one_that_was_taken_for_abandoned_before_it_was_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flock = fcntl.flock
    taken: list[Path] = []

    def late(descriptor: int, kind: int) -> None:
        if not taken:
            taken.extend(tmp_path.iterdir())
            shutil.rmtree(taken[0])
        flock(descriptor, kind)

    monkeypatch.setattr(fcntl, "flock", late)
    with scratch_directory(tmp_path) as path:
        assert path.is_dir()
        assert [path] != taken


def test_one_that_cannot_be_locked_is_not_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_descriptor: int, _kind: int) -> None:
        raise OSError(errno.EIO, "refused")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(StoreError, match="Input/output error"), scratch_directory(tmp_path):
        pass
    assert [] == list(tmp_path.iterdir())
