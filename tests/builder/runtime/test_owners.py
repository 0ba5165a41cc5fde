"""Who owns what where there is one user id: what a listener writes down, and what becomes of it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from builder.runtime import owners, syscalls
from builder.runtime.owners import Owned, Owners
from layers.changeset.entry import Entry
from layers.changeset.tree import Tree
from tests.builder.runtime import scenes
from tests.builder.runtime.inside import inside

if TYPE_CHECKING:
    from pathlib import Path

SCRIPT = """
mkdir -p d/e && touch d/e/f d/g && ln -s /d/e l && ln -s ../g d/e/up && cd d
chown 1:2 e/f && chown 3:4 /l/up && chown -h 5:6 ../l && chown 7:8 /bin/../d/./e && cd e && chown 9:10 ../../base
chown 1:1 /missing || echo missing; chown 1:1 f/below || echo below
chown 1:1 /proc/self/fd/0 || true
mv f moved; touch gone && chown 11:12 gone && rm gone && touch fresh
cp /bin/busybox s && chmod 6755 s && chown 0:0 s && stat -c %a s
"""


def recorded(directory: Path) -> Any:
    with scenes.machine(directory) as box:
        (box.base / "base").write_text("of the layer below")
        with box.isolation.root([box.base]) as root:
            ended = box.isolation.runtime.run(scenes.shell(SCRIPT), root.root, lambda data: said.append(data.decode()))
            found = {}
            for path in (bytes(each) for each in root.upper.rglob("*")):
                owned = ended.owned.get(syscalls.identity(path))
                name = os.fsdecode(os.path.relpath(path, bytes(root.upper)))
                found[name] = [owned.uid, owned.gid, os.fsdecode(owned.path)] if owned else None
        return {"code": ended.code, "said": "".join(said), "found": found}


said: list[str] = []


@pytest.mark.root
def test_chown_is_written_down_for_the_file_that_it_means() -> None:
    """Through links, from any directory, after a move; a new file is not taken for one that had its inode."""
    result = inside("single", recorded)

    assert 0 == result["code"], result["said"]
    assert {
        "d": None,
        "d/e": [7, 8, "d/e"],
        "d/e/moved": [1, 2, "d/e/f"],
        "d/e/up": None,
        "d/e/fresh": None,
        "d/e/s": [0, 0, "d/e/s"],
        "d/g": [3, 4, "d/g"],
        "l": [5, 6, "l"],
        "base": [9, 10, "base"],
    } == result["found"]


@pytest.mark.root
def test_chown_fails_and_takes_away_as_ever() -> None:
    """A missing file is missing, and setuid bits go with a change of the owner."""
    said = inside("single", recorded)["said"]

    assert "missing\n" in said
    assert "below\n" in said
    assert said.endswith("755\n")


@pytest.mark.root
def test_many_files_change_their_owner_in_a_step() -> None:
    result = inside("single", chown_of_many)

    assert [2001, 2001] == result["counts"]
    assert result["seconds"] < 20


def chown_of_many(directory: Path) -> Any:
    script = "mkdir m && cd m && i=0; while [ $i -lt 2000 ]; do : > $i; i=$((i+1)); done; chown -R 3:4 /m"
    with scenes.machine(directory) as box, box.isolation.root([box.base]) as root:
        ended = box.isolation.runtime.run(scenes.shell(script), root.root, lambda _: None)
        owned = [each for each in ended.owned.values() if (each.uid, each.gid) == (3, 4)]
        return {"counts": [len(ended.owned), len(owned)], "seconds": ended.seconds}


@pytest.mark.parametrize(
    ("name", "said_of", "expected"),
    [
        ("etc/passwd", None, (0, 0)),
        ("etc/shadow", None, (0, 42)),
        ("new", None, (5, 6)),
        ("new", Owned(7, None, b"new", by_descriptor=False), (7, 6)),
        ("moved", Owned(None, 9, b"etc/shadow", by_descriptor=False), (0, 9)),
        ("etc/shadow", Owned(0, 0, b"etc/shadow+", by_descriptor=True), (0, 42)),
        ("etc/shadow-", Owned(0, 0, b"etc/shadow-", by_descriptor=True), (0, 42)),
    ],
)
def test_what_was_said_and_what_is_below_make_an_owner(
    tmp_path: Path, name: str, said_of: Owned | None, expected: tuple[int, int]
) -> None:
    tree = Tree.empty().apply(
        [
            Entry(b"etc", "directory", 0o755),
            Entry(b"etc/passwd", "file", 0o644),
            Entry(b"etc/shadow", "file", 0o640, 0, 42),
        ]
    )
    path = tmp_path / "file"
    path.touch()
    known = {syscalls.identity(bytes(path)): said_of} if said_of is not None else {}

    entry = Entry(name.encode(), "file", 0o644)
    assert expected == Owners(5, 6, known).owner(tree, entry, bytes(path))


def test_root_may_give_a_file_of_the_layer_below_to_root(tmp_path: Path) -> None:
    """What was called for the path itself is meant."""
    path = tmp_path / "file"
    path.touch()
    known = {syscalls.identity(bytes(path)): Owned(0, 0, b"shadow", by_descriptor=False)}
    tree = Tree.empty().apply([Entry(b"shadow", "file", 0o640, 0, 42)])

    assert (0, 0) == owners.Owners(owned=known).owner(tree, Entry(b"shadow", "file", 0o640), bytes(path))


@pytest.mark.parametrize(
    ("entry", "copied", "said_of", "expected"),
    [
        pytest.param(Entry(b"shadow", "file", 0), "yes", None, (0, 42), id="changed in its place"),
        pytest.param(Entry(b"shadow", "file", 0), "", None, (5, 6), id="replaced"),
        pytest.param(Entry(b"link", "symlink", 0), "", None, (7, 8), id="a link, which nothing marks"),
        pytest.param(Entry(b"one", "file", 0), "", None, (3, 4), id="one of two names"),
        pytest.param(Entry(b"moved", "file", 0), "yes", None, (0, 0), id="root's, and moved"),
        pytest.param(Entry(b"new", "file", 0), "", None, (5, 6), id="new"),
        pytest.param(
            Entry(b"shadow", "file", 0), "yes", Owned(0, 0, b"x", by_descriptor=True), (0, 0), id="given to root"
        ),
    ],
)
def test_what_was_shown_and_said_is_meant(
    tmp_path: Path, entry: Entry, copied: str, said_of: Owned | None, expected: tuple[int, int]
) -> None:
    tree = Tree.empty().apply(
        [
            Entry(b"shadow", "file", 0o640, 0, 42),
            Entry(b"link", "symlink", 0o777, 7, 8),
            Entry(b"one", "file", 0o644, 3, 4),
            Entry(b"two", "hardlink", 0o644, linkname=b"one"),
        ]
    )
    path = tmp_path / "file"
    path.touch()
    if copied:
        os.setxattr(path, "user.overlay.origin", b"")
    known = {syscalls.identity(bytes(path)): said_of} if said_of is not None else {}

    shown = Owners(5, 6, known, shown=True)

    assert expected == shown.owner(tree, entry, bytes(path), is_upper=True)
