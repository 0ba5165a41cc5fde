"""Applying layers: image-spec/layer.md, "Applying Changesets"; nothing outside the root is ever touched."""

from __future__ import annotations

import io
import os
import stat
import subprocess
from typing import TYPE_CHECKING

import pytest

from layers.changeset.apply import apply
from layers.changeset.entry import Entry
from layers.changeset.index import index_layer
from layers.changeset.tar import Limits
from layers.errors import ChangesetError, LimitError
from tests.support.rootfs import (
    IS_ROOT,
    Node,
    directory,
    fifo,
    file,
    hardlink,
    stream_of,
    symlink,
    tar_of,
    view,
    whiteout,
)

if TYPE_CHECKING:
    from pathlib import Path

OPAQUE = "user.overlay.opaque"


@pytest.fixture
def rootfs(tmp_path: Path) -> Path:
    made = tmp_path / "rootfs"
    made.mkdir()
    return made


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A directory beside the root, with a file that nobody may touch."""
    made = tmp_path / "outside"
    made.mkdir()
    (made / "victim").write_bytes(b"untouched")
    os.utime(made, (1, 1))
    return made


def put(rootfs: Path, *nodes: Node) -> None:
    apply(stream_of(nodes), rootfs)


def names(rootfs: Path) -> list[str]:
    return sorted(str(path.relative_to(rootfs)) for path in rootfs.rglob("*"))


def test_entries_come_with_all_that_they_say(rootfs: Path) -> None:
    nodes = [
        directory(b"d", 0o1777, 1_000_000_000),
        file(b"d/setuid", b"content", 0o4755, 1_700_000_000, {"user.note": b"\x00"}),
        file(b"d/locked", b"x", 0o400, -5),
        symlink(b"d/link", b"/etc/passwd", 7),
        fifo(b"d/pipe", 0o640, 8),
    ]
    put(rootfs, *nodes)

    assert [node.entry for node in nodes] == [view(rootfs)[node.entry.path][0] for node in nodes]


def test_a_directory_that_locks_its_owner_out_is_filled_before(rootfs: Path) -> None:
    put(rootfs, directory(b"d", 0o000), directory(b"d/e", 0o500), file(b"d/e/f"))

    assert 0o000 == stat.S_IMODE((rootfs / "d").stat().st_mode)
    (rootfs / "d").chmod(0o700)
    assert 0o500 == stat.S_IMODE((rootfs / "d/e").stat().st_mode)
    assert ["d", "d/e", "d/e/f"] == names(rootfs)


def test_large_files_and_many_directories_are_unpacked(rootfs: Path) -> None:
    """Deeper than the descriptors that are kept open."""
    content = os.urandom(3_000_000)
    deep = [b"/".join([b"d"] * depth) for depth in range(1, 120)]
    put(rootfs, file(b"big", content), *map(directory, deep), file(deep[-1] + b"/file", b"x"), file(b"d/d/d/late"))

    assert content == (rootfs / "big").read_bytes()
    assert b"x" == (rootfs / os.fsdecode(deep[-1]) / "file").read_bytes()
    assert 0 == (rootfs / "d/d").stat().st_mtime


def test_the_index_is_made_on_the_way(rootfs: Path) -> None:
    nodes = [directory(b"etc"), file(b"etc/passwd", b"root"), file(b"big", bytes(2_000_000)), whiteout(b".wh.x")]

    assert index_layer(stream_of(nodes)) == apply(stream_of(nodes), rootfs, index=True)
    assert b"root" == (rootfs / "etc/passwd").read_bytes()


def test_opaque_whiteout_hides_lower_files_only(rootfs: Path) -> None:
    """Files of the same layer survive its own opaque marker, whatever the order."""
    put(rootfs, directory(b"etc"), file(b"etc/old"), directory(b"etc/sub"), file(b"etc/sub/old"))
    put(rootfs, file(b"etc/first"), file(b"etc/sub/first"), whiteout(b"etc/.wh..wh..opq"), file(b"etc/new"))

    assert ["etc", "etc/first", "etc/new", "etc/sub", "etc/sub/first"] == names(rootfs)


def test_whiteouts_remove_what_lower_layers_put_there(rootfs: Path) -> None:
    put(rootfs, directory(b"a"), file(b"a/b"), file(b"c"), file(b"d"))
    put(rootfs, whiteout(b".wh.a"), whiteout(b".wh.c"), whiteout(b".wh.nothing"), whiteout(b"no/.wh.x"))

    assert ["d"] == names(rootfs)


def test_a_whiteout_does_not_follow_a_link(rootfs: Path, outside: Path) -> None:
    put(rootfs, symlink(b"link", str(outside).encode()))
    put(rootfs, whiteout(b"link/.wh.victim"), whiteout(b".wh.link"))

    assert [] == names(rootfs)
    assert (outside / "victim").exists()


def test_directories_that_a_layer_leaves_out_keep_their_times(rootfs: Path) -> None:
    put(rootfs, directory(b"a", mtime=5), directory(b"a/b", mtime=6), file(b"a/b/old"))
    put(rootfs, file(b"a/b/new"), whiteout(b"a/b/.wh.old"), file(b"x/y"))

    assert (5, 6, 0) == tuple((rootfs / name).stat().st_mtime for name in ("a", "a/b", "x"))


def test_any_kind_takes_the_place_of_any_other(rootfs: Path) -> None:
    kinds = [directory(b"x"), file(b"x", b"1"), symlink(b"x", b"y"), fifo(b"x"), hardlink(b"x", b"other")]
    put(rootfs, file(b"other", b"o"))
    for before in kinds:
        for after in kinds:
            put(rootfs, before)
            put(rootfs, after)
            expected = "file" if after.entry.kind == "hardlink" else after.entry.kind
            assert expected == view(rootfs)[b"x"][0].kind, (before, after)


def test_hard_links_share_one_file(rootfs: Path) -> None:
    put(rootfs, directory(b"d"), file(b"d/a", b"x"))
    put(rootfs, hardlink(b"b", b"d/a"), hardlink(b"d/c", b"./b"), hardlink(b"b", b"b"))

    assert {b"b", b"d/a", b"d/c"} == view(rootfs)[b"b"][1]


@pytest.mark.parametrize("target", [b"nothing", b"d", b"d/nothing"])
def test_a_hard_link_to_no_file_is_refused(target: bytes, rootfs: Path) -> None:
    with pytest.raises(ChangesetError, match="cannot apply link"):
        put(rootfs, directory(b"d"), hardlink(b"link", target))


def test_a_parent_that_is_a_file_is_refused(rootfs: Path) -> None:
    with pytest.raises(ChangesetError, match="cannot apply a/b: Not a directory") as raised:
        put(rootfs, file(b"a"), file(b"a/b"))

    assert raised.value.hint


def test_the_roots_own_entry_is_left_out(rootfs: Path) -> None:
    rootfs.chmod(0o755)
    put(rootfs, directory(b"", 0o700))

    assert 0o755 == stat.S_IMODE(rootfs.stat().st_mode)


def test_records_of_aufs_are_left_out(rootfs: Path) -> None:
    put(rootfs, directory(b".wh..wh.plnk"), file(b".wh..wh.plnk/1.2"), file(b"a"))

    assert ["a"] == names(rootfs)


@pytest.mark.parametrize(
    "nodes",
    [
        [symlink(b"link", b"{}"), file(b"link/victim", b"evil")],
        [symlink(b"link", b"{}/victim"), file(b"link", b"evil")],
        [symlink(b"link", b"../outside"), file(b"link/new", b"evil")],
        [symlink(b"a", b"."), symlink(b"a/link", b"{}"), file(b"a/link/victim", b"evil")],
        [directory(b"d"), symlink(b"d/link", b"../../outside"), whiteout(b"d/link/.wh..wh..opq")],
        [symlink(b"link", b"{}"), hardlink(b"stolen", b"link/victim"), file(b"stolen", b"evil")],
        [symlink(b"link", b"{}/victim"), hardlink(b"stolen", b"link")],
        [symlink(b"link", b"{}"), directory(b"link/victim", 0o000)],
        [symlink(b"link", b"{}"), directory(b"link", 0o000)],
        [Node(Entry(b"../outside/victim", "file", 0o644, size=4), b"evil")],
        [Node(Entry(b"/../outside/new", "file", 0o644, size=4), b"evil")],
        [hardlink(b"stolen", b"../outside/victim")],
    ],
)
def test_nothing_outside_is_touched(nodes: list[Node], rootfs: Path, outside: Path) -> None:
    """Whether the layer is applied or refused."""
    nodes = [
        node._replace(entry=node.entry._replace(linkname=node.entry.linkname.replace(b"{}", os.fsencode(outside))))
        for node in nodes
    ]
    for entries in (nodes, *([node] for node in nodes)):
        try:
            put(rootfs, *entries)
        except ChangesetError:
            continue

    assert ["victim"] == names(outside)
    assert (b"untouched", 1) == ((outside / "victim").read_bytes(), (outside / "victim").stat().st_nlink)
    assert (0o755, 1) == (stat.S_IMODE(outside.stat().st_mode) | 0o755, outside.stat().st_mtime)


def test_too_deep_directories_are_refused(rootfs: Path) -> None:
    with pytest.raises(LimitError, match="deep"):
        put(rootfs, file(b"/".join([b"d"] * 1000)))


def test_the_limits_are_those_of_the_tar(rootfs: Path) -> None:
    with pytest.raises(LimitError, match="more than 1 entries"):
        apply(stream_of([file(b"a"), file(b"b")]), rootfs, limits=Limits(entries=1))


def test_an_archive_that_is_cut_short_is_refused(rootfs: Path) -> None:
    with pytest.raises(ChangesetError, match="cut short"):
        apply(io.BytesIO(tar_of([file(b"a", bytes(2_000_000))])[:1_500_000]), rootfs)


def test_attributes_of_the_host_are_not_taken(rootfs: Path) -> None:
    """A layer must not tell overlayfs where a directory really is."""
    marks = {"user.overlay.redirect": b"/etc", "security.selinux": b"x", "user.mine": b"y"}
    put(rootfs, file(b"a", xattrs=marks))

    assert ["user.mine"] == os.listxattr(rootfs / "a")


def test_attributes_go_with_the_layer_that_had_them(rootfs: Path) -> None:
    node = directory(b"d")
    put(rootfs, node._replace(entry=node.entry._replace(xattrs={"user.old": b"x", "user.both": b"1"})))
    put(rootfs, node._replace(entry=node.entry._replace(xattrs={"user.both": b"2"})))

    assert {"user.both": b"2"} == view(rootfs)[b"d"][0].xattrs


def test_what_may_not_be_made_is_an_error_or_told(rootfs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user namespace has no devices."""

    def deny(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "mknod", deny)
    device = Node(Entry(b"null", "character", 0o666, major=1, minor=3))
    told: list[bytes] = []
    apply(stream_of([device, file(b"a")]), rootfs, skipped=lambda entry, _: told.append(entry.path))

    assert ([b"null"], ["a"]) == (told, names(rootfs))
    with pytest.raises(ChangesetError, match="cannot apply null: Operation not permitted"):
        put(rootfs, device)


@pytest.mark.root
def test_owners_devices_and_capabilities_are_roots_to_give(rootfs: Path) -> None:
    capability = bytes.fromhex("0100000200200000000000000000000000000000")
    nodes = [
        Node(Entry(b"null", "character", 0o666, 0, 6, major=1, minor=3)),
        Node(Entry(b"ping", "file", 0o4755, 3_000_000, 7, xattrs={"security.capability": capability})),
        Node(Entry(b"link", "symlink", 0o777, 1000, 1001, linkname=b"x")),
    ]
    put(rootfs, *nodes)
    found = view(rootfs)

    assert [node.entry for node in nodes] == [found[node.entry.path][0]._replace(digest=b"") for node in nodes]


@pytest.mark.root
def test_owners_are_left_out_on_demand(rootfs: Path) -> None:
    apply(stream_of([Node(Entry(b"a", "file", 0o644, 1000, 1000))]), rootfs, same_owner=False)

    assert IS_ROOT
    assert 0 == (rootfs / "a").stat().st_uid


def is_hidden(path: Path) -> bool:
    info = path.lstat()
    return stat.S_ISCHR(info.st_mode) and info.st_rdev == 0


def is_opaque(path: Path) -> bool:
    return OPAQUE in os.listxattr(path)


def put_lower(rootfs: Path, *nodes: Node, lowers: list[Path] | None = None) -> None:
    apply(stream_of(nodes), rootfs, overlay=True, userxattr=True, lowers=lowers or [])


def test_in_an_overlay_whiteouts_become_devices(rootfs: Path) -> None:
    put_lower(rootfs, whiteout(b".wh.a"), whiteout(b"b/.wh.c"))

    assert is_hidden(rootfs / "a")
    assert is_hidden(rootfs / "b/c")


def test_in_an_overlay_opaque_directories_are_marked(rootfs: Path) -> None:
    put_lower(rootfs, file(b"d/old"))
    put_lower(rootfs, directory(b"d"), whiteout(b"d/.wh..wh..opq"), file(b"d/new"))

    assert is_opaque(rootfs / "d")
    assert ["d", "d/new"] == names(rootfs)


@pytest.mark.parametrize("first", [whiteout(b".wh.d"), file(b"d"), symlink(b"d", b"e")])
def test_in_an_overlay_a_directory_keeps_hidden_what_it_replaces(first: Node, rootfs: Path) -> None:
    """Something was hidden below; without the mark it would show again."""
    put_lower(rootfs, first)
    put_lower(rootfs, directory(b"d"), file(b"d/new"))

    assert is_opaque(rootfs / "d")
    assert ["d", "d/new"] == names(rootfs)


def test_in_an_overlay_a_whiteout_after_its_directory_marks_it(rootfs: Path) -> None:
    put_lower(rootfs, directory(b"d"), file(b"d/new"), whiteout(b".wh.d"), file(b"f"), whiteout(b".wh.f"))

    assert is_opaque(rootfs / "d")
    assert ["d", "d/new", "f"] == names(rootfs)


def test_in_an_overlay_a_file_takes_a_whiteouts_place(rootfs: Path) -> None:
    put_lower(rootfs, whiteout(b".wh.a"))
    put_lower(rootfs, file(b"a", b"x"))

    assert b"x" == (rootfs / "a").read_bytes()


def test_in_an_overlay_a_link_to_a_whiteout_is_refused(rootfs: Path) -> None:
    put_lower(rootfs, whiteout(b".wh.a"))

    with pytest.raises(ChangesetError, match="cannot apply b"):
        put_lower(rootfs, hardlink(b"b", b"a"))


@pytest.fixture
def lower(tmp_path: Path) -> Path:
    """A directory below the root."""
    made = tmp_path / "lower"
    made.mkdir()
    nodes = [directory(b"tmp", 0o1777, 5), symlink(b"lib", b"usr/lib"), directory(b"usr/lib"), file(b"usr/lib/x", b"1")]
    apply(stream_of(nodes), made)
    return made


def test_in_an_overlay_parents_are_as_they_are_below(rootfs: Path, lower: Path) -> None:
    """A layer that holds tmp/file alone must not change the mode of tmp."""
    put_lower(rootfs, file(b"tmp/file"), whiteout(b"usr/lib/.wh.x"), lowers=[lower])

    assert (0o1777, 5) == (stat.S_IMODE((rootfs / "tmp").stat().st_mode), (rootfs / "tmp").stat().st_mtime)
    assert is_hidden(rootfs / "usr/lib/x")


def test_in_an_overlay_links_below_are_followed(rootfs: Path, lower: Path) -> None:
    put_lower(rootfs, file(b"lib/y"), whiteout(b"lib/.wh.x"), lowers=[lower])

    assert ["usr", "usr/lib", "usr/lib/x", "usr/lib/y"] == names(rootfs)


def test_in_an_overlay_files_below_are_copied_for_hard_links(rootfs: Path, lower: Path) -> None:
    put_lower(rootfs, hardlink(b"again", b"lib/x"), lowers=[lower])

    assert b"1" == (rootfs / "again").read_bytes()


def test_in_an_overlay_what_does_not_show_needs_no_whiteout(rootfs: Path, lower: Path) -> None:
    put_lower(rootfs, whiteout(b".wh.nothing"), whiteout(b"no/.wh.x"), whiteout(b"no/.wh..wh..opq"), lowers=[lower])

    assert [] == names(rootfs)


def test_in_an_overlay_an_opaque_root_hides_each_name(rootfs: Path, lower: Path) -> None:
    """Overlayfs merges the roots, however they are marked."""
    put_lower(rootfs, whiteout(b".wh..wh..opq"), file(b"usr/new"), lowers=[lower])

    assert is_hidden(rootfs / "tmp")
    assert is_hidden(rootfs / "lib")
    assert is_opaque(rootfs / "usr")


@pytest.mark.root
def test_the_kernel_shows_what_was_applied(tmp_path: Path) -> None:
    """A real overlay of three directories is what applying to one gives."""
    stack = [
        [directory(b"a"), file(b"a/1"), directory(b"a/d"), file(b"a/d/2"), symlink(b"l", b"a"), file(b"f")],
        [whiteout(b".wh.f"), whiteout(b"a/.wh.d"), directory(b"a/d", 0o700), file(b"a/d/3"), file(b"l/4")],
        [whiteout(b"a/.wh..wh..opq"), file(b"a/5"), directory(b"f"), file(b"f/6"), hardlink(b"g", b"f/6")],
    ]
    plain = tmp_path / "plain"
    merged = tmp_path / "merged"
    plain.mkdir()
    merged.mkdir()
    lowers: list[Path] = []
    for number, nodes in enumerate(stack):
        lower = tmp_path / str(number)
        lower.mkdir()
        apply(stream_of(nodes), plain)
        apply(stream_of(nodes), lower, overlay=number > 0, lowers=lowers)
        lowers.insert(0, lower)
    options = "lowerdir=" + ":".join(map(str, lowers))
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, merged], check=True)
    try:
        assert view(plain) == view(merged)
    finally:
        subprocess.run(["umount", merged], check=True)
