"""Files that processes make which have become another user than their step's: whose they are, once they are there.

The listener is asked before the kernel makes one. So what is expected is looked for when it is asked the next time.
"""

from __future__ import annotations

import contextlib
import os
import stat
from typing import TYPE_CHECKING, NamedTuple

from builder.runtime import syscalls
from builder.runtime.calls import STATX_WANTED, Call

if TYPE_CHECKING:
    from collections.abc import Callable

    from builder.runtime.places import Places
    from builder.runtime.shown import Shown

_MOST = 256
"""Files that are expected at once."""


class _Expected(NamedTuple):
    pid: int
    directory: int
    name: bytes
    owner: tuple[int, int]


class Made:
    """What is expected to be made in a step."""

    def __init__(self, places: Places, shown: Shown, note: Callable[[int, tuple[int, int]], None]) -> None:
        """``note`` is told the owner of an open file."""
        self._places = places
        self._shown = shown
        self._note = note
        self._expected: list[_Expected] = []

    def expect(self, call: Call, owner: tuple[int, int]) -> None:
        """Expect a file that is not there yet.

        Raises:
            OSError: nor is its directory.
        """
        assert call.path is not None
        above, slash, name = call.path.rstrip(b"/").rpartition(b"/")
        if name in {b"", b".", b".."} or len(self._expected) >= _MOST:
            return
        directory = self._places.open(call._replace(path=(above or b"/") if slash else None, follow=True))
        if directory is None:
            return
        is_expected = False
        try:
            found = syscalls.statx_of(directory, STATX_WANTED)
            if not self._shown.is_inside(found) or _exists(directory, name):
                return
            if os.fstat(directory).st_mode & stat.S_ISGID:
                owner = owner[0], self._shown.owner_of(directory, found)[1]
            self._expected.append(_Expected(call.pid, directory, name, owner))
            is_expected = True
        finally:
            if not is_expected:
                os.close(directory)

    def settle(self, pid: int = 0) -> None:
        """Note what is there now; what the thread ``pid``, which has gone on, did not make is made no more."""
        if not self._expected:
            return
        waiting = []
        for each in self._expected:
            if _exists(each.directory, each.name):
                with contextlib.suppress(OSError):
                    self._settle(each)
            elif each.pid != pid:
                waiting.append(each)
                continue
            os.close(each.directory)
        self._expected = waiting

    def _settle(self, expected: _Expected) -> None:
        file = os.open(expected.name, os.O_PATH | os.O_NOFOLLOW, dir_fd=expected.directory)
        try:
            self._note(file, expected.owner)
        finally:
            os.close(file)


def _exists(directory: int, name: bytes) -> bool:
    try:
        os.stat(name, dir_fd=directory, follow_symlinks=False)
    except OSError:
        return False
    return True
