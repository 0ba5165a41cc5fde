"""Laws of differences: what was found, written and applied again leads to the same root file system."""

from __future__ import annotations

import io
import os
import stat
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from layers.changeset.apply import apply
from layers.changeset.diff import diff_snapshots, diff_upper, snapshot
from layers.changeset.tree import Tree, index_layer
from layers.changeset.write import write_layer
from layers.compression import open_reader
from tests.property.strategies import trees
from tests.support.rootfs import Nodes, build, dress, make, set_time, stream_of, tree_view, view

if TYPE_CHECKING:
    from collections.abc import Iterable

    from layers.changeset.entry import Change


def tree_of(nodes: Nodes) -> Tree:
    return Tree.empty().apply(index_layer(stream_of(nodes.values())).entries)


def replay(changes: Iterable[Change], before: Nodes, target: Path) -> Tree:
    """Write changes as a layer, apply it to what was there before, on disk and as a tree."""
    sink = io.BytesIO()
    layer = write_layer(changes, sink, "gzip")
    build(target, before.values())
    apply(open_reader(io.BytesIO(sink.getvalue())), target)
    return tree_of(before).apply(layer.index.entries)


def kept_paths(before: Nodes, after: Nodes) -> set[bytes]:
    """Give what is the same in both: of hard links, the target too."""
    kept: set[bytes] = set()
    for path, node in after.items():
        linkname = node.entry.linkname
        if before.get(path) == node and (node.entry.kind != "hardlink" or linkname in kept):
            kept.add(path)
    return kept


def turn(root: Path, before: Nodes, after: Nodes) -> None:
    """Make one root file system of the other, touching no more than what differs."""
    kept = kept_paths(before, after)
    for path in before:
        full = os.path.join(os.fsencode(root), path)
        stays = path in kept or (path in after and before[path].entry.kind == after[path].entry.kind == "directory")
        if not stays and os.path.lexists(full):
            subprocess.run([b"rm", b"-rf", b"--", full], check=True)
    for path, node in after.items():
        if not os.path.lexists(os.path.join(os.fsencode(root), path)):
            make(root, node)
        elif path not in kept:
            dress(root, node.entry)
    for path, node in reversed(after.items()):
        seconds = os.lstat(os.path.join(os.fsencode(root), path)).st_mtime_ns / 1e9
        if node.entry.kind != "hardlink" and seconds != node.entry.mtime:
            set_time(root, path, node.entry.mtime)


@given(before=trees(), after=trees(), with_tree=st.booleans())
def test_what_changed_since_a_snapshot_leads_to_the_same(before: Nodes, after: Nodes, *, with_tree: bool) -> None:
    """apply(write(diff(a, b)), a) == b, on disk and as trees, whether or not the tree of a is known."""
    with tempfile.TemporaryDirectory() as name:
        root, target = Path(name, "root"), Path(name, "target")
        root.mkdir()
        target.mkdir()
        build(root, before.values())
        taken = snapshot(root)
        turn(root, before, after)
        tree = replay(diff_snapshots(taken, root, tree_of(before) if with_tree else None), before, target)

        assert view(root) == view(target)
        assert view(root) == tree_view(tree)


@given(trees())
def test_nothing_changed_since_a_snapshot(nodes: Nodes) -> None:
    """A directory that nobody touched has no changes."""
    with tempfile.TemporaryDirectory() as name:
        build(Path(name), nodes.values())
        taken = snapshot(Path(name))

        assert [] == list(diff_snapshots(taken, Path(name)))


@given(trees())
def test_what_was_only_touched_is_no_change(nodes: Nodes) -> None:
    """New inodes with the same metadata and content are no change where the tree is known."""
    with tempfile.TemporaryDirectory() as name:
        build(Path(name), nodes.values())
        taken = snapshot(Path(name))
        for node in nodes.values():
            if node.entry.kind != "hardlink":
                dress(Path(name), node.entry)

        assert [] == list(diff_snapshots(taken, Path(name), tree_of(nodes)))


def make_upper(upper: Path, before: Nodes, after: Nodes, opaque: set[bytes], copied: set[bytes]) -> None:
    """Make the upper directory that an overlay on ``before`` has when it shows ``after``.

    Directories in ``opaque`` were removed and made again; what is in ``copied`` was copied up and is the same.
    """
    kept = kept_paths(before, after)
    needed: set[bytes] = set()
    marked: set[bytes] = set()
    for path, node in after.items():
        parent = path.rpartition(b"/")[0]
        old = before.get(path)
        if parent in marked or (path in opaque and path in before):
            if node.entry.kind == "directory":
                marked.add(path)
        elif path in kept and path not in copied:
            continue
        elif node.entry.kind == "directory" and old is not None and old.entry.kind != "directory":
            marked.add(path)
        needed |= {path, node.entry.linkname if node.entry.kind == "hardlink" else path}
    # a copied-up file loses its other names, so all of them are made
    needed |= {path for path, node in after.items() if node.entry.kind == "hardlink" and node.entry.linkname in needed}
    gone = {
        path
        for path in before
        if path not in after
        and (path.rpartition(b"/")[0] in after or b"/" not in path)
        and path.rpartition(b"/")[0] not in marked
        and (b"/" not in path or after[path.rpartition(b"/")[0]].entry.kind == "directory")
    }
    for path in needed | gone:
        needed |= {path[:at] for at in range(len(path)) if path[at : at + 1] == b"/"}
    build(upper, [node for path, node in after.items() if path in needed])
    for path in marked:
        os.setxattr(os.path.join(os.fsencode(upper), path), "user.overlay.opaque", b"y")
    for path in gone:
        os.mknod(os.path.join(os.fsencode(upper), path), stat.S_IFCHR, os.makedev(0, 0))
    for path, node in reversed(after.items()):
        if path in needed and node.entry.kind == "directory":
            set_time(upper, path, node.entry.mtime)


@given(trees(), trees(), st.data())
def test_an_upper_directory_leads_to_the_same(before: Nodes, after: Nodes, data: st.DataObject) -> None:
    """apply(write(diff(a, b)), a) == b, on disk and as trees, whatever was copied up or made opaque on the way."""
    chosen = st.sets(st.sampled_from(sorted(after))) if after else st.just(set[bytes]())
    with tempfile.TemporaryDirectory() as name:
        upper, target, wanted = Path(name, "upper"), Path(name, "target"), Path(name, "wanted")
        for folder in (upper, target, wanted):
            folder.mkdir()
        make_upper(upper, before, after, data.draw(chosen), data.draw(chosen))
        tree = replay(diff_upper(upper, tree_of(before), userxattr=True), before, target)
        build(wanted, after.values())

        assert view(wanted) == view(target)
        assert view(wanted) == tree_view(tree)


@given(trees(), st.data())
def test_what_was_only_copied_up_is_no_change(nodes: Nodes, data: st.DataObject) -> None:
    """An upper directory that shows what the lower ones show has no changes."""
    chosen = st.sets(st.sampled_from(sorted(nodes))) if nodes else st.just(set[bytes]())
    with tempfile.TemporaryDirectory() as name:
        make_upper(Path(name), nodes, nodes, data.draw(chosen), data.draw(chosen))

        assert [] == list(diff_upper(Path(name), tree_of(nodes), userxattr=True))
