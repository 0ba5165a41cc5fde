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
from typing import TYPE_CHECKING

import pytest
import zstandard

from layers.compression import BlockWriter, open_reader, sniff
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
            writer.border()
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


@pytest.mark.parametrize("compression", BOTH)
def test_blocks_end_at_borders(compression: Compression) -> None:
    """Files in front of a change are compressed as before, so that their blocks stay the same."""
    head = [some_bytes(700_000), some_bytes(600_000)]
    sinks = [io.BytesIO(), io.BytesIO()]
    for sink, tail in zip(sinks, (b"one" * 1000, b"two" * 1000), strict=True):
        with BlockWriter(sink, compression) as writer:
            for piece in (*head, tail):
                writer.write(piece)
                writer.border()
    one, two = (sink.getvalue() for sink in sinks)
    same = next(at for at, (a, b) in enumerate(zip(one, two, strict=False)) if a != b)

    assert len(packed(b"".join(head), compression)[0]) <= same


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

    def write(self, data: bytes, /) -> int:  # type: ignore[override]  # only bytes come
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
