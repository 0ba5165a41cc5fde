"""Root file systems for tests: described by entries, written as layers, built on disk, and read back."""

from __future__ import annotations

import io
import os
import shutil
import stat
import subprocess
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

from layers.changeset.entry import Change, Entry, from_stat, keeps_xattr, kind_of
from layers.changeset.header import END, header, padding

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from layers.changeset.entry import Kind
    from layers.changeset.tree import Tree

UID, GID = os.geteuid(), os.getegid()
IS_ROOT = UID == 0


class Node(NamedTuple):
    """A path's entry and, of a file, its content."""

    entry: Entry
    content: bytes = b""


Nodes = dict[bytes, Node]
"""By path, each directory before what it holds, a file before its hard links."""
View = dict[bytes, tuple[Entry, frozenset[bytes]]]
"""What a root file system is: by path, the entry with its digest, and all names of the same file; without owners where
who runs the tests cannot give them."""


def directory(path: bytes, mode: int = 0o755, mtime: int = 0) -> Node:
    return Node(Entry(path, "directory", mode, UID, GID, mtime=mtime))


def file(
    path: bytes, content: bytes = b"", mode: int = 0o644, mtime: int = 0, xattrs: Mapping[str, bytes] | None = None
) -> Node:
    digest = sha256(content).digest()
    return Node(Entry(path, "file", mode, UID, GID, len(content), mtime, xattrs=xattrs or {}, digest=digest), content)


def symlink(path: bytes, target: bytes, mtime: int = 0) -> Node:
    return Node(Entry(path, "symlink", 0o777, UID, GID, mtime=mtime, linkname=target))


def hardlink(path: bytes, target: bytes) -> Node:
    return Node(Entry(path, "hardlink", 0o644, UID, GID, linkname=target))


def fifo(path: bytes, mode: int = 0o644, mtime: int = 0) -> Node:
    return Node(Entry(path, "fifo", mode, UID, GID, mtime=mtime))


def whiteout(path: bytes) -> Node:
    """Give an entry of exactly this path as whiteouts are written."""
    return Node(Entry(path, "file", 0, UID, GID, digest=sha256(b"").digest()))


def tar_of(nodes: Iterable[Node]) -> bytes:
    """Give a layer's tar with these entries in this order."""
    parts = [b"".join((header(node.entry), node.content, padding(len(node.content)))) for node in nodes]
    return b"".join(parts) + END


def stream_of(nodes: Iterable[Node]) -> io.BytesIO:
    return io.BytesIO(tar_of(nodes))


def change_of(node: Node) -> Change:
    content = node.content
    return Change(node.entry.path, node.entry, lambda: io.BytesIO(content))


def build(root: Path, nodes: Iterable[Node]) -> None:
    """Make this on disk, by the plainest means; the root must be there."""
    made = list(nodes)
    for node in made:
        make(root, node)
    for entry, _ in reversed(made):
        if entry.kind != "hardlink":
            set_time(root, entry.path, entry.mtime)


def make(root: Path, node: Node) -> None:
    """Make one path; its time is not set, as what is put below changes it."""
    entry, content = node
    path = os.path.join(os.fsencode(root), entry.path)
    if entry.kind == "hardlink":
        os.link(os.path.join(os.fsencode(root), entry.linkname), path, follow_symlinks=False)
        return
    if entry.kind == "directory":
        os.mkdir(path)
    elif entry.kind == "symlink":
        os.symlink(entry.linkname, path)
    elif entry.kind == "fifo":
        os.mkfifo(path)
    else:
        with open(path, "wb") as opened:
            opened.write(content)
    dress(root, entry)


def dress(root: Path, entry: Entry) -> None:
    """Give what is there the owner, mode and attributes of an entry."""
    path = os.path.join(os.fsencode(root), entry.path)
    os.chown(path, entry.uid, entry.gid, follow_symlinks=False)
    if entry.kind == "symlink":
        return
    os.chmod(path, entry.mode)
    for name in set(os.listxattr(path)) - set(entry.xattrs):
        os.removexattr(path, name)
    for name, value in entry.xattrs.items():
        os.setxattr(path, name, value)


def set_time(root: Path, path: bytes, seconds: int) -> None:
    os.utime(os.path.join(os.fsencode(root), path), (seconds, seconds), follow_symlinks=False)


def view(root: Path) -> View:
    """Read back what is below a directory; every time must be in whole seconds."""
    top = os.fsencode(root)
    names: dict[tuple[int, int], set[bytes]] = {}
    found: dict[bytes, tuple[Entry, tuple[int, int]]] = {}
    for directory_, folders, files in os.walk(top):
        for name in [*folders, *files]:
            full = os.path.join(directory_, name)
            path = os.path.relpath(full, top)
            info = os.lstat(full)
            kind = kind_of(info.st_mode)
            assert info.st_mtime_ns % 1_000_000_000 == 0, path
            inode = info.st_dev, info.st_ino
            found[path] = _entry(path, full, info, kind), inode
            names.setdefault(inode, set()).add(path)
    return {
        path: (_comparable(entry), frozenset(names[inode] if entry.kind == "file" else {path}))
        for path, (entry, inode) in found.items()
    }


def _entry(path: bytes, full: bytes, info: os.stat_result, kind: Kind | None) -> Entry:
    xattrs = {
        name: os.getxattr(full, name, follow_symlinks=False)
        for name in os.listxattr(full, follow_symlinks=False)
        if keeps_xattr(name)
    }
    entry = from_stat(path, info, os.readlink(full) if kind == "symlink" else b"", xattrs)
    if kind != "file":
        return entry
    with open(full, "rb") as opened:
        return entry._replace(digest=sha256(opened.read()).digest())


def _comparable(entry: Entry) -> Entry:
    return entry if IS_ROOT else entry._replace(uid=UID, gid=GID)


def tree_view(tree: Tree) -> View:
    """Give what a tree says of the same."""
    names: dict[object, set[bytes]] = {}
    for entry in tree.walk():
        names.setdefault(tree.source(entry.path) or entry.path, set()).add(entry.path)
    return {
        entry.path: (_comparable(entry), frozenset(names[tree.source(entry.path) or entry.path]))
        for entry in tree.walk()
    }


def merge(lowers: Iterable[Path], target: Path, opaque: str) -> None:
    """Put lower directories, the lowest first, into an empty directory as an overlay of them would show it."""
    for lower in lowers:
        top = os.fsencode(lower)
        for here, folders, files in os.walk(top):
            own = os.path.join(os.fsencode(target), os.path.relpath(here, top))
            for name in [*folders, *files]:
                _merge_one(os.path.join(here, name), os.path.join(own, name), opaque)
    for lower in lowers:
        for here, _, _ in os.walk(os.fsencode(lower), topdown=False):
            own = os.path.join(os.fsencode(target), os.path.relpath(here, os.fsencode(lower)))
            if os.path.isdir(own) and not os.path.islink(own):
                for attribute in os.listxattr(own):
                    os.removexattr(own, attribute)
                shutil.copystat(here, own)


def _merge_one(source: bytes, target: bytes, opaque: str) -> None:
    info = os.lstat(source)
    is_directory = stat.S_ISDIR(info.st_mode)
    is_opaque = is_directory and opaque in os.listxattr(source)
    if os.path.lexists(target) and not (is_directory and not is_opaque and stat.S_ISDIR(os.lstat(target).st_mode)):
        subprocess.run([b"rm", b"-rf", b"--", target], check=True)
    if stat.S_ISCHR(info.st_mode) and info.st_rdev == 0:
        return
    if not is_directory:
        os.link(source, target, follow_symlinks=False)
        return
    if not os.path.lexists(target):
        os.mkdir(target)
    os.chown(target, info.st_uid, info.st_gid)
