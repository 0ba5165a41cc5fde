"""ADD of an archive: Docker's rules for what comes where."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest

from builder.context.select import Selected
from builder.errors import StepError
from builder.execute.chmod import Chmod
from builder.execute.place import Destination, Placement
from builder.execute.unpack import unpacked
from layers.changeset.entry import Change, Entry
from layers.changeset.tree import Tree
from tests.support.material import tar_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any


class OneFile:
    """A context that holds one archive."""

    def __init__(self, content: bytes) -> None:
        self.entry = Entry(b"a.tar", "file", 0o644, size=len(content), mtime=77)
        self._content = content

    def get(self, path: bytes) -> Entry | None:
        return self.entry if path == b"a.tar" else None

    def children(self, path: bytes) -> list[bytes]:
        return [] if path else [b"a.tar"]

    def walk(self, path: bytes, skip: object = None) -> Iterator[Change]:
        raise AssertionError(path, skip)

    def open(self, path: bytes) -> io.BytesIO:
        assert path == b"a.tar"
        return io.BytesIO(self._content)


def added(
    members: Sequence[Mapping[str, Any]],
    destination: str,
    *below: Entry,
    owner: tuple[int, int] | None = None,
    chmod: str = "",
) -> dict[str, Entry | None]:
    """Give what an ADD of an archive of these members puts where, by path."""
    files = OneFile(tar_of(members))
    tree = Tree.empty().apply(below)
    placement = Placement(tree, Destination.parse(destination, "/"), owner, Chmod.parse(chmod) if chmod else None)
    archive = Selected(b"a.tar", b"a.tar", files.entry, files)
    return {change.path.decode(): change.entry for change in unpacked(placement, files, archive)}


def directory(path: str, mode: int = 0o755) -> Entry:
    return Entry(path.encode(), "directory", mode, mtime=5)


def link(path: str, target: str) -> Entry:
    return Entry(path.encode(), "symlink", 0o777, linkname=target.encode())


def kind(entry: Entry | None) -> str | None:
    return entry.kind if entry is not None else None


def test_members_keep_owner_and_mode_and_what_is_left_out_is_roots() -> None:
    found = added([{"path": "in/f", "uid": 7, "gid": 8, "mode": "640"}], "/x", owner=None)
    assert (7, 8, 0o640) == (found["x/in/f"].uid, found["x/in/f"].gid, found["x/in/f"].mode)  # type: ignore[union-attr]
    assert Entry(b"x/in", "directory", 0o755, mtime=77) == found["x/in"]


def test_chown_is_for_members_and_chmod_for_nothing() -> None:
    found = added([{"path": "in/f", "uid": 7, "mode": "640"}], "/x", owner=(5, 6), chmod="700")
    assert Entry(b"x", "directory", 0o755, 5, 6, mtime=77) == found["x"]
    assert Entry(b"x/in", "directory", 0o755, mtime=77) == found["x/in"]
    member = found["x/in/f"]
    assert member is not None
    assert (5, 6, 0o640) == (member.uid, member.gid, member.mode)


def test_links_end_at_the_destination() -> None:
    below = (directory("x"), directory("x/real"), link("x/abs", "/real"), link("x/up", "../../real"))
    found = added([{"path": "abs/one"}, {"path": "up/two"}, {"path": "../three"}], "/x", *below)
    assert {"x/real/one", "x/real/two", "x/three"} <= set(found)


def test_a_link_of_the_archive_is_followed_by_later_members() -> None:
    members = [{"path": "real/"}, {"path": "l", "symlink": "/real"}, {"path": "l/f"}]
    assert {"x", "x/real", "x/l", "x/real/f"} == set(added(members, "/x"))


def test_a_link_that_leads_nowhere_is_no_parent() -> None:
    with pytest.raises(StepError, match="leads nowhere"):
        added([{"path": "l/f"}], "/x", directory("x"), link("x/l", "/nowhere"))


def test_a_file_is_no_parent() -> None:
    with pytest.raises(StepError, match="no directory"):
        added([{"path": "f"}, {"path": "f/below"}], "/x")


def test_a_directory_takes_the_place_of_a_link_and_a_file_that_of_a_directory() -> None:
    below = (directory("x"), directory("x/real"), link("x/l", "real"), directory("x/d"), directory("x/d/old"))
    found = added([{"path": "l/"}, {"path": "l/f"}, {"path": "d"}], "/x", *below)
    assert ["directory", "file", "file"] == [kind(found[path]) for path in ("x/l", "x/l/f", "x/d")]
    assert "x/real/f" not in found


def test_what_a_replaced_directory_held_is_gone_for_later_members() -> None:
    below = (directory("x"), directory("x/d"), directory("x/d/old", 0o700))
    found = added([{"path": "d"}, {"path": "d/"}, {"path": "d/old/f"}], "/x", *below)
    assert Entry(b"x/d/old", "directory", 0o755, mtime=77) == found["x/d/old"]


def test_a_hard_link_has_what_its_file_has_which_may_be_the_images() -> None:
    below = (directory("x"), Entry(b"x/there", "file", 0o600, 3, 4, mtime=9))
    found = added(
        [{"path": "f", "uid": 7}, {"path": "one", "hardlink": "f"}, {"path": "two", "hardlink": "there"}], "/x", *below
    )
    one, two = found["x/one"], found["x/two"]
    assert one is not None
    assert two is not None
    assert (b"x/f", 7) == (one.linkname, one.uid)
    assert (b"x/there", 0o600, 3, 4, 9) == (two.linkname, two.mode, two.uid, two.gid, two.mtime)


def test_a_hard_link_to_nothing_is_an_error() -> None:
    with pytest.raises(StepError, match="leads to no file"):
        added([{"path": "one", "hardlink": "nothing"}], "/x")


def test_whiteouts_take_away_what_the_image_has() -> None:
    below = (directory("x"), directory("x/d"), Entry(b"x/d/a", "file", 0o644), Entry(b"x/b", "file", 0o644))
    found = added([{"path": "d/.wh..wh..opq"}, {"path": ".wh.b"}, {"path": ".wh.nothing"}], "/x", *below)
    assert {"x/d/a": None, "x/b": None} == {path: entry for path, entry in found.items() if entry is None}
