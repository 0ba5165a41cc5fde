"""Write small files whole or not at all, know them again, and say in our own words why a disk refused."""

from __future__ import annotations

import errno
import os
import secrets
from contextlib import contextmanager
from hashlib import sha256
from typing import TYPE_CHECKING

from layers.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    Parts = Sequence[bytes | bytearray | memoryview]
    """A content in pieces, so that a large one need not be put together to be written."""

TEMPORARY = ".tmp-"
"""How the names of :func:`temporary_beside` begin."""

_SEAL_SIZE = 66
_HINTS = {
    errno.ENOSPC: "the disk is full: remove images that are not needed, or put the store on a larger disk",
    errno.EDQUOT: "the quota is used up: remove images that are not needed, or put the store on another disk",
    errno.EROFS: "the file system is read-only: put the store elsewhere",
    errno.EACCES: "the store belongs to somebody else: choose a directory of your own",
    errno.EPERM: "the store belongs to somebody else: choose a directory of your own",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
}


@contextmanager
def disk_errors(verb: str, path: Path) -> Iterator[None]:
    """Turn what the operating system says into a StoreError that names the path and how to go on.

    Raises:
        StoreError: in place of OSError.
    """
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise StoreError(f"cannot {verb} {path}: {reason}", hint=_HINTS.get(error.errno or 0, "")) from error


def sealed(content: bytes, purpose: str) -> bytes:
    """Give ``content`` as :func:`unsealed` knows it again, for this purpose and no other."""
    return content + seal_of([content], purpose)


def unsealed(data: bytes | None, purpose: str) -> bytes | None:
    """Give what was sealed for this purpose; None for anything else, such as what a disk has spoilt."""
    if (
        data is None
        or len(data) < _SEAL_SIZE
        or data[-_SEAL_SIZE:] != seal_of([memoryview(data)[:-_SEAL_SIZE]], purpose)
    ):
        return None
    return data[:-_SEAL_SIZE]


def seal_of(parts: Parts, purpose: str) -> bytes:
    """Give what makes these pieces, when it stands behind them, sealed."""
    hashed = sha256(purpose.encode() + b"\0")
    for part in parts:
        hashed.update(part)
    return b"\n%s\n" % hashed.hexdigest().encode()


def temporary_beside(path: Path) -> Path:
    """Give a new name beside ``path`` for what shall become it; what a killed process leaves of these is swept away."""
    return path.with_name(f"{TEMPORARY}{os.getpid()}-{secrets.token_hex(8)}")


def replace_file(path: Path, content: bytes | Parts, temporary: Path, *, sync: bool = False) -> None:
    """Put ``content`` at ``path`` by way of ``temporary``, a name of this thread's own on the same file system.

    A reader sees the old content or the new. With ``sync``, so does who looks after a power failure.

    Raises:
        StoreError: the disk refuses.
    """
    parts = [content] if isinstance(content, bytes) else content
    with disk_errors("write", path):
        try:
            _write(temporary, parts, sync=sync)
            try:
                os.rename(temporary, path)
            except FileNotFoundError:  # somebody who repairs the store took it for left over; no one does so twice
                _write(temporary, parts, sync=sync)
                os.rename(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        if sync:
            sync_path(path.parent)


def _write(path: Path, parts: Parts, *, sync: bool) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    with open(descriptor, "wb") as file:
        file.writelines(parts)
        if sync:
            file.flush()
            os.fsync(file.fileno())


def sync_path(path: Path) -> None:
    """Wait until a file or directory is on disk; one that is gone needs no waiting."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
