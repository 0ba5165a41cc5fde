"""A context's directory as steps may see it, without a copy: what an ignore file hides is whited out above it."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from builder.context.select import Selected


def hidden_paths(directory: Path, selected: Selected) -> list[bytes] | None:
    """Give what lies in a directory and is not selected, without what is below it.

    Args:
        directory: the directory that is selected, on this machine.
        selected: what a step may see of it.

    Returns:
        None where something that is selected does not belong to root, as files of a context are shown.
    """
    top = os.fsencode(directory)
    info = os.lstat(top)
    if info.st_uid or info.st_gid:
        return None
    visible = {change.path for change in selected.walk()}
    hidden: list[bytes] = []
    waiting = [b""]
    while waiting:
        prefix = waiting.pop()
        with os.scandir(os.path.join(top, prefix)) as entries:
            for entry in entries:
                path = prefix + entry.name
                if path not in visible:
                    hidden.append(path)
                    continue
                info = entry.stat(follow_symlinks=False)
                if info.st_uid or info.st_gid:
                    return None
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(path + b"/")
    return hidden


def make_mask(directory: Path, hidden: list[bytes], mask: Path) -> None:
    """Make an empty directory into one that hides these paths when it lies above ``directory`` in an overlay.

    Raises:
        OSError: whiteouts cannot be made here.
    """
    top, made = os.fsencode(directory), {b""}
    for path in hidden:
        parts = path.split(b"/")
        for i in range(1, len(parts)):
            above = b"/".join(parts[:i])
            if above not in made:
                os.mkdir(os.path.join(os.fsencode(mask), above), 0o700)
                made.add(above)
        os.mknod(os.path.join(os.fsencode(mask), path), stat.S_IFCHR, os.makedev(0, 0))
    # A merged directory shows what its uppermost one has; those of a context belong to root, as these do.
    for path in sorted(made, reverse=True):
        info = os.stat(os.path.join(top, path) if path else top)
        target = os.path.join(os.fsencode(mask), path) if path else os.fsencode(mask)
        os.chmod(target, stat.S_IMODE(info.st_mode))
        os.utime(target, ns=(info.st_atime_ns, info.st_mtime_ns))
