"""Descriptors of the directories below a root: entered component by component, through no link that leads outside."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, Self

from layers.changeset.rootpath import resolve
from layers.errors import LimitError

if TYPE_CHECKING:
    from collections.abc import Callable, Container
    from pathlib import Path
    from types import TracebackType

    from layers.changeset.rootpath import Entries

_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_MAX_DEPTH = 512
"""What removes trees follows them this deep."""
_MAX_OPEN = 64


class Directories:
    """Enter directories below a root; the way to the last one stays open, as the next is most often near it.

    No component is a link when it is opened. A parent that is a link is resolved inside the root first.
    """

    def __init__(self, root: Path, links: Entries | Path, make: Callable[[int, bytes, bytes], None]) -> None:
        """Open the root.

        Args:
            root: a directory.
            links: where links on the way are looked up: the root, or all that shows with it.
            make: makes a directory that is missing, or in whose place there is something that is neither a directory
                nor a link: given its parent's descriptor, its name and its path.
        """
        self._look_up = links
        self._make = make
        self._open = [(b"", os.open(root, _FLAGS & ~os.O_NOFOLLOW))]
        self._asked: tuple[bytes, bytes] = (b"", b"")
        self._links: dict[bytes, bytes] = {}

    def enter(self, path: bytes, *, make: bool) -> tuple[bytes, int]:
        """Give the directory's own path, through no link, and a descriptor of it that is good until the next call.

        Raises:
            FileNotFoundError, NotADirectoryError: it is not there, unless ``make``.
            LimitError: it lies too deep.
        """
        asked, real = self._asked
        if path != asked or self._open[-1][0] != real:
            self._asked = path, self._descend(path, make=make)
        return self._open[-1]

    def find(self, path: bytes) -> int | None:
        """Give a descriptor of what ``enter`` gave as a directory's own path; None if it is no longer there."""
        try:
            self._walk(path, make=False)
        except (FileNotFoundError, NotADirectoryError):
            return None
        return self._open[-1][1]

    def forget(self, path: bytes) -> None:
        """Say that what was at ``path`` (through no link) was removed or replaced."""
        self._links.clear()
        self._asked = b"", b""
        below = path + b"/"
        while self._open[-1][0] == path or self._open[-1][0].startswith(below):
            os.close(self._open.pop()[1])

    def _descend(self, path: bytes, *, make: bool) -> bytes:
        path = self._links.get(path, path)
        try:
            self._walk(path, make=False)
        except (FileNotFoundError, NotADirectoryError):
            real = resolve(self._look_up, path, follow_last=True)
            self._walk(real, make=make)
            self._links[path] = real
            return real
        return path

    def _walk(self, path: bytes, *, make: bool) -> None:
        opened = self._open
        while opened[-1][0] and not (path == opened[-1][0] or path.startswith(opened[-1][0] + b"/")):
            os.close(opened.pop()[1])
        here, parent = opened[-1]
        if here == path:
            return
        if path.count(b"/") > _MAX_DEPTH:
            raise LimitError(f"a directory lies more than {_MAX_DEPTH} deep: {path[:100]!r}")
        for name in path[len(here) + 1 if here else 0 :].split(b"/"):
            here = here + b"/" + name if here else name
            try:
                parent = os.open(name, _FLAGS, dir_fd=parent)
            except (FileNotFoundError, NotADirectoryError):
                if not make:
                    raise
                self._make(parent, name, here)
                parent = os.open(name, _FLAGS, dir_fd=parent)
            opened.append((here, parent))
            if len(opened) > _MAX_OPEN:
                os.close(opened.pop(1)[1])

    def close(self) -> None:
        """Close all that is open."""
        while self._open:
            os.close(self._open.pop()[1])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def remove(parent: int, name: bytes, path: bytes, keep: Container[bytes], times: dict[bytes, int]) -> None:
    """Remove what is there, with all below it, but nothing whose path is in ``keep``, nor its parents.

    The times that directories had before, in nanoseconds, are added to ``times``.

    Raises:
        OSError: something cannot be removed.
    """
    if path not in keep:
        try:
            os.unlink(name, dir_fd=parent)
        except (IsADirectoryError, PermissionError):  # POSIX lets unlink of a directory fail with EPERM
            pass
        except FileNotFoundError:
            return
        else:
            return
    try:
        directory = os.open(name, _FLAGS, dir_fd=parent)
    except NotADirectoryError:
        return
    try:
        times.setdefault(path, os.fstat(directory).st_mtime_ns)
        for each in os.listdir(directory):
            below = os.fsencode(each)
            remove(directory, below, path + b"/" + below, keep, times)
    finally:
        os.close(directory)
    if path not in keep:
        try:
            os.rmdir(name, dir_fd=parent)
        except OSError as error:
            if error.errno != errno.ENOTEMPTY:
                raise


def is_whiteout(info: os.stat_result) -> bool:
    """Tell whether this is overlayfs's whiteout: a character device 0:0."""
    return stat.S_ISCHR(info.st_mode) and info.st_rdev == 0
