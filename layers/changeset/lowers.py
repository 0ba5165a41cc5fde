"""What an overlay shows where a directory of its stack has nothing: looked up in the directories below.

Spec: Linux kernel documentation, "Overlay Filesystem", "whiteouts and opaque directories".
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, NamedTuple

from layers.changeset.directories import is_whiteout
from layers.changeset.entry import Entry
from layers.changeset.rootpath import resolve

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class Found(NamedTuple):
    """What shows at a path."""

    host: bytes
    """Its path on disk."""
    info: os.stat_result


class Stack:
    """Lower directories of an overlay, top first."""

    def __init__(self, directories: Sequence[Path], opaque: str) -> None:
        """Look into these; ``opaque`` is the attribute that marks opaque directories."""
        self._directories = [os.fsencode(directory) for directory in directories]
        self._opaque = opaque

    def find(self, path: bytes) -> Found | None:
        """Give what shows at this path, which leads through no link; None where nothing does.

        Raises:
            OSError: the disk cannot be read.
        """
        found: list[Found] = [Found(top, os.lstat(top)) for top in self._directories]
        for name in path.split(b"/") if path else ():
            found = self._enter(found, name)
        return found[0] if found else None

    def _enter(self, directories: list[Found], name: bytes) -> list[Found]:
        """Give what merges at a name: a directory with those below it, or the one thing that hides the others."""
        found: list[Found] = []
        for directory, above in directories:
            if not stat.S_ISDIR(above.st_mode):
                break
            host = os.path.join(directory, name)
            try:
                info = os.lstat(host)
            except FileNotFoundError:
                pass
            else:
                if is_whiteout(info) or (found and not stat.S_ISDIR(info.st_mode)):
                    break
                found.append(Found(host, info))
                if not stat.S_ISDIR(info.st_mode) or _attribute(host, self._opaque) == b"y":
                    break
        return found

    def get(self, path: bytes) -> Entry | None:
        """Give an entry where a link shows, for ``rootpath.resolve``; None for all else."""
        found = self.find(path)
        if found is None or not stat.S_ISLNK(found.info.st_mode):
            return None
        return Entry(path, "symlink", 0o777, linkname=os.readlink(found.host))

    def may_show(self, path: bytes, *, follow_last: bool) -> bool:
        """Tell whether there may be something at this path, to which links lead.

        A stack of one directory does not know what lies below, so there may always be.
        """
        if len(self._directories) == 1:
            return True
        return self.find(resolve(self, path, follow_last=follow_last)) is not None

    def names(self) -> set[bytes]:
        """Give every name that any of the directories has at its top."""
        return {name for directory in self._directories for name in os.listdir(directory)}


def _attribute(host: bytes, name: str) -> bytes:
    try:
        return os.getxattr(host, name, follow_symlinks=False)
    except OSError:
        return b""
