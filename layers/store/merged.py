"""The files of an image as something to copy from: metadata out of its tree, content out of its layers.

Content is not unpacked: what a copy takes of one layer is read from the layer's tar in one go, into one scratch file.
"""

from __future__ import annotations

import functools
import os
import tempfile
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

from layers.changeset import tar
from layers.changeset.entry import Change, Entry
from layers.changeset.tree import Source
from layers.compression import open_reader
from layers.errors import NotFoundError
from layers.mediatype import layer_compression

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from layers.changeset.entry import Content
    from layers.image import Layer, Reader
    from layers.store.trees import Trees

_CHUNK = 1 << 20


@contextmanager
def reading(content: int | Content) -> Iterator[Reader]:
    """Read what a ``Change.open`` gave, and close it in the end."""
    if isinstance(content, int):
        with os.fdopen(content, "rb") as file:
            yield file
        return
    try:
        yield content
    finally:
        content.close()


class MergedFiles:
    """Files of a stack of layers; a tree to copy from."""

    def __init__(self, trees: Trees, layers: Sequence[Layer], scratch: Path) -> None:
        """Look at these layers, oldest first; contents that are asked for come into ``scratch``."""
        self._trees = trees
        self._layers = layers
        self._tree = trees.tree(layers)
        self._spool = _Spool(layers, scratch)

    def get(self, path: bytes) -> Entry | None:
        """Give what is at ``path``."""
        return self._tree.get(path)

    def children(self, path: bytes) -> list[bytes]:
        """Give the names in a directory, sorted."""
        return self._tree.children(path)

    def walk(self, path: bytes, skip: Callable[[bytes, bool], bool] | None = None) -> Iterator[Change]:
        """Give everything below a directory; names of one file after the first are hard links to it."""
        cut = len(path) + 1 if path else 0
        first: dict[Source, bytes] = {}
        found: list[tuple[Entry, Source | None]] = []
        skipped: bytes | None = None
        for entry in self._tree.walk(path):
            if skipped is not None and entry.path.startswith(skipped):
                continue
            relative = entry.path[cut:]
            if skip is not None and skip(relative, entry.kind == "directory"):
                skipped = entry.path + b"/"
                continue
            source = self._tree.source(entry.path)
            if source is not None and first.setdefault(source, relative) != relative:
                link = entry._replace(path=relative, kind="hardlink", size=0, linkname=first[source], digest=b"")
                found.append((link, None))
            else:
                found.append((entry._replace(path=relative), source))
        wanted = [source for _, source in found if source is not None]
        for entry, source in found:
            opened = functools.partial(self._spool.open, source, wanted) if source is not None else None
            yield Change(entry.path, entry, opened)

    def open(self, path: bytes) -> Content:
        """Open a regular file."""
        source = self._tree.source(path)
        if source is None:
            raise NotFoundError(f"no file in the image: /{path.decode('utf-8', 'replace')}")
        return self._spool.open(source, [source])

    def kept(self, path: bytes) -> bytes | None:
        """Give a file's content where the index of its layer has it; None where it has to be read."""
        source = self._tree.source(path)
        if source is None:
            return None
        return self._trees.contents(self._layers[source.layer]).get(source.path)


class _Part:
    """One file's content in a scratch file that holds many."""

    def __init__(self, path: str, start: int, size: int) -> None:
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._at, self._end = start, start + size

    def read(self, size: int = -1, /) -> bytes:
        left = self._end - self._at
        data = os.pread(self._descriptor, left if size < 0 else min(size, left), self._at)
        self._at += len(data)
        return data

    def close(self) -> None:
        os.close(self._descriptor)


class _Spool:
    """Contents of some files of some layers, one after the other in a scratch file."""

    def __init__(self, layers: Sequence[Layer], scratch: Path) -> None:
        self._layers = layers
        self._scratch = scratch
        self._path = ""
        self._size = 0
        self._places: dict[Source, tuple[int, int]] = {}

    def open(self, source: Source, wanted: Iterable[Source]) -> _Part:
        """Open the content of one file; all that is ``wanted`` is read along with it."""
        if source not in self._places:
            self._fill({each for each in wanted if each not in self._places} | {source})
        return _Part(self._path, *self._places[source])

    def _fill(self, wanted: set[Source]) -> None:
        if not self._path:
            handle, self._path = tempfile.mkstemp(prefix="spool-", dir=self._scratch)
            os.close(handle)
        with open(self._path, "ab") as spool:
            for number in sorted({source.layer for source in wanted}):
                self._copy(number, {source.path for source in wanted if source.layer == number}, spool)
        missing = [source for source in wanted if source not in self._places]
        if missing:
            raise NotFoundError(f"the layer has no content of /{missing[0].path.decode('utf-8', 'replace')}")

    def _copy(self, number: int, paths: set[bytes], spool: IO[bytes]) -> None:
        layer = self._layers[number]
        compression = layer_compression(layer.descriptor.media_type)
        with layer.open() as blob, open_reader(blob, compression) as content:
            for entry, member in tar.read(content):
                if entry.kind == "file" and entry.path in paths:
                    self._places[Source(number, entry.path)] = self._size, entry.size
                    while data := member.read(_CHUNK):
                        spool.write(data)
                        self._size += len(data)
