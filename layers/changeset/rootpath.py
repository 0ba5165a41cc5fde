"""Resolve paths inside a root file system, and never outside it.

The root is a directory on disk or a ``Tree``. Absolute links start at the root, and ``..`` stops there, as they do for
a process whose root this is.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Protocol

from layers.errors import ChangesetError

if TYPE_CHECKING:
    from pathlib import Path

    from layers.changeset.entry import Entry

_MAX_LINKS = 40
"""As many as Linux follows."""


class Entries(Protocol):
    """Where entries are looked up: a ``Tree``."""

    def get(self, path: bytes) -> Entry | None:
        """Give the entry at exactly this path, which leads through no link."""


def resolve(root: Entries | Path, path: bytes, *, follow_last: bool) -> bytes:
    """Give the path that is really meant, in the form of ``Entry.path``; what does not exist is taken as written.

    A directory on disk must not be changed by others meanwhile.

    Args:
        root: where links are looked up.
        path: as a process inside would write it; a relative one starts at the root.
        follow_last: whether a link at the very end is followed too.

    Raises:
        ChangesetError: links lead in a circle, or there are more than 40.
        OSError: the disk cannot be read.
    """
    done: list[bytes] = []
    rest = path.split(b"/")[::-1]
    links = 0
    while rest:
        part = rest.pop()
        if part in {b"", b"."}:
            continue
        if part == b"..":
            del done[-1:]
            continue
        here = b"/".join((*done, part))
        target = None
        if follow_last or any(left not in {b"", b"."} for left in rest):
            target = _link_in_tree(root, here) if hasattr(root, "get") else _link_on_disk(root, here)
        if target is None:
            done.append(part)
            continue
        links += 1
        if links > _MAX_LINKS:
            raise ChangesetError(f"too many symbolic links in {_text(path)}", hint="they may lead in a circle")
        if target[:1] == b"/":
            done.clear()
        rest += target.split(b"/")[::-1]
    return b"/".join(done)


def _link_in_tree(tree: Entries, path: bytes) -> bytes | None:
    entry = tree.get(path)
    return entry.linkname if entry is not None and entry.kind == "symlink" else None


def _link_on_disk(root: Path, path: bytes) -> bytes | None:
    try:
        return os.readlink(os.path.join(os.fsencode(root), path))
    except OSError as error:
        # no link; no such path; something else than a directory on the way
        if error.errno in {errno.EINVAL, errno.ENOENT, errno.ENOTDIR}:
            return None
        raise


def _text(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")
