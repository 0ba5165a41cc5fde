"""Compress a layer in independent blocks, side by side in threads."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from hashlib import sha256
from mmap import MAP_ANONYMOUS, MAP_PRIVATE, mmap
from queue import Empty, SimpleQueue
from time import perf_counter
from typing import TYPE_CHECKING, NamedTuple, Self

from layers.compression.codec import codec_of
from layers.digest import Digest
from layers.errors import ChangesetError

if TYPE_CHECKING:
    from collections.abc import Callable
    from hashlib import _Hash
    from types import TracebackType

    from layers.compression.codec import Buffer, Codec
    from layers.image import Writer
    from layers.mediatype import Compression

BLOCK_MAX: dict[Compression, int] = {"none": 2 << 20, "gzip": 2 << 20, "zstd": 12 << 20}
"""What is written without borders is cut after so many bytes.

gzip looks back 32 KiB, and makes nothing larger that is cut twenty times as rarely. zstd looks back for megabytes: in
blocks of 1 MiB, documentation becomes 14 % larger than in one stream; in blocks of 6 MiB, 1 %.
"""
_SLACK = 4096


class Block(NamedTuple):
    """One block of a layer that was written."""

    start: int
    """Where it begins in the uncompressed bytes."""
    packed: int
    """Where it begins in the sink."""
    seal: bytes
    """The raw sha256 of the sink's bytes from the first up to this block's end."""
    key: bytes = b""
    """What it was made of, as a digest, where whoever wrote it knows that."""


class Compressed(NamedTuple):
    """What a ``BlockWriter`` wrote."""

    diff_id: Digest
    """Of the uncompressed bytes."""
    digest: Digest
    """Of the bytes in the sink."""
    size: int
    """Bytes in the sink."""
    uncompressed_size: int
    blocks: tuple[Block, ...] = ()


class Seconds(NamedTuple):
    """What a ``BlockWriter`` took, its threads added up."""

    compressing: float = 0.0
    hashing: float = 0.0
    """Of both sides."""


class BlockWriter:
    """Compress what is written in independent blocks, side by side in threads, and hash both sides.

    A block is a gzip member or a zstd frame; readers of both formats take several as one stream (RFC 1952, 2.2;
    RFC 8878, 3). What bytes it becomes depends on its own alone, so that a block that is known from an earlier layer
    can be put in its place. One block is compressed without a thread; more of them start some, and they end with the
    writer. About 20 MB are held at most, of zstd 100 MB.

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
        self._codec = codec_of(compression, level, warn)
        self.block_max = BLOCK_MAX[compression]
        """Bytes of the longest block, but for a few."""
        self.seconds = Seconds()
        """Known once it is closed."""
        self._threads = threads or min(4, len(os.sched_getaffinity(0)))
        self._free: SimpleQueue[memoryview] = SimpleQueue()
        self._room: memoryview | None = None
        self._size = 0
        self._first: _Job | None = None
        self._line: _Line | None = None
        self._result: Compressed | None = None

    @property
    def name(self) -> str:
        """What compresses, with its version: with another name, other bytes may come out."""
        return self._codec.name

    def room(self) -> memoryview:
        """Give writable room for one block, of ``block_max`` bytes and a few more, with anything in them.

        ``put`` takes it back.
        """
        with suppress(Empty):
            return self._free.get_nowait()
        # A mapping costs only the pages that are written to: most layers are small.
        return memoryview(mmap(-1, self.block_max + _SLACK, flags=MAP_PRIVATE | MAP_ANONYMOUS))

    def put(self, room: memoryview, size: int) -> None:
        """Write the first bytes of a room as one block; the room is another's from now on.

        Raises:
            Exception: what compressing or the sink raised for an earlier block.
        """
        self._hand_on(_Job(room, room[:size], b""))

    def put_packed(self, packed: bytes) -> None:
        """Write a block that is compressed already, by a writer of the same ``name``; raises as ``put`` does."""
        self._hand_on(_Job(None, b"", packed))

    def write(self, data: bytes) -> None:
        """Add bytes, to be cut wherever a block is full; raises as ``put`` does."""
        rest = memoryview(data)
        while rest:
            if self._room is None:
                self._room = self.room()
            taken = min(len(rest), self.block_max - self._size)
            self._room[self._size : self._size + taken] = rest[:taken]
            self._size += taken
            rest = rest[taken:]
            if self._size == self.block_max:
                self._cut()

    def _cut(self) -> None:
        room, size = self._room, self._size
        self._room, self._size = None, 0
        if room is not None:
            self.put(room, size)

    def _hand_on(self, job: _Job) -> None:
        """Hold the first block back until there is a second one: then threads are worth it."""
        if self._line is None and self._first is None:
            self._first = job
            return
        if self._line is None:
            self._line = _Line(self._sink, self._codec, self._free, self._threads)
        first, self._first = self._first, None
        if first is not None:
            self._line.put(first)
        self._line.put(job)

    def close(self) -> Compressed:
        """Write what is left; the sink is complete when this returns. Closing again gives the same result."""
        if self._result is None:
            try:
                self._cut()
                if self._line is None:
                    self._line = _Line(self._sink, self._codec, self._free, 0)
                    self._line.put(self._first or _Job(None, memoryview(b""), b""))
                    self._first = None
                line, self._line = self._line, None
                self._result = line.finish()
                self.seconds = line.seconds
            except BaseException:
                self.abort()
                raise
        return self._result

    def abort(self) -> None:
        """End the threads; the sink is left as it is and gets nothing more."""
        if self._line is not None:
            self._line.stop()
            self._line = None
        self._first = self._room = None

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
    """A block on its way: with its own bytes, or, where those are ``b""``, with its compressed ones."""

    __slots__ = ("data", "done", "error", "packed", "room", "seconds")

    def __init__(self, room: memoryview | None, data: Buffer, packed: Buffer) -> None:
        self.room = room
        self.data = data
        self.packed = packed
        self.error: BaseException | None = None
        self.seconds = 0.0
        self.done = threading.Lock()
        self.done.acquire()

    def work(self, codec: Codec) -> None:
        """Make the side that is missing of the one that is there."""
        start = perf_counter()
        if self.packed:
            self.data = codec.unpack(self.packed)
        else:
            self.packed = codec.pack(self.data)
        self.seconds = perf_counter() - start


class _Line:
    """Blocks come in, are compressed side by side, and go out to the sink in the order they came.

    With no threads a block is done when ``put`` returns.
    """

    def __init__(self, sink: Writer, codec: Codec, free: SimpleQueue[memoryview], threads: int) -> None:
        self._sink = sink
        self._codec = codec
        self._free = free
        self._plain_hash, self._packed_hash = sha256(), sha256()
        self._plain_size = self._packed_size = 0
        self._compressing = self._hashing = 0.0
        self._blocks: list[Block] = []
        self._error: BaseException | None = None
        self._todo: SimpleQueue[_Job | None] = SimpleQueue()
        self._order: SimpleQueue[_Job | None] = SimpleQueue()
        self._room = threading.Semaphore(threads + 1)
        self._workers = [threading.Thread(target=self._work, name="compress", daemon=True) for _ in range(threads)]
        self._threads = [*self._workers]
        if threads:
            self._threads.append(threading.Thread(target=self._write_in_order, name="write", daemon=True))
        for thread in self._threads:
            thread.start()

    def put(self, job: _Job) -> None:
        if not self._threads:
            job.work(self._codec.fresh())
            self._write(job)
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
            self._plain_size,
            tuple(self._blocks),
        )

    @property
    def seconds(self) -> Seconds:
        return Seconds(self._compressing, self._hashing)

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
        codec = self._codec.fresh()
        while (job := self._todo.get()) is not None:
            try:
                if self._error is None:
                    job.work(codec)
            except BaseException as error:  # noqa: BLE001  # carried to the caller's thread and raised there
                job.error = error
            job.done.release()

    def _write_in_order(self) -> None:
        while (job := self._order.get()) is not None:
            try:
                if self._error is None:
                    self._write(job)
                else:
                    job.done.acquire()  # a worker may still read the room
            except BaseException as error:  # noqa: BLE001  # as above
                self._error = error
            if job.room is not None:
                self._free.put(job.room)
            self._room.release()

    def _write(self, job: _Job) -> None:
        """Hash and write one block, its own bytes already while they are compressed."""
        early = job.data
        if early:
            self._hash(self._plain_hash, early)
        if self._threads:
            job.done.acquire()
        if job.error is not None:
            raise job.error
        if not early:
            self._hash(self._plain_hash, job.data)
        if job.packed is job.data:
            self._packed_hash = self._plain_hash
        else:
            self._hash(self._packed_hash, job.packed)
        self._compressing += job.seconds
        start, packed = self._plain_size, self._packed_size
        self._plain_size += len(job.data)
        self._packed_size += len(job.packed)
        self._blocks.append(Block(start, packed, self._packed_hash.copy().digest()))
        self._sink.write(job.packed)

    def _hash(self, total: _Hash, data: Buffer) -> None:
        start = perf_counter()
        total.update(data)
        self._hashing += perf_counter() - start
