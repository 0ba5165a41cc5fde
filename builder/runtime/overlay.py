"""Mount an overlay: lower directories, seen through one that takes the changes.

Spec: Documentation/filesystems/overlayfs.rst of the kernel.
"""

from __future__ import annotations

import contextlib
import errno
import os
from typing import TYPE_CHECKING

from builder.errors import IsolationError
from builder.runtime import syscalls

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_PLAIN = "metacopy=off,index=off"
"""What makes an upper directory readable on its own: no file of metadata only; and no moved directory without its
content, which ``userxattr`` already excludes and refuses to have excluded."""


def overlay(
    lowers: Sequence[Path], target: Path, *, upper: Path, work: Path, userxattr: bool, devices: bool = True
) -> None:
    """Mount ``lowers``, top first, below ``upper`` at ``target``.

    ``upper`` and the empty ``work`` are on one file system. With ``userxattr`` the marks of opaque directories are
    ``user.overlay.`` attributes, as a user namespace needs. Without ``devices``, device files there cannot be opened.

    Raises:
        IsolationError: the kernel refuses, with its reason.
    """
    with contextlib.ExitStack() as stack:

        def short(path: Path) -> str:
            # A page is all that options may fill. These names are short, and have nothing that needs quoting.
            descriptor = os.open(path, os.O_PATH | os.O_DIRECTORY)
            stack.callback(os.close, descriptor)
            return f"/proc/self/fd/{descriptor}"

        options = f"lowerdir={':'.join(map(short, lowers))},upperdir={short(upper)},workdir={short(work)}"
        options += ",userxattr" if userxattr else ",redirect_dir=off"
        if len(options) > syscalls.MOUNT_DATA_LIMIT - len(f",{_PLAIN},volatile"):
            raise IsolationError(
                f"{len(lowers)} directories are too many for one overlay", hint="squash the base image"
            )
        _mount(options, target, 0 if devices else syscalls.MS_NODEV)


def _mount(options: str, target: Path, flags: int) -> None:
    # Volatile leaves out every fsync: what a crash may spoil is unpacked again, see unpacked.py.
    attempts = [f"{options},{_PLAIN},volatile", f"{options},{_PLAIN}", options]
    for attempt in attempts:
        try:
            syscalls.mount("overlay", str(target), "overlay", flags, attempt.encode())
        except OSError as error:
            if error.errno != errno.EINVAL or attempt is attempts[-1]:
                raise IsolationError(f"an overlay cannot be mounted: {error}", hint=_hint(error)) from error
        else:
            return


def _hint(error: OSError) -> str:
    if error.errno == errno.EINVAL:
        return "directories on an overlay (inside a container) or on NFS cannot be used: choose another --root"
    if error.errno == errno.ENODEV:
        return "the kernel module overlay is missing"
    return "overlays in user namespaces need Linux 5.11"
