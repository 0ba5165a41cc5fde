"""Byte strings that no layer is to hold, looked for in what is written, as it is written."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from layers.changeset.entry import Entry


class Place(NamedTuple):
    """Where the content of a file is in a block."""

    start: int
    end: int
    path: bytes


class Search:
    """Looks for the same byte strings in the names, links, attributes and contents of one layer's entries.

    Content is looked at in blocks, each once; of a file that goes on in the next block, as many of the last bytes are
    kept as a match across the border needs.
    """

    def __init__(self, wanted: Iterable[tuple[str, bytes]], found: Callable[[str, bytes], None]) -> None:
        """Look for strings, none of them empty.

        Args:
            wanted: what ``found`` is to be told, and the string; several strings may have one name.
            found: called with the name and the path, once for each string and file; what it raises ends the writing.
        """
        self._wanted = tuple(wanted)
        self._found = found
        self._overlap = max((len(string) for _, string in self._wanted), default=1) - 1
        self._tail = b""
        self._told: set[bytes] = set()

    def look_at_entries(self, entries: Sequence[Entry]) -> None:
        """Look at all that is not content."""
        texts = [(entry.path, entry.linkname, *_attributes(entry)) for entry in entries]
        together = b"\n".join([b"\n".join(each) for each in texts])
        for name, string in self._wanted:
            if string in together:
                for entry, each in zip(entries, texts, strict=True):
                    if any(string in text for text in each):
                        self._found(name, entry.path)

    def look_at_block(self, block: memoryview, places: Sequence[Place]) -> None:
        """Look at the contents of whole files, in a block that may hold anything else between them."""
        data = bytes(block)  # a copy takes a tenth of what finding takes, and nothing can be found in a memoryview
        starts = [place.start for place in places]
        for name, string in self._wanted:
            at = data.find(string)
            while at >= 0:
                number = bisect_right(starts, at) - 1
                if number >= 0 and at + len(string) <= places[number].end:
                    self._found(name, places[number].path)
                    at = places[number].end - 1
                at = data.find(string, at + 1)

    def look_at_piece(self, path: bytes, piece: memoryview, *, first: bool) -> None:
        """Look at the next bytes of a file that has blocks of its own; ``first`` are its first ones."""
        if first:
            self._tail = b""
            self._told.clear()
        data = self._tail + bytes(piece)
        for name, string in self._wanted:
            if string not in self._told and string in data:
                self._told.add(string)
                self._found(name, path)
        self._tail = data[-self._overlap :] if self._overlap else b""


def _attributes(entry: Entry) -> Iterable[bytes]:
    for key, value in entry.xattrs.items():
        yield key.encode("utf-8", "surrogateescape")
        yield value
