"""What a selection of files is known by in cache keys.

The digest of its content is what counts, and never has a time in it. To get it again without reading a file, a memo
remembers which content was found behind which ``lstat``, as git's index does: first for each whole selection, then for
each file. What was written so shortly before that a later change could leave the same time is not remembered.
"""

from __future__ import annotations

import hashlib
import os
import struct
import time
from collections import deque
from dataclasses import field, fields
from typing import TYPE_CHECKING, NamedTuple

from builder.context.localfile import LocalFile
from builder.context.select import Selected
from builder.errors import ContextError
from layers.changeset.entry import Change
from layers.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from hashlib import _Hash

    from builder.context.memo import Memo
    from layers.changeset.entry import Content, Entry

_COUNTER_TICK = 50_000_000
"""Nanoseconds in which two changes may bear one time: kernels count these in ticks of up to 10 ms."""
_COARSE_TICK = 2_000_000_000
"""The same for file systems that keep whole seconds."""
_READ = 1 << 20
_BATCH = 1 << 16
_SOURCE = b"\0source"

_LENGTHS = struct.Struct("<III")
_IS_LOCAL = 0xFFFF_FFFF
"""How the record of a file of this machine begins: others begin with the length of a path."""
_LOCAL = struct.Struct("<IIIQQqqq")
_ENTRY = struct.Struct("<IQQQII")


class Statted(NamedTuple):
    """A selection as ``lstat`` sees it."""

    digest: bytes
    """sha256, raw."""
    settled: bool
    """Whether any later change is bound to give another digest: no file changed just now."""


class Fingerprint(NamedTuple):
    """What a selection is known by."""

    content: bytes
    """Its content digest."""
    seen: bytes
    """The stat digest that it had before it was read: with another one later, something has changed since."""


def fingerprint(selection: Iterable[Selected], memo: Memo) -> Fingerprint:
    """Give the digests of a selection, reading as few files as the memo allows.

    Raises:
        ContextError: a file cannot be read, or changed while it was.
    """
    chosen = list(selection)
    seen = stat_digest(chosen).digest
    known = memo.selection(seen)
    return Fingerprint(known if known is not None else content_digest(chosen, memo), seen)


def stat_digest(selection: Iterable[Selected]) -> Statted:
    """Give what ``lstat`` tells of a selection: names, kinds, modes, and of files inode, size and times.

    The times of directories are left out: they change with files that are not selected.
    """
    stats = _Stats()
    for selected in selection:
        stats.begin()
        for found in selected.stats():
            if isinstance(found, Change):
                stats.add(found)
            else:
                stats.add_file(*found)
    return stats.result()


def content_digest(selection: Iterable[Selected], memo: Memo) -> bytes:
    """Give the sha256 of all that a copy of the selection consists of, but for the times.

    Names are those in the destination, so that a renamed parent directory of the sources makes no difference. The memo
    learns the files, and the selection by the stat digest that this very walk saw.

    Raises:
        ContextError: a file cannot be read, or changed while it was.
    """
    total = hashlib.sha256()
    stats = _Stats()
    for selected in selection:
        total.update(_SOURCE)
        stats.begin()
        for change in selected.walk():
            entry = change.entry
            assert entry is not None
            _add(total, stats, change, entry)
            if change.open is not None:
                total.update(entry.digest or _file_digest(change.open, entry, memo, stats.started))
    return _remembered(total, stats, memo)


class _Taken:
    """The content digest of one walk in the making."""

    def __init__(self) -> None:
        self.before = 0
        """Entries still to come that are not of the walk."""
        self.begin(0)

    def begin(self, started: int) -> None:
        """Begin anew."""
        self.waiting: deque[Change] = deque()
        """What the walk has given, and was not written yet."""
        self.count = 0
        self.matches = True
        self.total = hashlib.sha256(_SOURCE)
        self.stats = _Stats(started)
        self.stats.begin()

    def take(self, entries: Sequence[Entry], memo: Memo, started: int) -> None:
        """Take the next entries."""
        skipped = min(self.before, len(entries))
        self.before -= skipped
        total, stats, waiting = self.total, self.stats, self.waiting
        for found in entries[skipped:]:
            change = waiting.popleft() if waiting else None
            entry = change.entry if change is not None else None
            if change is None or entry is None or entry.kind != found.kind or entry.size != found.size:
                self.matches = False
                return
            self.count += 1
            _add(total, stats, change, entry)
            if change.open is not None:
                total.update(found.digest)
                if isinstance(change.open, LocalFile) and _is_settled(change.open.info.st_ctime_ns, started):
                    memo.remember_file(change.open.info, found.digest)


@frozen
class Noted(Selected):
    """A source whose digest is found out by what is read of it meanwhile; nothing is held that was taken."""

    started: int = field(default_factory=time.time_ns)
    _taken: _Taken = field(default_factory=_Taken, repr=False, compare=False)

    @classmethod
    def of(cls, selected: Selected) -> Noted:
        """Give the same source."""
        return cls(*(getattr(selected, each.name) for each in fields(Selected)))

    def walk(self) -> Iterator[Change]:
        """Give what to copy; only the last walk is noted."""
        taken = self._taken
        taken.begin(self.started)
        for change in Selected.walk(self):
            taken.waiting.append(change)
            yield change

    def placed(self, changes: Iterable[Change]) -> Iterator[Change]:
        """Pass on what becomes of the walk, and count what comes before it."""
        taken = self._taken
        for change in changes:
            taken.before += not taken.waiting and not taken.count
            yield change

    def take(self, entries: Sequence[Entry], memo: Memo) -> None:
        """Take the next entries that were written, with the digests of what was read; the memo learns the files."""
        self._taken.take(entries, memo, self.started)

    def content_digest(self, memo: Memo) -> bytes | None:
        """Give the content digest of the last walk, and let the memo learn the selection.

        None where what was taken is not what the walk gave.
        """
        taken = self._taken
        if not taken.matches or taken.waiting:
            return None
        return _remembered(taken.total, taken.stats, memo)


class Learning:
    """What a memo learns of files that are read for a layer in any order: their digests behind their ``lstat``."""

    def __init__(self) -> None:
        self._started = time.time_ns()
        self._infos: dict[bytes, os.stat_result] = {}

    def watch(self, changes: Iterable[Change]) -> Iterator[Change]:
        """Pass changes on, and note which files they are."""
        for change in changes:
            if isinstance(change.open, LocalFile):
                self._infos[change.path] = change.open.info
            yield change

    def take(self, entries: Iterable[Entry], memo: Memo) -> None:
        """Take entries that were written, with the digests of what was read."""
        for entry in entries:
            info = self._infos.pop(entry.path, None)
            if info is not None and entry.digest and _is_settled(info.st_ctime_ns, self._started):
                memo.remember_file(info, entry.digest)


def _add(total: _Hash, stats: _Stats, change: Change, entry: Entry) -> None:
    stats.add(change)
    total.update(_head(change.path, entry))
    if entry.xattrs:
        total.update(_xattrs(entry))


def _remembered(total: _Hash, stats: _Stats, memo: Memo) -> bytes:
    digest, statted = total.digest(), stats.result()
    if statted.settled:
        memo.remember_selection(statted.digest, digest)
    return digest


class _Stats:
    """A stat digest in the making."""

    def __init__(self, started: int | None = None) -> None:
        self.started = time.time_ns() if started is None else started
        self._total = hashlib.sha256()
        self._records = bytearray()
        self._settled = True

    def begin(self) -> None:
        """Note that another source begins."""
        self._total.update(self._records)
        self._records = bytearray(_SOURCE)

    def add_file(self, path: bytes, info: os.stat_result) -> None:
        """Take a file of this machine."""
        changed = info.st_ctime_ns
        times = info.st_mtime_ns, changed
        self._records += _LOCAL.pack(_IS_LOCAL, len(path), info.st_mode, info.st_dev, info.st_ino, info.st_size, *times)
        self._records += path
        if changed > self.started - _COARSE_TICK and self._settled:
            self._settled = _is_settled(changed, self.started)
        if len(self._records) > _BATCH:
            self._total.update(self._records)
            self._records.clear()

    def add(self, change: Change) -> None:
        """Take what a walk gave."""
        entry, found = change.entry, change.open
        assert entry is not None
        if isinstance(found, LocalFile):
            self.add_file(change.path, found.info)
            return
        self._records += _head(change.path, entry)
        if found is not None:
            self._records += entry.digest
            self._settled = self._settled and bool(entry.digest)

    def result(self) -> Statted:
        self._total.update(self._records)
        self._records.clear()
        return Statted(self._total.digest(), self._settled)


def _is_settled(ctime: int, now: int) -> bool:
    """Tell whether a change from ``now`` on is bound to show in the times; not in mtime, which tools set freely."""
    return ctime + (_COARSE_TICK if ctime % 1_000_000_000 == 0 else _COUNTER_TICK) < now


def _head(path: bytes, entry: Entry) -> bytes:
    """Give an entry but for its times and content, unmistakably."""
    kind = entry.kind.encode()
    numbers = _ENTRY.pack(entry.mode, entry.uid, entry.gid, entry.size, entry.major, entry.minor)
    return _LENGTHS.pack(len(path), len(kind), len(entry.linkname)) + path + kind + entry.linkname + numbers


def _xattrs(entry: Entry) -> bytes:
    parts: list[bytes] = []
    for key, value in sorted(entry.xattrs.items()):
        name = key.encode("utf-8", "surrogateescape")
        parts += (b"x%d %d\0" % (len(name), len(value)), name, value)
    return b"".join(parts)


def _file_digest(found: Callable[[], int | Content], entry: Entry, memo: Memo, now: int) -> bytes:
    if not isinstance(found, LocalFile):
        return _hash(found(), entry)
    known = memo.file(found.info)
    if known is None:
        known = _hash(found(), entry)
        if _is_settled(found.info.st_ctime_ns, now):
            memo.remember_file(found.info, known)
    return known


def _hash(content: int | Content, entry: Entry) -> bytes:
    """Read ``entry.size`` bytes, close the content and give their sha256."""
    sha = hashlib.sha256()
    left = entry.size
    name = entry.path.decode("utf-8", "replace")
    source = os.fdopen(content, "rb", buffering=0) if isinstance(content, int) else content
    try:
        while left and (data := source.read(min(left, _READ))):
            sha.update(data)
            left -= len(data)
    except OSError as error:
        raise ContextError(f'cannot read "{name}": {error.strerror}') from error
    finally:
        source.close()
    if left:
        raise ContextError(f'"{name}" became shorter while it was read')
    return sha.digest()
