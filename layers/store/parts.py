"""Blobs that have come in part: kept until they are whole, also by another process after this one was killed.

``partial/<algorithm>/<encoded>`` holds the first bytes of a blob, as they came. Nobody has verified them: who goes on
hashes them with the rest. The file is locked while somebody writes to it; a second download of the same blob at the
same time does without.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from layers.errors import StoreError
from layers.image import Held
from layers.store.blobs import DiskWriter
from layers.store.files import disk_errors

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from layers.digest import Digest
    from layers.store.blobs import BlobWriter, DiskBlobs

DIRECTORY = "partial"


class Part(NamedTuple):
    """A blob to go on with."""

    held: Held
    """What came before."""
    writer: BlobWriter
    """Takes what follows that."""


def part_path(root: Path, digest: Digest) -> Path:
    """Give the file that holds the beginning of a blob, or would."""
    return root / DIRECTORY / digest.algorithm / digest.encoded


def discard(root: Path, digest: Digest) -> None:
    """Forget what came of a blob: it was not the blob's.

    Raises:
        StoreError: the disk refuses.
    """
    path = part_path(root, digest)
    with disk_errors("delete", path):
        path.unlink(missing_ok=True)


@contextmanager
def resume(blobs: DiskBlobs, digest: Digest, size: int) -> Iterator[Part]:
    """Go on with a blob of that many bytes; what was written stays where the block ends before it is committed.

    Raises:
        StoreError: the disk refuses.
    """
    path = part_path(blobs.root, digest)
    descriptor = _claim(path)
    if descriptor is None:
        with blobs.write(hashing=False) as writer:
            yield Part(Held(io.BytesIO(), 0), writer)
        return
    try:
        there = os.fstat(descriptor).st_size
        with disk_errors("write", path):
            if there > size:
                os.ftruncate(descriptor, 0)
                there = 0
            os.lseek(descriptor, there, os.SEEK_SET)
        with path.open("rb") as held:
            yield Part(Held(held, there), DiskWriter(blobs, path, descriptor, hashing=False, held=there))
    except StoreError:  # a full disk must not stay full of what came in part
        with contextlib.suppress(OSError):
            path.unlink()
        raise
    finally:
        if _is_at(path, descriptor) and (os.fstat(descriptor).st_size == 0 or blobs.has(digest, size)):
            with contextlib.suppress(OSError):
                path.unlink()
        os.close(descriptor)


def _claim(path: Path) -> int | None:
    """Open the file, and make it, for this process alone; None where another has it."""
    with disk_errors("write", path):
        path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                return None
            except BaseException:
                os.close(descriptor)
                raise
            if _is_at(path, descriptor):
                return descriptor
            os.close(descriptor)  # it became a blob, or was deleted, before it was locked


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.lstat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False
