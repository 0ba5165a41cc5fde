"""What changed in upper directories and in plain ones: image-spec/layer.md, "Creating"."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import subprocess
from typing import TYPE_CHECKING

import pytest

from layers.changeset.diff import diff_snapshots, diff_upper, snapshot
from layers.changeset.tree import Tree
from layers.errors import ChangesetError
from tests.support.rootfs import IS_ROOT, Node, build, directory, fifo, file, make, set_time, symlink

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from layers.changeset.entry import Change

BASE = [
    directory(b"etc", mtime=5),
    file(b"etc/a", b"1"),
    file(b"etc/b", b"2"),
    directory(b"etc/d", mtime=5),
    file(b"etc/d/c"),
    symlink(b"link", b"etc"),
]


def tree(nodes: Iterable[Node] = BASE) -> Tree:
    return Tree.empty().apply(node.entry for node in nodes)


def summary(changes: Iterable[Change]) -> list[str]:
    """Give a word for each change: a whiteout is ``-path``, a hard link ``path=target``."""
    words = []
    for path, entry, _ in changes:
        name = path.decode()
        if entry is None:
            words.append(f"-{name}")
        else:
            words.append(f"{name}={entry.linkname.decode()}" if entry.kind == "hardlink" else name)
    return words


def upper_changes(upper: Path) -> list[str]:
    return summary(diff_upper(upper, tree(), userxattr=True))


def hide(upper: Path, path: str) -> None:
    os.mknod(upper / path, stat.S_IFCHR, os.makedev(0, 0))


def mark(upper: Path, path: str, name: str = "opaque", value: bytes = b"y") -> None:
    os.setxattr(upper / path, f"user.overlay.{name}", value)


def touch_up(upper: Path, *nodes: Node) -> None:
    """Build in an upper directory, the times of directories that are in the base as they are there."""
    build(upper, nodes)
    for node in nodes:
        if node.entry.kind == "directory":
            set_time(upper, node.entry.path, node.entry.mtime)


def test_new_files_come_after_the_directories_that_lead_to_them(tmp_path: Path) -> None:
    """Also where these are as they were: who applies the layer alone needs them."""
    touch_up(tmp_path, directory(b"etc", mtime=5), directory(b"etc/d", mtime=5), file(b"etc/d/new"), file(b"etc/e"))

    assert ["etc", "etc/d", "etc/d/new", "etc/e"] == upper_changes(tmp_path)


def test_what_was_copied_up_and_is_the_same_is_no_change(tmp_path: Path) -> None:
    touch_up(tmp_path, *BASE)

    assert [] == upper_changes(tmp_path)


@pytest.mark.parametrize(
    "node",
    [
        file(b"etc/a", b"x"),
        file(b"etc/a", b"12"),
        file(b"etc/a", b"1", mode=0o600),
        file(b"etc/a", b"1", mtime=1),
        file(b"etc/a", b"1", xattrs={"user.a": b""}),
        symlink(b"etc/a", b"1"),
        fifo(b"etc/a"),
    ],
)
def test_a_file_that_differs_in_anything_is_a_change(node: Node, tmp_path: Path) -> None:
    touch_up(tmp_path, directory(b"etc", mtime=5), node)

    assert ["etc", "etc/a"] == upper_changes(tmp_path)


def test_a_directory_whose_time_alone_differs_is_a_change(tmp_path: Path) -> None:
    touch_up(tmp_path, directory(b"etc", mtime=6))

    assert ["etc"] == upper_changes(tmp_path)


def test_whiteouts_are_for_what_lower_directories_have(tmp_path: Path) -> None:
    touch_up(tmp_path, directory(b"etc", mtime=5))
    hide(tmp_path, "etc/b")
    hide(tmp_path, "etc/never")
    hide(tmp_path, "link")
    set_time(tmp_path, b"etc", 5)

    assert ["etc", "-etc/b", "-link"] == upper_changes(tmp_path)


def test_an_opaque_directory_becomes_a_whiteout_for_each_name(tmp_path: Path) -> None:
    """No ``.wh..wh..opq`` is ever written; directories below it hide too, though they are not marked."""
    touch_up(tmp_path, directory(b"etc"), file(b"etc/b", b"2"), directory(b"etc/d"), file(b"etc/z"))
    mark(tmp_path, "etc")

    assert ["etc", "-etc/a", "etc/d", "-etc/d/c", "etc/z"] == upper_changes(tmp_path)


def test_a_file_in_a_directorys_place_needs_no_whiteout(tmp_path: Path) -> None:
    touch_up(tmp_path, file(b"etc", b"x"))

    assert ["etc"] == upper_changes(tmp_path)


def test_names_of_one_file_come_together(tmp_path: Path) -> None:
    """A link to a file that was only copied up for it brings that file along."""
    touch_up(tmp_path, directory(b"etc", mtime=5), file(b"etc/a", b"1"), directory(b"new"))
    os.link(tmp_path / "etc/a", tmp_path / "new/link")
    set_time(tmp_path, b"new", 0)

    assert ["new", "new/link", "etc", "etc/a=new/link"] == upper_changes(tmp_path)


def test_the_first_name_carries_the_data(tmp_path: Path) -> None:
    build(tmp_path, [file(b"z", b"x")])
    os.link(tmp_path / "z", tmp_path / "b")

    assert ["b", "z=b"] == upper_changes(tmp_path)


def test_overlays_own_marks_are_left_out(tmp_path: Path) -> None:
    build(tmp_path, [directory(b"new"), file(b"new/file", xattrs={"user.note": b"x"})])
    mark(tmp_path, "new", "origin")
    mark(tmp_path, "new/file", "origin")
    found = {path: entry for path, entry, _ in diff_upper(tmp_path, tree(), userxattr=True) if entry is not None}

    assert [{}, {"user.note": b"x"}] == [found[b"new"].xattrs, found[b"new/file"].xattrs]


@pytest.mark.parametrize("name", ["redirect", "metacopy"])
def test_overlays_that_move_or_copy_metadata_only_are_refused(name: str, tmp_path: Path) -> None:
    build(tmp_path, [directory(b"moved")])
    mark(tmp_path, "moved", name, b"etc")

    with pytest.raises(ChangesetError, match="redirects or metadata-only copies cannot be read: moved"):
        upper_changes(tmp_path)


def test_sockets_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("s")

        assert [] == upper_changes(tmp_path)


def test_content_is_opened_at_the_path(tmp_path: Path) -> None:
    build(tmp_path, [file(b"new", b"content")])
    (change,) = diff_upper(tmp_path, tree(), userxattr=True)
    assert change.open is not None
    descriptor = change.open()
    assert isinstance(descriptor, int)
    with open(descriptor, "rb") as opened:
        assert b"content" == opened.read()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    build(tmp_path, BASE)
    return tmp_path


def test_nothing_changed_is_nothing_to_write(root: Path) -> None:
    assert [] == list(diff_snapshots(snapshot(root), root))


def test_changes_since_a_snapshot_are_found(root: Path) -> None:
    before = snapshot(root)
    (root / "etc/a").write_bytes(b"x")
    (root / "etc/b").unlink()
    make(root, file(b"new"))

    assert ["etc", "etc/a", "-etc/b", "new"] == summary(diff_snapshots(before, root))


def test_a_removed_directory_is_one_whiteout(root: Path) -> None:
    before = snapshot(root)
    shutil.rmtree(root / "etc")

    assert ["-etc"] == summary(diff_snapshots(before, root))


def test_a_change_that_keeps_size_and_time_is_found(root: Path) -> None:
    """The time of change cannot be set back, and is later than the snapshot even within a tick of the clock."""
    before = snapshot(root)
    (root / "etc/a").write_bytes(b"x")
    set_time(root, b"etc/a", 0)

    assert ["etc", "etc/a"] == summary(diff_snapshots(before, root, tree()))


def test_what_was_touched_only_is_no_change_where_the_tree_is_known(root: Path) -> None:
    before = snapshot(root)
    (root / "etc/a").write_bytes(b"1")
    set_time(root, b"etc/a", 0)
    (root / "etc/d").chmod(0o755)

    assert [] == summary(diff_snapshots(before, root, tree()))
    assert ["etc", "etc/a", "etc/d"] == summary(diff_snapshots(before, root))


def test_changes_are_in_byte_order_depth_first(root: Path) -> None:
    before = snapshot(root)
    for name in ("etc.d", "etc-x", "a"):
        make(root, file(name.encode()))
    make(root, file(b"etc/new"))
    (root / "etc/a").unlink()

    assert ["a", "etc", "-etc/a", "etc/new", "etc-x", "etc.d"] == summary(diff_snapshots(before, root))


@pytest.fixture
def overlay(tmp_path: Path) -> Iterator[Path]:
    """A real overlay on the base: what the kernel leaves in an upper directory is what counts."""
    for name in ("lower", "upper", "work", "merged"):
        (tmp_path / name).mkdir()
    build(tmp_path / "lower", BASE)
    options = f"lowerdir={tmp_path}/lower,upperdir={tmp_path}/upper,workdir={tmp_path}/work"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, tmp_path / "merged"], check=True)
    yield tmp_path
    subprocess.run(["umount", tmp_path / "merged"], check=False)


@pytest.mark.root
def test_what_the_kernel_leaves_in_an_upper_directory_is_understood(overlay: Path) -> None:
    merged = overlay / "merged"
    (merged / "etc/a").unlink()
    (merged / "etc/b").chmod(0o600)
    shutil.rmtree(merged / "etc/d")
    (merged / "etc/d").mkdir()
    (merged / "etc/d/new").touch()
    (merged / "link").unlink()
    (merged / "link").mkdir()
    os.link(merged / "etc/d/new", merged / "link/again")
    subprocess.run(["umount", merged], check=True)
    assert IS_ROOT

    assert [
        "etc",
        "-etc/a",
        "etc/b",
        "etc/d",
        "-etc/d/c",
        "etc/d/new",
        "link",
        "link/again=etc/d/new",
    ] == summary(diff_upper(overlay / "upper", tree(), userxattr=False))
