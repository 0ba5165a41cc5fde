"""The index of a layer: what it keeps, and what it does with damage."""

from __future__ import annotations

import json
from hashlib import sha256

import pytest

from layers.changeset.entry import Entry
from layers.changeset.index import LayerIndex, dump_index, index_layer, load_index
from layers.errors import InvalidError
from tests.support.rootfs import directory, fifo, file, hardlink, stream_of, symlink

BIG = bytes(range(256)) * 5000
NODES = [
    directory(b"etc"),
    file(b"etc/passwd", b"root:x:0:0\n"),
    file(b"etc/group", b"root:x:0:\n"),
    file(b"usr/etc/passwd", b"another"),
    file(b"big", BIG),
    file(b"empty", xattrs={"user.a": b"\x00"}),
    symlink(b"link", b"\xff\n"),
    hardlink(b"hard", b"big"),
    fifo(b"pipe"),
]


def test_an_index_has_the_entries_with_their_digests() -> None:
    assert [node.entry for node in NODES] == index_layer(stream_of(NODES)).entries


def test_users_and_groups_are_kept() -> None:
    """Who a name is must be known without reading a layer."""
    assert {b"etc/passwd": b"root:x:0:0\n", b"etc/group": b"root:x:0:\n"} == index_layer(stream_of(NODES)).contents


def test_a_huge_passwd_is_not_kept() -> None:
    index = index_layer(stream_of([file(b"etc/passwd", BIG)]))

    assert {} == index.contents
    assert sha256(BIG).digest() == index.entries[0].digest


def test_what_is_written_down_is_read_again() -> None:
    index = index_layer(stream_of(NODES))
    devices = [Entry(b"null", "character", 0o666, major=1, minor=3), Entry(b"sda", "block", 0o600, major=8)]
    index = LayerIndex([*index.entries, *devices], index.contents)

    assert index == load_index(dump_index(index))


def test_no_entries_are_an_index_too() -> None:
    assert LayerIndex([]) == load_index(dump_index(LayerIndex([])))


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"null\n", b"\xff", b'{"format":1}\n'])
def test_what_is_no_index_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidError, match="index"):
        load_index(data)


def test_an_index_of_another_version_is_refused() -> None:
    line, _, rest = dump_index(index_layer(stream_of(NODES))).partition(b"\n")
    head = json.loads(line) | {"format": "pybuild layer index 0"}

    with pytest.raises(InvalidError, match="of this version: 'pybuild layer index 0'"):
        load_index(json.dumps(head).encode() + b"\n" + rest)


def test_an_index_that_is_cut_short_is_refused() -> None:
    dumped = dump_index(index_layer(stream_of(NODES)))
    for size in range(0, len(dumped) - 1, 7):
        with pytest.raises(InvalidError):
            load_index(dumped[:size])
