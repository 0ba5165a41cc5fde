"""Make tar headers, names of any bytes.

They are POSIX ustar; a pax header goes before it only where ustar has no room: long or non-ASCII names, large sizes and
ids, times before 1970, extended attributes. There are no user names, and times are whole seconds.

Spec: POSIX.1-2017, "pax", "ustar Interchange Format"; image-spec/layer.md, "Change Types".
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from layers.errors import ChangesetError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from layers.changeset.entry import Entry, Kind

BLOCK = 512
END = bytes(2 * BLOCK)
"""What closes an archive."""
XATTR = b"SCHILY.xattr."

_PADDING = [bytes(-size % BLOCK) for size in range(BLOCK)]
_FLAGS: dict[Kind, bytes] = {
    "file": b"0",
    "hardlink": b"1",
    "symlink": b"2",
    "character": b"3",
    "block": b"4",
    "directory": b"5",
    "fifo": b"6",
}
_MAX_7 = 0o7777777
_MAX_11 = 0o77777777777
_MAGIC = b"ustar\x0000" + bytes(64)
_NO_DEVICE = b"0000000\x000000000\x00"
_PLAIN_TAIL = _MAGIC + _NO_DEVICE + bytes(167)
_TAIL = (_PLAIN_TAIL, sum(_PLAIN_TAIL))
"""What ends the header of all but devices and long names, and the sum of its bytes."""
_BLANK_CHECKSUM = 8 * ord(" ")


def padding(size: int) -> bytes:
    """Give the zeros that follow ``size`` bytes of content."""
    return _PADDING[size % BLOCK]


def header(entry: Entry) -> bytes:
    """Give everything that precedes an entry's content: its header, and a pax header where one is needed.

    Raises:
        ChangesetError: an extended attribute's name has a ``=``, which pax cannot hold.
    """
    path, kind, mode, uid, gid, size, mtime, linkname, major, minor, xattrs, _ = entry
    name = path + b"/" if kind == "directory" else path
    if (
        xattrs
        or len(name) > 100
        or len(linkname) > 100
        or not path
        or not (name.isascii() and linkname.isascii() and 0 <= mtime <= _MAX_11)
        or size > _MAX_11
        or uid > _MAX_7
        or gid > _MAX_7
        or major
        or minor
    ):
        return _unusual_header(entry, name if path else b"./")
    return _ustar(name, (mode, uid, gid), (size, mtime), (_FLAGS[kind], linkname))


@functools.lru_cache(1024)
def _ids(mode: int, uid: int, gid: int) -> tuple[bytes, int]:
    """Give three fields, the same for most files of a layer, and the sum of their bytes."""
    field = b"%07o\x00%07o\x00%07o\x00" % (mode, uid, gid)
    return field, sum(field)


def _ustar(
    name: bytes,
    owner: tuple[int, int, int],
    numbers: tuple[int, int],
    link: tuple[bytes, bytes],
    tail: tuple[bytes, int] = _TAIL,
) -> bytes:
    """Lay out a block: mode and ids, size and time, type flag and link name."""
    ids, ids_sum = _ids(*owner)
    extent = b"%011o\x00%011o\x00" % numbers
    flag, linkname = link
    # sum() over what is not constant: over the whole block it would be the dearest part of a small file
    checksum = sum(name) + ids_sum + sum(extent) + _BLANK_CHECKSUM + flag[0] + sum(linkname) + tail[1]
    return b"".join(
        (
            name.ljust(100, b"\x00"),
            ids,
            extent,
            b"%06o\x00 " % checksum,
            flag,
            linkname.ljust(100, b"\x00"),
            tail[0],
        )
    )


def _unusual_header(entry: Entry, name: bytes) -> bytes:
    records: dict[bytes, bytes] = {
        XATTR + key.encode("utf-8", "surrogateescape"): value for key, value in entry.xattrs.items()
    }
    mode, uid, gid, size, mtime, linkname = entry.mode, entry.uid, entry.gid, entry.size, entry.mtime, entry.linkname
    prefix, short = _split(name)
    if not short or not name.isascii():
        records[b"path"] = name
        prefix, short = b"", name[:100]
    if len(linkname) > 100 or not linkname.isascii():
        records[b"linkpath"] = linkname
        linkname = linkname[:100]
    if not 0 <= mtime <= _MAX_11:
        records[b"mtime"] = b"%d" % mtime
        mtime = 0
    if size > _MAX_11:
        records[b"size"] = b"%d" % size
        size = 0
    if uid > _MAX_7:
        records[b"uid"] = b"%d" % uid
        uid = 0
    if gid > _MAX_7:
        records[b"gid"] = b"%d" % gid
        gid = 0
    tail = _MAGIC + b"%07o\x00%07o\x00" % (entry.major, entry.minor) + prefix.ljust(167, b"\x00")
    block = _ustar(short, (mode, uid, gid), (size, mtime), (_FLAGS[entry.kind], linkname), (tail, sum(tail)))
    return _pax(records) + block if records else block


def _split(name: bytes) -> tuple[bytes, bytes]:
    """Divide a long name at a slash into ustar's prefix and name; no name where it does not fit."""
    if len(name) <= 100:
        return b"", name
    at = name.rfind(b"/", 0, min(156, len(name) - 1))
    if at < 1 or len(name) - at - 1 > 100:
        return b"", b""
    return name[:at], name[at + 1 :]


def _pax(records: Mapping[bytes, bytes]) -> bytes:
    body = b"".join(_record(key, records[key]) for key in sorted(records))
    block = _ustar(b"././@PaxHeader", (0o644, 0, 0), (len(body), 0), (b"x", b""))
    return block + body + padding(len(body))


def _record(key: bytes, value: bytes) -> bytes:
    if b"=" in key or b"\x00" in key:
        raise ChangesetError(f"an extended attribute's name cannot be kept in a tar: {key.removeprefix(XATTR)!r}")
    rest = b" %s=%s\n" % (key, value)
    length = len(rest)
    # the length counts its own digits
    while length != len(rest) + len(b"%d" % length):
        length = len(rest) + len(b"%d" % length)
    return b"%d%s" % (length, rest)
