"""Looking into lower directories without mounting them."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from builder.runtime.lowers import Lowers, open_file
from layers.errors import NotFoundError

if TYPE_CHECKING:
    from pathlib import Path


def make(root: Path, *names: str) -> Path:
    """Make files that hold their names, directories (``name/``), links (``name -> target``), whiteouts (``!name``)."""
    root.mkdir()
    for name in names:
        path = root / name.lstrip("!").split(" -> ")[0]
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.startswith("!"):
            os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(0, 0))
        elif " -> " in name:
            path.symlink_to(name.split(" -> ")[1])
        elif name.endswith("/"):
            path.mkdir(exist_ok=True)
        else:
            path.write_text(f"{root.name}:{name}")
    return root


def read(lowers: Lowers, path: str) -> str:
    with lowers.open_file(lowers.find(path.encode()).path) as file:
        return file.read().decode()


@pytest.fixture
def lowers(tmp_path: Path) -> Lowers:
    bottom = make(
        tmp_path / "bottom", "a", "d/b", "d/c", "gone/x", "opaque/old", "file", "link -> /d", "up -> ../../d/b"
    )
    middle = make(tmp_path / "middle", "!gone", "!d/c", "opaque/new", "file/inside", "loop -> loop", "far -> link/b")
    os.setxattr(middle / "opaque", "user.overlay.opaque", b"y")
    top = make(tmp_path / "top", "a", "d/e", "gone/y", "dangling -> /etc/none")
    return Lowers([top, middle, bottom], userxattr=True)


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("a", "top:a"),
        ("d/b", "bottom:d/b"),
        ("/d//./e/", "top:d/e"),
        ("d/../a", "top:a"),
        ("../../a", "top:a"),
        ("gone/y", "top:gone/y"),
        ("opaque/new", "middle:opaque/new"),
        ("file/inside", "middle:file/inside"),
        ("link/b", "bottom:d/b"),
        ("up", "bottom:d/b"),
        ("far", "bottom:d/b"),
    ],
)
def test_the_topmost_shows(lowers: Lowers, path: str, content: str) -> None:
    """Directories merge, links are followed inside."""
    assert content == read(lowers, path)


@pytest.mark.parametrize("path", ["d/c", "opaque/old", "gone/x", "nothing", "a/below", "dangling", "d"])
def test_what_is_hidden_or_no_file_is_not_found(lowers: Lowers, path: str) -> None:
    """Whiteouts and opaque directories hide what lies below; only files have content."""
    with pytest.raises(NotFoundError) as caught:
        read(lowers, path)

    assert str(caught.value).startswith("no file in the image: /")


def test_missing_parts_are_as_asked_for(lowers: Lowers) -> None:
    """A mount point may be made there."""
    assert b"d/new/deep" == lowers.find(b"/link/new/x/../deep").path
    assert b"etc/none" == lowers.find(b"dangling").path
    assert lowers.find(b"dangling").info is None


def test_links_that_lead_in_a_circle_are_not_found(lowers: Lowers) -> None:
    with pytest.raises(NotFoundError, match="too many symlinks"):
        lowers.find(b"loop")


def test_only_the_mark_of_this_kind_of_overlay_makes_opaque(tmp_path: Path) -> None:
    """With trusted attributes, those of users are the image's own."""
    bottom = make(tmp_path / "bottom", "d/old")
    top = make(tmp_path / "top", "d/new")
    os.setxattr(top / "d", "user.overlay.opaque", b"y")

    with open_file([top, bottom], b"d/old", userxattr=False) as file:
        assert b"bottom:d/old" == file.read()


def test_a_link_at_the_end_of_a_plain_path_is_not_followed(lowers: Lowers) -> None:
    """``open_file`` takes paths without links, and reads nothing through one."""
    with pytest.raises(NotFoundError):
        lowers.open_file(b"up")
