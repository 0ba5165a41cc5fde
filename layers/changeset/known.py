"""Compressed blocks of earlier layers, to be copied into a new one that has the same files in the same places."""

from __future__ import annotations

import contextlib
import operator
import os
from hashlib import sha256
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path
    from types import TracebackType

    from layers.compression import Block

_CHUNK = 1024 * 1024


class KnownBlocks:
    """Finds blocks by their keys in the blobs of layers; a context manager that holds the blobs open.

    Each block's seal is checked before it is given: a blob that is not what was written gives nothing from there on.
    The seals tell of all bytes up to a block, so that blocks are only found in the order in which the blob has them.
    """

    def __init__(self, layers: Iterable[tuple[Path, Sequence[Block]]]) -> None:
        """Open the blobs; one that is gone, or whose blocks have no keys, counts for nothing."""
        self._sources: list[_Source] = []
        for path, blocks in layers:
            with contextlib.suppress(OSError):
                self._sources.append(_Source(path, blocks))

    def __bool__(self) -> bool:
        """Tell whether anything may be found yet."""
        return any(source.left for source in self._sources)

    def take(self, key: bytes) -> bytes | None:
        """Give the compressed bytes of a block; None where it is not known."""
        for source in self._sources:
            packed = source.take(key)
            if packed is not None:
                return packed
        return None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for source in self._sources:
            source.close()


class _Source:
    """One blob, read and hashed from its beginning."""

    def __init__(self, path: Path, blocks: Sequence[Block]) -> None:
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        starts = [block.packed for block in blocks]
        self._ends = [*starts[1:], os.fstat(self._file).st_size]
        self._blocks = blocks
        # an index may be damaged, and what it says must not become a length to read
        in_order = starts[:1] == [0] and all(map(operator.le, starts, self._ends))
        self._numbers = {block.key: number for number, block in enumerate(blocks) if block.key and in_order}
        self._hash = sha256()
        self._position = 0
        self.left = bool(self._numbers)

    def take(self, key: bytes) -> bytes | None:
        number = self._numbers.get(key)
        if number is None or not self.left or self._position > self._blocks[number].packed:
            return None
        block, packed = self._blocks[number], b""
        try:
            while self._position < block.packed:
                self._read(min(_CHUNK, block.packed - self._position))
            packed = self._read(self._ends[number] - block.packed)
        except OSError:
            self.left = False
        self.left = self.left and self._hash.copy().digest() == block.seal
        found = packed if self.left else None
        self.left = self.left and number + 1 < len(self._blocks)
        return found

    def _read(self, size: int) -> bytes:
        data = os.pread(self._file, size, self._position)
        if len(data) != size:
            raise OSError("the blob is shorter than it was")
        self._hash.update(data)
        self._position += size
        return data

    def close(self) -> None:
        os.close(self._file)
