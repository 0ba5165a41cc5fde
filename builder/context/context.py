"""A build context that is a directory of this machine.

Everything is reached through descriptors of directories and never through a link, so that nothing outside is read even
when a file is replaced by a link while the build runs.
"""

from __future__ import annotations

import os
import stat
import sys
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Self, TypeVar

from builder.context.filter import Filter
from builder.context.localfile import FileByPath, LocalFile, changed, open_file, shown, unreadable
from builder.errors import ContextError
from layers.changeset.entry import Change, Entry, kind_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import TracebackType

    from builder.context.filter import Skip
    from builder.context.ignore import Ignore

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_PASSAGE = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_NAMES = frozenset({b"", b".", b".."})
_ENCODING, _ERRORS = sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()
_KIND = 0o170000
"""The bits of ``st_mode`` that say what a file is."""

_Found = TypeVar("_Found", bound=tuple[Any, ...])
"""What a walk gives of one name; its path comes first."""
if TYPE_CHECKING:
    _Look = Callable[[bytes, bytes, os.DirEntry[str], int, dict[tuple[int, int], bytes]], _Found | None]


class LocalContext:
    """The files under ``root`` that ``ignore`` lets a build see; a context manager that holds one descriptor.

    As BuildKit does on upload, owners become 0:0 and extended attributes are dropped; sockets are not there at all. An
    excluded directory is there as soon as something in it is not excluded.
    """

    def __init__(self, root: Path, ignore: Ignore | None = None) -> None:
        """Open the directory; ``root`` itself may be a link.

        Raises:
            ContextError: it is missing, no directory, or closed to this user.
        """
        self.root = root
        self.ignore = ignore if ignore is not None and ignore.rules else None
        try:
            self._root = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise ContextError(f'build context "{root}": {error.strerror}') from error

    def close(self) -> None:
        """Close the directory; the second time does nothing."""
        if self._root >= 0:
            os.close(self._root)
            self._root = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def get(self, path: bytes) -> Entry | None:
        """Give the entry at ``path``, as ``lstat`` would; no link on the way is followed. The root is ``b""``."""
        found = self._lstat(path)
        if found is None or self._excluded(path, directory=found.kind == "directory"):
            return None
        return found

    def children(self, path: bytes) -> list[bytes]:
        """Give the names in a directory in byte order; none where there is no directory.

        Raises:
            ContextError: it cannot be read.
        """
        descriptor = self._open_directory(path)
        if descriptor is None:
            return []
        try:
            found = _scan(descriptor, path)
            prefix = path + b"/" if path else b""
            return [
                name
                for name, entry in found
                if not self._excluded(prefix + name, directory=entry.is_dir(follow_symlinks=False))
            ]
        finally:
            os.close(descriptor)

    def walk(self, path: bytes, skip: Skip | None = None) -> Iterator[Change]:
        """Give everything below a directory, depth first in byte order, each directory before its content.

        Paths, and the targets of hard links, are relative to ``path``. Of a file with several names the first one
        carries the data and the others are hard links to it. ``open`` of a regular file is a :class:`LocalFile`.

        Raises:
            ContextError: a directory cannot be read.
        """
        return self._visible(path, skip, _change)

    def stats(self, path: bytes, skip: Skip | None = None) -> Iterator[tuple[bytes, os.stat_result] | Change]:
        """Give what :meth:`walk` gives, but of a file with one name only its path and what ``lstat`` says of it.

        For those who want to know no more: it takes half the time.
        """
        return self._visible(path, skip, _stat)

    def _visible(self, path: bytes, skip: Skip | None, look: _Look[_Found]) -> Iterator[_Found]:
        """Walk with the ignore file in mind."""
        if self.ignore is None:
            return self._walk(path, skip, look)
        patterns = self.ignore.patterns
        ignoring = Filter(exclude=(patterns, patterns.at(path)))
        if skip is None:
            return ignoring.reveal(self._walk(path, ignoring.skip, look))

        def both(found: bytes, directory: bool) -> bool:  # noqa: FBT001 - the form of Skip
            return ignoring.skip(found, directory) or skip(found, directory)

        return ignoring.reveal(self._walk(path, both, look))

    def file(self, path: bytes, entry: Entry) -> LocalFile:
        """Give a regular file that is looked for by its path.

        Raises:
            ContextError: it is no longer what ``entry`` says, as :meth:`get` gave it.
        """
        found = self._stat(path)
        if found is None or found[1] != entry:
            raise changed(path)
        return FileByPath(self.open, found[0], path)

    def open(self, path: bytes) -> int:
        """Open a regular file for reading; the caller closes the descriptor.

        Raises:
            ContextError: it is not there, no regular file, or cannot be read.
        """
        parent, name = _split(path)
        directory = self._open_passage(parent) if name not in _NO_NAMES else None
        if directory is None or self._excluded(path, directory=False):
            raise ContextError(f'"{shown(path)}" is not in the build context')
        try:
            return open_file(name, directory, path)
        finally:
            os.close(directory)

    def explain(self, path: bytes) -> str:
        """Give a hint that names the line of the ignore file which hides ``path``; empty where nothing is hidden."""
        reason = self.ignore.reason(path) if self.ignore is not None else None
        if self.ignore is None or reason is None or self._lstat(path) is None:
            return ""
        return f'{self.ignore.name} line {reason[0]} ("{reason[1]}") excludes it; add "!{shown(path)}" below it'

    def _excluded(self, path: bytes, *, directory: bool) -> bool:
        if self.ignore is None:
            return False
        cursor = self.ignore.patterns.at(path)
        if not cursor.matched:
            return False
        return not directory or not self.ignore.patterns.may_differ_below(cursor) or not any(self.walk(path))

    def _lstat(self, path: bytes) -> Entry | None:
        found = self._stat(path)
        return found[1] if found is not None else None

    def _stat(self, path: bytes) -> tuple[os.stat_result, Entry | None] | None:
        """Give what ``lstat`` says of a path, and the entry made of it; None where there is nothing."""
        if not path:
            info = os.fstat(self._root)
            return info, _entry(path, info, self._root, b".")
        parent, name = _split(path)
        directory = self._open_passage(parent) if name not in _NO_NAMES else None
        if directory is None:
            return None
        try:
            info = os.stat(name, dir_fd=directory, follow_symlinks=False)
            return info, _entry(path, info, directory, name)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise unreadable(path, error) from error
        finally:
            os.close(directory)

    def _open_directory(self, path: bytes) -> int | None:
        """Open a directory to be listed; None where there is none."""
        parent, name = _split(path)
        directory = self._open_passage(parent)
        if directory is None or (path and name in _NO_NAMES):
            return None
        try:
            return os.open(name or b".", _DIRECTORY, dir_fd=directory)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise unreadable(path, error) from error
        finally:
            os.close(directory)

    def _open_passage(self, path: bytes) -> int | None:
        """Open a directory to reach what it holds; None where there is none or a link is on the way."""
        current = os.dup(self._root)
        for name in path.split(b"/") if path else ():
            try:
                following = os.open(name, _PASSAGE, dir_fd=current) if name not in _NO_NAMES else None
            except (FileNotFoundError, NotADirectoryError):
                following = None
            except OSError as error:
                raise unreadable(path, error) from error
            finally:
                os.close(current)
            if following is None:
                return None
            current = following
        return current

    def _walk(self, top: bytes, skip: Skip | None, look: _Look[_Found]) -> Iterator[_Found]:
        """Walk without looking at the ignore file; one descriptor and one list of names are held for each level."""
        levels: list[tuple[int, bytes, Iterator[tuple[bytes, os.DirEntry[str]]]]] = []
        first_names: dict[tuple[int, int], bytes] = {}
        descriptor = self._open_directory(top)
        try:
            if descriptor is not None:
                levels.append((descriptor, b"", iter(())))
                levels[0] = (descriptor, b"", iter(_scan(descriptor, top, b"", skip)))
            while levels:
                directory, prefix, names = levels[-1]
                for name, found in names:
                    path = prefix + name
                    is_directory = found.is_dir(follow_symlinks=False)
                    if is_directory and skip is not None and skip(path, True):
                        continue
                    seen = look(path, name, found, directory, first_names)
                    if seen is None:
                        continue
                    yield seen
                    if is_directory:
                        levels.append(_descend(path, name, directory, skip))
                        break
                else:
                    os.close(directory)
                    levels.pop()
        finally:
            for level in levels:
                os.close(level[0])


def _split(path: bytes) -> tuple[bytes, bytes]:
    parent, _, name = path.rpartition(b"/")
    return parent, name


def _scan(
    directory: int, path: bytes, prefix: bytes = b"", skip: Skip | None = None
) -> list[tuple[bytes, os.DirEntry[str]]]:
    """List a directory in byte order, without the files that are to be skipped: they are not even sorted."""
    try:
        with os.scandir(directory) as entries:
            found = [(entry.name.encode(_ENCODING, _ERRORS), entry) for entry in entries]
    except OSError as error:
        raise unreadable(path, error) from error
    if skip is not None:
        found = [each for each in found if each[1].is_dir(follow_symlinks=False) or not skip(prefix + each[0], False)]
    found.sort(key=itemgetter(0))
    return found


def _descend(
    path: bytes, name: bytes, parent: int, skip: Skip | None
) -> tuple[int, bytes, Iterator[tuple[bytes, os.DirEntry[str]]]]:
    """Open and list a directory that a walk came to."""
    try:
        descriptor = os.open(name, _DIRECTORY, dir_fd=parent)
    except OSError as error:
        raise unreadable(path, error) from error
    try:
        prefix = path + b"/"
        return descriptor, prefix, iter(_scan(descriptor, path, prefix, skip))
    except BaseException:
        os.close(descriptor)
        raise


def _entry(path: bytes, info: os.stat_result, directory: int, name: bytes) -> Entry | None:
    """Give the entry that the image gets: no owner, no extended attributes; None for a socket."""
    mode, mtime = info.st_mode, info.st_mtime_ns // 1_000_000_000
    if mode & _KIND == stat.S_IFREG:
        return Entry(path, "file", mode & 0o7777, 0, 0, info.st_size, mtime)
    kind = kind_of(mode)
    if kind is None:
        return None
    linkname = b""
    major = minor = 0
    if kind == "symlink":
        linkname = os.readlink(name, dir_fd=directory)
    elif kind in {"character", "block"}:
        major, minor = os.major(info.st_rdev), os.minor(info.st_rdev)
    return Entry(path, kind, mode & 0o7777, 0, 0, 0, mtime, linkname, major, minor)


def _stat(
    path: bytes, name: bytes, found: os.DirEntry[str], directory: int, first_names: dict[tuple[int, int], bytes]
) -> tuple[bytes, os.stat_result] | Change | None:
    """Give what ``LocalContext.stats`` says of one name; None for a socket."""
    try:
        info = found.stat(follow_symlinks=False)
    except OSError as error:
        raise unreadable(path, error) from error
    if info.st_mode & _KIND == stat.S_IFREG and info.st_nlink == 1:
        return path, info
    return _change(path, name, found, directory, first_names)


def _change(
    path: bytes, name: bytes, found: os.DirEntry[str], directory: int, first_names: dict[tuple[int, int], bytes]
) -> Change | None:
    """Give what a walk says of one name; None for a socket."""
    try:
        info = found.stat(follow_symlinks=False)
        entry = _entry(path, info, directory, name)
    except OSError as error:
        raise unreadable(path, error) from error
    if entry is None:
        return None
    if entry.kind != "file":
        return Change(path, entry)
    if info.st_nlink > 1:
        first = first_names.setdefault((info.st_dev, info.st_ino), path)
        if first is not path:
            return Change(path, entry._replace(kind="hardlink", size=0, linkname=first))
    return Change(path, entry, LocalFile(directory, name, info, path))


def ignore_file_for(dockerfile: Path, context: Path) -> Path | None:
    """Give the ignore file that counts: ``<Dockerfile>.dockerignore`` beside it, else that of the context; or None."""
    for candidate in (dockerfile.with_name(dockerfile.name + ".dockerignore"), context / ".dockerignore"):
        if candidate.is_file():
            return candidate
    return None
