"""Read tar streams: ustar, pax and GNU tar's own form, names of any bytes.

Everything here comes from outside: names are brought into the form of ``Entry.path`` and cannot lead above the root,
and what has a length of its own (names, pax headers, the number of entries) has a limit.

Spec: POSIX.1-2017, "pax", "ustar Interchange Format"; GNU tar manual, "Basic Tar Format"; image-spec/layer.md.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from layers.changeset.entry import Entry, Kind, clean
from layers.errors import ChangesetError, LimitError
from layers.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Iterator

    from layers.image import Reader

BLOCK = 512

_CHUNK = 256 * 1024
_ZEROS = bytes(BLOCK)
_HEADER = struct.Struct("100s24s12s12s8xc100s6s66x8s8s155s12x")
_KINDS: dict[bytes, Kind] = {
    b"0": "file",
    b"\x00": "file",
    b"7": "file",
    b"1": "hardlink",
    b"2": "symlink",
    b"3": "character",
    b"4": "block",
    b"5": "directory",
    b"6": "fifo",
}
_XATTR = b"SCHILY.xattr."
_SPARSE = b"GNU.sparse."
_NO_SPARSE = "make it without --sparse; compression takes care of the holes"
_NO_XATTRS: dict[str, bytes] = {}
_XATTR_MAX = 64 * 1024
_ATTRIBUTE = 200
"""Bytes in memory of an attribute's place and a usual name."""
_GLOBALS = 1000
"""Each entry that follows is held against all of these."""
_NO_ID = 0xFFFFFFFF
_DIGITS = 20
_FAR = 1 << 60
"""More seconds, and more bytes, than any file system knows."""


class Bounds:
    """How much of a tar is kept in memory where a caller says nothing else: of this process, for all threads.

    An entry takes 300 bytes and its text. Two million of them are forty times a large system.
    """

    entries = 2_000_000
    text = 256 << 20
    """Bytes of all names, links' targets and attributes that do not fit into a header of 512 bytes."""


@frozen
class Limits:
    """What a tar from outside may ask for; None is as much as ``Bounds`` allow."""

    entries: int | None = None
    text: int | None = None
    name: int = 4096
    """Bytes of a path or a link's target: no kernel opens a longer one."""
    extension: int = 1024 * 1024
    """Bytes of a pax header or a GNU long name."""


DEFAULT_LIMITS = Limits()


class Member:
    """The content of the entry that was read last, from the stream and in order.

    Good until the next entry is asked for; what was not read is skipped then.
    """

    __slots__ = ("_buffer", "_left", "_pad", "_position", "_stream")

    def __init__(self, stream: Reader) -> None:
        self._stream = stream
        self._buffer = b""
        self._position = 0
        self._left = 0
        self._pad = 0

    def read(self, size: int = -1, /) -> bytes:
        """Give the next ``size`` bytes, or all that are left; fewer only at the end.

        Raises:
            ChangesetError: the archive ends before the content does.
        """
        left = self._left
        if size < 0 or size > left:
            size = left
        self._left = left - size
        return self.take(size)

    def close(self) -> None:
        """Nothing to do: the content is part of the archive's stream."""

    def begin(self, size: int) -> None:
        """Let ``read`` give the next ``size`` bytes; for the archive's reader, like all that follows."""
        self._left = size
        self._pad = -size % BLOCK

    def take(self, size: int) -> bytes:
        position = self._position
        end = position + size
        if end <= len(self._buffer):
            self._position = end
            return self._buffer[position:end]
        parts = [self._buffer[position:]]
        missing = size - len(parts[0])
        self._buffer, self._position = b"", 0
        while missing:
            data = self._stream.read(max(missing, _CHUNK) if missing < _CHUNK else missing)
            if not data:
                raise ChangesetError("the tar is cut short in the middle of an entry")
            if len(data) > missing:
                self._buffer, self._position = data, missing
                data = data[:missing]
            parts.append(data)
            missing -= len(data)
        return b"".join(parts)

    def block(self) -> bytes:
        """Give the next header block; nothing at the end of the stream."""
        self._skip(self._left + self._pad)
        self._left = self._pad = 0
        if self._position == len(self._buffer):
            self._buffer, self._position = self._stream.read(_CHUNK), 0
            if not self._buffer:
                return b""
        return self.take(BLOCK)

    def _skip(self, size: int) -> None:
        position = self._position + size
        if position <= len(self._buffer):
            self._position = position
            return
        while size:
            size -= len(self.take(min(size, _CHUNK)))

    def drain(self) -> None:
        """Read the stream to its end: what checks a digest or a checksum does it there."""
        while self._stream.read(_CHUNK):
            pass


def read(stream: Reader, limits: Limits = DEFAULT_LIMITS) -> Iterator[tuple[Entry, Member]]:
    """Give each entry and its content, in the archive's order; whiteouts are entries like others.

    A hard link's entry has no content. The stream is read to its end, past what closes the archive.

    Raises:
        ChangesetError: this is no tar, or it is cut short, or it holds what no file system layer can.
        LimitError: more entries, or longer names or headers than ``limits`` allow.
    """
    member = Member(stream)
    headers = Headers(member, limits)
    count, most = 0, Bounds.entries if limits.entries is None else limits.entries
    while (entry := headers.next()) is not None:
        count += 1
        if count > most:
            raise LimitError(f"the tar has more than {most} entries", hint="PYBUILD_MAX_ENTRIES allows more")
        yield entry, member
    member.drain()


def is_header(block: bytes) -> bool:
    """Tell whether these are 512 bytes that an entry of a tar may begin with."""
    if len(block) != BLOCK or block == _ZEROS:
        return False
    field = block[148:156]
    try:
        promised = _number(field)
    except ChangesetError:
        return False
    # most of a header is zeros: without them the sum takes a third of the time
    total = sum(block.translate(None, b"\x00")) - sum(field) + 8 * ord(" ")
    # some old tars summed signed characters
    return total == promised or total - 256 * sum(byte > 127 for byte in block[:148] + block[156:]) == promised


def _number(field: bytes) -> int:
    """Read an octal number, or GNU tar's base 256."""
    digits = field[:-1]
    if digits.isdigit():  # the usual form; int takes signs and underscores, by which other readers see another size
        try:
            return int(digits, 8)
        except ValueError:  # 8 or 9
            pass
    if field[0] & 0x80:
        value = int.from_bytes(field, "big")
        bits = 8 * len(field)
        return value - (1 << bits) if field[0] & 0x40 else value - (1 << (bits - 1))
    text = field.partition(b"\x00")[0].strip()
    if text.strip(b"01234567"):
        raise ChangesetError(f"the tar has a broken number: {field!r}")
    return int(text, 8) if text else 0


class Headers:
    """Read headers and what extends them: pax headers and GNU's long names."""

    def __init__(self, member: Member, limits: Limits) -> None:
        self._member = member
        self._limits = limits
        self._text_left = Bounds.text if limits.text is None else limits.text
        self._global: dict[bytes, bytes] = {}
        self._ids: dict[bytes, tuple[int, int, int]] = {}

    def next(self) -> Entry | None:
        """Give the next entry, and let the member give its content; None at the end."""
        records: dict[bytes, bytes] = {}
        while True:
            block = self._member.block()
            if not block or block == _ZEROS:
                if records:
                    raise ChangesetError("the tar is cut short after an extended header")
                return None
            if not is_header(block):
                raise ChangesetError("this is not a tar, or it is corrupt: a header's checksum is wrong")
            flag = block[156:157]
            if flag in _KINDS:
                return self._entry(block, self._global | records if self._global else records)
            if flag == b"V":
                continue
            records |= self._extension(block, flag)

    def _extension(self, block: bytes, flag: bytes) -> dict[bytes, bytes]:
        """Read what says more about the next entry, or about all that follow."""
        if flag not in b"xXgLK":
            what = "a sparse file" if flag == b"S" else f"an entry of type {flag!r}"
            hint = _NO_SPARSE if flag == b"S" else ""
            raise ChangesetError(f"the tar has {what}: {block[:100].rstrip(bytes(1))!r}", hint=hint)
        size = _number(block[124:136])
        if not 0 <= size <= self._limits.extension:
            raise LimitError(f"the tar has an extended header of {size} bytes")
        self._member.begin(size)
        body = self._member.read()
        if flag == b"L":
            return {b"path": body.partition(b"\x00")[0]}
        if flag == b"K":
            return {b"linkpath": body.partition(b"\x00")[0]}
        records = _records(body)
        if flag == b"g":
            self._global |= records
            if len(self._global) > _GLOBALS:
                raise LimitError(f"the tar has more than {_GLOBALS} global records")
            return {}
        return records

    def _entry(self, block: bytes, records: dict[bytes, bytes]) -> Entry:
        name, ids, size_field, mtime_field, flag, link, magic, major, minor, prefix = _HEADER.unpack(block)
        name = name.partition(b"\x00")[0]
        if prefix[0] and magic == b"ustar\x00":
            name = prefix.partition(b"\x00")[0] + b"/" + name
        link = link.partition(b"\x00")[0]
        kind = _KINDS[flag]
        size, mtime = _number(size_field), _number(mtime_field)
        mode, uid, gid = self._ids.get(ids) or self._read_ids(ids)
        xattrs = _NO_XATTRS
        if records:
            name, link = records.get(b"path", name), records.get(b"linkpath", link)
            size, mtime = _decimal(records, b"size", size), _decimal(records, b"mtime", mtime)
            uid, gid = _decimal(records, b"uid", uid), _decimal(records, b"gid", gid)
            xattrs = _xattrs(records, name)
            self._keep(len(name) + len(link) + sum(_ATTRIBUTE + len(value) for value in xattrs.values()))
        content = size if kind == "file" else 0
        if name[-1:] == b"/" and kind == "file":
            kind = "directory"
        if kind == "hardlink":
            link = clean(link)
        elif kind != "symlink":
            link = b""
        if kind != "file":
            size = 0
        device = (0, 0)
        if kind in {"character", "block"}:
            device = _number(major) & 0xFFF, _number(minor) & 0xFFFFF
        if records or not 0 <= mtime < _FAR or not 0 <= content < _FAR:
            self._check(name, link, content, (uid, gid))
            mtime = max(-_FAR, min(mtime, _FAR))
        self._member.begin(content)
        return Entry(clean(name), kind, mode, uid, gid, size, mtime, link, *device, xattrs)

    def _read_ids(self, field: bytes) -> tuple[int, int, int]:
        """Read mode, owner and group: together they are the same for most entries."""
        if len(self._ids) > 1000:
            self._ids.clear()
        ids = _number(field[:8]) & 0o7777, _number(field[8:16]), _number(field[16:])
        _check_owner(ids[1], ids[2])
        self._ids[field] = ids
        return ids

    def _keep(self, size: int) -> None:
        """Count what an entry takes in memory beyond what a plain header could say."""
        self._text_left -= size
        if self._text_left < 0:
            hint = "PYBUILD_MAX_NAMES allows more"
            raise LimitError("the tar has more bytes of long names and attributes than are kept in memory", hint=hint)

    def _check(self, name: bytes, link: bytes, size: int, owner: tuple[int, int]) -> None:
        """Refuse what no plain header can say."""
        longest = max(len(name), len(link))
        if longest > self._limits.name:
            raise LimitError(f"the tar has a name of {longest} bytes: {name[:100]!r}")
        if b"\x00" in name or b"\x00" in link:
            raise ChangesetError(f"the tar has a name with a NUL: {name!r}")
        if not 0 <= size < _FAR:
            raise ChangesetError(f"the tar has a file of {size} bytes: {name!r}")
        _check_owner(*owner)


def _check_owner(uid: int, gid: int) -> None:
    if not (0 <= uid < _NO_ID and 0 <= gid < _NO_ID):
        raise ChangesetError(f"the tar has an owner that no system can have: {uid}:{gid}")


def _records(body: bytes) -> dict[bytes, bytes]:
    """Read a pax header's ``length key=value`` lines."""
    records, at = {}, 0
    while at < len(body):
        digits = body[at : at + 8].partition(b" ")[0]
        end = at + int(digits) if digits.isdigit() else 0
        key, equals, value = body[at + len(digits) + 1 : end - 1].partition(b"=")
        if not (at < end <= len(body) and equals and key and body[end - 1] == ord("\n")):
            raise ChangesetError("the tar has a broken pax header")
        if key.startswith(_SPARSE):
            raise ChangesetError("the tar has a sparse file", hint=_NO_SPARSE)
        records[key] = value
        at = end
    return records


def _decimal(records: dict[bytes, bytes], key: bytes, default: int) -> int:
    """Read a number of a pax header; a fraction, which only a time has, is cut off towards the past."""
    text = records.get(key)
    if not text:
        return default
    whole, point, fraction = text.partition(b".")
    digits = whole[1:] if whole[:1] == b"-" else whole
    # int takes more than digits, and another reader may read that in another way
    if not digits.isdigit() or len(digits) > _DIGITS or (point and key != b"mtime"):
        raise ChangesetError(f"the tar has a broken number in a pax header: {key!r}: {text[:40]!r}")
    return int(whole) - (whole[:1] == b"-" and bool(fraction.strip(b"0")))


def _xattrs(records: dict[bytes, bytes], name: bytes) -> dict[str, bytes]:
    found = {}
    for key, value in records.items():
        if key.startswith(_XATTR):
            attribute = key[len(_XATTR) :].decode("utf-8", "surrogateescape")
            if not attribute or "\x00" in attribute or len(value) > _XATTR_MAX:
                raise ChangesetError(f"the tar has an extended attribute that cannot be: {attribute!r} of {name!r}")
            found[attribute] = value
    return found or _NO_XATTRS
