"""Changes to one reproducible layer, in one streaming pass.

Spec: image-spec/layer.md, "Representing Changes".
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Self

from layers.changeset.entry import Change, Content, Entry, keeps_xattr
from layers.changeset.header import END, header, padding
from layers.changeset.index import EMPTY, KEPT, KEPT_SIZE, LayerIndex
from layers.changeset.whiteout import marker_of
from layers.compression import BlockWriter
from layers.errors import ChangesetError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType

    from layers.digest import Digest
    from layers.image import Writer
    from layers.mediatype import Compression

_CHUNK = 1024 * 1024


@dataclass(frozen=True, slots=True)
class WrittenLayer:
    """A layer as it was written, and what it holds."""

    diff_id: Digest
    digest: Digest
    size: int
    """Bytes in the sink."""
    uncompressed_size: int
    index: LayerIndex


class LayerWriter:
    """Write a layer's tar, compressed, to a sink: whole when the ``with`` block ends without an error.

    The bytes depend on the changes, their order, the compression and its level, and on nothing else.
    """

    def __init__(
        self,
        sink: Writer,
        compression: Compression,
        level: int | None = None,
        *,
        clamp_mtime: int | None = None,
        threads: int | None = None,
        warn: Callable[[str], None] | None = None,
    ) -> None:
        """Prepare to write; ``clamp_mtime`` is the latest time an entry may have, else as ``BlockWriter``."""
        self._blocks = BlockWriter(sink, compression, level, threads=threads, warn=warn)
        self._write = self._blocks.write
        self._clamp = clamp_mtime
        self._entries: list[Entry] = []
        self._contents: dict[bytes, bytes] = {}
        self._result: WrittenLayer | None = None

    def add(self, change: Change) -> None:
        """Write a change; a whiteout where there is no entry. Attributes that say something of a host are left out.

        A file is read once, for the size that its entry has. Its digest is found out unless the entry has it.

        Raises:
            ChangesetError: the file's size changed while it was read, or a tar cannot hold the entry.
            OSError: the file cannot be read, or the sink not written.
        """
        path, entry, opened = change
        if entry is None:
            entry = Entry(marker_of(path), "file", 0)
        elif self._clamp is not None and entry.mtime > self._clamp:
            entry = entry._replace(mtime=self._clamp)
        if entry.xattrs:
            entry = entry._replace(xattrs={key: value for key, value in entry.xattrs.items() if keeps_xattr(key)})
        self._write(header(entry))
        if entry.size:
            if opened is None:
                raise ChangesetError(f"there is nothing to read {path!r} from")
            content = opened()
            try:
                entry = self._copy(entry, content)
            finally:
                os.close(content) if isinstance(content, int) else content.close()
        elif entry.kind == "file":
            entry = entry._replace(digest=EMPTY)
        self._entries.append(entry)
        self._blocks.border()

    def _copy(self, entry: Entry, content: int | Content) -> Entry:
        """Write the content and give the entry with its digest."""
        size = entry.size
        # one byte more tells at once that a small file has not grown
        data = _read(content, min(size + 1, _CHUNK))
        if len(data) == size:
            self._write(data)
            self._write(padding(size))
            if entry.path in KEPT and size <= KEPT_SIZE:
                self._contents[entry.path] = data
            return entry if entry.digest else entry._replace(digest=sha256(data).digest())
        hashed = None if entry.digest else sha256()
        left = size
        while data and len(data) <= left:
            left -= len(data)
            if hashed is not None:
                hashed.update(data)
            self._write(data)
            data = _read(content, min(left + 1, _CHUNK))
        if left or data:
            raise ChangesetError(
                f"/{entry.path.decode(errors='replace')} changed while it was read: it no longer has {size} bytes",
                hint="something else writes to it",
            )
        self._write(padding(size))
        return entry if hashed is None else entry._replace(digest=hashed.digest())

    def close(self) -> WrittenLayer:
        """End the archive; the sink is complete when this returns. Closing again gives the same result."""
        if self._result is None:
            self._write(END)
            done = self._blocks.close()
            index = LayerIndex(self._entries, self._contents, done.blocks)
            self._result = WrittenLayer(done.diff_id, done.digest, done.size, done.uncompressed_size, index)
        return self._result

    @property
    def result(self) -> WrittenLayer:
        """What was written, known once the writer is closed."""
        if self._result is None:
            raise ChangesetError("the layer is not closed yet")
        return self._result

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            self._blocks.abort()


def _read(content: int | Content, size: int) -> bytes:
    return os.read(content, size) if isinstance(content, int) else content.read(size)


def write_layer(
    changes: Iterable[Change],
    sink: Writer,
    compression: Compression,
    level: int | None = None,
    *,
    clamp_mtime: int | None = None,
    threads: int | None = None,
    warn: Callable[[str], None] | None = None,
) -> WrittenLayer:
    """Write all changes as one layer; see ``LayerWriter``."""
    with LayerWriter(sink, compression, level, clamp_mtime=clamp_mtime, threads=threads, warn=warn) as writer:
        for change in changes:
            writer.add(change)
    return writer.result
