"""Looking for byte strings in a layer while it is written."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layers.changeset.entry import Change, Lasting
from layers.changeset.known import KnownBlocks
from layers.changeset.search import Search
from layers.changeset.write import write_layer
from layers.compression.write import BLOCK_MAX
from tests.support.rootfs import change_of, directory, file, symlink

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tests.support.rootfs import Node

LARGE = BLOCK_MAX["none"] // 2
"""Bytes of the longest file that has no blocks of its own."""
NEEDLE = b"correct horse battery"


def found(nodes: Iterable[Node], *needles: bytes) -> list[tuple[str, bytes]]:
    """Write a layer and give what was found, in the order in which it was."""
    told: list[tuple[str, bytes]] = []
    search = Search(
        [(str(number), needle) for number, needle in enumerate(needles)], lambda name, path: told.append((name, path))
    )
    write_layer(map(change_of, nodes), io.BytesIO(), "none", search=search)
    return told


def test_content_names_links_and_attributes_are_looked_at() -> None:
    nodes = [
        directory(b"d-" + NEEDLE),
        file(b"attribute", b"", xattrs={"user.note": b"-" + NEEDLE}),
        file(b"content", b"x" * 1000 + NEEDLE + b"x"),
        file(b"content-twice", NEEDLE + NEEDLE),
        symlink(b"link", b"/" + NEEDLE),
        file(b"nothing", NEEDLE[:-1] + b"!"),
    ]
    paths = {b"d-" + NEEDLE, b"attribute", b"content", b"content-twice", b"link"}

    told = found(nodes, NEEDLE)

    assert len(paths) == len(told)
    assert paths == {path for _, path in told}


def test_each_string_is_looked_for() -> None:
    nodes = [file(b"a", b"first string"), file(b"b", b"second string, first string")]

    assert [("0", b"a"), ("0", b"b"), ("1", b"b")] == found(nodes, b"first string", b"second string", b"third string")


@pytest.mark.parametrize("at", [0, LARGE - len(NEEDLE), LARGE - 5, LARGE, 2 * LARGE - 1, 3 * LARGE - len(NEEDLE)])
def test_a_large_file_is_looked_at_across_the_borders_of_its_blocks(at: int) -> None:
    content = bytes(at) + NEEDLE + bytes(3 * LARGE - at - len(NEEDLE))

    assert [("0", b"large")] == found([file(b"large", content)], NEEDLE)


def test_nothing_is_found_across_the_border_of_two_files() -> None:
    """Neither of small ones, nor of large ones, whose blocks follow each other as well."""
    large = bytes(LARGE)
    halves = [
        file(b"a", NEEDLE[:5]),
        file(b"b", NEEDLE[5:]),
        file(b"c", large + NEEDLE[:5]),
        file(b"d", NEEDLE[5:] + large),
    ]

    assert [] == found(halves, NEEDLE)


def test_what_a_header_says_is_not_content() -> None:
    """A mode, a checksum and the padding are found in every tar."""
    assert [] == found([file(b"a", b"x")], b"0000644\x00", b"ustar\x0000", bytes(16))


def test_what_is_found_may_end_the_writing() -> None:
    def refuse(name: str, path: bytes) -> None:
        raise PermissionError(name, path)

    sink = io.BytesIO()
    with pytest.raises(PermissionError):
        write_layer(
            [change_of(file(b"a", NEEDLE)), Change(b"gone", None)], sink, "none", search=Search([("x", NEEDLE)], refuse)
        )
    assert NEEDLE not in sink.getvalue()


def test_files_whose_blocks_are_known_are_read_all_the_same(tmp_path: Path) -> None:
    """What is copied from an earlier layer unread would not be looked at."""
    node = file(b"a", NEEDLE)
    opened = Lasting(lambda: io.BytesIO(node.content))
    with (tmp_path / "blob").open("wb") as sink:
        before = write_layer([Change(b"a", node.entry, opened)], sink, "gzip")
    told: list[bytes] = []
    search = Search([("x", NEEDLE)], lambda _, path: told.append(path))
    with KnownBlocks([(tmp_path / "blob", before.index.blocks)]) as known:
        assert known
        again = write_layer([Change(b"a", node.entry, opened)], io.BytesIO(), "gzip", known=known, search=search)

    assert [b"a"] == told
    assert before.digest == again.digest


@given(
    contents=st.lists(st.lists(st.sampled_from([b"ab", b"ba", b"a", b"c", b"abab"])).map(b"".join), max_size=5),
    needle=st.lists(st.sampled_from([b"a", b"b", b"c"]), min_size=1, max_size=5).map(b"".join),
)
def test_what_is_found_is_what_is_there(contents: list[bytes], needle: bytes) -> None:
    nodes = [file(b"%d" % number, content) for number, content in enumerate(contents)]

    expected = [node.entry.path for node in nodes if needle in node.content]
    assert expected == [path for _, path in found(nodes, needle)]
