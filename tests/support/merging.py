"""What an image holds, read with nothing but ``tarfile``: the layers of an archive merged, and the config.

It shares no code with what is tested, so that a mistake there is not repeated here. Spec: image-spec/layer.md.
"""

from __future__ import annotations

import json
import posixpath
import tarfile
from dataclasses import dataclass, field
from hashlib import sha256
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_KINDS = {
    tarfile.REGTYPE: "file",
    tarfile.AREGTYPE: "file",
    tarfile.DIRTYPE: "directory",
    tarfile.SYMTYPE: "symlink",
    tarfile.CHRTYPE: "character",
    tarfile.BLKTYPE: "block",
    tarfile.FIFOTYPE: "fifo",
}
_XATTR = "SCHILY.xattr."


@dataclass(eq=False)
class File:
    """A file of any kind; names that are hard links to one file share one of these."""

    kind: str
    mode: int
    uid: int
    gid: int
    mtime: int
    size: int = 0
    sha256: str = ""
    target: bytes = b""
    device: tuple[int, int] = (0, 0)
    xattrs: dict[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Merged:
    """A whole image."""

    files: dict[bytes, File]
    """By path relative to the root."""
    config: dict[str, Any]
    """The config's JSON."""

    def names(self) -> dict[bytes, frozenset[bytes]]:
        """Give for each path all names of the same file."""
        together: dict[int, set[bytes]] = {}
        for path, file in self.files.items():
            together.setdefault(id(file), set()).add(path)
        return {path: frozenset(together[id(file)]) for path, file in self.files.items()}


def read_archive(path: Path) -> Merged:
    """Read the one image of an archive as ``docker save`` writes it."""
    with tarfile.open(path) as archive:
        (entry,) = json.loads(_content(archive, "manifest.json"))
        config = json.loads(_content(archive, entry["Config"]))
        assert len(entry["Layers"]) == len(config["rootfs"]["diff_ids"])
        files: dict[bytes, File] = {}
        for name in entry["Layers"]:
            with _open(archive, name) as layer:
                files = _applied(files, layer)
    return Merged(files, config)


def _content(archive: tarfile.TarFile, name: str) -> bytes:
    with _open(archive, name) as file:
        return file.read()


def _open(archive: tarfile.TarFile, name: str) -> IO[bytes]:
    member = archive.getmember(name)
    # docker save writes a layer once, and links to it where it comes again
    if member.issym():
        member = archive.getmember(posixpath.normpath(posixpath.join(posixpath.dirname(name), member.linkname)))
    found = archive.extractfile(member)
    assert found is not None, name
    return found


def _applied(lower: dict[bytes, File], layer: IO[bytes]) -> dict[bytes, File]:
    """Put a layer on what is below: first what it hides, then what it holds."""
    with tarfile.open(fileobj=layer, mode="r:*", encoding="utf-8", errors="surrogateescape") as tar:
        found = list(_members(tar))
    files = dict(lower)
    for path, _ in found:
        parent, _, name = path.rpartition(b"/")
        if name == b".wh..wh..opq":
            _hide(files, parent, itself=False)
        elif name.startswith(b".wh."):
            _hide(files, _join(parent, name[4:]), itself=True)
    for path, file in found:
        if path.rpartition(b"/")[2].startswith(b".wh."):
            continue
        parent = path.rpartition(b"/")[0]
        assert not parent or files[parent].kind == "directory", f"{path!r} is in no directory"
        if isinstance(file, bytes):
            file = files[file]  # noqa: PLW2901 - a hard link is the file that it leads to
        elif (old := files.get(path)) is not None and (old.kind, file.kind).count("directory") == 1:
            _hide(files, path, itself=True)
        files[path] = file
    return files


def _members(tar: tarfile.TarFile) -> Iterator[tuple[bytes, File | bytes]]:
    """Give each member's path, and its file or the path that it is a hard link to."""
    headers: dict[bytes, tuple[int, int, int, int]] = {}
    for member in tar:
        path = _path(member.name)
        if not path:
            continue
        header = (member.mode & 0o7777, member.uid, member.gid, int(member.mtime // 1))
        if member.islnk():
            # Some tools set what the link's header says, others take what its file has.
            assert header == headers.get(_path(member.linkname), header), f"{path!r} differs from its file"
            yield path, _path(member.linkname)
            continue
        headers[path] = header
        content = tar.extractfile(member) if member.isreg() else None
        xattrs = {
            key.removeprefix(_XATTR): _bytes(value)
            for key, value in member.pax_headers.items()
            if key.startswith(_XATTR)
        }
        file = File(
            _KINDS[member.type],
            *header,
            size=member.size if content else 0,
            sha256=sha256(content.read()).hexdigest() if content else "",
            target=_bytes(member.linkname) if member.issym() else b"",
            device=(member.devmajor, member.devminor) if member.ischr() or member.isblk() else (0, 0),
            xattrs=xattrs,
        )
        yield path, file


def _hide(files: dict[bytes, File], path: bytes, *, itself: bool) -> None:
    for each in [each for each in files if each.startswith(path + b"/")]:
        del files[each]
    if itself:
        files.pop(path, None)


def _path(name: str) -> bytes:
    path = _bytes(name).removeprefix(b"./").strip(b"/")
    return b"" if path == b"." else path


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _join(parent: bytes, name: bytes) -> bytes:
    return parent + b"/" + name if parent else name
