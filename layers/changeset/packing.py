"""The entries of a layer gathered into blocks, whose borders their names decide.

A block ends after a file, and which one is told by a hash of the path, more likely the larger the file: so a file that
is changed, added or removed makes one or two blocks other ones and leaves those behind it as they are. The content of a
large file has blocks of its own, whatever its name is. The key of a block is the digest of its headers, its files'
digests and what compresses it, so that it can be found without the content.
"""

from __future__ import annotations

import os
from binascii import crc32
from hashlib import sha256
from typing import TYPE_CHECKING, NoReturn

from layers.changeset.columns import Columns
from layers.changeset.entry import Lasting
from layers.changeset.header import END, padding
from layers.changeset.index import EMPTY, KEPT, KEPT_SIZE
from layers.changeset.search import Place
from layers.errors import ChangesetError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from layers.changeset.entry import Content, Entry
    from layers.changeset.known import KnownBlocks
    from layers.changeset.search import Search
    from layers.compression import BlockWriter, Compressed

    Open = Callable[[], int | Content]
    Told = Callable[[Sequence[Entry]], None]


class Packer:
    """Takes headers and contents in their order and writes them in blocks, known ones without reading their files."""

    def __init__(
        self, blocks: BlockWriter, known: KnownBlocks | None, search: Search | None = None, told: Told | None = None
    ) -> None:
        self.entries = Columns()
        """All of the blocks that have ended, with the digests of files."""
        self.contents: dict[bytes, bytes] = {}
        """By path: what an index keeps of small files."""
        self._blocks = blocks
        self._known = None if search else known  # what is copied is not read, and so not looked at
        self._search = search
        self._max = blocks.block_max
        self._min = self._spread = self._max // 4
        """No block but the last, and those before a large file, is shorter; in the mean they are twice as long."""
        self._large = self._max // 2
        """The content of a longer file is cut at every so many bytes; what is left at its end goes with the last."""
        self._salt = blocks.name.encode() + b"\x00"
        self._keys: list[bytes] = []
        self._told = told
        self._gathered: list[Entry] = []
        """The entries of this block."""
        self._heads: list[bytes] = []
        self._size = 0
        """Bytes of the block that is gathered, written to the room or not."""
        self._room: memoryview | None = None
        self._at = 0
        self._waiting: list[Open | None] | None = None
        """How to open each entry's content, as long as every file's digest is known and none had to be read."""
        self._begin()

    def _begin(self) -> None:
        self._heads = []
        self._gathered = []
        self._size = self._at = 0
        self._waiting = [] if self._known else None

    def add(self, head: bytes, entry: Entry, opened: Open | None) -> None:
        """Add an entry and the bytes that precede its content; ``opened`` is there where it has some.

        Raises:
            ChangesetError: the content is not as long as the entry says, or the header is longer than any reader takes.
        """
        size = entry.size
        if size > self._large and opened is not None:
            self._add_large(head, entry, opened)
            return
        room = len(head) + size + -size % 512
        if self._size + room > self._max:
            self._cut()
            if room > self._max:
                raise ChangesetError(f"/{_text(entry.path)} has more attributes than a layer can hold")
        self._heads.append(head)
        if self._waiting is not None and (not size or _may_wait(entry, opened)):
            self._waiting.append(opened)
        else:
            self._read_waiting(len(self._heads) - 1)
            self._put(head)
            if size and opened is not None:
                entry = self._read(entry, opened)
        self._gathered.append(entry if size or entry.kind != "file" else entry.with_digest(EMPTY))
        self._size += room
        # Twice as many bytes end a block twice as often, however many files they are.
        if self._size >= self._min and crc32(entry.path) * self._spread < room << 32:
            self._cut()

    def _put(self, data: bytes) -> None:
        if self._room is None:
            self._room = self._blocks.room()
        end = self._at + len(data)
        self._room[self._at : end] = data
        self._at = end

    def _read(self, entry: Entry, opened: Open) -> Entry:
        """Read a file into the room, and give its entry with the digest."""
        room, start, size = self._room, self._at, entry.size
        assert room is not None
        content = opened()
        try:
            # One byte more tells at once that the file has not grown.
            if _fill(content, room[start : start + size + 1], size) != size:
                _fail_changed(entry)
        finally:
            _close(content)
        self._at = start + size
        data = room[start : self._at]
        self._put(padding(size))
        if entry.path in KEPT and size <= KEPT_SIZE:
            self.contents[entry.path] = bytes(data)
        if entry.digest and not isinstance(opened, Lasting):
            return entry
        return entry.with_digest(sha256(data).digest())

    def _read_waiting(self, count: int) -> None:
        """Read the first entries of this block after all; those behind them are read as they come."""
        waiting, self._waiting = self._waiting, None
        if waiting is None:
            return
        for number in range(count):
            self._put(self._heads[number])
            opened, entry = waiting[number], self._gathered[number]
            if opened is not None and 0 < entry.size <= self._large:
                self._gathered[number] = self._read(entry, opened)

    def _cut(self, end: bytes = b"") -> None:
        """End the block, with ``end`` behind its last entry."""
        gathered = self._gathered
        self._end_block(end)
        self._keep(gathered)

    def _keep(self, entries: Sequence[Entry]) -> None:
        """Keep what is known of entries whose contents are all read, or need not be."""
        self.entries.extend(entries)
        if self._told is not None:
            self._told(entries)

    def _end_block(self, end: bytes) -> None:
        count = len(self._heads)
        if not count and not end:
            return
        key = self._key(end)
        packed = self._known.take(key) if self._known is not None and self._waiting is not None else None
        if packed is not None:
            self._blocks.put_packed(packed)
        else:
            if self._waiting is not None:
                self._read_waiting(count)
                key = self._key(end)
            self._put(end)
            room, self._room = self._room, None
            assert room is not None
            if self._search is not None:
                self._look(self._search, room)
            self._blocks.put(room, self._at)
        self._keys.append(key)
        self._begin()

    def _look(self, search: Search, room: memoryview) -> None:
        """Look at the entries of the block, and at those contents that are in the room."""
        entries = self._gathered
        search.look_at_entries(entries)
        places: list[Place] = []
        at = 0
        for head, entry in zip(self._heads, entries, strict=True):
            at += len(head)
            if 0 < entry.size <= self._large:
                places.append(Place(at, at + entry.size, entry.path))
                at += entry.size + -entry.size % 512
        search.look_at_block(room[: self._at], places)

    def _key(self, end: bytes) -> bytes:
        """Give the key of the block; the digest of a large file is in its own blocks' keys."""
        digests = [entry.digest for entry in self._gathered if entry.size <= self._large]
        return sha256(b"".join((self._salt, *self._heads, end, *digests))).digest()

    def _add_large(self, head: bytes, entry: Entry, opened: Open) -> None:
        """Add a file whose content has blocks of its own; its header ends the block before."""
        if self._size + len(head) > self._max:
            self._cut()
        if self._waiting is None:
            self._put(head)
        else:
            self._waiting.append(None)
        self._heads.append(head)
        self._gathered.append(entry)
        self._size += len(head)
        before = self._gathered
        self._end_block(b"")
        self._keep(before[:-1])
        done = self._take_large(entry) if _may_wait(entry, opened) else 0
        if done < entry.size:
            entry = self._read_large(entry, opened, done)
        self._keep([entry])

    def _take_large(self, entry: Entry) -> int:
        """Put what is known of a large file's content, and give how many bytes of it."""
        at = 0
        while self._known and at < entry.size:
            size = self._piece(entry.size, at)
            key = self._large_key(entry.digest, at, size)
            packed = self._known.take(key)
            if packed is None:
                break
            self._blocks.put_packed(packed)
            self._keys.append(key)
            at += size
        return at

    def _read_large(self, entry: Entry, opened: Open, done: int) -> Entry:
        """Read a large file and put all behind its first ``done`` bytes; give its entry with the digest."""
        hashed = None if entry.digest and not isinstance(opened, Lasting) else sha256()
        pieces: list[tuple[int, int]] = []
        at, content = 0, opened()
        try:
            while at < entry.size:
                size = self._piece(entry.size, at)
                room = self._blocks.room()
                if _fill(content, room[: size + (at + size == entry.size)], size) != size:
                    _fail_changed(entry)
                if hashed is not None:
                    hashed.update(room[:size])
                if self._search is not None:
                    self._search.look_at_piece(entry.path, room[:size], first=not at)
                if at >= done:
                    pad = padding(size) if at + size == entry.size else b""
                    room[size : size + len(pad)] = pad
                    pieces.append((at, size))
                    self._blocks.put(room, size + len(pad))
                at += size
        finally:
            _close(content)
        digest = hashed.digest() if hashed is not None else entry.digest
        if done and digest != entry.digest:  # its beginning is that of another content
            _fail_changed(entry)
        self._keys += [self._large_key(digest, start, size) for start, size in pieces]
        return entry.with_digest(digest)

    def _large_key(self, digest: bytes, at: int, size: int) -> bytes:
        return sha256(b"%s%s %d %d" % (self._salt, digest, at, size)).digest()

    def _piece(self, size: int, at: int) -> int:
        """Give the length of the block of a large file that begins at a byte of it."""
        return size - at if size - at < 2 * self._large else self._large

    def close(self) -> Compressed:
        """Write the end of the archive; the keys are with the blocks then."""
        if self._size + len(END) > self._max:
            self._cut()
        self._cut(END)
        done = self._blocks.close()
        blocks = [block._replace(key=key) for block, key in zip(done.blocks, self._keys, strict=True)]
        return done._replace(blocks=tuple(blocks))


def _may_wait(entry: Entry, opened: Open | None) -> bool:
    """Tell whether a file's content need not be read where its block is known."""
    return isinstance(opened, Lasting) and bool(entry.digest) and entry.path not in KEPT


def _fill(content: int | Content, room: memoryview, size: int) -> int:
    """Read until there are ``size`` bytes or the content ends; give how many there are, more where it is longer."""
    done = 0
    while done < size:
        if isinstance(content, int):
            count = os.readv(content, (room[done:] if done else room,))
        else:
            data = content.read(len(room) - done)
            count = len(data)
            room[done : done + count] = data
        if not count:
            break
        done += count
    return done


def _close(content: int | Content) -> None:
    if isinstance(content, int):
        os.close(content)
    else:
        content.close()


def _fail_changed(entry: Entry) -> NoReturn:
    raise ChangesetError(
        f"/{_text(entry.path)} changed while it was read: it no longer has {entry.size} bytes",
        hint="something else writes to it",
    )


def _text(path: bytes) -> str:
    return path.decode(errors="replace")
