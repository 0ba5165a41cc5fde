"""Put a layer's entries into a directory, one after the other.

Whatever happens is below the directory: parents are entered by descriptor, and no last component that is a link is
followed.
"""

from __future__ import annotations

import errno
import os
import stat
from hashlib import sha256
from typing import TYPE_CHECKING, Self

from layers.changeset.directories import Directories, is_whiteout, remove
from layers.changeset.entry import Entry, from_stat, keeps_xattr, read_xattrs
from layers.changeset.rootpath import resolve
from layers.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Container
    from pathlib import Path
    from types import TracebackType

    from layers.changeset.entry import Content
    from layers.changeset.lowers import Stack

_CHUNK = 1024 * 1024
_SECOND = 1_000_000_000
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_TYPES = {"character": stat.S_IFCHR, "block": stat.S_IFBLK, "fifo": stat.S_IFIFO}
_OWNER_ALL = 0o700
_IMPLIED_MODE = 0o755
_NOWHERE = (None, b"", -1)


@frozen
class Options:
    """How a layer is put into place; see ``apply``."""

    opaque: str
    """The attribute that marks opaque directories."""
    same_owner: bool
    hashing: bool
    skipped: Callable[[Entry, OSError], None] | None


class Target:
    """A root file system, or a lower directory of an overlay, that one layer is put into."""

    def __init__(self, root: Path, stack: Stack | None, options: Options) -> None:
        """Open the directory; ``stack`` begins with it in an overlay, and is None elsewhere."""
        self._dirs = Directories(root, stack or root, self._make_directory)
        self._stack = stack
        self._options = options
        self._own: set[bytes] = set()
        self._last: tuple[bytes | None, bytes, int] = _NOWHERE
        """The parent that an entry was put into last, its own path and its descriptor."""
        self._times: dict[bytes, int] = {}
        self._modes: dict[bytes, int] = {}

    def put(self, entry: Entry, content: Content) -> bytes:
        """Make what the entry says, in place of what is there; give the content's digest if hashing a file.

        Raises:
            OSError: the disk refuses, or a parent is no directory.
        """
        parent, _, name = entry.path.rpartition(b"/")
        if not name:
            return b""
        if parent != self._last[0]:
            self._last = (parent, *self._enter(parent))
        _, real, directory = self._last
        path = entry.path if real == parent else _join(real, name)
        self._own.add(path)
        kind = entry.kind
        if kind == "file":
            return self._put_file(entry, content, directory, path)
        if kind == "directory":
            self._put_directory(entry, directory, path)
        elif kind == "hardlink":
            self._put_link(entry, directory, path)
        else:
            self._put_special(entry, directory, path)
        return b""

    def hide(self, path: bytes) -> None:
        """Hide what was at ``path`` before this layer.

        Raises:
            OSError: the disk refuses.
        """
        parent, _, name = path.rpartition(b"/")
        if self._stack is not None and not self._stack.may_show(path, follow_last=False):
            return
        try:
            real, directory = self._enter(parent, make=self._stack is not None)
        except (FileNotFoundError, NotADirectoryError):
            return
        path = _join(real, name)
        self._remove(directory, name, path, self._own)
        if self._stack is None:
            return
        self._hide_lower(directory, name, path)

    def _hide_lower(self, directory: int, name: bytes, path: bytes) -> None:
        """Hide what lower directories have, but not what is left here: this layer's own."""
        try:
            os.mknod(name, stat.S_IFCHR, os.makedev(0, 0), dir_fd=directory)
        except FileExistsError:
            if stat.S_ISDIR(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode):
                self._mark_opaque(path)

    def hide_below(self, path: bytes) -> None:
        """Hide what the directory ``path`` held before this layer.

        Raises:
            OSError: the disk refuses.
        """
        if self._stack is not None and not self._stack.may_show(path, follow_last=True):
            return
        try:
            real, directory = self._enter(path, make=self._stack is not None)
        except (FileNotFoundError, NotADirectoryError):
            return
        for each in os.listdir(directory):
            name = os.fsencode(each)
            self._remove(directory, name, _join(real, name), self._own)
        if self._stack is not None and real:
            self._mark_opaque(real)
        elif self._stack is not None:
            # overlayfs merges the roots whatever they are marked with
            for name in self._stack.names():
                self._hide_lower(directory, name, name)

    def finish(self) -> None:
        """Set what putting files into directories has changed: their times, and modes that lock the owner out.

        Raises:
            OSError: the disk refuses.
        """
        for path, time in sorted(self._times.items()):
            directory = self._dirs.find(path)
            if directory is not None:
                os.utime(directory, ns=(time, time))
        # children first: their parents may no longer be entered afterwards
        for path, mode in sorted(self._modes.items(), reverse=True):
            directory = self._dirs.find(path)
            if directory is not None:
                os.fchmod(directory, mode)

    def _enter(self, path: bytes, *, make: bool = True) -> tuple[bytes, int]:
        """Enter a directory that is about to be changed, and remember its time."""
        self._last = _NOWHERE
        real, directory = self._dirs.enter(path, make=make)
        if real not in self._times:
            self._times[real] = os.fstat(directory).st_mtime_ns
        return real, directory

    def _put_file(self, entry: Entry, content: Content, directory: int, path: bytes) -> bytes:
        name = path.rpartition(b"/")[2]
        try:
            file = os.open(name, _NEW, 0o600, dir_fd=directory)
        except FileExistsError:
            self._remove(directory, name, path)
            file = os.open(name, _NEW, 0o600, dir_fd=directory)
        try:
            hashed = sha256() if self._options.hashing else None
            left = entry.size
            while left:
                data = content.read(min(left, _CHUNK))
                left -= len(data)
                if hashed is not None:
                    hashed.update(data)
                written = os.write(file, data)
                while written < len(data):
                    written += os.write(file, data[written:])
            self._finish(entry, file)
            time = entry.mtime * _SECOND
            os.utime(file, ns=(time, time))
        finally:
            os.close(file)
        return hashed.digest() if hashed is not None else b""

    def _put_directory(self, entry: Entry, directory: int, path: bytes) -> None:
        name = path.rpartition(b"/")[2]
        is_new, hides = True, False
        try:
            os.mkdir(name, _OWNER_ALL, dir_fd=directory)
        except FileExistsError:
            is_new = not stat.S_ISDIR(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode)
            if is_new:
                self._remove(directory, name, path)
                os.mkdir(name, _OWNER_ALL, dir_fd=directory)
                # what was replaced here hid what lower directories have at this path
                hides = self._stack is not None
        _, own = self._dirs.enter(path, make=False)
        if hides:
            self._mark_opaque(path)
        if not is_new:
            for attribute in os.listxattr(own):
                if keeps_xattr(attribute) and attribute not in entry.xattrs:
                    os.removexattr(own, attribute)
        if entry.mode & _OWNER_ALL != _OWNER_ALL and os.geteuid() != 0:
            self._modes[path] = entry.mode
            entry = entry._replace(mode=entry.mode | _OWNER_ALL)
        self._finish(entry, own)
        self._times[path] = entry.mtime * _SECOND

    def _put_link(self, entry: Entry, directory: int, path: bytes) -> None:
        name = path.rpartition(b"/")[2]
        parent, _, linked = entry.linkname.rpartition(b"/")
        self._last = _NOWHERE
        held = os.dup(directory)
        try:
            real, source = self._dirs.enter(parent, make=False)
            if _join(real, linked) == path:
                return
            _check_shows(source, linked)
            try:
                os.link(linked, name, src_dir_fd=source, dst_dir_fd=held, follow_symlinks=False)
            except FileExistsError:
                self._remove(held, name, path)
                _, source = self._dirs.enter(parent, make=False)
                os.link(linked, name, src_dir_fd=source, dst_dir_fd=held, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            self._copy_lower(entry, held, path)
        finally:
            os.close(held)

    def _copy_lower(self, entry: Entry, directory: int, path: bytes) -> None:
        """Copy a hard link's target from a lower directory, as overlayfs does when such a link is made."""
        target = resolve(self._stack, entry.linkname, follow_last=False) if self._stack is not None else b""
        shown = self._stack.find(target) if self._stack is not None else None
        if shown is None or not stat.S_ISREG(shown.info.st_mode):
            raise FileNotFoundError(errno.ENOENT, f"it links to what is no file: {entry.linkname!r}")
        copied = from_stat(path, shown.info, xattrs=read_xattrs(shown.host))
        with open(shown.host, "rb", buffering=0) as content:
            self._put_file(copied, content, directory, path)

    def _put_special(self, entry: Entry, directory: int, path: bytes) -> None:
        """Make a symbolic link, a device or a named pipe."""
        name = path.rpartition(b"/")[2]
        try:
            try:
                _make_special(entry, directory, name)
            except FileExistsError:
                self._remove(directory, name, path)
                _make_special(entry, directory, name)
        except PermissionError as error:
            if self._options.skipped is None or entry.kind not in {"character", "block"}:
                raise
            self._options.skipped(entry, error)
            self._own.discard(path)
            return
        if self._options.same_owner:
            os.chown(name, entry.uid, entry.gid, dir_fd=directory, follow_symlinks=False)
        if entry.kind != "symlink":
            os.chmod(name, entry.mode, dir_fd=directory)
        time = entry.mtime * _SECOND
        os.utime(name, ns=(time, time), dir_fd=directory, follow_symlinks=False)

    def _finish(self, entry: Entry, descriptor: int) -> None:
        """Give a file or directory what its entry says of it."""
        if self._options.same_owner:
            os.fchown(descriptor, entry.uid, entry.gid)
        # after fchown, which clears setuid, setgid and capabilities
        os.fchmod(descriptor, entry.mode)
        for attribute, value in entry.xattrs.items():
            if keeps_xattr(attribute):
                try:
                    os.setxattr(descriptor, attribute, value)
                except OSError as error:
                    if self._options.skipped is not None:
                        self._options.skipped(entry, error)
                    elif error.errno != errno.ENOTSUP:
                        raise

    def _make_directory(self, parent: int, name: bytes, path: bytes) -> None:
        """Make a parent that no entry describes: as it is in a lower directory, if there is one."""
        above = path.rpartition(b"/")[0]
        if above not in self._times:
            self._times[above] = os.fstat(parent).st_mtime_ns
        shown = self._stack.find(path) if self._stack is not None else None
        if shown is not None and not stat.S_ISDIR(shown.info.st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        hides = False
        try:
            os.mkdir(name, dir_fd=parent)
        except FileExistsError:
            if self._stack is None or not is_whiteout(os.stat(name, dir_fd=parent, follow_symlinks=False)):
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)) from None
            os.unlink(name, dir_fd=parent)
            os.mkdir(name, dir_fd=parent)
            hides = True
        owner = (0, 0) if os.geteuid() == 0 else (os.geteuid(), os.getegid())
        entry = Entry(path, "directory", _IMPLIED_MODE, *owner)
        if shown is not None:
            entry = from_stat(path, shown.info, xattrs=read_xattrs(shown.host))
        own = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
        try:
            self._finish(entry, own)
            if hides:
                os.setxattr(own, self._options.opaque, b"y")
        finally:
            os.close(own)
        self._times[path] = shown.info.st_mtime_ns if shown is not None else 0

    def _mark_opaque(self, path: bytes) -> None:
        os.setxattr(self._dirs.enter(path, make=False)[1], self._options.opaque, b"y")

    def _remove(self, directory: int, name: bytes, path: bytes, keep: Container[bytes] = ()) -> None:
        self._last = _NOWHERE
        self._dirs.forget(path)
        remove(directory, name, path, keep, self._times)

    def close(self) -> None:
        """Close all that is open."""
        self._dirs.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _check_shows(directory: int, name: bytes) -> None:
    if is_whiteout(os.stat(name, dir_fd=directory, follow_symlinks=False)):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))


def _make_special(entry: Entry, directory: int, name: bytes) -> None:
    if entry.kind == "symlink":
        os.symlink(entry.linkname, name, dir_fd=directory)
    else:
        os.mknod(name, _TYPES[entry.kind] | 0o600, os.makedev(entry.major, entry.minor), dir_fd=directory)


def _join(parent: bytes, name: bytes) -> bytes:
    return parent + b"/" + name if parent else name
