"""Look at a directory in which somebody hostile writes meanwhile: no link on the way is followed, so none leads out."""

from __future__ import annotations

import errno
import os
import stat
from typing import IO, TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
GONE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EINVAL, errno.ENODATA, errno.ESTALE})
"""What it comes to that something was replaced or removed between two looks at it."""


class Beneath:
    """What lies below one directory; for one thread."""

    def __init__(self, top: bytes) -> None:
        """Hold ``top``, which may be renamed from now on."""
        self._top = os.open(top, _DIRECTORY)
        self._parent = os.dup(self._top)
        self._path = b""

    def host(self, path: bytes) -> bytes:
        """Give a path of this machine that ends in the last name of ``path``; good until the next call.

        Raises:
            OSError: the directory that it lies in is none, or gone.
        """
        parent, _, name = path.rpartition(b"/")
        if parent != self._path:
            found = self._directory(parent)
            os.close(self._parent)
            self._parent, self._path = found, parent
        return b"/proc/self/fd/%d/%s" % (self._parent, name)

    def names(self, path: bytes) -> list[bytes]:
        """Give the names in a directory.

        Raises:
            OSError: it is none, or gone.
        """
        found = self._directory(path)
        try:
            return os.listdir(b"/proc/self/fd/%d" % found)
        finally:
            os.close(found)

    def open(self, path: bytes, size: int) -> _Begun:
        """Open the first ``size`` bytes of a file; what is no file is not opened, as that might do something.

        Raises:
            OSError: it is none, or gone.
        """
        found = os.open(self.host(path), os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            if not stat.S_ISREG(os.fstat(found).st_mode):
                raise FileNotFoundError(errno.ENOENT, "no file any more", path)
            return _Begun(open(f"/proc/self/fd/{found}", "rb"), size)
        finally:
            os.close(found)

    def _directory(self, path: bytes) -> int:
        found = os.dup(self._top)
        for name in path.split(b"/") if path else ():
            try:
                inner = os.open(name, _DIRECTORY, dir_fd=found)
            finally:
                os.close(found)
            found = inner
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._parent)
        os.close(self._top)


class _Begun:
    """The beginning of a file that may be growing."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file = file
        self._left = size

    def read(self, size: int = -1, /) -> bytes:
        data = self._file.read(self._left if size < 0 else min(size, self._left))
        self._left -= len(data)
        return data

    def close(self) -> None:
        self._file.close()
