"""Blocks of layers: where they end, which are copied, and that copying changes nothing."""

from __future__ import annotations

import functools
import io
import itertools
import os
import random
import threading
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import zstandard
from isal import isal_zlib

from layers.changeset.entry import Change, Entry, Lasting
from layers.changeset.index import dump_index, index_layer, load_index, read_blocks
from layers.changeset.known import KnownBlocks
from layers.changeset.write import write_layer
from layers.compression import open_reader
from layers.errors import ChangesetError, InvalidError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from layers.changeset.write import WrittenLayer
    from layers.mediatype import Compression

KIB, MIB = 1024, 1024 * 1024
ALL: list[Compression] = ["none", "gzip", "zstd"]
Tree = dict[bytes, bytes]
ONE_STREAM: dict[Compression, Callable[[bytes], bytes]] = {
    "gzip": partial(isal_zlib.compress, level=2, wbits=31),
    "zstd": zstandard.ZstdCompressor(level=3).compress,
}


@functools.cache
def small_files(count: int = 300) -> Tree:
    """Give 20 KiB files, six megabytes of them."""
    made = random.Random(7)
    return {b"d%02d/f%03d" % (i // 25, i): made.randbytes(2 * KIB) + b"%d " % i * 4 * KIB for i in range(count)}


class Layers:
    """Writes layers of trees, each with what is known of those before it."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._written: list[tuple[Path, WrittenLayer]] = []
        self.opened: list[bytes] = []
        """The files that were opened for the last layer."""

    def _open(self, path: bytes, content: bytes) -> io.BytesIO:
        self.opened.append(path)
        return io.BytesIO(content)

    def _changes(self, tree: Tree, unknown: Collection[bytes]) -> Iterator[Change]:
        for path, content in sorted(tree.items()):
            entry = Entry(path, "file", 0o644, size=len(content))
            if path in unknown:
                yield Change(path, entry, partial(self._open, path, content))
            else:
                entry = entry._replace(digest=sha256(content).digest())
                yield Change(path, entry, Lasting(partial(self._open, path, content)))

    def write(
        self,
        tree: Tree,
        compression: Compression = "gzip",
        *,
        unknown: Collection[bytes] = (),
        level: int | None = None,
        threads: int | None = None,
    ) -> WrittenLayer:
        """Write a layer and expect it to be what it is where nothing is known; ``unknown`` have no digests yet."""
        self.opened.clear()
        path = self._root / str(len(self._written))
        with (
            path.open("wb") as sink,
            KnownBlocks((blob, before.index.blocks) for blob, before in self._written) as known,
        ):
            changes = self._changes(tree, unknown)
            warm = write_layer(changes, sink, compression, level, known=known, threads=threads)
        opened, self.opened = self.opened, []
        cold_sink = io.BytesIO()
        cold = write_layer(self._changes(tree, tree), cold_sink, compression, level)
        self.opened = opened
        assert cold_sink.getvalue() == path.read_bytes()
        assert cold == warm
        assert cold.index.blocks == warm.index.blocks
        self._written.append((path, warm))
        return warm

    def damage(self, at: int) -> None:
        """Change a byte of the last layer's blob."""
        path = self._written[-1][0]
        content = bytearray(path.read_bytes())
        content[at] ^= 0xFF
        path.write_bytes(content)

    def remove(self) -> None:
        self._written[-1][0].unlink()


@pytest.fixture
def layers(tmp_path: Path) -> Layers:
    return Layers(tmp_path)


@pytest.mark.parametrize("compression", ALL)
def test_the_same_files_are_not_read_again(layers: Layers, compression: Compression) -> None:
    layers.write(small_files(), compression)
    layers.write(small_files(), compression)

    assert [] == layers.opened


@pytest.mark.parametrize("compression", ["none", "gzip"])
@pytest.mark.parametrize("content", [b"changed", b"changed" * 100 * KIB], ids=["smaller", "larger"])
def test_a_changed_file_is_read_with_its_neighbours_alone(
    layers: Layers, compression: Compression, content: bytes
) -> None:
    layers.write(small_files(), compression)
    layers.write(small_files() | {b"d05/f140": content}, compression, unknown={b"d05/f140"})

    assert b"d05/f140" in layers.opened
    assert len(layers.opened) < 150
    assert len(layers.opened) == len(set(layers.opened))


def test_files_that_come_and_go_leave_other_blocks_as_they_are(layers: Layers) -> None:
    tree = dict(small_files())
    layers.write(tree)
    del tree[b"d02/f060"]
    layers.write(tree)
    assert len(layers.opened) < 150

    layers.write(tree | {b"d09/new": b"new"}, unknown={b"d09/new"})
    assert len(layers.opened) < 150


def test_what_was_undone_is_known_from_the_layer_before(layers: Layers) -> None:
    layers.write(small_files())
    layers.write(small_files() | {b"d05/f140": b"changed"})
    layers.write(small_files())

    assert [] == layers.opened


@pytest.mark.parametrize("compression", ALL)
def test_a_large_file_is_known_by_its_content_alone(layers: Layers, compression: Compression) -> None:
    """Under another name, and among other files."""
    large = random.Random(8).randbytes(13 * MIB + 77)
    layers.write({b"a": b"a", b"large": large, b"z": b"z"}, compression)
    layers.write({b"b": b"b", b"m/moved": large}, compression, unknown={b"b"})

    assert [b"b"] == layers.opened


@pytest.mark.parametrize("size", [MIB - 1, MIB, MIB + 1, 2 * MIB - 1, 2 * MIB, 2 * MIB + 1, 3 * MIB + 512])
def test_files_of_all_sizes_are_written_whole(layers: Layers, size: int) -> None:
    content = random.Random(size).randbytes(size)
    tree = {b"etc/passwd": b"root", b"file": content, b"later": b"x"}
    first = layers.write(tree, unknown=tree)
    layers.write(tree)

    packed = io.BytesIO()
    write_layer(layers._changes(tree, ()), packed, "gzip")
    packed.seek(0)
    assert first.index == index_layer(open_reader(packed))


def test_files_that_an_index_keeps_are_read_all_the_same(layers: Layers) -> None:
    layers.write(small_files() | {b"etc/passwd": b"root"})
    again = layers.write(small_files() | {b"etc/passwd": b"root"})

    assert {b"etc/passwd": b"root"} == again.index.contents
    assert b"etc/passwd" in layers.opened


@pytest.mark.parametrize("compression", ALL)
@pytest.mark.parametrize("size", [40 * KIB, 8 * MIB])
@pytest.mark.parametrize("where", [0, 0.5, 0.999])
def test_a_damaged_blob_gives_nothing_from_there_on(
    layers: Layers, compression: Compression, size: int, where: float
) -> None:
    tree = small_files(100) | {b"e": random.Random(9).randbytes(size)}
    written = layers.write(tree, compression)
    layers.damage(int(where * written.size))
    layers.write(tree, compression)

    assert layers.opened


def test_a_blob_that_is_gone_gives_nothing(layers: Layers) -> None:
    layers.write(small_files(50))
    layers.remove()
    layers.write(small_files(50))

    assert 50 == len(layers.opened)


@pytest.mark.parametrize("start", [-1, 1 << 60, 5])
def test_blocks_that_begin_nowhere_are_not_known(tmp_path: Path, start: int) -> None:
    """The index that says so is damaged."""
    blob = tmp_path / "blob"
    with blob.open("wb") as sink:
        made = write_layer(Layers(tmp_path)._changes(small_files(), ()), sink, "gzip").index.blocks
    blocks = [*made]
    blocks[0 if start == 5 else 2] = blocks[2]._replace(packed=start)
    with KnownBlocks([(blob, blocks), (blob, ()), (tmp_path, made)]) as known:
        assert not known
        assert known.take(made[0].key) is None


@pytest.mark.parametrize("damage", [b'"blocks":[["0",0]', b'"blocks":[[0]', b'"blocks":7,"was":[[0,0]'])
def test_damaged_blocks_make_a_damaged_index(layers: Layers, damage: bytes) -> None:
    kept = dump_index(layers.write({b"a": b"a"}).index)
    broken = kept.replace(b'"blocks":[[0,0]', damage)

    assert broken != kept
    for read in (load_index, lambda data: read_blocks(io.BytesIO(data))):
        with pytest.raises(InvalidError, match="the layer index is damaged"):
            read(broken)


def test_blocks_of_another_level_or_compression_are_not_taken(layers: Layers) -> None:
    layers.write(small_files(50), "gzip")
    layers.write(small_files(50), "gzip", level=1)
    assert 50 == len(layers.opened)

    layers.write(small_files(50), "zstd")
    assert 50 == len(layers.opened)


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
def test_the_number_of_threads_changes_nothing(layers: Layers, threads: int) -> None:
    layers.write(small_files(), threads=threads)
    layers.write(small_files() | {b"d05/f140": b"changed"}, threads=threads)

    assert len(layers.opened) < 150


def test_a_file_that_is_not_what_its_digest_says_is_taken_as_it_is(tmp_path: Path) -> None:
    """It was changed after its stat was looked up, and before it was read."""
    old, new = b"old", b"new"
    entry = Entry(b"a", "file", 0o644, size=3, digest=sha256(old).digest())
    with (tmp_path / "blob").open("wb") as sink:
        before = write_layer([Change(b"a", entry, lambda: io.BytesIO(old))], sink, "gzip")
    changes = [
        Change(b"a", entry, Lasting(lambda: io.BytesIO(new))),
        Change(b"b", entry._replace(path=b"b", digest=b""), lambda: io.BytesIO(new)),
    ]
    with KnownBlocks([(tmp_path / "blob", before.index.blocks)]) as known:
        written = write_layer(changes, io.BytesIO(), "gzip", known=known)

    assert [sha256(new).digest()] * 2 == [each.digest for each in written.index.entries]


def test_a_large_file_is_not_half_an_old_one(tmp_path: Path) -> None:
    """The blob is damaged in the middle of a file that has changed since its stat was looked up."""
    old = random.Random(1).randbytes(4 * MIB)
    entry = Entry(b"a", "file", 0o644, size=len(old), digest=sha256(old).digest())
    blob = tmp_path / "blob"
    with blob.open("wb") as sink:
        before = write_layer([Change(b"a", entry, lambda: io.BytesIO(old))], sink, "gzip")
    content = bytearray(blob.read_bytes())
    content[2 * MIB + MIB // 2] ^= 0xFF
    blob.write_bytes(content)
    change = Change(b"a", entry, Lasting(lambda: io.BytesIO(old[:-1] + b"?")))

    with (
        KnownBlocks([(blob, before.index.blocks)]) as known,
        pytest.raises(ChangesetError, match="a changed while it was read"),
    ):
        write_layer([change], io.BytesIO(), "gzip", known=known)


def test_no_thread_is_left_where_the_last_block_cannot_be_written() -> None:
    """What is still waiting is read when the layer is closed, and may be gone by then."""

    class Full(io.BytesIO):
        def write(self, _: object, /) -> int:
            raise OSError(28, "No space left on device")

    before = threading.active_count()
    for count in (1, 40, 80, 120, 160):  # one block, and several
        with pytest.raises(OSError, match="No space left"):
            write_layer(Layers(Path())._changes(small_files(count), ()), Full(), "gzip")

    assert before == threading.active_count()


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_blocks_cost_less_than_three_in_a_hundred(compression: Compression) -> None:
    """In size, beside one stream of the same tar: of Python's own library."""
    top = Path(os.__file__).parent
    paths = sorted(path for path in top.rglob("*.py") if path.is_file() and "site-packages" not in path.parts)[:1000]
    changes = [
        Change(name, Entry(name, "file", 0o644, size=path.stat().st_size), partial(os.open, path, os.O_RDONLY))
        for path in paths
        for name in [os.fsencode(path.relative_to(top))]
    ]
    tar, packed = io.BytesIO(), io.BytesIO()
    write_layer(changes, tar, "none")
    blocks = write_layer(changes, packed, compression).index.blocks
    whole = ONE_STREAM[compression](tar.getvalue())

    assert len(blocks) > 1
    assert len(packed.getvalue()) < 1.03 * len(whole)


def test_blocks_are_kept_with_the_index(layers: Layers) -> None:
    index = layers.write(small_files()).index
    kept = dump_index(index)

    assert index.blocks == load_index(kept).blocks
    assert index.blocks == read_blocks(io.BytesIO(kept))
    assert all(len(block.seal) == len(block.key) == 32 for block in index.blocks)


def test_an_entry_with_more_attributes_than_any_reader_takes_is_refused() -> None:
    xattrs = {f"user.{i}": bytes(60_000) for i in range(40)}

    with pytest.raises(ChangesetError, match="/a has more attributes than a layer can hold"):
        write_layer([Change(b"a", Entry(b"a", "directory", 0o755, xattrs=xattrs))], io.BytesIO(), "gzip")


def test_entries_are_told_a_block_at_a_time_as_the_layer_has_them() -> None:
    """Who needs their digests need not hold them until the layer stands."""
    told: list[list[Entry]] = []
    tree = small_files() | {b"d05/large": bytes(3 * MIB), b"d06/empty": b""}

    changes = Layers(Path())._changes(tree, ())
    index = write_layer(changes, io.BytesIO(), "none", told=lambda entries: told.append(list(entries))).index

    assert max(map(len, told)) < len(tree) / 2
    assert index.entries == list(itertools.chain(*told))
    assert sha256(bytes(3 * MIB)).digest() in {entry.digest for each in told for entry in each}
