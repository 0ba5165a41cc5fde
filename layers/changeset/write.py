"""Changes to one reproducible layer, in one streaming pass.

Spec: image-spec/layer.md, "Representing Changes".
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Self

from layers.changeset.entry import Change, Entry, keeps_xattr
from layers.changeset.header import header
from layers.changeset.index import LayerIndex
from layers.changeset.packing import Packer
from layers.changeset.whiteout import marker_of
from layers.compression import BlockWriter, Seconds
from layers.errors import ChangesetError
from layers.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType

    from layers.changeset.known import KnownBlocks
    from layers.changeset.packing import Told
    from layers.changeset.search import Search
    from layers.digest import Digest
    from layers.image import Writer
    from layers.mediatype import Compression


@frozen
class WrittenLayer:
    """A layer as it was written, and what it holds."""

    diff_id: Digest
    digest: Digest
    size: int
    """Bytes in the sink."""
    uncompressed_size: int
    index: LayerIndex
    seconds: Seconds = field(default=Seconds(), compare=False)
    """What compressing and hashing took."""


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
        known: KnownBlocks | None = None,
        search: Search | None = None,
        told: Told | None = None,
        threads: int | None = None,
        warn: Callable[[str], None] | None = None,
    ) -> None:
        """Prepare to write.

        Args:
            sink: where the layer goes, as all that is not named here as ``BlockWriter`` has it.
            compression: of the layer.
            level: of the compression.
            clamp_mtime: the latest time that an entry may have.
            known: blocks that may be copied instead of being made; they change nothing in what is written.
            search: looks at all that is written; nothing is copied from ``known`` blocks then.
            told: given all entries in their order, a few at a time, when the digests of their contents are known.
            threads: that compress.
            warn: told of what is not as it should be.
        """
        self._blocks = BlockWriter(sink, compression, level, threads=threads, warn=warn)
        self._packer = Packer(self._blocks, known, search, told)
        self._clamp = clamp_mtime
        self._result: WrittenLayer | None = None

    def add(self, change: Change) -> None:
        """Write a change; a whiteout where there is no entry. Attributes that say something of a host are left out.

        A file is read once, for the size that its entry has. Its digest is found out unless the entry has it. It is not
        read where its digest is known, it can be opened at any time, and so with all others in a block that is known.

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
        if entry.size and opened is None:
            raise ChangesetError(f"there is nothing to read {path!r} from")
        self._packer.add(header(entry), entry, opened)

    def close(self) -> WrittenLayer:
        """End the archive; the sink is complete when this returns. Closing again gives the same result."""
        if self._result is None:
            try:
                done = self._packer.close()
            except BaseException:
                self._blocks.abort()
                raise
            index = LayerIndex(self._packer.entries, self._packer.contents, done.blocks)
            seconds = self._blocks.seconds
            self._result = WrittenLayer(done.diff_id, done.digest, done.size, done.uncompressed_size, index, seconds)
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


def write_layer(
    changes: Iterable[Change],
    sink: Writer,
    compression: Compression,
    level: int | None = None,
    *,
    clamp_mtime: int | None = None,
    known: KnownBlocks | None = None,
    search: Search | None = None,
    told: Told | None = None,
    threads: int | None = None,
    warn: Callable[[str], None] | None = None,
) -> WrittenLayer:
    """Write all changes as one layer; see ``LayerWriter``."""
    with LayerWriter(
        sink,
        compression,
        level,
        clamp_mtime=clamp_mtime,
        known=known,
        search=search,
        told=told,
        threads=threads,
        warn=warn,
    ) as writer:
        for change in changes:
            writer.add(change)
    return writer.result
