"""Find out how content is compressed, and decompress it."""

from __future__ import annotations

import io
import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Literal

from layers.errors import ChangesetError, LimitError

if TYPE_CHECKING:
    from bz2 import BZ2Decompressor
    from collections.abc import Callable, Generator, Iterator
    from lzma import LZMADecompressor

    from layers.image import Reader

ArchiveCompression = Literal["none", "gzip", "zstd", "bzip2", "xz"]
"""What an archive may be compressed with; layers know the first three only."""

CHUNK = 256 * 1024
"""Bytes that a reader decompresses at once; several are ready ahead of the caller."""

_AHEAD = 16
_SPARED = 64 * 1024 * 1024
_MAGIC: list[tuple[bytes, ArchiveCompression]] = [
    (b"\x1f\x8b\x08", "gzip"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
]
_LONGEST_MAGIC = 6
_XZ_MEMORY = 256 * 1024 * 1024
_GIB = 1 << 30


class Bounds:
    """How much may come out of compressed content where a caller says nothing else: of this process, for all threads.

    gzip gives 1,032 bytes for one at most, zstd tens of thousands, both for zeros only: a ratio counts only past what
    an honest file of zeros has.
    """

    size = 256 * _GIB
    """Bytes of one layer or archive."""
    ratio = 2000
    """Bytes for each compressed one."""
    spared = 8 * _GIB
    """Bytes from which on the ratio counts."""


def sniff(head: bytes) -> ArchiveCompression:
    """Tell the compression from the first six bytes of content; ``none`` where they say nothing."""
    for magic, name in _MAGIC:
        if head.startswith(magic):
            return name
    return "zstd" if _is_skippable(head) else "none"


def _is_skippable(head: bytes) -> bool:
    return head[1:4] == b"\x2a\x4d\x18" and 0x50 <= head[0] <= 0x5F


def open_reader(
    stream: Reader,
    compression: ArchiveCompression | None = None,
    *,
    max_size: int | None = None,
    max_ratio: int | None = None,
) -> io.BufferedReader:
    """Give a reader of the decompressed content; what is compressed in several members or frames is read as one.

    More than a chunk is decompressed ahead in a thread, which ends with the content or when the reader is closed.
    Closing the reader leaves ``stream`` open; errors of ``stream`` itself pass through as they are.

    Args:
        stream: the compressed content; read from its present position and only forwards.
        compression: what it must be; found from its first bytes where None.
        max_size: decompressed bytes that are too many once exceeded.
        max_ratio: decompressed bytes for each compressed one that are too many once exceeded, past the first 64 MiB.
            For both, what ``Bounds`` says where None.

    Raises:
        ChangesetError: by the reader: not in this format, corrupt or cut short.
        LimitError: by the reader: past ``max_size`` or ``max_ratio``.
    """
    source = _Source(stream)
    found = sniff(source.peek())
    if compression not in {None, "none", found}:
        raise ChangesetError(f"the content is not {compression}, but {_article(found)}")
    chunks = _DECODERS[compression or found](source)
    if found != "none":
        spared = Bounds.spared if max_ratio is None else _SPARED
        chunks = _limited(chunks, source, max_size or Bounds.size, max_ratio or Bounds.ratio, spared)
    elif max_size is not None:
        chunks = _limited(chunks, source, max_size, 1, max_size)
    return io.BufferedReader(_ChunkReader(read_ahead(chunks)), CHUNK)


def _article(found: ArchiveCompression) -> str:
    return "not compressed in a known way" if found == "none" else f"{found}"


class _Source(io.RawIOBase):
    """The compressed stream, with its first bytes put back, and counted."""

    def __init__(self, stream: Reader) -> None:
        self._stream = stream
        self._head = b""
        self.count = 0

    def peek(self) -> bytes:
        while len(self._head) < _LONGEST_MAGIC and (more := self._stream.read(_LONGEST_MAGIC - len(self._head))):
            self._head += more
        return self._head

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        data, self._head = self._head, b""
        if len(data) > size >= 0:
            data, self._head = data[:size], data[size:]
        elif not data:
            data = self._stream.read(size)
        self.count += len(data)
        return data

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]  # typeshed's Buffer; only memoryviews come
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


class _ChunkReader(io.RawIOBase):
    """An iterator of chunks, read as a stream."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]  # typeshed's Buffer; only memoryviews come
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = memoryview(chunk)
        data = self._rest[: len(buffer)]
        buffer[: len(data)] = data
        self._rest = self._rest[len(data) :]
        return len(data)

    def close(self) -> None:
        if not self.closed:
            close = getattr(self._chunks, "close", None)
            if close is not None:
                close()
        super().close()


def read_ahead(chunks: Iterator[bytes]) -> Generator[bytes]:
    """Give the same chunks, made ahead in a thread; small content is not worth one.

    An error is raised where its chunk would have come. The thread ends with the chunks or when this iterator is closed.
    """
    for _ in range(2):
        chunk = next(chunks, None)
        if chunk is None:
            return
        yield chunk
    ready: SimpleQueue[bytes | BaseException | None] = SimpleQueue()
    room = threading.Semaphore(_AHEAD)
    stopped = False

    def produce() -> None:
        try:
            for produced in chunks:
                ready.put(produced)
                room.acquire()
                if stopped:
                    return
            ready.put(None)
        except BaseException as error:  # noqa: BLE001  # carried to the caller's thread and raised there
            ready.put(error)

    thread = threading.Thread(target=produce, name="read-ahead", daemon=True)
    thread.start()
    try:
        while (item := ready.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            room.release()
            yield item
    finally:
        stopped = True
        room.release()
        thread.join()


def _limited(chunks: Iterator[bytes], source: _Source, max_size: int, max_ratio: int, spared: int) -> Iterator[bytes]:
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > max_size:
            hint = "PYBUILD_MAX_UNPACKED allows more"
            raise LimitError(f"the decompressed content is longer than {max_size} bytes", hint=hint)
        if size > spared and size > source.count * max_ratio:
            hint = "PYBUILD_MAX_RATIO allows more"
            raise LimitError(f"the content decompresses to more than {max_ratio} times its size", hint=hint)
        yield chunk


def _read_plain(source: _Source) -> Iterator[bytes]:
    while chunk := source.read(CHUNK):
        yield chunk


def _read_gzip(source: _Source) -> Iterator[bytes]:
    import zlib  # noqa: PLC0415  # start-up time: only where it is used
    from gzip import BadGzipFile  # noqa: PLC0415  # as above

    file, errors = _gzip_file(source)
    try:
        while chunk := file.read(CHUNK):
            yield chunk
    except (BadGzipFile, EOFError, zlib.error, *errors) as error:
        raise ChangesetError(f"the gzip content is corrupt: {error}") from error


def _gzip_file(source: _Source) -> tuple[Any, tuple[Any, ...]]:
    try:
        from isal import igzip, isal_zlib  # noqa: PLC0415  # start-up time, and there may be no wheel
    except ImportError:
        import gzip  # noqa: PLC0415  # as above

        return gzip.GzipFile(fileobj=source), ()
    return igzip.IGzipFile(fileobj=source), (isal_zlib.error,)  # type: ignore[no-untyped-call]  # isal has no types for it


def _read_zstd(source: _Source) -> Iterator[bytes]:
    import zstandard  # noqa: PLC0415  # start-up time: only where it is used

    frames = _ZstdFrames(source)
    reader = zstandard.ZstdDecompressor().stream_reader(frames, read_size=CHUNK, read_across_frames=True)  # type: ignore[arg-type]  # it only reads
    try:
        while chunk := reader.read(CHUNK):
            yield chunk
    except zstandard.ZstdError as error:
        raise ChangesetError(f"the zstd content is corrupt: {error}") from error
    if not frames.at_border:
        raise ChangesetError("the zstd content is corrupt: it ends in the middle of a frame")


class _ZstdFrames:
    """Pass compressed bytes on, following frames and blocks: the library does not tell when the last one is cut short.

    Spec: RFC 8878, 3.1.1 "Zstandard Frames" and 3.1.2 "Skippable Frames".
    """

    def __init__(self, source: _Source) -> None:
        self._source = source
        self.at_border = True
        self._steps = self._walk()
        self._step = next(self._steps)
        self._field = b""

    def read(self, size: int = -1, /) -> bytes:
        data = self._source.read(size)
        at, end = 0, len(data)
        while at < end:
            self.at_border = False
            taken = min(abs(self._step) - len(self._field), end - at)
            if self._step < 0:
                self._step += taken
            else:
                self._field += data[at : at + taken]
            at += taken
            self._advance()
        return data

    def _advance(self) -> None:
        while self._step == len(self._field):
            field, self._field = self._field, b""
            self._step = self._steps.send(field)

    def _walk(self) -> Generator[int, bytes]:
        """Ask for the next n bytes (n), or skip them (-n); what is no frame is for the library to refuse."""
        while True:
            self.at_border = True
            if _is_skippable((yield 4)):
                yield -int.from_bytes((yield 4), "little")
                continue
            descriptor = (yield 1)[0]
            single_segment = descriptor >> 5 & 1
            content_size = (single_segment, 2, 4, 8)[descriptor >> 6]
            yield -(1 - single_segment + (0, 1, 2, 4)[descriptor & 3] + content_size)
            is_last = 0
            while not is_last:
                header = int.from_bytes((yield 3), "little")
                is_last = header & 1
                is_run = header >> 1 & 3 == 1
                yield -(1 if is_run else header >> 3)
            yield -(descriptor & 4)


def _read_bzip2(source: _Source) -> Iterator[bytes]:
    import bz2  # noqa: PLC0415  # start-up time: only where it is used

    return _read_members(source, bz2.BZ2Decompressor, "bzip2", (OSError, ValueError))


def _read_xz(source: _Source) -> Iterator[bytes]:
    import lzma  # noqa: PLC0415  # start-up time: only where it is used

    return _read_members(source, lambda: lzma.LZMADecompressor(memlimit=_XZ_MEMORY), "xz", (lzma.LZMAError,))


def _read_members(
    source: _Source,
    make: Callable[[], BZ2Decompressor | LZMADecompressor],
    name: str,
    errors: tuple[type[Exception], ...],
) -> Iterator[bytes]:
    decoder, data = make(), source.read(CHUNK)
    while data or not decoder.eof:
        if not data and decoder.needs_input:
            raise ChangesetError(f"the {name} content is corrupt: it is cut short")
        try:
            chunk = decoder.decompress(data, CHUNK)
        except errors as error:
            raise ChangesetError(f"the {name} content is corrupt: {error}") from error
        if chunk:
            yield chunk
        data = b""
        if decoder.eof:
            data = decoder.unused_data or source.read(CHUNK)
            # xz files may be padded with zeros
            data = data.lstrip(b"\0") or source.read(CHUNK).lstrip(b"\0")
            if data:
                decoder = make()
        elif decoder.needs_input:
            data = source.read(CHUNK)


_DECODERS: dict[ArchiveCompression, Callable[[_Source], Iterator[bytes]]] = {
    "none": _read_plain,
    "gzip": _read_gzip,
    "zstd": _read_zstd,
    "bzip2": _read_bzip2,
    "xz": _read_xz,
}
