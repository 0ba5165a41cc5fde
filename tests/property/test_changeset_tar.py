"""Laws of tar: what is written is read, by us and by others, and what is broken is refused."""

from __future__ import annotations

import contextlib
import io
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from layers.changeset import tar
from layers.changeset.entry import Entry, clean
from layers.changeset.index import LayerIndex, dump_index, index_layer, load_index
from layers.changeset.tree import Tree
from layers.changeset.write import write_layer
from layers.compression import open_reader
from layers.errors import ChangesetError, InvalidError
from tests.property.strategies import layers, trees
from tests.support.rootfs import Node, Nodes, build, change_of, stream_of, tar_of, tree_view, view

if TYPE_CHECKING:
    from layers.changeset.entry import Kind
    from layers.mediatype import Compression

COMPRESSIONS: list[Compression] = ["none", "gzip", "zstd"]
KINDS: list[Kind] = ["file", "directory", "symlink", "hardlink", "character", "block", "fifo"]
NUMBERS = st.sampled_from([0, 1, 0o7777777, 0o7777777 + 1, 2**31])
"""Around the largest that an octal field holds."""
TIMES = st.sampled_from([0, -1, -(2**40), 2**33 - 1, 2**33, 2**40])
NAMES = st.binary(min_size=1, max_size=400).map(lambda name: clean(name.replace(b"\x00", b""))).filter(bool)


@st.composite
def entries(draw: st.DrawFn) -> Entry:
    """Give any entry that a layer may have."""
    kind = draw(st.sampled_from(KINDS))
    entry = Entry(draw(NAMES), kind, draw(st.integers(0, 0o7777)), draw(NUMBERS), draw(NUMBERS), mtime=draw(TIMES))
    if kind in {"symlink", "hardlink"}:
        entry = entry._replace(linkname=draw(NAMES))
    if kind in {"character", "block"}:
        entry = entry._replace(major=draw(st.integers(0, 4095)), minor=draw(st.integers(0, 2**20 - 1)))
    if draw(st.booleans()):
        entry = entry._replace(xattrs=draw(st.dictionaries(st.sampled_from(["user.ä", "user.b"]), st.binary())))
    return entry


@given(st.lists(entries()))
def test_entries_written_are_entries_read(written: list[Entry]) -> None:
    """Every entry comes back equal: names of any bytes and length, numbers of any size."""
    found = [entry for entry, _ in tar.read(stream_of(map(Node, written)))]

    assert written == found


@given(st.lists(entries()))
def test_python_reads_the_same_entries(written: list[Entry]) -> None:
    """The tarfile module finds the same names, kinds and numbers."""
    kinds = {tarfile.REGTYPE: "file", tarfile.DIRTYPE: "directory", tarfile.SYMTYPE: "symlink"} | {
        tarfile.LNKTYPE: "hardlink",
        tarfile.CHRTYPE: "character",
        tarfile.BLKTYPE: "block",
        tarfile.FIFOTYPE: "fifo",
    }
    with tarfile.open(fileobj=stream_of(map(Node, written)), encoding="utf-8", errors="surrogateescape") as archive:
        found = [
            (_bytes(each.name), kinds[each.type], each.mode, each.uid, each.gid, each.mtime, _bytes(each.linkname))
            for each in archive
        ]

    assert [(e.path, e.kind, e.mode, e.uid, e.gid, e.mtime, e.linkname) for e in written] == found


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


@given(trees())
def test_gnu_tar_unpacks_what_is_written(nodes: Nodes) -> None:
    """GNU tar makes of a layer what it describes."""
    with tempfile.TemporaryDirectory() as name:
        built, unpacked = Path(name, "built"), Path(name, "unpacked")
        built.mkdir()
        unpacked.mkdir()
        build(built, nodes.values())
        # a hard link may come after others have followed its directory, whose time tar would have set by then
        command = ["tar", "-C", str(unpacked), "--delay-directory-restore", "--numeric-owner"]
        command += ["--xattrs", "--xattrs-include=*", "-xpf", "-"]
        subprocess.run(command, input=tar_of(nodes.values()), check=True, capture_output=True)

        assert view(built) == view(unpacked)


@given(trees())
def test_what_gnu_tar_writes_is_read(nodes: Nodes) -> None:
    """The tree of an archive that GNU tar made is what it was made of."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        build(root, nodes.values())
        command = ["tar", "-C", name, "--xattrs", "--xattrs-include=*", "--format=posix", "-c", "."]
        packed = subprocess.run(command, check=True, capture_output=True).stdout

        assert view(root) == tree_view(Tree.empty().apply(index_layer(io.BytesIO(packed)).entries))


@given(st.lists(entries()), st.dictionaries(st.sampled_from([b"etc/passwd", b"etc/group"]), st.binary()))
def test_an_index_is_read_as_it_was_written(written: list[Entry], contents: dict[bytes, bytes]) -> None:
    """load_index(dump_index(index)) == index."""
    index = LayerIndex(written, contents)

    assert index == load_index(dump_index(index))


@given(layers(), st.binary(max_size=3), st.integers(0), st.integers(0))
def test_a_damaged_index_is_refused(nodes: list[Node], junk: bytes, at: int, gap: int) -> None:
    """Whatever a disk does to an index, reading it either works or says that it is damaged."""
    dumped = dump_index(index_layer(stream_of(nodes)))
    at %= len(dumped)
    damaged = dumped[:at] + junk + dumped[at + gap % 5 :]
    with contextlib.suppress(InvalidError):
        load_index(damaged)


@given(layers(), st.binary(max_size=3), st.integers(0), st.integers(0))
def test_a_damaged_tar_is_refused(nodes: list[Node], junk: bytes, at: int, gap: int) -> None:
    """Reading a damaged tar gives entries or a ChangesetError, nothing else."""
    archive = tar_of(nodes)
    at %= len(archive)
    damaged = archive[:at] + junk + archive[at + gap % 600 :]
    with contextlib.suppress(ChangesetError):
        index_layer(io.BytesIO(damaged))


@pytest.mark.parametrize("compression", COMPRESSIONS)
@given(nodes=layers(), junk=st.binary(max_size=3), at=st.integers(0), gap=st.integers(0, 9))
def test_damaged_compression_is_refused(
    compression: Compression, nodes: list[Node], junk: bytes, at: int, gap: int
) -> None:
    """Reading damaged gzip or zstd gives bytes or a ChangesetError, nothing else."""
    sink = io.BytesIO()
    write_layer(map(change_of, nodes), sink, compression)
    packed = sink.getvalue()
    at %= len(packed)
    damaged = io.BytesIO(packed[:at] + junk + packed[at + gap :])
    with contextlib.suppress(ChangesetError), open_reader(damaged, max_size=1 << 24) as reader:
        reader.read()


@pytest.mark.parametrize("compression", COMPRESSIONS)
@settings(max_examples=20)
@given(nodes=layers(), sizes=st.lists(st.integers(0, 3_000_000), max_size=4))
def test_the_number_of_threads_does_not_matter(compression: Compression, nodes: list[Node], sizes: list[int]) -> None:
    """The same changes give the same bytes, whoever compresses them."""
    big = [Node(Entry(b"big%d" % n, "file", 0o644, size=size), bytes(size)) for n, size in enumerate(sizes)]
    written = set()
    for threads in (1, 2, 5):
        sink = io.BytesIO()
        layer = write_layer(map(change_of, [*nodes, *big]), sink, compression, threads=threads)
        written.add((sink.getvalue(), layer.digest, layer.diff_id))

    assert 1 == len(written)
