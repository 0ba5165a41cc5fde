"""Files described as data, made on disk or as a tar: git keeps no modes, owners, times, hard links or devices.

A description is a list of JSON objects, each with a ``path`` and at most one of

- ``content`` (text; ``repeat`` is how often), ``base64``, or ``archive`` (a list of such objects; ``compression`` is
  gz, bz2, xz or zst, ``cut`` leaves only so many bytes, ``prefix`` is text before the tar): a file; without any of
  them, an empty one
- ``symlink``, ``hardlink``: the target
- ``fifo``: true; ``device``: ``[major, minor]`` of a character device

A path that ends in a slash is a directory; missing parents of files are made. ``mode`` (octal text), ``mtime``
(seconds), ``uid``, ``gid`` and ``xattrs`` are optional. Bytes that are no UTF-8 are written as ``\\udcXX``.
"""

from __future__ import annotations

import base64
import bz2
import gzip
import io
import lzma
import os
import stat
import tarfile
from typing import TYPE_CHECKING, Any

import zstandard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

MTIME = 1_000_000_000
"""Seconds: the time of everything that is given none."""
_COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    "gz": lambda data: gzip.compress(data, mtime=0),
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": zstandard.compress,
}


def make(root: Path, described: Iterable[Mapping[str, Any]]) -> None:
    """Make files below a directory that is there; every directory has a time, the root too."""
    top = os.fsencode(root)
    pieces = list(described)
    for piece in pieces:
        path = os.path.join(top, _bytes(piece["path"]).rstrip(b"/"))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        _make(top, path, piece)
    times = {os.path.join(top, _bytes(piece["path"]).rstrip(b"/")): piece.get("mtime", MTIME) for piece in pieces}
    for directory, folders, files in os.walk(top, topdown=False):
        for path in [os.path.join(directory, name) for name in [*folders, *files]]:
            mtime = times.get(path, MTIME)
            os.utime(path, (mtime, mtime), follow_symlinks=False)
    os.utime(top, (MTIME, MTIME))


def _make(top: bytes, path: bytes, piece: Mapping[str, Any]) -> None:
    if "hardlink" in piece:
        os.link(os.path.join(top, _bytes(piece["hardlink"])), path, follow_symlinks=False)
        return
    if "symlink" in piece:
        os.symlink(_bytes(piece["symlink"]), path)
    elif "fifo" in piece:
        os.mkfifo(path)
    elif "device" in piece:
        os.mknod(path, stat.S_IFCHR, os.makedev(*piece["device"]))
    elif piece["path"].endswith("/"):
        os.makedirs(path, exist_ok=True)
    else:
        with open(path, "wb") as file:
            file.write(content_of(piece))
    if "uid" in piece or "gid" in piece:
        os.chown(path, piece.get("uid", 0), piece.get("gid", 0), follow_symlinks=False)
    if "symlink" not in piece:
        os.chmod(path, mode_of(piece))
    for name, value in piece.get("xattrs", {}).items():
        os.setxattr(path, name, _bytes(value), follow_symlinks=False)


def mode_of(piece: Mapping[str, Any]) -> int:
    """Give the permissions of what is described."""
    return int(piece.get("mode", "755" if piece["path"].endswith("/") else "644"), 8)


def content_of(piece: Mapping[str, Any]) -> bytes:
    """Give what a described file holds."""
    if "base64" in piece:
        return base64.b64decode(piece["base64"])
    if "archive" not in piece:
        return _bytes(piece.get("content", "")) * int(piece.get("repeat", 1))
    data = _bytes(piece.get("prefix", "")) + tar_of(piece["archive"])
    return _COMPRESSIONS[piece.get("compression", "")](data)[: piece.get("cut")]


def tar_of(described: Iterable[Mapping[str, Any]]) -> bytes:
    """Give a tar of these files, in this order; parents are not made up, and names stay as they are."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT, errors="surrogateescape") as tar:
        known: dict[str, Mapping[str, Any]] = {}
        for piece in described:
            info = tarfile.TarInfo(piece["path"])
            # whoever writes a hard link gives it what its file has
            about = known[piece["path"]] = known.get(piece.get("hardlink", ""), piece)
            info.mode, info.mtime = mode_of(about), about.get("mtime", MTIME)
            info.uid, info.gid = about.get("uid", 0), about.get("gid", 0)
            info.pax_headers = {f"SCHILY.xattr.{name}": value for name, value in piece.get("xattrs", {}).items()}
            content = b""
            if "hardlink" in piece:
                info.type, info.linkname = tarfile.LNKTYPE, piece["hardlink"]
            elif "symlink" in piece:
                info.type, info.linkname = tarfile.SYMTYPE, piece["symlink"]
            elif "fifo" in piece:
                info.type = tarfile.FIFOTYPE
            elif "device" in piece:
                info.type, (info.devmajor, info.devminor) = tarfile.CHRTYPE, piece["device"]
            elif piece["path"].endswith("/"):
                info.type, info.name = tarfile.DIRTYPE, piece["path"].rstrip("/")
            else:
                content = content_of(piece)
                info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
