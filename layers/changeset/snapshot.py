"""What a directory held at one moment, to find out later what has changed in it."""

from __future__ import annotations

import os
import stat
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

_TICK_NS = 10_000_000
"""The coarsest clock that file systems take times from: a kernel with 100 ticks a second."""

_State = tuple[int, int, int, int, int, int, int]


class Snapshot:
    """What ``lstat`` told of each path; take it with ``snapshot``."""

    __slots__ = ("_children", "_states")

    def __init__(self, states: dict[bytes, _State], children: dict[bytes, list[bytes]]) -> None:
        self._states = states
        self._children = children

    def children(self, path: bytes) -> Collection[bytes]:
        """Give the names that a directory held; none where there was no directory."""
        return self._children.get(path, ())

    def is_changed(self, path: bytes, info: os.stat_result) -> bool:
        """Tell whether a path has changed, or was not there; of a directory, not what it holds."""
        return self._states.get(path) != _state(info)


def snapshot(root: Path) -> Snapshot:
    """Look at everything below a directory.

    Waits, for some milliseconds at most, until whatever is written from now on gets a later time than what was found.

    Raises:
        OSError: the directory cannot be read.
    """
    top = os.fsencode(root)
    states: dict[bytes, _State] = {}
    children: dict[bytes, list[bytes]] = {}
    newest = 0
    todo = [b""]
    while todo:
        directory = todo.pop()
        full = os.path.join(top, directory)
        prefix = directory + b"/" if directory else b""
        names = children[directory] = os.listdir(full)
        for name in names:
            path = prefix + name
            info = os.lstat(os.path.join(full, name))
            states[path] = _state(info)
            newest = max(newest, info.st_ctime_ns)
            if stat.S_ISDIR(info.st_mode):
                todo.append(path)
    while 0 <= time.time_ns() - newest < _TICK_NS:
        time.sleep(0.002)
    return Snapshot(states, children)


def _state(info: os.stat_result) -> _State:
    # a change of anything else, attributes and the number of names too, changes ctime
    return info.st_mode, info.st_ino, info.st_dev, info.st_uid, info.st_gid, info.st_mtime_ns, info.st_ctime_ns
