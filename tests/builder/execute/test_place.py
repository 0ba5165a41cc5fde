"""Where COPY puts files: BuildKit's rules, one by one."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest

from builder.context.select import select
from builder.errors import StepError
from builder.execute.chmod import Chmod
from builder.execute.place import Destination, Placement, place
from layers.changeset.entry import Change, Entry
from layers.changeset.tree import Tree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


class Files:
    """Files in memory, made from entries; each file holds its own path."""

    def __init__(self, *entries: Entry) -> None:
        self._tree = Tree.empty().apply(entries)

    def get(self, path: bytes) -> Entry | None:
        return self._tree.get(path)

    def children(self, path: bytes) -> list[bytes]:
        return self._tree.children(path)

    def walk(self, path: bytes, skip: Callable[[bytes, bool], bool] | None = None) -> Iterator[Change]:
        assert skip is None
        cut = len(path) + 1 if path else 0
        for entry in self._tree.walk(path):
            relative = entry.path[cut:]
            opened = (lambda path=entry.path: io.BytesIO(path)) if entry.kind == "file" else None
            yield Change(relative, entry._replace(path=relative), opened)

    def open(self, path: bytes) -> io.BytesIO:
        return io.BytesIO(path)


def file(path: str, mode: int = 0o644, mtime: int = 100) -> Entry:
    return Entry(path.encode(), "file", mode, size=len(path), mtime=mtime)


def directory(path: str, mode: int = 0o755, uid: int = 0, mtime: int = 50) -> Entry:
    return Entry(path.encode(), "directory", mode, uid, uid, mtime=mtime)


def link(path: str, target: str) -> Entry:
    return Entry(path.encode(), "symlink", 0o777, linkname=target.encode())


def copied(
    sources: Sequence[str],
    destination: str,
    files: Files,
    *below: Entry,
    owner: tuple[int, int] | None = None,
    chmod: str = "",
    linked: bool = False,
) -> dict[str, Entry]:
    """Give what a COPY puts where, by path."""
    placement = Placement(
        Tree.empty().apply(below),
        Destination.parse(destination, "/work"),
        owner,
        Chmod.parse(chmod) if chmod else None,
        linked,
    )
    changes = place(placement, files, select(files, sources))
    return {change.path.decode(): change.entry for change in changes if change.entry is not None}


ONE = Files(file("f"))
DIRECTORY = Files(directory("d", 0o700, mtime=77), file("d/x"), directory("d/s", 0o711, mtime=66), file("d/s/y"))


def test_a_file_without_a_slash_is_the_destination_itself() -> None:
    assert ["d"] == list(copied(["f"], "/d", ONE))


def test_a_trailing_slash_makes_the_destination_a_directory() -> None:
    assert ["d", "d/f"] == list(copied(["f"], "/d/", ONE))
    assert ["d", "d/f"] == list(copied(["f"], "/d/.", ONE))


def test_an_existing_directory_takes_the_file() -> None:
    assert ["d", "d/f"] == list(copied(["f"], "/d", ONE, directory("d")))


def test_a_relative_destination_is_below_the_working_directory() -> None:
    assert ["work", "work/d"] == list(copied(["f"], "d", ONE))
    assert ["work", "work/f"] == list(copied(["f"], ".", ONE, directory("work")))


def test_dots_end_at_the_root() -> None:
    assert ["d"] == list(copied(["f"], "/../../d", ONE))


def test_a_destination_with_a_nul_is_an_error() -> None:
    with pytest.raises(StepError, match="has a NUL"):
        Destination.parse("/a\0b", "/")


def test_a_directory_brings_its_contents_and_never_itself() -> None:
    assert ["new", "new/s", "new/s/y", "new/x"] == list(copied(["d"], "/new", DIRECTORY))


def test_a_new_top_directory_is_0755_of_root_with_the_sources_time() -> None:
    top = copied(["d"], "/new", DIRECTORY)["new"]
    assert (0o755, 0, 77) == (top.mode, top.uid, top.mtime)


def test_an_existing_top_directory_keeps_mode_and_owner_and_gets_the_sources_time() -> None:
    top = copied(["d"], "/new", DIRECTORY, directory("new", 0o750, 9))["new"]
    assert (0o750, 9, 77) == (top.mode, top.uid, top.mtime)


def test_an_existing_sub_directory_gets_mode_owner_and_time_of_the_source() -> None:
    below = (directory("new"), directory("new/s", 0o750, 9))
    inner = copied(["d"], "/new", DIRECTORY, *below)["new/s"]
    assert (0o711, 0, 66) == (inner.mode, inner.uid, inner.mtime)


def test_missing_parents_are_made_and_existing_ones_are_repeated() -> None:
    found = copied(["f"], "/a/b/c", ONE, directory("a", 0o700, 5))
    assert ["a", "a/b", "a/b/c"] == list(found)
    assert (0o700, 5) == (found["a"].mode, found["a"].uid)
    assert (0o755, 0) == (found["a/b"].mode, found["a/b"].uid)


def test_chown_reaches_new_parents_and_not_existing_ones() -> None:
    found = copied(["f"], "/a/b/c", ONE, directory("a"), owner=(7, 8))
    assert {"a": 0, "a/b": 7, "a/b/c": 7} == {path: entry.uid for path, entry in found.items()}


def test_an_octal_chmod_reaches_new_parents_and_directories_inside() -> None:
    found = copied(["d"], "/n/m", DIRECTORY, chmod="640")
    assert {"n": 0o640, "n/m": 0o640, "n/m/s": 0o640, "n/m/s/y": 0o640, "n/m/x": 0o640} == {
        path: entry.mode for path, entry in found.items()
    }


def test_a_symbolic_chmod_leaves_new_parents_alone() -> None:
    found = copied(["f"], "/n/f", ONE, chmod="go=")
    assert {"n": 0o755, "n/f": 0o600} == {path: entry.mode for path, entry in found.items()}


def test_a_link_named_as_the_destination_is_followed_also_a_broken_one() -> None:
    assert ["real", "real/f"] == list(copied(["f"], "/l", ONE, directory("real"), link("l", "real")))
    assert ["nowhere"] == list(copied(["f"], "/l", ONE, link("l", "nowhere")))
    assert ["real", "real/f"] == list(copied(["f"], "/l/", ONE, directory("real"), link("l", "/real")))


def test_inside_a_copied_tree_a_file_replaces_a_link() -> None:
    found = copied(["d"], "/new", DIRECTORY, directory("new"), link("new/x", "elsewhere"))
    assert found["new/x"].kind == "file"


def test_inside_a_copied_tree_a_directory_onto_a_link_is_an_error() -> None:
    with pytest.raises(StepError, match="cannot copy to non-directory: /new/s"):
        copied(["d"], "/new", DIRECTORY, directory("new"), directory("t"), link("new/s", "/t"))


def test_a_file_over_a_directory_is_an_error() -> None:
    with pytest.raises(StepError, match="cannot replace to directory /new/x with file"):
        copied(["d"], "/new", DIRECTORY, directory("new"), directory("new/x"))


def test_a_directory_over_a_file_is_an_error() -> None:
    with pytest.raises(StepError, match="cannot copy to non-directory: /new"):
        copied(["d"], "/new", DIRECTORY, file("new"))


def test_a_file_below_a_file_is_an_error() -> None:
    with pytest.raises(StepError, match="cannot copy to non-directory: /a"):
        copied(["f"], "/a/b", ONE, file("a"))


def test_several_directories_are_merged_and_the_later_file_wins() -> None:
    files = Files(directory("a"), file("a/x", 0o600), directory("b"), file("b/x", 0o755), file("b/y"))
    found = copied(["a", "b"], "/n/", files)
    assert ["n", "n/x", "n/y"] == list(found)
    assert found["n/x"].mode == 0o755


def test_several_files_without_a_slash_leave_the_last_one() -> None:
    files = Files(file("a", 0o600), file("b", 0o755))
    found = copied(["a", "b"], "/n", files)
    assert ["n"] == list(found)
    assert found["n"].mode == 0o755


def test_a_hard_links_target_moves_with_it() -> None:
    class Linked(Files):
        def walk(self, path: bytes, skip: Callable[[bytes, bool], bool] | None = None) -> Iterator[Change]:
            yield from super().walk(path, skip)
            yield Change(b"z", Entry(b"z", "hardlink", 0o644, linkname=b"x"))

    found = copied(["d"], "/new", Linked(directory("d"), file("d/x")))
    assert found["new/z"].linkname == b"new/x"


def test_with_link_nothing_below_counts() -> None:
    found = copied(["f"], "/l/f", ONE, directory("real"), link("l", "real"), linked=True)
    assert ["l", "l/f"] == list(found)
    assert found["l"].mode == 0o755


def test_contents_of_several_sources_can_be_opened_in_any_order() -> None:
    files = Files(directory("a"), file("a/x"), directory("b"), file("b/y"))
    placement = Placement(Tree.empty(), Destination.parse("/n/", "/"))
    changes = list(place(placement, files, select(files, ["a", "b"])))
    contents = {change.path: change.open().read() for change in changes if change.open}  # type: ignore[union-attr]
    assert {b"n/x": b"a/x", b"n/y": b"b/y"} == contents


def test_a_directory_made_below_a_setgid_one_has_that_bit_and_group() -> None:
    below = Entry(b"g", "directory", 0o2775, 0, 2000)
    found = copied(["f"], "/g/new/f", ONE, below)["g/new"]
    assert (0o2755, 0, 2000) == (found.mode, found.uid, found.gid)
    owned = copied(["f"], "/g/new/f", ONE, below, owner=(5, 6))["g/new"]
    assert (0o2755, 5, 6) == (owned.mode, owned.uid, owned.gid)


def test_octal_chmod_gives_parents_permissions_without_setuid() -> None:
    assert 0o755 == copied(["f"], "/new/f", ONE, chmod="4755")["new"].mode
    assert 0o4755 == copied(["f"], "/new/f", ONE, chmod="4755")["new/f"].mode


def test_a_link_of_the_files_name_inside_the_destination_is_replaced() -> None:
    below = (directory("d"), link("d/f", "../e"), directory("e"))
    assert "file" == copied(["f"], "/d/", ONE, *below)["d/f"].kind


def test_a_source_sees_what_the_one_before_it_has_made() -> None:
    files = Files(directory("d"), file("d/x"), file("f"))
    assert ["new", "new/f", "new/x"] == list(copied(["d", "f"], "/new", files))


def test_the_other_name_of_a_file_that_a_later_source_replaces_keeps_its_content() -> None:
    files = Files(directory("d"), file("d/a"), directory("e"), file("e/a"))
    linked = LinkedFiles(files, b"d/b", b"a")
    placement = Placement(Tree.empty(), Destination.parse("/new/", "/"))
    found = {change.path: change for change in place(placement, linked, select(linked, ["d", "e"]))}
    first = found[b"new/b"]
    assert first.entry is not None
    assert first.open is not None
    assert "file" == first.entry.kind
    assert b"d/a" == _content(first)
    assert b"e/a" == _content(found[b"new/a"])


class LinkedFiles(Files):
    """Files of which a directory has one more: a hard link."""

    def __init__(self, files: Files, path: bytes, target: bytes) -> None:
        super().__init__(*files._tree.walk())
        self._parent, _, self._name = path.rpartition(b"/")
        self._target = target

    def walk(self, path: bytes, skip: Callable[[bytes, bool], bool] | None = None) -> Iterator[Change]:
        yield from super().walk(path, skip)
        if path == self._parent:
            yield Change(self._name, Entry(self._name, "hardlink", 0o644, linkname=self._target))


def _content(change: Change) -> bytes:
    assert change.open is not None
    opened = change.open()
    assert not isinstance(opened, int)
    return opened.read()
