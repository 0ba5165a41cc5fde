"""The members of a tar file, each read from where it lies: nothing is unpacked, and no path of the archive is written.

Everything here comes from outside: names lead nowhere but to other members, and there is a limit to their number.
"""

from __future__ import annotations

import os
import posixpath
from typing import IO, TYPE_CHECKING, NamedTuple, Self, cast

from layers.changeset import tar
from layers.digest import Digest, VerifyingReader
from layers.errors import InvalidError, LimitError, NotFoundError, VerificationError
from layers.jsonread import MAX_DOCUMENT

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType
    from typing import BinaryIO

_MAX_MEMBERS = 100_000
_MAX_LINKS = 8


class Place(NamedTuple):
    """Where a member's content lies."""

    offset: int
    size: int


class Section:
    """Read a part of a file, whatever others read of the same file at the same time."""

    def __init__(self, descriptor: int, place: Place) -> None:
        self._descriptor = descriptor
        self._at, self._left = place

    def read(self, size: int = -1, /) -> bytes:
        """Give the next ``size`` bytes, or all that are left; fewer only at the end."""
        data = os.pread(self._descriptor, self._left if size < 0 else min(size, self._left), self._at)
        self._at += len(data)
        self._left -= len(data)
        return data

    def close(self) -> None:
        """Nothing to do: the file stays open for the other members."""


class Members:
    """The files in an uncompressed tar; may be read from several threads until it is closed."""

    def __init__(self, path: Path, name: str) -> None:
        """Open the tar at ``path``, which messages call ``name``."""
        self.name = name
        self._file = path.open("rb")
        self._links: dict[str, str] = {}
        try:
            self._places = self._scan()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def __contains__(self, name: str) -> bool:
        return name in self._places

    def place(self, name: str) -> Place:
        """Give where a file lies; links among the members are followed.

        Raises:
            NotFoundError: there is no such file.
            InvalidError: links lead out of the archive, or in a circle.
        """
        at = posixpath.normpath(name)
        for _ in range(_MAX_LINKS):
            if at in self._places:
                return self._places[at]
            if at not in self._links:
                raise NotFoundError(f"{self.name} has no file {name[:300]!r}")
            at = self._links[at]
        raise InvalidError(f"{self.name} has links in a circle at {name[:300]!r}")

    def section(self, place: Place) -> Section:
        """Read what lies at a place."""
        return Section(self._file.fileno(), place)

    def document(self, name: str) -> bytes:
        """Give the content of a small file.

        Raises:
            NotFoundError: there is no such file.
            InvalidError: it is larger than any document may be.
        """
        place = self.place(name)
        if place.size > MAX_DOCUMENT:
            raise InvalidError(f"{name} in {self.name} has {place.size} bytes, more than the {MAX_DOCUMENT} allowed")
        return self.section(place).read()

    def open_at(self, place: Place, digest: Digest) -> VerifyingReader:
        """Read what lies at a place, verified as it is read."""
        source = cast("BinaryIO", self.section(place))
        return VerifyingReader(source, digest, place.size, what=f"blob in {self.name}")

    def open(self, digest: Digest, size: int | None = None) -> VerifyingReader:
        """Open a blob of the layout in this archive, as :meth:`layers.image.Content.open` does."""
        place = self.place(f"blobs/{digest.algorithm}/{digest.encoded}")
        if size is not None and size != place.size:
            what = f"blob {digest} in {self.name} has another size"
            raise VerificationError(what, expected=size, actual=place.size)
        return self.open_at(place, digest)

    def _scan(self) -> dict[str, Place]:
        end = os.fstat(self._file.fileno()).st_size
        places: dict[str, Place] = {}
        blocks = _Blocks(self._file)
        headers, count = tar.Headers(blocks, tar.DEFAULT_LIMITS), 0
        while (entry := headers.next()) is not None:
            count += 1
            name = os.fsdecode(entry.path)
            if name in places or name in self._links:
                raise InvalidError(f"{self.name} has two files {name[:300]!r}")
            if entry.kind == "file":
                places[name] = Place(blocks.content, entry.size)
                if blocks.content + entry.size > end:
                    raise InvalidError(f"{self.name} is cut short: {name[:300]!r} goes on beyond its end")
            elif entry.kind == "hardlink":
                self._links[name] = os.fsdecode(entry.linkname)
            elif entry.kind == "symlink":
                target = posixpath.join(posixpath.dirname(name), os.fsdecode(entry.linkname))
                self._links[name] = posixpath.normpath(target)
            if count > _MAX_MEMBERS:
                raise LimitError(f"{self.name} has more than {_MAX_MEMBERS} files")
        return places


class _Blocks(tar.Member):
    """Go from header to header, past what lies between."""

    __slots__ = ("_file", "_next", "content")

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(file)
        self._file = file
        self._next = 0
        self.content = 0
        """Where the content of the current entry begins."""

    def block(self) -> bytes:
        self._file.seek(self._next)
        self._next += tar.BLOCK
        return self._file.read(tar.BLOCK)

    def begin(self, size: int) -> None:
        self.content = self._next
        self._left = size
        self._next += size + -size % tar.BLOCK

    def read(self, size: int = -1, /) -> bytes:
        self._file.seek(self.content)
        return self._file.read(self._left if size < 0 else min(size, self._left))
