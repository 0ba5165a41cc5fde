"""Compress a layer in independent blocks, side by side in threads."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from hashlib import sha256
from queue import SimpleQueue
from typing import TYPE_CHECKING, Self

from layers.digest import Digest
from layers.errors import ChangesetError, InvalidError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from layers.image import Writer
    from layers.mediatype import Compression

BLOCK_MIN = 1024 * 1024
"""A block ends at the first border after this many bytes."""
BLOCK_MAX = 2 * 1024 * 1024
"""No block is longer than this."""


@dataclass(frozen=True, slots=True)
class Compressed:
    """What a ``BlockWriter`` wrote."""

    diff_id: Digest
    """Of the uncompressed bytes."""
    digest: Digest
    """Of the bytes in the sink."""
    size: int
    """Bytes in the sink."""
    uncompressed_size: int
    blocks: tuple[tuple[int, int], ...] = ()
    """Where each block begins: in the uncompressed bytes, and in the sink."""


class BlockWriter:
    """Compress what is written in independent blocks, side by side in threads, and hash both sides.

    A block is a gzip member or a zstd frame; readers of both formats take several as one stream (RFC 1952, 2.2;
    RFC 8878, 3). Where blocks end depends on the bytes and borders written alone. Content of one block is compressed
    without a thread; more of it starts some, and they end with the writer. About 20 MB are held at most.

    The sink is written to by one thread at a time, in order, and never once the ``with`` block was left by an error.
    """

    def __init__(
        self,
        sink: Writer,
        compression: Compression,
        level: int | None = None,
        *,
        threads: int | None = None,
        warn: Callable[[str], None] | None = None,
    ) -> None:
        """Prepare to write.

        Args:
            sink: where the compressed bytes go; left open.
            compression: what to write.
            level: gzip 0 to 9 (2 where None: about zlib's 6 in size, at eight times its speed), zstd 1 to 22 (3).
            threads: that compress; as many as processors, and 4 at most, where None.
            warn: told once when gzip is written by zlib for want of isal: other bytes come out, and slower.

        Raises:
            InvalidError: there is no such level.
        """
        self._sink = sink
        self._compression = compression
        self._encoder = _encoder(compression, level, warn)
        self._threads = threads or min(4, len(os.sched_getaffinity(0)))
        self._parts: list[bytes] = []
        self._size = 0
        self._line: _Line | None = None
        self._result: Compressed | None = None

    def write(self, data: bytes) -> None:
        """Add bytes.

        Raises:
            Exception: what compressing or the sink raised for an earlier block.
        """
        self._parts.append(data)
        self._size += len(data)
        if self._size >= BLOCK_MAX:
            self._cut()

    def border(self) -> None:
        """Say that a file ends here, so that a block had better end here than in the middle of one."""
        if self._size >= BLOCK_MIN:
            self._cut()

    def _cut(self) -> None:
        """Hand on what is there; what is over the longest block's length stays for the next one."""
        if self._line is None:
            self._line = _Line(self._sink, self._encoder, self._threads)
        data = b"".join(self._parts)
        self._parts.clear()
        while len(data) >= BLOCK_MAX:
            self._line.put(data[:BLOCK_MAX])
            data = data[BLOCK_MAX:]
        self._size = len(data)
        if self._size >= BLOCK_MIN:
            self._line.put(data)
            self._size = 0
        elif data:
            self._parts.append(data)

    def close(self) -> Compressed:
        """Write what is left; the sink is complete when this returns. Closing again gives the same result."""
        if self._result is None:
            line = self._line or _Line(self._sink, self._encoder, 0)
            self._line = None
            data = b"".join(self._parts)
            self._parts.clear()
            try:
                if data or not line.size:
                    line.put(data)
            except BaseException:
                line.stop()
                raise
            self._result = line.finish()
        return self._result

    def abort(self) -> None:
        """End the threads; the sink is left as it is and gets nothing more."""
        if self._line is not None:
            self._line.stop()
            self._line = None
        self._parts.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            self.abort()


class _Job:
    """A block on its way."""

    __slots__ = ("data", "done", "packed")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.packed: bytes | BaseException = b""
        self.done = threading.Lock()
        self.done.acquire()


class _Line:
    """Blocks come in, are compressed side by side, and go out to the sink in the order they came.

    With no threads a block is done when ``put`` returns.
    """

    def __init__(self, sink: Writer, encoder: Callable[[], Callable[[bytes], bytes]], threads: int) -> None:
        self._sink = sink
        self._encoder = encoder
        self._plain_hash, self._packed_hash = sha256(), sha256()
        self._packed_size = 0
        self._written_size = 0
        self._blocks: list[tuple[int, int]] = []
        self.size = 0
        self._error: BaseException | None = None
        self._todo: SimpleQueue[_Job | None] = SimpleQueue()
        self._order: SimpleQueue[_Job | None] = SimpleQueue()
        self._room = threading.Semaphore(threads + 2)
        self._workers = [threading.Thread(target=self._work, name="compress", daemon=True) for _ in range(threads)]
        self._threads = [*self._workers]
        if threads:
            self._threads.append(threading.Thread(target=self._write_in_order, name="write", daemon=True))
        for thread in self._threads:
            thread.start()

    def put(self, data: bytes) -> None:
        self.size += len(data)
        job = _Job(data)
        if not self._threads:
            self._plain_hash.update(data)
            self._write(self._encoder()(data), data)
            return
        self._room.acquire()
        if self._error is not None:
            raise self._error
        self._order.put(job)
        self._todo.put(job)

    def finish(self) -> Compressed:
        """End the threads and give the result; raises what went wrong in one."""
        self._end()
        if self._error is not None:
            raise self._error
        return Compressed(
            Digest("sha256", self._plain_hash.hexdigest()),
            Digest("sha256", self._packed_hash.hexdigest()),
            self._packed_size,
            self.size,
            tuple(self._blocks),
        )

    def stop(self) -> None:
        """End the threads, writing nothing more."""
        self._error = self._error or ChangesetError("the layer was given up")
        self._end()

    def _end(self) -> None:
        for _ in self._workers:
            self._todo.put(None)
        self._order.put(None)
        for thread in self._threads:
            thread.join()
        self._threads = []

    def _work(self) -> None:
        encode = self._encoder()
        while (job := self._todo.get()) is not None:
            try:
                if self._error is None:
                    job.packed = encode(job.data)
            except BaseException as error:  # noqa: BLE001  # carried to the caller's thread and raised there
                job.packed = error
            job.done.release()

    def _write_in_order(self) -> None:
        while (job := self._order.get()) is not None:
            try:
                if self._error is None:
                    self._plain_hash.update(job.data)
                job.done.acquire()
                if isinstance(job.packed, BaseException):
                    self._error = self._error or job.packed
                elif self._error is None:
                    self._write(job.packed, job.data)
            except BaseException as error:  # noqa: BLE001  # as above
                self._error = error
            self._room.release()

    def _write(self, packed: bytes, data: bytes) -> None:
        if packed is data:
            self._packed_hash = self._plain_hash
        else:
            self._packed_hash.update(packed)
        self._blocks.append((self._written_size, self._packed_size))
        self._written_size += len(data)
        self._packed_size += len(packed)
        self._sink.write(packed)


def _encoder(
    compression: Compression, level: int | None, warn: Callable[[str], None] | None
) -> Callable[[], Callable[[bytes], bytes]]:
    """Give what makes, in each thread, the function that compresses one block."""
    if compression == "none":
        return lambda: lambda data: data
    lowest, highest, default = (0, 9, 2) if compression == "gzip" else (1, 22, 3)
    level = default if level is None else level
    if not lowest <= level <= highest:
        raise InvalidError(f"{compression} has no level {level}", hint=f"its levels are {lowest} to {highest}")
    return _gzip_encoder(level, warn) if compression == "gzip" else _zstd_encoder(level)


def _gzip_encoder(level: int, warn: Callable[[str], None] | None) -> Callable[[], Callable[[bytes], bytes]]:
    import zlib  # noqa: PLC0415  # start-up time: only where it is used

    if 1 <= level <= 3:
        try:
            from isal import isal_zlib  # noqa: PLC0415  # as above, and there may be no wheel
        except ImportError:
            if warn is not None:
                warn("isal is not installed: gzip is slower, and layers have other digests than with it")
        else:
            return lambda: lambda data: isal_zlib.compress(data, level, 31)
    return lambda: lambda data: zlib.compress(data, level, 31)


def _zstd_encoder(level: int) -> Callable[[], Callable[[bytes], bytes]]:
    import zstandard  # noqa: PLC0415  # start-up time: only where it is used

    return lambda: zstandard.ZstdCompressor(level=level, write_checksum=False).compress
