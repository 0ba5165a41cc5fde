"""A regular file of a context: what ``lstat`` said of it, and how it is opened later without being led elsewhere."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from builder.errors import ContextError

if TYPE_CHECKING:
    from collections.abc import Callable

    from layers.changeset.entry import Content

_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK  # a pipe put in a file's place must not block


class LocalFile:
    """A regular file as a walk found it: what ``lstat`` said, and opening it by a call."""

    __slots__ = ("directory", "info", "name", "path")

    def __init__(self, directory: int, name: bytes, info: os.stat_result, path: bytes) -> None:
        self.directory = directory
        """The descriptor of the directory it is in; open as long as the walk stands here."""
        self.name = name
        self.info = info
        self.path = path
        """Relative to where the walk started; for messages."""

    def __call__(self) -> int:
        """Open the file for reading; the caller closes the descriptor.

        Raises:
            ContextError: it cannot be read, or another file has taken its place.
        """
        descriptor = self._open()
        now = os.fstat(descriptor)
        if now.st_ino != self.info.st_ino or now.st_size != self.info.st_size or now.st_dev != self.info.st_dev:
            os.close(descriptor)
            raise changed(self.path)
        return descriptor

    def _open(self) -> int:
        return open_file(self.name, self.directory, self.path)


class FileByPath(LocalFile):
    """A regular file that was found by its path, and is opened by it: no walk stands there."""

    __slots__ = ("_open_path",)

    def __init__(self, open_path: Callable[[bytes], int | Content], info: os.stat_result, path: bytes) -> None:
        super().__init__(-1, b"", info, path)
        self._open_path = open_path

    def _open(self) -> int:
        opened = self._open_path(self.path)
        assert isinstance(opened, int)
        return opened


def open_file(name: bytes, directory: int, path: bytes) -> int:
    """Open what must be a regular file; ``path`` is for messages.

    Raises:
        ContextError: it is something else, or cannot be read.
    """
    try:
        descriptor = os.open(name, _FILE, dir_fd=directory)
    except OSError as error:
        raise unreadable(path, error) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ContextError(f'"{shown(path)}" of the build context is no regular file')
    return descriptor


def changed(path: bytes) -> ContextError:
    """Give the error for what is not what it was."""
    return ContextError(
        f'"{shown(path)}" of the build context changed while it was read',
        hint="let nothing write there while a build runs",
    )


def unreadable(path: bytes, error: OSError) -> ContextError:
    """Give the error for what cannot be read."""
    hint = f'make it readable, or exclude it: add "{shown(path)}" to .dockerignore' if path else ""
    return ContextError(f'cannot read "{shown(path)}" of the build context: {error.strerror}', hint=hint)


def shown(path: bytes) -> str:
    """Give a path as messages show it."""
    return path.decode("utf-8", "replace") or "."
