"""Where a call of a step leads: the file that it means, as its own process would find it and no other.

No link leads out of the step's root directory.
"""

from __future__ import annotations

import errno
import os
import stat
import struct
from typing import TYPE_CHECKING

from builder.runtime import syscalls

if TYPE_CHECKING:
    from builder.runtime.calls import Call

_MODE = struct.Struct("=28xH")
"""Of struct statx."""


class Places:
    """The root directory of a step, and what lies there."""

    def __init__(self, root: os.stat_result, traced: bytes, mounted: tuple[bytes, ...], *, is_steady: bool) -> None:
        """``root`` is what the root directory is.

        With ``traced``, a tracer shows the step this directory as its root, without what is ``mounted``. ``is_steady``
        tells whether all its processes see the same, as long as none changes its root directory.
        """
        self._traced = traced
        self._mounted = mounted
        self._is_steady = is_steady and not traced
        self._info = root
        self._root: int | None = None

    def is_root(self, info: os.stat_result) -> bool:
        """Tell whether something is the root directory of the step."""
        return os.path.samestat(info, self._info)

    def forget(self) -> None:
        """Expect that processes have several root directories from now on."""
        self._is_steady = False

    def look(self, call: Call, mask: int) -> syscalls.Buffer:
        """Give ``struct statx`` of the file that is meant; for a step that is not traced.

        Raises:
            OSError: it cannot be found.
        """
        pid, directory, path, follow = call
        own = b"/proc/%d/cwd" % pid if directory is None else b"/proc/%d/fd/%d" % (pid, directory)
        if path is None:
            return syscalls.statx(own, mask, follow=True)
        if b"/" not in path and path != b"..":
            found = syscalls.statx(own + b"/" + path, mask, follow=False)
            if not follow or not stat.S_ISLNK(_MODE.unpack_from(found)[0]):
                return found
        file = self.open(call)
        assert file is not None
        try:
            return syscalls.statx_of(file, mask)
        finally:
            os.close(file)

    def open(self, call: Call) -> int | None:
        """Give an O_PATH descriptor of the file that is meant; None where no layer has it.

        Raises:
            OSError: it cannot be found.
        """
        own = f"/proc/{call.pid}/cwd" if call.directory is None else f"/proc/{call.pid}/fd/{call.directory}"
        if call.path is None:
            try:
                return os.open(own, os.O_PATH)
            except FileNotFoundError as error:
                raise OSError(errno.EBADF, "no such descriptor") from error
        if b"/" not in call.path and call.path not in {b".", b".."}:
            # What tools do that go through a tree; nothing is followed on the way.
            directory = os.open(own, os.O_PATH | os.O_DIRECTORY)
            try:
                file = os.open(call.path, os.O_PATH | os.O_NOFOLLOW, dir_fd=directory)
            finally:
                os.close(directory)
            if not call.follow or not stat.S_ISLNK(os.fstat(file).st_mode):
                return file
            os.close(file)
        path = self._from_top(call, own, call.path)
        if path is None:
            return None
        root, is_kept = self._open_root(call.pid)
        try:
            return syscalls.open_in_root(root, path, os.O_PATH | (0 if call.follow else os.O_NOFOLLOW))
        finally:
            if not is_kept:
                os.close(root)

    def _from_top(self, call: Call, own: str, path: bytes) -> bytes | None:
        """Give a path that begins at the caller's root directory; None for what lies on a mount."""
        top = self._traced
        if path[:1] != b"/":
            here = os.readlink(os.fsencode(own))
            if not self._is_steady and not top:
                top = os.readlink(f"/proc/{call.pid}/root".encode())
            if self._traced and not (here + b"/").startswith(top + b"/"):
                return None
            path = (here if top == b"/" else here.removeprefix(top)) + b"/" + path
        elif top and path.startswith(top + b"/"):  # the tracer has changed it already
            path = path[len(top) :]
        if any((path + b"/").startswith(each + b"/") for each in self._mounted):
            return None
        return path

    def _open_root(self, pid: int) -> tuple[int, bool]:
        """Give a descriptor of the root directory, and whether it is to stay open."""
        if self._root is not None and self._is_steady:
            return self._root, True
        root = os.open(self._traced or f"/proc/{pid}/root", os.O_PATH | os.O_DIRECTORY)
        is_kept = self._is_steady and self.is_root(os.fstat(root))
        if is_kept:
            self._root = root
        return root, is_kept
