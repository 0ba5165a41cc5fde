"""One path of a layer or root file system.

Spec: image-spec/layer.md, "File Types" and "File Attributes".
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Kind = Literal["file", "directory", "symlink", "hardlink", "character", "block", "fifo"]

_KINDS: dict[int, Kind] = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symlink",
    stat.S_IFCHR: "character",
    stat.S_IFBLK: "block",
    stat.S_IFIFO: "fifo",
}


class Entry(NamedTuple):
    """One path's type, permissions, owner, times and extended attributes.

    A NamedTuple and not a frozen dataclass: a layer has one for each file, and this is made four times as fast.
    """

    path: bytes
    """Relative to the root, without leading, trailing or doubled slashes, and without dots: ``b"etc/passwd"``; the root
    is ``b""``."""
    kind: Kind
    mode: int
    """Permission bits with setuid, setgid and sticky: 0 to 0o7777."""
    uid: int = 0
    gid: int = 0
    size: int = 0
    """Bytes of content; 0 for all but files."""
    mtime: int = 0
    """Whole seconds since 1970; may be negative."""
    linkname: bytes = b""
    """A symlink's target as written; a hard link's as a path of this layer or a lower one, in the form of ``path``."""
    major: int = 0
    minor: int = 0
    xattrs: Mapping[str, bytes] = {}
    digest: bytes = b""
    """The raw sha256 of a file's content where it is known, else empty."""

    def with_digest(self, digest: bytes) -> Entry:
        """Give the same entry with this digest, in a third of the time that ``_replace`` takes."""
        return tuple.__new__(Entry, (*self[:-1], digest))


class Content(Protocol):
    """A file's bytes where there is no descriptor to read them from: in memory, or a member of a tar that is read."""

    def read(self, size: int = -1, /) -> bytes:
        """Give the next ``size`` bytes, or all that are left; fewer only at the end."""

    def close(self) -> None:
        """Say that no more is wanted."""


class Lasting:
    """Opens a file's content at any later time, and not only until the next change is asked for.

    So the content need not be read where its digest is known and a layer with it is there to be copied from.
    """

    __slots__ = ("_open",)

    def __init__(self, open_content: Callable[[], int | Content]) -> None:
        self._open = open_content

    def __call__(self) -> int | Content:
        """Open the content; see ``Change.open``."""
        return self._open()


class Change(NamedTuple):
    """One difference between a parent and a child: a path that is there now, or (``entry`` is None) is gone."""

    path: bytes
    entry: Entry | None
    open: Callable[[], int | Content] | None = None
    """Opens a file's content: a descriptor or reader that the caller reads from its offset for ``entry.size`` bytes and
    closes. It stays good only until the next change is asked for, unless it is ``Lasting``."""


def clean(name: bytes) -> bytes:
    """Give a name in the form of ``Entry.path``; ``..`` never leads above the root."""
    if name[-1:] == b"/":
        name = name[:-1]
    if name[:2] == b"./":
        name = name[2:]
    if name[:1] not in {b".", b"/"} and b"/." not in name and b"//" not in name and name[-1:] != b"/":
        return name
    parts: list[bytes] = []
    for part in name.split(b"/"):
        if part == b"..":
            del parts[-1:]
        elif part not in {b"", b"."}:
            parts.append(part)
    return b"/".join(parts)


def kind_of(mode: int) -> Kind | None:
    """Give the kind in a ``st_mode``; None for a socket, which no layer holds."""
    return _KINDS.get(stat.S_IFMT(mode))


def from_stat(path: bytes, info: os.stat_result, linkname: bytes = b"", xattrs: Mapping[str, bytes] = {}) -> Entry:
    """Give the entry of what ``lstat`` found; no socket.

    Times are cut to whole seconds, towards the past.
    """
    kind = _KINDS[stat.S_IFMT(info.st_mode)]
    device = info.st_rdev if kind in {"character", "block"} else 0
    return Entry(
        path,
        kind,
        stat.S_IMODE(info.st_mode),
        info.st_uid,
        info.st_gid,
        info.st_size if kind == "file" else 0,
        info.st_mtime_ns // 1_000_000_000,
        linkname,
        os.major(device),
        os.minor(device),
        xattrs,
    )


def keeps_xattr(name: str) -> bool:
    """Tell whether a layer holds this extended attribute: capabilities, and users' own ones but overlayfs's marks.

    The others say something of the host: labels, access lists, marks of its file systems.
    """
    return name == "security.capability" or (name.startswith("user.") and not name.startswith("user.overlay."))


def read_xattrs(path: bytes) -> Mapping[str, bytes]:
    """Give every extended attribute of what is at a host path, a link itself; none where there are no such things."""
    try:
        names = os.listxattr(path, follow_symlinks=False)
    except OSError:
        return {}
    return {name: os.getxattr(path, name, follow_symlinks=False) for name in names}
