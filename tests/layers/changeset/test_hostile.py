"""The corpus of hostile layers, onto a root, into an overlay's directories, and as a tree: nothing gets out."""

from __future__ import annotations

import io
import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pytest

from layers.changeset.apply import apply
from layers.changeset.entry import kind_of
from layers.changeset.index import dump_index, index_layer, load_index
from layers.changeset.tree import Tree
from layers.errors import LayersError
from tests.support.hostile import CORPUS, Hostile, Outside
from tests.support.hostiletable import BY_CHANCE, FAST, REFUSED, TABLE, TAKEN, outcome
from tests.support.programs import need, remove

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

T = TypeVar("T")

IS_ROOT = os.geteuid() == 0
ONLY_A_DISK_MINDS = {"link to nothing at all", "name of 1,000 components", "name of 255 bytes and one"}
"""What a tree, which is no disk, has no reason to refuse."""


@pytest.fixture
def outside() -> Iterator[Outside]:
    """What is beside the root, at a path short enough for the corpus."""
    top = Path(tempfile.mkdtemp(prefix="hostile-"))
    (top / "root").mkdir()
    yield Outside(top / "outside")
    remove(top)


def onto_a_root(tars: Sequence[bytes], top: Path) -> dict[bytes, str]:
    root = top / "root"
    for tar in tars:
        apply(io.BytesIO(tar), root, same_owner=IS_ROOT, skipped=lambda _entry, _error: None)
    found: dict[bytes, str] = {}
    for directory, directories, files in os.walk(os.fsencode(root)):
        for name in directories:
            if not os.path.islink(os.path.join(directory, name)):
                os.chmod(os.path.join(directory, name), 0o700)  # a layer may lock out all but root
        for name in directories + files:
            path = os.path.join(directory, name)
            found[os.path.relpath(path, os.fsencode(root))] = kind_of(os.lstat(path).st_mode) or ""
    return found


def into_an_overlay(tars: Sequence[bytes], top: Path) -> None:
    lowers: list[Path] = []
    for number, tar in enumerate(tars):
        root = top / "root" / str(number)
        root.mkdir()
        apply(
            io.BytesIO(tar),
            root,
            overlay=True,
            userxattr=not IS_ROOT,
            lowers=lowers,
            same_owner=IS_ROOT,
            index=True,
            skipped=lambda _entry, _error: None,
        )
        lowers.insert(0, root)


def as_a_tree(tars: Sequence[bytes], _top: Path) -> dict[bytes, str]:
    tree = Tree.empty()
    for tar in tars:
        tree = tree.apply(load_index(dump_index(index_layer(io.BytesIO(tar)))).entries)
    return {entry.path: entry.kind for entry in tree.walk()}


def _without_devices(found: dict[bytes, str] | None) -> dict[bytes, str] | None:
    """Leave out what only root can make, where somebody else runs this."""
    if found is None or IS_ROOT:
        return found
    return {path: kind for path, kind in found.items() if kind not in {"character", "block"}}


def _outcome(way: Callable[[Sequence[bytes], Path], T], case: Hostile, outside: Outside) -> T | None:
    """Give what a way makes of an attack; None where it refuses, in one line of words."""
    found, said = None, "nothing to be said"
    try:
        found = way(case.tars(outside.path), outside.path.parent)
    except LayersError as error:
        said = f"{error.message}{error.hint}"
    assert said.isprintable()
    assert 10 < len(said) < 600
    assert outside.is_untouched()
    assert not outside.is_inside(outside.path.parent / "root")
    return found


@pytest.mark.parametrize("case", CORPUS, ids=lambda case: case.name.replace(" ", "-").replace("/", "|"))
def test_nothing_gets_out_and_a_tree_shows_what_a_disk_gets(case: Hostile, outside: Outside) -> None:
    """What the one refuses, the other does as well: a build sees in its tree what its steps find."""
    tree = _outcome(as_a_tree, case, outside)
    root = _outcome(onto_a_root, case, outside)
    if case.name in ONLY_A_DISK_MINDS:
        assert (True, None) == (tree is not None, root)
        return
    assert _without_devices(tree) == _without_devices(root)


@pytest.mark.parametrize("case", CORPUS, ids=lambda case: case.name.replace(" ", "-").replace("/", "|"))
def test_nothing_gets_out_of_an_overlays_directories(case: Hostile, outside: Outside) -> None:
    _outcome(into_an_overlay, case, outside)


@pytest.mark.root
@pytest.mark.parametrize("name", FAST)
def test_the_table_of_other_programs_is_current(name: str) -> None:
    """``python -m tests.support.hostiletable`` writes it anew."""
    need("tar")
    table = json.loads(TABLE.read_text())
    asked = {case.name: outcome(FAST[name], case) for case in CORPUS}
    written = {case: row[name] for case, row in table.items()}

    for program, case in BY_CHANCE:
        if program == name and asked[case] in {TAKEN, REFUSED}:
            asked[case] = written[case]
    assert written == asked


def test_nothing_got_out_of_this_program() -> None:
    rows = json.loads(TABLE.read_text()).values()
    assert {TAKEN, REFUSED} == {row["pybuild"] for row in rows}
