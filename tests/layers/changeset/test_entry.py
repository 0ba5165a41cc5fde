"""Entries: names in one form, and what ``lstat`` finds."""

from __future__ import annotations

import os
import socket
import stat
from typing import TYPE_CHECKING

import pytest

from layers.changeset.entry import clean, from_stat, keeps_xattr, kind_of, read_xattrs

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("name", "path"),
    [
        (b"a", b"a"),
        (b"a/b/", b"a/b"),
        (b"./a/b", b"a/b"),
        (b"././a", b"a"),
        (b"/a//b", b"a/b"),
        (b"a/./b/.", b"a/b"),
        (b"a/../b", b"b"),
        (b"../../etc", b"etc"),
        (b"a/../../b", b"b"),
        (b".hidden/..x/.", b".hidden/..x"),
        (b"./", b""),
        (b"/", b""),
        (b"..", b""),
        (b"a//", b"a"),
        (b"\xff/\n", b"\xff/\n"),
    ],
)
def test_names_come_into_one_form_and_never_lead_above_the_root(name: bytes, path: bytes) -> None:
    assert path == clean(name)


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("security.capability", True),
        ("user.note", True),
        ("user.overlay.opaque", False),
        ("trusted.overlay.opaque", False),
        ("security.selinux", False),
        ("system.posix_acl_access", False),
    ],
)
def test_capabilities_and_attributes_of_users_are_kept(name: str, *, kept: bool) -> None:
    assert kept == keeps_xattr(name)


def test_what_lstat_finds_becomes_an_entry(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    path.chmod(0o4750)
    os.utime(path, ns=(0, -1_500_000_000))
    entry = from_stat(b"x", path.lstat())

    assert (b"x", "file", 0o4750, 7, -2) == (entry.path, entry.kind, entry.mode, entry.size, entry.mtime)


def test_a_directory_and_a_link_have_no_size(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("target")

    assert 0 == from_stat(b"", tmp_path.lstat()).size
    assert (0, b"target") == from_stat(b"link", (tmp_path / "link").lstat(), b"target")[5:8:2]


def test_a_socket_is_of_no_kind(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))

        assert kind_of((tmp_path / "s").lstat().st_mode) is None
    assert "fifo" == kind_of(stat.S_IFIFO | 0o644)


def test_attributes_are_read_of_a_path_itself(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    os.setxattr(path, "user.note", b"x")
    (tmp_path / "link").symlink_to("file")

    assert b"x" == read_xattrs(os.fsencode(path))["user.note"]
    assert "user.note" not in read_xattrs(os.fsencode(tmp_path / "link"))
    assert {} == read_xattrs(os.fsencode(tmp_path / "nothing"))
