"""Temporary directories that go when who uses them does, and those of killed processes."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from layers.store.files import disk_errors

if TYPE_CHECKING:
    from collections.abc import Iterator

SCRATCH = "build-"
"""How the names of scratch directories begin, where nothing else is said."""


@contextmanager
def scratch_directory(parent: Path, prefix: str = SCRATCH) -> Iterator[Path]:
    """Give a directory below ``parent`` that is removed at the end, unless it got another name meanwhile.

    Those that killed processes left go first. Who uses a directory holds a lock on it, which the kernel takes back when
    the process ends.

    Raises:
        StoreError: none can be made.
    """
    with disk_errors("make a directory in", parent):
        parent.mkdir(parents=True, exist_ok=True)
        for each in abandoned(parent, prefix):
            shutil.rmtree(each, ignore_errors=True)
        path, descriptor = _locked(parent, prefix)
    try:
        yield path
    finally:
        os.close(descriptor)
        shutil.rmtree(path, ignore_errors=True)


def _locked(parent: Path, prefix: str) -> tuple[Path, int]:
    """Make a directory and give it with the descriptor that holds its lock."""
    while True:
        path = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        try:
            with contextlib.suppress(FileNotFoundError):  # before it was locked somebody took it for abandoned
                return path, _lock(path)
        except BaseException:
            with contextlib.suppress(OSError):
                path.rmdir()
            raise


def _lock(path: Path) -> int:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        path.stat()  # it is there still
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def abandoned(parent: Path, prefix: str = SCRATCH) -> Iterator[Path]:
    """Give the scratch directories below ``parent`` that nobody uses, each locked until the next one is asked for."""
    for path in parent.glob(f"{prefix}*"):
        with contextlib.suppress(OSError):
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                yield path
            finally:
                os.close(descriptor)
