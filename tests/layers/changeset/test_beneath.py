"""Looking at a directory that somebody hostile writes to."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from layers.changeset.beneath import Beneath
from layers.changeset.diff import diff_live
from layers.changeset.tree import Tree

if TYPE_CHECKING:
    from pathlib import Path


def test_a_directory_that_becomes_a_link_leads_nowhere(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_text("secret")
    top = tmp_path / "upper"
    (top / "inner").mkdir(parents=True)
    (top / "inner" / "file").write_text("own")
    found = {each.path: each for each in diff_live(top, Tree.empty(), userxattr=True)}
    assert [b"inner", b"inner/file"] == sorted(found)
    with Beneath(os.fsencode(top)) as beneath:
        os.rename(top / "inner", top / "moved")
        os.symlink(tmp_path / "outside", top / "inner")
        for look in (lambda: beneath.open(b"inner/file", 6), lambda: beneath.names(b"inner")):
            with pytest.raises(NotADirectoryError):
                look()


def test_a_directory_replaced_between_two_looks_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_text("secret")
    top = tmp_path / "upper"
    (top / "a").mkdir(parents=True)
    (top / "a" / "file").write_text("own")
    changes = diff_live(top, Tree.empty(), userxattr=True)
    first = next(changes)
    os.rename(top / "a", tmp_path / "moved")
    os.symlink(tmp_path / "outside", top / "a")
    assert [b"a"] == [first.path, *(each.path for each in changes)]


def test_of_a_file_that_grows_the_beginning_is_read(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("one")
    with Beneath(os.fsencode(tmp_path)) as beneath:
        file = beneath.open(b"log", 3)
        (tmp_path / "log").write_text("one and two")
        assert b"one" == file.read(100) + file.read()
        file.close()


def test_a_pipe_in_the_place_of_a_file_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with Beneath(os.fsencode(tmp_path)) as beneath, pytest.raises(FileNotFoundError):
        beneath.open(b"pipe", 3)
