"""Whiteouts: image-spec/layer.md, "Whiteouts" and "Opaque Whiteout"."""

from __future__ import annotations

import pytest

from layers.changeset.whiteout import marker_of, read_marker
from layers.errors import ChangesetError


@pytest.mark.parametrize(("path", "marker"), [(b"a", b".wh.a"), (b"etc/passwd", b"etc/.wh.passwd")])
def test_a_whiteout_names_what_it_hides(path: bytes, marker: bytes) -> None:
    assert marker == marker_of(path)
    assert ("whiteout", path) == read_marker(marker)


@pytest.mark.parametrize(
    ("path", "directory"), [(b".wh..wh..opq", b""), (b"etc/.wh..wh..opq", b"etc"), (b"a/b/.wh..wh..opq", b"a/b")]
)
def test_an_opaque_whiteout_names_its_directory(path: bytes, directory: bytes) -> None:
    assert ("opaque", directory) == read_marker(path)


@pytest.mark.parametrize("path", [b".wh..wh.plnk", b".wh..wh.plnk/17.3", b"a/.wh..wh.aufs", b".wh..wh.orph"])
def test_records_of_aufs_are_ignored(path: bytes) -> None:
    assert ("ignored", path) == read_marker(path)


@pytest.mark.parametrize("path", [b"", b"a", b"a.wh.b", b".whx", b".wh.a/b", b"wh.a", b"etc/x.wh."])
def test_other_names_are_entries(path: bytes) -> None:
    assert read_marker(path) is None


@pytest.mark.parametrize("path", [b".wh.", b".wh..", b".wh...", b"a/.wh.."])
def test_a_whiteout_of_nothing_is_refused(path: bytes) -> None:
    """``.wh...`` would remove the parent of its directory."""
    with pytest.raises(ChangesetError, match="a whiteout names no path"):
        read_marker(path)
