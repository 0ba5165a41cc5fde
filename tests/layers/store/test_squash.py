"""Several layers as one change set."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layers.store.layout import Layout
from layers.store.merged import reading
from layers.store.squash import squashed
from layers.store.trees import Trees
from tests.support.images import image, layer

if TYPE_CHECKING:
    from pathlib import Path


def squash(directory: Path, below: int, *contents: dict[str, bytes]) -> dict[bytes, bytes | None]:
    """Give the paths that change, with the contents of files; None for what is gone."""
    layout = Layout.open(directory / "store")
    layout.put(found := image(*map(layer, contents)))
    changes: dict[bytes, bytes | None] = {}
    for change in squashed(Trees(layout), found.layers, below, directory):
        assert change.path not in changes
        changes[change.path] = b"" if change.entry is not None else None
        if change.entry is not None and change.entry.kind == "file" and change.open is not None:
            with reading(change.open()) as content:
                changes[change.path] = content.read(change.entry.size)
    return changes


BASE = {"d/": b"", "d/kept": b"1", "d/gone": b"2", "tree/": b"", "tree/deep/": b"", "tree/deep/x": b"3"}


def test_what_the_upper_layers_do_is_what_remains_of_it(tmp_path: Path) -> None:
    first = {"d/": b"", "d/new": b"early", "d/brief": b"here", "d/.wh.gone": b"", ".wh.tree": b""}
    second = {"d/": b"", "d/new": b"late", "d/.wh.brief": b""}

    assert {b"d/gone": None, b"tree": None, b"d": b"", b"d/new": b"late"} == squash(tmp_path, 1, BASE, first, second)


def test_what_comes_back_is_new_and_what_it_hid_stays_hidden(tmp_path: Path) -> None:
    first = {".wh.tree": b""}
    second = {"tree/": b"", "tree/other": b"4"}

    assert {b"tree/deep": None, b"tree": b"", b"tree/other": b"4"} == squash(tmp_path, 1, BASE, first, second)


def test_a_file_that_is_changed_below_an_untouched_directory_comes_alone(tmp_path: Path) -> None:
    assert {b"tree/deep/x": b"5"} == squash(tmp_path, 1, BASE, {"tree/deep/x": b"5"})


def test_what_was_added_and_taken_away_again_is_no_change(tmp_path: Path) -> None:
    assert {} == squash(tmp_path, 1, BASE, {"made": b"6"}, {".wh.made": b""})
