"""The merged view of layers: image-spec/layer.md, "Applying Changesets"."""

from __future__ import annotations

import pytest

from layers.changeset.tree import Source, Tree
from layers.errors import ChangesetError
from tests.support.rootfs import Node, directory, fifo, file, hardlink, symlink, whiteout


def tree(*stack: list[Node]) -> Tree:
    made = Tree.empty()
    for nodes in stack:
        made = made.apply(node.entry for node in nodes)
    return made


def paths(of: Tree, below: bytes = b"") -> list[bytes]:
    return [entry.path for entry in of.walk(below)]


BASE = [directory(b"etc"), file(b"etc/a", b"1"), file(b"etc/b", b"2"), directory(b"var"), file(b"var/c")]


def test_no_layers_are_an_empty_root() -> None:
    root = Tree.empty().get(b"")

    assert root is not None
    assert ("directory", 0o755) == (root.kind, root.mode)
    assert [] == Tree.empty().children(b"")


def test_applying_gives_another_tree() -> None:
    base = tree(BASE)
    grown = base.apply([file(b"new").entry])

    assert (None, 1) == (base.get(b"new"), base.layers)
    assert grown.get(b"new") is not None
    assert 2 == grown.layers


def test_names_are_in_byte_order() -> None:
    """Also where a name sorts below the slash: ``a.b`` comes after all of ``a``."""
    made = tree([directory(b"a"), file(b"a/z"), file(b"a.b"), file(b"a/c")])

    assert [b"a", b"a/c", b"a/z", b"a.b"] == paths(made)
    assert [b"c", b"z"] == made.children(b"a")
    assert [b"a/c", b"a/z"] == paths(made, b"a")
    assert [] == made.children(b"nothing")


def test_a_whiteout_hides_a_path_and_all_below() -> None:
    assert [b"var", b"var/c"] == paths(tree(BASE, [whiteout(b".wh.etc")]))


def test_a_whiteout_spares_its_own_layer_whatever_the_order() -> None:
    """A directory that was removed and made again comes with a whiteout of itself."""
    layer = [directory(b"etc"), file(b"etc/new"), whiteout(b".wh.etc")]

    assert [b"etc", b"etc/new", b"var", b"var/c"] == paths(tree(BASE, layer))
    assert [b"etc", b"etc/new", b"var", b"var/c"] == paths(tree(BASE, layer[::-1][:1] + layer[:2]))


def test_an_opaque_whiteout_hides_what_lower_layers_put_there() -> None:
    layer = [file(b"etc/new"), whiteout(b"etc/.wh..wh..opq")]

    assert [b"etc", b"etc/new", b"var", b"var/c"] == paths(tree(BASE, layer))


def test_records_of_aufs_are_no_entries() -> None:
    assert paths(tree(BASE)) == paths(tree(BASE, [directory(b".wh..wh.plnk"), file(b".wh..wh.plnk/1.2")]))


def test_a_file_takes_the_place_of_a_directory() -> None:
    made = tree(BASE, [file(b"etc", b"x")])

    assert [b"etc", b"var", b"var/c"] == paths(made)
    assert Source(1, b"etc") == made.source(b"etc")


def test_a_directory_keeps_what_it_holds_when_its_entry_changes() -> None:
    made = tree(BASE, [directory(b"etc", 0o700)])
    entry = made.get(b"etc")

    assert entry is not None
    assert 0o700 == entry.mode
    assert [b"a", b"b"] == made.children(b"etc")


def test_parents_that_no_layer_has_are_made() -> None:
    made = tree([file(b"a/b/c")]).get(b"a/b")

    assert made is not None
    assert ("directory", 0o755, 0, 0, 0) == (made.kind, made.mode, made.uid, made.gid, made.mtime)


def test_a_parent_that_is_a_link_is_followed_inside_the_root() -> None:
    made = tree([directory(b"usr/lib"), symlink(b"lib", b"/../usr/lib")], [file(b"lib/x"), whiteout(b"lib/.wh.y")])

    assert [b"lib", b"usr", b"usr/lib", b"usr/lib/x"] == paths(made)
    assert Source(1, b"lib/x") == made.source(b"usr/lib/x")


def test_a_parent_that_is_a_file_is_refused() -> None:
    with pytest.raises(ChangesetError, match="no directory"):
        tree([file(b"a")], [file(b"a/b")])


def test_the_root_keeps_its_own_entry() -> None:
    """An archive made with ``tar -C rootfs .`` begins with one, often of mode 0700."""
    assert Tree.empty() != tree([file(b"a")])
    assert Tree.empty().get(b"") == tree([directory(b"", 0o700)]).get(b"")


def test_a_hard_link_is_a_file_with_its_targets_content() -> None:
    made = tree(BASE, [hardlink(b"var/link", b"etc/a")])
    link, target = made.get(b"var/link"), made.get(b"etc/a")

    assert link is not None
    assert target is not None
    assert link == target._replace(path=b"var/link")
    assert Source(0, b"etc/a") == made.source(b"var/link")


def test_a_hard_link_keeps_its_content_when_the_other_name_changes() -> None:
    made = tree(BASE, [hardlink(b"link", b"etc/a")], [file(b"etc/a", b"other")])

    assert (Source(0, b"etc/a"), Source(2, b"etc/a")) == (made.source(b"link"), made.source(b"etc/a"))


def test_a_hard_link_to_a_link_or_a_pipe_is_another_of_them() -> None:
    made = tree([symlink(b"s", b"t"), fifo(b"p"), hardlink(b"s2", b"s"), hardlink(b"p2", b"p")])
    link, pipe = made.get(b"s2"), made.get(b"p2")

    assert link is not None
    assert pipe is not None
    assert ("symlink", b"t", "fifo") == (link.kind, link.linkname, pipe.kind)


@pytest.mark.parametrize("target", [b"nothing", b"etc"])
def test_a_hard_link_to_no_file_is_refused(target: bytes) -> None:
    with pytest.raises(ChangesetError, match="links b'link' to what is no file"):
        tree(BASE, [hardlink(b"link", target)])


def test_only_files_have_a_source() -> None:
    made = tree(BASE, [symlink(b"etc/a", b"b")])

    assert made.source(b"etc/a") is None
    assert made.source(b"etc") is None
    assert made.source(b"nothing") is None


def test_names_of_one_file_and_owners_are_known() -> None:
    owned = {b"a": (5, 0), b"d": (0, 7)}
    entries = [node.entry for node in (file(b"a"), hardlink(b"b", b"a"), file(b"c"), directory(b"d"))]
    owners = [owned.get(each.path, (0, 0)) for each in entries]

    made = Tree.empty().apply(each._replace(uid=uid, gid=gid) for each, (uid, gid) in zip(entries, owners, strict=True))

    assert [True, True, False, False] == [made.is_linked(path) for path in (b"a", b"b", b"c", b"d")]
    assert {**owned, b"b": (5, 0)} == made.foreign()
