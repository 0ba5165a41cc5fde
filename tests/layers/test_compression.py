"""Compression: what is written is read by everyone, what is broken is refused, and nothing is left running."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import subprocess
import sys
import threading
import time
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest
import zstandard

from layers.compression import BlockWriter, Bounds, open_reader, sniff
from layers.digest import Digest
from layers.errors import ChangesetError, InvalidError, LimitError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from layers.compression import ArchiveCompression, Compressed
    from layers.mediatype import Compression

TEXT = b"".join(b"line %d\n" % number for number in range(20_000))
SKIPPABLE = b"\x5a\x2a\x4d\x18" + (3).to_bytes(4, "little") + b"xyz"
PACKED: dict[ArchiveCompression, bytes] = {
    "none": TEXT,
    "gzip": gzip.compress(TEXT),
    "zstd": zstandard.ZstdCompressor(write_checksum=True).compress(TEXT),
    "bzip2": bz2.compress(TEXT),
    "xz": lzma.compress(TEXT),
}
BOTH: list[Compression] = ["gzip", "zstd"]
ALL: list[Compression] = ["none", "gzip", "zstd"]


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    """Whatever happens, the threads that a reader or writer started have ended."""
    before = threading.active_count()
    yield
    assert before == threading.active_count()


def some_bytes(size: int) -> bytes:
    """Give bytes that compress, but not away."""
    return random.Random(1).randbytes(size // 2) + bytes(size - size // 2)


def packed(data: bytes, compression: Compression, level: int | None = None) -> tuple[bytes, Compressed]:
    sink = io.BytesIO()
    with BlockWriter(sink, compression, level) as writer:
        for at in range(0, len(data), 100_000):
            writer.write(data[at : at + 100_000])
    return sink.getvalue(), writer.close()


@pytest.mark.parametrize("name", PACKED)
def test_the_first_bytes_tell_the_compression(name: ArchiveCompression) -> None:
    assert name == sniff(PACKED[name][:6])


def test_a_skippable_frame_is_zstd() -> None:
    assert "zstd" == sniff(SKIPPABLE)


def test_too_few_bytes_tell_nothing() -> None:
    assert "none" == sniff(b"\x1f")


@pytest.mark.parametrize("name", PACKED)
def test_content_is_decompressed_whether_or_not_the_compression_is_told(name: ArchiveCompression) -> None:
    assert TEXT == open_reader(io.BytesIO(PACKED[name])).read()
    assert TEXT == open_reader(io.BytesIO(PACKED[name]), name).read()


@pytest.mark.parametrize("name", ["gzip", "zstd", "bzip2", "xz"])
def test_several_members_are_one_content(name: ArchiveCompression) -> None:
    assert TEXT + TEXT == open_reader(io.BytesIO(PACKED[name] * 2)).read()


def test_skippable_frames_are_skipped() -> None:
    content = io.BytesIO(SKIPPABLE + PACKED["zstd"] + SKIPPABLE + SKIPPABLE + PACKED["zstd"] + SKIPPABLE)

    assert TEXT + TEXT == open_reader(content).read()


@pytest.mark.parametrize("name", ["gzip", "zstd", "bzip2", "xz"])
@pytest.mark.parametrize("missing", [1, 3, 9, 500])
def test_content_that_is_cut_short_is_refused(name: ArchiveCompression, missing: int) -> None:
    with pytest.raises(ChangesetError, match=f"the {name} content is corrupt"):
        open_reader(io.BytesIO(PACKED[name][:-missing])).read()


@pytest.mark.parametrize("name", ["gzip", "zstd", "bzip2", "xz"])
def test_a_flipped_byte_is_refused(name: ArchiveCompression) -> None:
    broken = bytearray(PACKED[name])
    broken[len(broken) // 2] ^= 0xFF

    with pytest.raises(ChangesetError, match=f"the {name} content is corrupt"):
        open_reader(io.BytesIO(broken)).read()


def test_content_of_another_compression_is_refused() -> None:
    with pytest.raises(ChangesetError, match="the content is not zstd, but gzip"):
        open_reader(io.BytesIO(PACKED["gzip"]), "zstd")
    with pytest.raises(ChangesetError, match="the content is not gzip, but not compressed in a known way"):
        open_reader(io.BytesIO(b""), "gzip")


@pytest.mark.parametrize("name", BOTH)
def test_too_much_content_is_refused(name: Compression) -> None:
    """A small file that decompresses to a huge one stops at the limit."""
    bomb, _ = packed(bytes(100_000_000), name)

    with (
        pytest.raises(LimitError, match="longer than 50000000 bytes"),
        open_reader(io.BytesIO(bomb), max_size=50_000_000) as reader,
    ):
        reader.read()
    with (
        pytest.raises(LimitError, match="more than 50 times its size"),
        open_reader(io.BytesIO(bomb), max_ratio=50) as reader,
    ):
        reader.read()


@pytest.mark.parametrize("name", BOTH)
def test_there_is_a_bound_where_nobody_names_one(name: Compression, monkeypatch: pytest.MonkeyPatch) -> None:
    bomb, _ = packed(bytes(10_000_000), name)
    with open_reader(io.BytesIO(bomb)) as reader:
        assert 10_000_000 == len(reader.read())
    monkeypatch.setattr(Bounds, "spared", 5_000_000)
    monkeypatch.setattr(Bounds, "ratio", 50)
    with (
        pytest.raises(LimitError, match="more than 50 times its size") as caught,
        open_reader(io.BytesIO(bomb)) as reader,
    ):
        reader.read()
    assert "PYBUILD_MAX_RATIO allows more" == caught.value.hint
    monkeypatch.setattr(Bounds, "size", 1_000_000)
    with pytest.raises(LimitError, match="longer than 1000000") as caught, open_reader(io.BytesIO(bomb)) as reader:
        reader.read()
    assert "PYBUILD_MAX_UNPACKED allows more" == caught.value.hint


def test_a_reader_that_is_closed_early_ends_its_thread() -> None:
    """The fixture counts the threads."""
    content, _ = packed(bytes(30_000_000), "gzip")
    with open_reader(io.BytesIO(content)) as reader:
        assert b"\x00" == reader.read(1)
        reader.read(3_000_000)


def test_an_error_of_the_stream_passes_through() -> None:
    """It is not taken for corrupt content."""

    class Failing(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell() > 200_000:
                raise TimeoutError("the registry does not answer")
            return super().read(size)

    content, _ = packed(random.Random(2).randbytes(6_000_000), "gzip")
    with pytest.raises(TimeoutError, match="does not answer"), open_reader(Failing(content)) as reader:
        reader.read()


@pytest.mark.parametrize("compression", ALL)
@pytest.mark.parametrize("size", [0, 1, 1_000_000, 10_000_000])
def test_digests_and_sizes_are_those_of_both_sides(compression: Compression, size: int) -> None:
    data = some_bytes(size)
    content, result = packed(data, compression)

    assert Digest.of(data) == result.diff_id
    assert Digest.of(content) == result.digest
    assert (len(content), size) == (result.size, result.uncompressed_size)
    assert data == open_reader(io.BytesIO(content), compression).read()


@pytest.mark.parametrize("level", [None, *range(10)])
def test_every_gzip_level_is_read_by_gzip(level: int | None) -> None:
    data = some_bytes(3_000_000)
    content, _ = packed(data, "gzip", level)

    assert data == gzip.decompress(content)
    assert data == subprocess.run(["gzip", "-dc"], input=content, check=True, capture_output=True).stdout


@pytest.mark.parametrize("level", [None, 1, 3, 19, 22])
def test_zstd_levels_are_read_by_zstd(level: int | None) -> None:
    data = some_bytes(3_000_000)
    content, _ = packed(data, "zstd", level)

    assert data == zstandard.ZstdDecompressor().stream_reader(content, read_across_frames=True).read()


@pytest.mark.parametrize(("compression", "level"), [("gzip", 10), ("gzip", -1), ("zstd", 0), ("zstd", 23)])
def test_a_level_that_there_is_not_is_refused(compression: Compression, level: int) -> None:
    with pytest.raises(InvalidError, match=f"{compression} has no level {level}"):
        BlockWriter(io.BytesIO(), compression, level)


def test_gzip_headers_carry_no_time() -> None:
    content, _ = packed(TEXT, "gzip")

    assert b"\x1f\x8b\x08\x00\x00\x00\x00\x00" == content[:8]


@pytest.mark.parametrize("compression", ALL)
def test_a_block_that_is_known_takes_the_place_of_its_bytes(compression: Compression) -> None:
    """Whatever was compressed and whatever was copied, the same comes out."""
    blocks = [some_bytes(700_000), TEXT, some_bytes(1_600_000), b"end"]
    one, two = io.BytesIO(), io.BytesIO()
    with BlockWriter(one, compression) as writer:
        for each in blocks:
            put(writer, each)
    whole = writer.close()
    ends = [*(block.packed for block in whole.blocks[1:]), whole.size]
    with BlockWriter(two, compression) as writer:
        for number, each in enumerate(blocks):
            if number % 2:
                writer.put_packed(one.getvalue()[whole.blocks[number].packed : ends[number]])
            else:
                put(writer, each)

    assert one.getvalue() == two.getvalue()
    assert whole == writer.close()


def put(writer: BlockWriter, data: bytes) -> None:
    room = writer.room()
    room[: len(data)] = data
    writer.put(room, len(data))


@pytest.mark.parametrize("compression", ALL)
def test_seals_are_of_all_that_was_written_before(compression: Compression) -> None:
    content, done = packed(some_bytes(5_000_000), compression)
    ends = [*(block.packed for block in done.blocks[1:]), done.size]

    assert [sha256(content[:end]).digest() for end in ends] == [block.seal for block in done.blocks]


@pytest.mark.parametrize("compression", BOTH)
@pytest.mark.parametrize("size", [100, 5_000_000])
def test_a_known_block_that_is_broken_is_an_error(compression: Compression, size: int) -> None:
    def write() -> None:
        with BlockWriter(io.BytesIO(), compression) as writer:
            writer.write(some_bytes(size))
            writer.put_packed(b"this is no block")

    with pytest.raises(ChangesetError, match=f"a {compression} block is corrupt"):
        write()


@pytest.mark.parametrize("level", [1, 2, 6])
def test_what_cannot_be_compressed_is_stored(level: int) -> None:
    """As gzip's own stored blocks, which every reader takes."""
    data = random.Random(4).randbytes(1_900_000)
    content, done = packed(data, "gzip", level)

    assert data == gzip.decompress(content)
    assert done.size < len(data) * 1.0002
    assert data[1_000_000:1_001_000] in content


def test_random_bytes_that_come_again_are_compressed() -> None:
    """Samples of such a block look as if it were not worth it."""
    _, done = packed(random.Random(5).randbytes(6_000) * 300, "gzip", 6)

    assert done.size < 100_000


def test_gzip_without_isal_is_written_by_zlib_with_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "isal", None)
    told: list[str] = []
    sink = io.BytesIO()
    with BlockWriter(sink, "gzip", warn=told.append) as writer:
        writer.write(TEXT)

    assert TEXT == gzip.decompress(sink.getvalue())
    assert TEXT == open_reader(io.BytesIO(sink.getvalue())).read()
    assert ["isal is not installed: gzip is slower, and layers have other digests than with it"] == told


class Full(io.BytesIO):
    """A disk that is full after half a megabyte."""

    def write(self, data: bytes | memoryview, /) -> int:  # type: ignore[override]  # nothing else comes
        if self.tell() + len(data) > 500_000:
            raise OSError(28, "No space left on device")
        return super().write(data)


@pytest.mark.parametrize("compression", ALL)
@pytest.mark.parametrize("size", [600_000, 50_000_000])
def test_an_error_of_the_sink_is_raised_to_the_writer(compression: Compression, size: int) -> None:
    data = random.Random(3).randbytes(1_000_000)

    def fill() -> None:
        with BlockWriter(Full(), compression) as writer:
            for _ in range(0, size, len(data)):
                writer.write(data)

    with pytest.raises(OSError, match="No space left"):
        fill()


def test_nothing_is_written_after_an_error() -> None:
    """The sink is the caller's again once the block is left."""
    sink = io.BytesIO()

    def give_up() -> None:
        with BlockWriter(sink, "gzip") as writer:
            for _ in range(20):
                writer.write(some_bytes(1_000_000))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        give_up()
    size = len(sink.getvalue())
    time.sleep(0.05)

    assert size == len(sink.getvalue())


def test_small_content_starts_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a thread for so little")

    monkeypatch.setattr(threading, "Thread", refuse)
    content, _ = packed(TEXT, "zstd")

    assert TEXT == open_reader(io.BytesIO(content)).read()
