"""What a memo of files keeps, and which record of a file counts."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from builder.context.memo import Memo

if TYPE_CHECKING:
    from pathlib import Path

OLD, NEW = b"o" * 32, b"n" * 32


@pytest.mark.parametrize("looked", [False, True])
def test_the_last_thing_learnt_of_a_file_counts_and_is_written_once(tmp_path: Path, *, looked: bool) -> None:
    """Whether or not the memo was asked for a file before."""
    (tmp_path / "a").touch()
    (tmp_path / "b").touch()
    a, b = os.stat(tmp_path / "a"), os.stat(tmp_path / "b")
    memo, once = Memo(), Memo()
    if looked:
        assert memo.file(a) is None
    for info, digest in ((a, OLD), (b, OLD), (a, NEW)):
        memo.remember_file(info, digest)
    memo.save(tmp_path / "memo")
    for info, digest in ((b, OLD), (a, NEW)):
        once.remember_file(info, digest)
    once.save(tmp_path / "once")

    loaded = Memo.load(tmp_path / "memo")
    assert [NEW, OLD] == [memo.file(a), memo.file(b)] == [loaded.file(a), loaded.file(b)]
    assert (tmp_path / "once").read_bytes() == (tmp_path / "memo").read_bytes()


def test_the_files_that_were_learnt_first_are_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Memo, "_MAX_FILES", 2)
    memo, infos = Memo(), []
    for name in "abc":
        (tmp_path / name).touch()
        infos.append(os.stat(tmp_path / name))
        memo.remember_file(infos[-1], NEW)
    memo.save(tmp_path / "memo")

    loaded = Memo.load(tmp_path / "memo")
    assert [None, NEW, NEW] == [loaded.file(info) for info in infos]
