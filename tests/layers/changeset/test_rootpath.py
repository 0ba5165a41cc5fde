"""Paths are resolved inside a root and never outside, on disk and in trees alike."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from layers.changeset.rootpath import resolve
from layers.changeset.tree import Tree
from layers.errors import ChangesetError
from tests.support.rootfs import build, directory, file, symlink

if TYPE_CHECKING:
    from pathlib import Path

    from layers.changeset.rootpath import Entries

NODES = [
    directory(b"etc"),
    file(b"etc/passwd"),
    directory(b"usr"),
    directory(b"usr/lib"),
    symlink(b"lib", b"usr/lib"),
    symlink(b"abs", b"/usr/lib"),
    symlink(b"up", b"../../../etc"),
    symlink(b"usr/lib/back", b"../../etc/passwd"),
    symlink(b"round", b"about"),
    symlink(b"about", b"round"),
    symlink(b"dangling", b"no/such"),
    symlink(b"slash", b"etc/"),
]


@pytest.fixture(params=["disk", "tree"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Entries | Path:
    if request.param == "tree":
        return Tree.empty().apply(node.entry for node in NODES)
    build(tmp_path, NODES)
    return tmp_path


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        (b"", b""),
        (b"/", b""),
        (b"etc/passwd", b"etc/passwd"),
        (b"//etc/./passwd/", b"etc/passwd"),
        (b"lib/x/y", b"usr/lib/x/y"),
        (b"abs/x", b"usr/lib/x"),
        (b"up/passwd", b"etc/passwd"),
        (b"lib/back", b"etc/passwd"),
        (b"../../etc", b"etc"),
        (b"lib/../x", b"usr/x"),
        (b"dangling/x", b"no/such/x"),
        (b"no/../etc", b"etc"),
        (b"slash/passwd", b"etc/passwd"),
    ],
)
def test_paths_lead_where_they_lead_a_process_inside(root: Entries | Path, path: bytes, meant: bytes) -> None:
    assert meant == resolve(root, path, follow_last=True)


@pytest.mark.parametrize(
    ("path", "meant"), [(b"lib", b"lib"), (b"lib/back", b"usr/lib/back"), (b"up", b"up"), (b"round", b"round")]
)
def test_a_link_at_the_end_is_left_alone_if_asked_to(root: Entries | Path, path: bytes, meant: bytes) -> None:
    assert meant == resolve(root, path, follow_last=False)


def test_links_in_a_circle_are_an_error(root: Entries | Path) -> None:
    with pytest.raises(ChangesetError, match="too many symbolic links in round/x"):
        resolve(root, b"round/x", follow_last=False)


def test_a_way_through_a_file_is_taken_as_written(root: Entries | Path) -> None:
    assert b"etc/passwd/x" == resolve(root, b"etc/passwd/x", follow_last=True)


def test_the_host_is_never_looked_at(tmp_path: Path) -> None:
    """A link to /etc/hostname of the host means one inside, which is not there."""
    os.symlink(b"/etc/hostname", tmp_path / "link")

    assert b"etc/hostname" == resolve(tmp_path, b"link", follow_last=True)
