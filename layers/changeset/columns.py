"""Entries packed into columns: a tenth of the memory that they take as objects, and what is written of an index."""

from __future__ import annotations

import functools
import sys
from array import array
from collections.abc import Sequence
from itertools import repeat
from typing import TYPE_CHECKING, overload

from layers.changeset.entry import Entry

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    Shape = tuple[str, int, int, int]
    """What many entries have alike: kind, mode, user and group."""

_DIGEST_SIZE = 32
_NO_DIGEST = bytes(_DIGEST_SIZE)
_NO_XATTRS: dict[str, bytes] = {}
_LINKS = frozenset({"symlink", "hardlink"})


class Columns(Sequence[Entry]):
    """Entries in their order; each is made anew when it is asked for, so go through them once, and from the start."""

    __slots__ = (
        "_count",
        "_digests",
        "_links",
        "_mtimes",
        "_paths",
        "_shapes",
        "_sizes",
        "devices",
        "shapes",
        "xattrs",
    )

    def __init__(self) -> None:
        self._count = 0
        self._paths = bytearray()
        self._links = bytearray()
        self._shapes = array("I")
        self._mtimes = array("q")
        self._sizes = array("q")
        self._digests = bytearray()
        self.shapes: dict[Shape, int] = {}
        """Their numbers, from 0 in their order."""
        self.devices: list[tuple[int, int, int]] = []
        """Number of the entry, major and minor."""
        self.xattrs: list[tuple[int, Mapping[str, bytes]]] = []
        """Number of the entry, and its extended attributes where it has some."""

    def extend(self, entries: Iterable[Entry]) -> None:
        """Add entries at the end; many at once cost less than each by itself."""
        for number, entry in enumerate(found := list(entries), self._count):
            if entry.major or entry.minor:
                self.devices.append((number, entry.major, entry.minor))
            if entry.xattrs:
                self.xattrs.append((number, entry.xattrs))
        files = [entry for entry in found if entry.kind == "file"]
        shapes = self.shapes
        self._paths += b"".join([entry.path + b"\x00" for entry in found])
        self._links += b"".join([entry.linkname + b"\x00" for entry in found if entry.kind in _LINKS])
        self._shapes.extend([shapes.setdefault(entry[1:5], len(shapes)) for entry in found])
        self._mtimes.extend([entry.mtime for entry in found])
        self._sizes.extend([entry.size for entry in files])
        self._digests += b"".join([entry.digest or _NO_DIGEST for entry in files])
        self._count += len(found)

    def dump(self) -> list[bytes]:
        """Give the columns as they are written down."""
        return [bytes(part) for part in self.parts()]

    def parts(self) -> list[memoryview]:
        """Give what :meth:`dump` gives without a copy: nothing can be added while these are held."""
        numbers = [_pack(each) for each in (self._shapes, self._mtimes, self._sizes)]
        return [memoryview(self._paths)[:-1], memoryview(self._links)[:-1], *numbers, memoryview(self._digests)]

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._listed())

    @overload
    def __getitem__(self, at: int) -> Entry: ...
    @overload
    def __getitem__(self, at: slice) -> list[Entry]: ...
    def __getitem__(self, at: int | slice) -> Entry | list[Entry]:
        return self._listed()[at]

    def _listed(self) -> list[Entry]:
        entries = rows(self.dump(), list(self.shapes))
        for number, major, minor in self.devices:
            entries[number] = entries[number]._replace(major=major, minor=minor)
        for number, xattrs in self.xattrs:
            entries[number] = entries[number]._replace(xattrs=xattrs)
        return entries

    def __eq__(self, other: object) -> bool:
        return self._listed() == list(other) if isinstance(other, (Columns, list)) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # as for a list: equal by content


def rows(columns: Sequence[bytes], shapes: Sequence[Shape]) -> list[Entry]:
    """Give the entries that stand in columns as ``dump`` gives them, but for devices' numbers and attributes.

    Raises:
        ValueError, IndexError, StopIteration: the columns do not belong together.
    """
    paths, links, numbers, mtimes, sizes, digests = columns
    own = [shapes[number] for number in _unpack("I", numbers)]
    link = iter(links.split(b"\x00"))
    size = iter(_unpack("q", sizes))
    known = [digests[at : at + _DIGEST_SIZE] for at in range(0, len(digests), _DIGEST_SIZE)]
    digest = iter(b"" if each == _NO_DIGEST else each for each in known)
    kinds = [shape[0] for shape in own]
    found = zip(
        paths.split(b"\x00") if own else [],
        kinds,
        [shape[1] for shape in own],
        [shape[2] for shape in own],
        [shape[3] for shape in own],
        [next(size) if kind == "file" else 0 for kind in kinds],
        _unpack("q", mtimes),
        [next(link) if kind in _LINKS else b"" for kind in kinds],
        repeat(0, len(own)),
        repeat(0, len(own)),
        repeat(_NO_XATTRS, len(own)),
        [next(digest) if kind == "file" else b"" for kind in kinds],
        strict=True,
    )
    # tuple.__new__ on whole rows: Entry(...) would take three times as long
    return list(map(functools.partial(tuple.__new__, Entry), found))


def _pack(numbers: array[int]) -> memoryview:
    if sys.byteorder == "big":
        numbers = array(numbers.typecode, numbers)
        numbers.byteswap()
    return memoryview(numbers).cast("B")


def _unpack(code: str, data: bytes) -> list[int]:
    packed = array(code)
    packed.frombytes(data)
    if sys.byteorder == "big":
        packed.byteswap()
    return packed.tolist()
