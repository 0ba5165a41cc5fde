"""Layers that mean harm, or are broken in ways that have hurt others: each a name and the tars that make it.

``{}`` in a link's target or a name stands for the directory outside of the root, which holds a canary.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

CANARY = b"canary: whoever reads or changes this has left the root"
_BLOCK = 512
_END = bytes(2 * _BLOCK)
_FILE, _HARD, _SYM, _CHAR, _BLOCKDEV, _DIR, _FIFO = b"0", b"1", b"2", b"3", b"4", b"5", b"6"


@dataclass(frozen=True)
class Hostile:
    """One attack: the tars of its layers, oldest first."""

    name: str
    layers: tuple[bytes, ...]

    def tars(self, outside: Path) -> list[bytes]:
        """Give the tars with the place of the canary in them."""
        place = os.fsencode(outside)
        return [_placed(tar, place) for tar in self.layers]


def _placed(tar: bytes, place: bytes) -> bytes:
    """Write a place over the marks that stand for it; its length is made up for by slashes, which mean nothing."""
    assert len(place) <= len(_OUTSIDE)
    found = bytearray(tar.replace(_OUTSIDE, b"/" * (len(_OUTSIDE) - len(place)) + place))
    for at in range(0, len(found) - _BLOCK + 1, _BLOCK):
        block = found[at : at + _BLOCK]
        if block[257:262] == b"ustar" and block[148:156] != _BROKEN:
            found[at + 148 : at + 156] = _checksum(bytes(block))
    return bytes(found)


_OUTSIDE = b"/" + b"@" * 79
_BROKEN = b"0000000\x00"


def _checksum(block: bytes) -> bytes:
    return b"%06o\x00 " % (sum(block[:148]) + 8 * 32 + sum(block[156:]))


def entry(
    name: bytes,
    kind: bytes = _FILE,
    content: bytes = b"",
    *,
    link: bytes = b"",
    mode: bytes = b"0000644\x00",
    owner: bytes = b"0000000\x00",
    size: bytes | None = None,
    mtime: bytes = b"00000000000\x00",
    device: tuple[bytes, bytes] = (b"0000000\x00", b"0000000\x00"),
    magic: bytes = b"ustar\x0000",
    prefix: bytes = b"",
    checksum: bytes | None = None,
) -> bytes:
    """Give an entry as it stands in a tar; each field of its header may be anything."""
    said = b"%011o\x00" % len(content) if size is None else size
    block = name.ljust(100, b"\0")[:100] + mode + owner * 2 + said + mtime + b" " * 8 + kind
    block += link.ljust(100, b"\0")[:100] + magic + bytes(64) + device[0] + device[1] + prefix.ljust(155, b"\0")
    block = block.ljust(_BLOCK, b"\0")
    block = block[:148] + (_checksum(block) if checksum is None else checksum) + block[156:]
    return block + content + bytes(-len(content) % _BLOCK)


def pax(records: Mapping[bytes, bytes] | bytes, kind: bytes = b"x") -> bytes:
    """Give a pax header of these records, or of these very bytes."""
    if isinstance(records, bytes):
        return entry(b"pax", kind, records)
    body = b""
    for key, value in records.items():
        rest = b" " + key + b"=" + value + b"\n"
        length = len(rest) + 1
        while length != len(b"%d" % length) + len(rest):
            length = len(b"%d" % length) + len(rest)
        body += b"%d" % length + rest
    return entry(b"pax", kind, body)


def _file(name: bytes, content: bytes = b"evil") -> bytes:
    return entry(name, _FILE, content)


def _dir(name: bytes) -> bytes:
    return entry(name, _DIR, mode=b"0000755\x00")


def _sym(name: bytes, target: bytes) -> bytes:
    return entry(name, _SYM, link=target)


def _hard(name: bytes, target: bytes) -> bytes:
    return entry(name, _HARD, link=target)


def _long(flag: bytes, value: bytes, size: bytes | None = None) -> bytes:
    return entry(b"././@LongLink", flag, value + b"\0", size=size)


def _x(name: bytes, value: bytes, path: bytes = b"file", kind: bytes = _FILE) -> bytes:
    return pax({b"SCHILY.xattr." + name: value}) + entry(path, kind, mode=b"0000755\x00")


_UP = b"../" * 12
_CAPABILITY = bytes.fromhex("0100000200200000000000000000000000000000")
_OUT = _OUTSIDE
_VICTIM = _OUTSIDE + b"/canary"

_NAMES: dict[str, bytes] = {
    "absolute name": _file(_OUT + b"/new"),
    "absolute name of the canary": _file(_VICTIM),
    "dots above the root": _file(_UP + b"new"),
    "dots in the middle": _dir(b"a") + _file(b"a/../../../../../../../../new"),
    "dots at the end": _dir(b"a/../.."),
    "dots in a pax path": pax({b"path": _UP + b"new"}) + _file(b"x"),
    "dots in a long name": _long(b"L", _UP + b"new") + _file(b"x"),
    "dots in the prefix": entry(b"new", _FILE, b"evil", prefix=_UP),
    "absolute pax path": pax({b"path": _VICTIM}) + _file(b"x"),
    "name of nothing": _file(b""),
    "name of a dot": _file(b"."),
    "name of slashes": _file(b"////"),
    "root as a link out": _sym(b".", _OUT),
    "root as a link out with a slash": _sym(b"./", _OUT) + _file(b"new"),
    "root of another mode": entry(b"./", _DIR, mode=b"0007777\x00", owner=b"0001750\x00"),
    "name with a backslash": _file(b"..\\..\\new"),
    "name with a line break": _file(b"a\n../new"),
    "name with an escape": _file(b"\x1b[2J\x1b]0;evil\x07"),
    "name that is no text": _file(b"\xff\xfe\x80"),
    "NUL in a pax path": pax({b"path": b"a\0../../new"}) + _file(b"x"),
    "NUL in a pax link": pax({b"linkpath": b"a\0b"}) + _sym(b"l", b"x"),
    "name of 255 bytes and one": _long(b"L", b"n" * 256) + _file(b"x"),
    "name of 5,000 bytes": _long(b"L", b"/".join([b"n" * 99] * 50)) + _file(b"x"),
    "name of 100 kB": _long(b"L", b"n" * 100_000) + _file(b"x"),
    "name of 10,000 components": pax({b"path": b"/".join([b"d"] * 10_000)}) + _file(b"x"),
    "name of 1,000 components": pax({b"path": b"/".join([b"d"] * 1_000)}) + _file(b"x"),
    "target of 100 kB": _long(b"K", b"n" * 100_000) + _sym(b"l", b"x"),
    "link to nothing at all": _sym(b"l", b""),
}

_LINKS: dict[str, bytes] = {
    "through a link out": _sym(b"l", _OUT) + _file(b"l/new"),
    "through a link out to the canary": _sym(b"l", _OUT) + _file(b"l/canary"),
    "through a relative link out": _sym(b"l", _UP) + _file(b"l/tmp/pybuild-hostile-new"),
    "through links through each other": _sym(b"a", b"b/c") + _dir(b"b") + _sym(b"b/c", _OUT) + _file(b"a/new"),
    "through a link and dots": _dir(b"d") + _sym(b"l", b"d/" + _UP) + _file(b"l/new"),
    "through a link of this directory": _sym(b"a", b".") + _sym(b"a/l", _OUT) + _file(b"a/l/new"),
    "through a link to the root": _sym(b"l", b"/") + _file(b"l/../new"),
    "through links in a circle": _sym(b"a", b"b") + _sym(b"b", b"a") + _file(b"a/new"),
    "through 50 links": b"".join(_sym(b"l%d" % i, b"l%d" % (i + 1)) for i in range(50)) + _file(b"l0/new"),
    "through /proc/self/root": _sym(b"l", b"/proc/self/root" + _OUT) + _file(b"l/new"),
    "through /proc/self/cwd": _sym(b"l", b"/proc/self/cwd") + _file(b"l/new"),
    "through a descriptor": _sym(b"l", b"/proc/self/fd/3") + _file(b"l/new"),
    "onto a link to the canary": _sym(b"l", _VICTIM) + _file(b"l"),
    "onto a link to a new file": _sym(b"l", _OUT + b"/new") + _file(b"l"),
    "a directory onto a link out": _sym(b"l", _OUT) + _dir(b"l") + _file(b"l/new"),
    "a directory of mode 0 onto a link out": _sym(b"l", _OUT) + entry(b"l/", _DIR, mode=b"0000000\x00"),
    "a fifo onto a link out": _sym(b"l", _OUT) + entry(b"l", _FIFO),
    "a directory's time through a link": _sym(b"l", _OUT) + entry(b"l/.", _DIR, mtime=b"00000000001\x00"),
    "hard link to the canary": _hard(b"h", _VICTIM) + _file(b"h"),
    "hard link above the root": _hard(b"h", _UP + b"etc/passwd"),
    "hard link through a link out": _sym(b"l", _OUT) + _hard(b"h", b"l/canary") + _file(b"h"),
    "hard link through /proc": _sym(b"l", b"/proc/self/root") + _hard(b"h", b"l" + _VICTIM),
    "hard link to a link out, and onto it": _sym(b"l", _VICTIM) + _hard(b"h", b"l") + _file(b"h"),
    "hard link to itself": _hard(b"h", b"h"),
    "hard link to a directory": _dir(b"d") + _hard(b"h", b"d"),
    "hard link to what comes later": _hard(b"h", b"later") + _file(b"later"),
    "hard link in a pax header": pax({b"linkpath": _VICTIM}) + _hard(b"h", b"x"),
    "hard link with content": entry(b"h", _HARD, link=b"x", size=b"00000001000\x00") + _file(b"a"),
    "hard link below a file": _file(b"f") + _hard(b"f/h", b"f"),
}

_TURNED: dict[str, tuple[bytes, ...]] = {
    "directory that becomes a link out": (_dir(b"d"), _sym(b"d", _OUT), _file(b"d/new")),
    "directory that becomes a link out in its layer": (
        _dir(b"d") + _file(b"d/a"),
        _sym(b"d", _OUT) + _file(b"d/canary"),
    ),
    "link out that becomes a directory": (_sym(b"d", _OUT), _dir(b"d") + _file(b"d/canary")),
    "hidden link out that comes again": (_sym(b"d", _OUT), _file(b".wh.d", b"") + _file(b"d/new")),
    "whiteout through a link out": (_sym(b"l", _OUT), _file(b"l/.wh.canary", b"")),
    "whiteout through a link of its own layer": (_sym(b"l", _OUT) + _file(b"l/.wh.canary", b""),),
    "opaque through a link out": (_sym(b"l", _OUT), _file(b"l/.wh..wh..opq", b"")),
    "opaque above the root": (_file(_UP + b".wh..wh..opq", b""),),
    "whiteout above the root": (_file(_UP + b".wh.canary", b""),),
    "whiteout with dots": (_file(b"a/../../.wh.etc", b""),),
    "whiteout of nothing": (_file(b".wh.", b""),),
    "whiteout of a dot": (_file(b".wh..", b""),),
    "whiteout of two dots": (_dir(b"d"), _file(b"d/.wh...", b"")),
    "whiteout as a directory": (_file(b"x"), _dir(b".wh.") + _file(b".wh./x")),
    "whiteout that is a directory": (_file(b"x"), _dir(b".wh.x") + _file(b".wh.x/y")),
    "whiteout that is a link out": (_file(b"x"), _sym(b".wh.x", _VICTIM)),
    "whiteout that is a hard link": (_file(b"x") + _file(b"y"), _hard(b".wh.x", b"y")),
    "whiteout with content": (_file(b"x"), _file(b".wh.x", b"content")),
    "whiteout of a whiteout": (_file(b"x"), _file(b".wh..wh.x", b"")),
    "whiteout of itself": (_file(b"x"), _file(b"x") + _file(b".wh.x", b"")),
    "opaque root": (_file(b"x"), _file(b".wh..wh..opq", b"") + _file(b"y")),
    "opaque that is a directory": (_dir(b"d") + _file(b"d/x"), _dir(b"d/.wh..wh..opq") + _file(b"d/.wh..wh..opq/y")),
    "opaque that is a link out": (_dir(b"d"), _sym(b"d/.wh..wh..opq", _OUT)),
    "opaque below a file": (_file(b"f"), _file(b"f/.wh..wh..opq", b"")),
    "records of AUFS": (_dir(b".wh..wh.plnk") + _file(b".wh..wh.plnk/1.2") + _hard(b"h", b".wh..wh.plnk/1.2"),),
    "record of AUFS that is a link out": (_sym(b".wh..wh.plnk", _OUT) + _file(b".wh..wh.plnk/new"),),
    "overlay's own whiteout": (_file(b"x"), entry(b"x", _CHAR)),
    "overlay's own whiteout and a file below": (_dir(b"d") + _file(b"d/x"), entry(b"d", _CHAR) + _file(b"d/y")),
    "file over a directory": (_dir(b"d") + _file(b"d/x"), _file(b"d")),
    "directory over a file": (_file(b"d"), _dir(b"d") + _file(b"d/x")),
    "file below a file": (_file(b"f"), _file(b"f/x")),
    "the same file twice": (_file(b"f", b"one") + _file(b"f", b"two"),),
    "the same directory twice": (_dir(b"d") + _file(b"d/x") + entry(b"d", _DIR, mode=b"0000000\x00") + _file(b"d/y"),),
    "a fifo that becomes a file": (entry(b"f", _FIFO) + _file(b"f"),),
    "a device that becomes a file": (entry(b"f", _CHAR, device=(b"0000001\x00", b"0000003\x00")) + _file(b"f"),),
    "layer's files named like ours": (_file(b".new-x") + _dir(b"blobs") + _file(b"oci-layout") + _file(b"index.json"),),
}

_BASE_256 = b"\x80" + bytes(11)
_NEGATIVE = b"\xff" * 12
_NUMBERS: dict[str, bytes] = {
    "negative size": entry(b"f", size=_NEGATIVE) + _file(b"g"),
    "size of a whole block of ones": entry(b"f", size=b"\x80" + b"\xff" * 11) + _file(b"g"),
    "size of eight exabytes": entry(b"f", size=b"\x80\0\0\0" + b"\x7f" + b"\xff" * 7) + _file(b"g"),
    "size in letters": entry(b"f", size=b"ABCDEFGHIJK\x00"),
    "size with a sign": entry(b"f", size=b"-0000000010\x00") + _file(b"g"),
    "size with a plus": entry(b"f", size=b"+0000000004\x00") + b"evil".ljust(512, b"\0"),
    "size with an underscore": entry(b"f", size=b"0000000_004\x00") + b"evil".ljust(512, b"\0"),
    "size in other digits": entry(b"f", size=b"\xd9\xa4" + b"\x00" * 10),
    "size of spaces": entry(b"f", size=b" " * 12) + _file(b"g"),
    "size of nothing in base 256": entry(b"f", size=_BASE_256) + _file(b"g"),
    "more than there is": entry(b"f", size=b"00000100000\x00") + b"x" * 100,
    "directory with a size": entry(b"d", _DIR, size=b"00000001000\x00") + _file(b"g"),
    "link with a size": entry(b"l", _SYM, link=b"x", size=b"00000001000\x00") + _file(b"g"),
    "mode in letters": entry(b"f", mode=b"rwxr-xr\x00"),
    "mode of more bits": entry(b"f", mode=b"7777777\x00"),
    "owner below zero": entry(b"f", owner=b"\xff" * 8),
    "owner beyond ids": entry(b"f", owner=b"\x80\0\0\x01\0\0\0\0"),
    "owner of all ones": entry(b"f", owner=b"\x80\0\0\0\xff\xff\xff\xff"),
    "time of the far future": entry(b"f", mtime=b"\x80\0\0\0" + b"\x7f" + b"\xff" * 7),
    "time of the far past": entry(b"f", mtime=b"\xff\x80" + bytes(10)),
    "time in letters": entry(b"f", mtime=b"yesterday..\x00"),
    "device beyond numbers": entry(b"f", _CHAR, device=(b"7777777\x00", b"7777777\x00")),
    "pax size in place of the header's": pax({b"size": b"4"})
    + entry(b"f", size=b"00000001000\x00")
    + b"evil"
    + bytes(508),
    "pax size with an underscore": pax({b"size": b"0_4"}) + _file(b"f"),
    "pax size with a plus": pax({b"size": b"+4"}) + _file(b"f"),
    "pax size with a space": pax({b"size": b" 4"}) + _file(b"f"),
    "pax size below zero": pax({b"size": b"-1"}) + _file(b"f"),
    "pax size of 400 digits": pax({b"size": b"9" * 400}) + _file(b"f"),
    "pax size of 5,000 digits": pax({b"size": b"9" * 5_000}) + _file(b"f"),
    "pax size in other digits": pax({b"size": "٤".encode()}) + _file(b"f"),
    "pax size of nothing": pax({b"size": b""}) + _file(b"f"),
    "pax size with a fraction": pax({b"size": b"4.9"}) + _file(b"f"),
    "pax size for a directory": pax({b"size": b"1000"}) + _dir(b"d") + _file(b"g"),
    "pax owner below zero": pax({b"uid": b"-5"}) + _file(b"f"),
    "pax time of 400 digits": pax({b"mtime": b"9" * 400}) + _file(b"f"),
    "pax time of no number": pax({b"mtime": b"nan"}) + _file(b"f"),
    "pax time of infinity": pax({b"mtime": b"-inf"}) + _file(b"f"),
}

_FORMS: dict[str, bytes] = {
    "no tar": b"this is no tar" * 100,
    "wrong checksum": entry(b"f", checksum=_BROKEN),
    "half a header": entry(b"f")[:256],
    "half of the content": _file(b"f", b"x" * 5_000)[:2_000],
    "no end": _file(b"f")[:1024],
    "one block of zeros, and more": _file(b"f") + bytes(512) + _file(b"g"),
    "garbage after the end": _file(b"f") + _END + b"\xff" * 5_000,
    "two archives": _file(b"f") + _END + _sym(b"l", _OUT) + _file(b"l/new"),
    "pax header for nothing": pax({b"path": b"x"}),
    "pax record without an end": pax(b"9999999 path=x\n") + _file(b"f"),
    "pax record of no length": pax(b"path=x\n") + _file(b"f"),
    "pax record of length zero": pax(b"0 path=x\n") + _file(b"f"),
    "pax record shorter than itself": pax(b"3 path=x\n") + _file(b"f"),
    "pax record below zero": pax(b"-9 path=x\n") + _file(b"f"),
    "pax record without a line's end": pax(b"9 path=xy") + _file(b"f"),
    "pax record without a value": pax(b"7 path\n") + _file(b"f"),
    "pax record of no key": pax(b"6 =x1\n") + _file(b"f"),
    "pax header for a pax header": pax({b"path": b"one"}) + pax({b"path": b"two"}) + _file(b"f"),
    "pax path twice": pax(b"9 path=a\n9 path=b\n") + _file(b"f"),
    "pax header of 16 MB": entry(b"pax", b"x", b"9" * (16 << 20)),
    "global pax path": pax({b"path": b"all"}, b"g") + _file(b"f") + _file(b"g"),
    "global pax size": pax({b"size": b"1000"}, b"g") + _file(b"f") + _file(b"g"),
    "global pax link": pax({b"linkpath": _VICTIM}, b"g") + _hard(b"h", b"x"),
    "long name without an end": entry(b"././@LongLink", b"L", size=b"77777777777\x00"),
    "long name of an exabyte": entry(b"././@LongLink", b"L", size=b"\x80\0\0\0\x0f" + bytes(7)),
    "long name for nothing": _long(b"L", b"x"),
    "long name of nothing": _long(b"L", b"") + _file(b"f"),
    "sparse file of GNU": entry(b"f", b"S", size=b"00000001000\x00") + bytes(512),
    "sparse file of pax 0.1": pax({b"GNU.sparse.map": b"0,1", b"GNU.sparse.size": b"9999999999"}) + _file(b"f"),
    "sparse file of pax 1.0": pax({b"GNU.sparse.major": b"1", b"GNU.sparse.name": _VICTIM}) + _file(b"f"),
    "entry of a type nobody knows": entry(b"f", b"Z"),
    "part of an archive": entry(b"f", b"M"),
    "dump of a directory": entry(b"d", b"D", b"Yf\0"),
    "label of a volume": entry(b"label", b"V") + _file(b"f"),
    "contiguous file": entry(b"f", b"7", b"evil"),
    "old tar": entry(b"f", b"\0", b"evil", magic=bytes(8)),
    "file whose name ends with a slash": _file(b"d/") + _file(b"d/x"),
    "negative file whose name ends with a slash": entry(b"d/", size=_NEGATIVE) + _file(b"g"),
    "huge file whose name ends with a slash": entry(b"d/", size=b"77777777777\x00") + _file(b"g"),
    "empty": b"",
}

_KINDS: dict[str, bytes] = {
    "device of memory": entry(b"mem", _CHAR, device=(b"0000001\x00", b"0000001\x00")),
    "device of a disk": entry(b"sda", _BLOCKDEV, device=(b"0000010\x00", b"0000000\x00")),
    "fifo": entry(b"fifo", _FIFO),
    "setuid and setgid": entry(b"su", _FILE, b"evil", mode=b"0006755\x00"),
    "directory with the sticky bit and setgid": entry(b"d", _DIR, mode=b"0003777\x00") + _file(b"d/x"),
    "directory of mode 0 with files": entry(b"d", _DIR, mode=b"0000000\x00") + _file(b"d/x"),
    "capabilities": _x(b"security.capability", _CAPABILITY),
    "capabilities that are none": _x(b"security.capability", b"\1"),
    "overlay opaque of users": _x(b"user.overlay.opaque", b"y", b"d/", _DIR),
    "overlay opaque of root": _x(b"trusted.overlay.opaque", b"y", b"d/", _DIR),
    "overlay redirect of users": _x(b"user.overlay.redirect", _OUT, b"d/", _DIR),
    "overlay redirect of root": _x(b"trusted.overlay.redirect", _OUT, b"d/", _DIR),
    "overlay metacopy": _x(b"trusted.overlay.metacopy", b"") + _x(b"trusted.overlay.redirect", _VICTIM),
    "overlay whiteout of users": _x(b"user.overlay.whiteout", b"y"),
    "overlay origin": _x(b"trusted.overlay.origin", bytes(30)),
    "access list": _x(b"system.posix_acl_access", bytes.fromhex("0200000001000700ffffffff")),
    "label of SELinux": _x(b"security.selinux", b"system_u:object_r:evil_t:s0\0"),
    "integrity": _x(b"security.ima", bytes(20)),
    "attribute of no class": _x(b"evil", b"x"),
    "attribute of no name": _x(b"", b"x"),
    "attribute with a NUL": _x(b"user.a\0b", b"x"),
    "attribute of a long name": _x(b"user." + b"n" * 300, b"x"),
    "attribute of 64 KiB": _x(b"user.big", bytes(65_536)),
    "attribute of 64 KiB and one": _x(b"user.big", bytes(65_537)),
    "attribute of a link": pax({b"SCHILY.xattr.user.a": b"x"}) + _sym(b"l", b"target"),
    "a thousand attributes": pax({b"SCHILY.xattr.user.a%d" % i: b"x" * 50 for i in range(1000)}) + _file(b"f"),
}


_PLACES: dict[str, bytes] = {
    f"{name} is a link out": _sym(name.encode(), target)
    for name, target in {
        "etc": _OUT,
        "proc": _OUT,
        "dev": _OUT,
        "sys": _OUT,
        "tmp": _OUT,
        "root": _OUT,
        "bin": _OUT,
        "etc/resolv.conf": _VICTIM,
        "etc/hosts": _VICTIM,
        "etc/hostname": _OUT + b"/new",
        "etc/passwd": _VICTIM,
        "etc/group": _OUT + b"/new",
        "proc/self": _OUT,
        "dev/null": _VICTIM,
        "dev/shm": _OUT,
        "dev/pts": _OUT,
        "sys/fs": _OUT,
        "run/secrets": _OUT,
    }.items()
}
"""Where what runs steps puts something, or looks something up."""


def _corpus() -> Iterator[Hostile]:
    for single in (_NAMES, _LINKS, _NUMBERS, _FORMS, _KINDS, _PLACES):
        for name, tar in single.items():
            yield Hostile(name, (tar + _END if tar and name not in {"no tar", "half a header", "no end"} else tar,))
    for name, tars in _TURNED.items():
        yield Hostile(name, tuple(tar + _END for tar in tars))


CORPUS = tuple(_corpus())


class Outside:
    """A directory outside of every root, and whether it is as it was."""

    def __init__(self, path: Path) -> None:
        path.mkdir(parents=True)
        (path / "canary").write_bytes(CANARY)
        os.utime(path / "canary", (1, 1))
        os.utime(path, (1, 1))
        self.path = path
        self._before = self._seen()

    def _seen(self) -> tuple[object, ...]:
        """Give all that changes where somebody was there: names, content, links, modes, owners, times."""
        seen: list[object] = [sorted(os.listdir(self.path)), (self.path / "canary").read_bytes()]
        for path in (self.path, self.path / "canary"):
            info = path.lstat()
            seen.append((info.st_mode, info.st_uid, info.st_gid, info.st_nlink, info.st_mtime_ns))
        return tuple(seen)

    def is_untouched(self) -> bool:
        """Tell whether nobody was there."""
        return self._before == self._seen()

    def is_inside(self, root: Path) -> bool:
        """Tell whether the canary's content, or the very file, is anywhere in a root."""
        canary, todo = (self.path / "canary").stat(), [os.fsencode(root)]
        while todo:
            for item in _listed(todo.pop()):
                if item.is_dir(follow_symlinks=False):
                    todo.append(item.path)
                elif item.is_file(follow_symlinks=False):
                    if os.path.samestat(item.stat(follow_symlinks=False), canary):
                        return True
                    with contextlib.suppress(PermissionError), open(item.path, "rb") as file:
                        if CANARY in file.read():
                            return True
        return False


def _listed(directory: bytes) -> list[os.DirEntry[bytes]]:
    """List a directory; one that lies too deep to be reached by its path holds nothing that could be reached."""
    with contextlib.suppress(OSError):
        os.chmod(directory, 0o700)  # a layer may lock out all but root
    try:
        with os.scandir(directory) as found:
            return list(found)
    except OSError:
        return []
