"""The tar file that an archive of images is: a few large members, whose times and owners mean nothing."""

from __future__ import annotations

import tarfile
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from layers.archive.contents import Blob


class TarWriter:
    """Write members to a stream, one after another; the same members give the same bytes."""

    def __init__(self, sink: IO[bytes]) -> None:
        self._sink = sink

    def directory(self, name: str) -> None:
        """Write a directory."""
        info = tarfile.TarInfo(name)
        info.type = tarfile.DIRTYPE
        info.mode = 0o755
        self._header(info)

    def file(self, name: str, content: bytes) -> None:
        """Write a file."""
        self._start(name, len(content))
        self._sink.write(content)
        self._pad(len(content))

    def blob(self, blob: Blob) -> None:
        """Write a blob, verified as it is read.

        Raises:
            NotFoundError: a layer's content is gone.
            VerificationError: it is not what was promised; the archive is spoilt then.
        """
        self._start(blob.path, blob.size)
        blob.copy(self._sink.write)
        self._pad(blob.size)

    def close(self) -> None:
        """Write what ends an archive; the stream stays open."""
        self._sink.write(bytes(2 * tarfile.BLOCKSIZE))

    def _start(self, name: str, size: int) -> None:
        info = tarfile.TarInfo(name)
        info.size = size
        self._header(info)

    def _header(self, info: tarfile.TarInfo) -> None:
        # the names are short and plain; a size beyond ustar's 8 GiB is what needs pax
        self._sink.write(info.tobuf(tarfile.PAX_FORMAT))

    def _pad(self, size: int) -> None:
        self._sink.write(bytes(-size % tarfile.BLOCKSIZE))
