"""Single files out of a layer's blob, without reading all of it: its index tells in which block each of them lies."""

from __future__ import annotations

import bisect
import io
import os
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING

from layers.changeset.entry import Change, Entry
from layers.changeset.header import header, padding
from layers.compression import open_reader
from layers.errors import ChangesetError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from layers.changeset.index import LayerIndex
    from layers.mediatype import Compression

_MOST = 32 * 1024 * 1024
"""Bytes of contents that are given at once."""


def read_files(
    blob: Path, compression: Compression | None, index: LayerIndex, paths: Collection[bytes]
) -> list[Change] | None:
    """Give the entries at these paths with their contents, in the layer's order.

    What is read is verified by each file's digest. None where the index does not know the blocks, where a content is
    not what it says, or where the contents are more than 32 MiB.
    """
    found = list(_places(index, paths))
    if not index.blocks or sum(entry.size for entry, _ in found) > _MOST:
        return None
    changes = []
    try:
        blocks = _Blocks(blob, compression, index)
    except OSError:
        return None
    try:
        for entry, start in found:
            if entry.kind != "file":
                changes.append(Change(entry.path, entry))
                continue
            content = blocks.read(start, entry.size)
            if sha256(content).digest() != entry.digest:
                return None
            changes.append(Change(entry.path, entry, partial(io.BytesIO, content)))
    except (OSError, ChangesetError):
        return None
    finally:
        blocks.close()
    return changes


def _places(index: LayerIndex, paths: Collection[bytes]) -> Iterator[tuple[Entry, int]]:
    """Give each entry and where its content begins in the tar."""
    at = 0
    for entry in index.entries:
        at += len(header(entry))
        if entry.path in paths:
            yield entry, at
        at += entry.size + len(padding(entry.size))


class _Blocks:
    """The uncompressed bytes of a blob's blocks; the last one that was read is held."""

    def __init__(self, blob: Path, compression: Compression | None, index: LayerIndex) -> None:
        self._compression = compression
        self._starts = [block.start for block in index.blocks]
        self._packed = [block.packed for block in index.blocks]
        self._blob = os.open(blob, os.O_RDONLY | os.O_CLOEXEC)
        self._packed.append(os.fstat(self._blob).st_size)
        self._held = -1, b""

    def read(self, start: int, size: int) -> bytes:
        """Give bytes of the tar."""
        parts = []
        while size:
            number = bisect.bisect_right(self._starts, start) - 1
            offset = start - self._starts[number]
            part = self._block(number)[offset : offset + size]
            if not part:
                raise ChangesetError("the blob is shorter than its index says")
            parts.append(part)
            start, size = start + len(part), size - len(part)
        return b"".join(parts)

    def _block(self, number: int) -> bytes:
        if self._held[0] != number:
            packed = os.pread(self._blob, self._packed[number + 1] - self._packed[number], self._packed[number])
            with open_reader(io.BytesIO(packed), self._compression) as reader:
                self._held = number, reader.read()
        return self._held[1]

    def close(self) -> None:
        os.close(self._blob)
