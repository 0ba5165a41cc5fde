"""The directories of ``RUN --mount=type=cache``: kept from build to build, never part of a layer.

<directory>/<hash of the name>[.N]/data    what steps see
<directory>/<hash of the name>[.N]/name    the name; its time is that of the last use
<directory>/<hash of the name>[.N].lock    held by who uses it: shared or exclusively
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import time
from typing import TYPE_CHECKING, Literal, NamedTuple

from layers.store.scratch import scratch_directory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

Sharing = Literal["shared", "private", "locked"]
_PATIENCE = 0.05
"""Seconds between two looks at whether a directory is free."""


class CacheMount(NamedTuple):
    """A directory that is kept."""

    path: Path
    name: str
    last_used: float
    """Seconds since 1970."""


class CacheMounts:
    """The directories of one store and one kind of namespace: the same user has other ids on disk in another."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    @contextlib.contextmanager
    def use(
        self, name: str, sharing: Sharing, *, make: Callable[[Path], None], wait: Callable[[], None]
    ) -> Iterator[Path]:
        """Give the directory of a name for as long as the ``with`` block lasts.

        Args:
            name: what it is known by.
            sharing: ``shared`` with whoever else shares it; ``locked`` waits until nobody has it, and has it alone;
                ``private`` has it alone, or another one of that name where somebody has this one.
            make: fills the new, empty directory when there is none yet; it is seen once it is whole.
            wait: called from time to time while somebody else has the directory; may raise to give up.
        """
        self._directory.mkdir(parents=True, exist_ok=True)
        path = self._directory / hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:32]
        number = 0
        while True:
            wanted = path.with_name(f"{path.name}.{number}") if number else path
            lock = _lock(wanted, exclusive=sharing != "shared")
            if lock is not None:
                break
            if sharing == "private":
                number += 1
                continue
            wait()
            time.sleep(_PATIENCE)
        try:
            self._prepare(wanted, name, make)
            yield wanted / "data"
        finally:
            os.close(lock)

    def _prepare(self, path: Path, name: str, make: Callable[[Path], None]) -> None:
        if not (path / "data").is_dir():
            with scratch_directory(self._directory, ".new-") as made:
                (made / "data").mkdir(0o755)
                (made / "data").chmod(0o755)
                make(made / "data")
                (made / "name").write_bytes(name.encode("utf-8", "surrogateescape"))
                with contextlib.suppress(OSError):  # somebody who shares it was faster
                    made.rename(path)
        os.utime(path / "name")

    def list(self) -> list[CacheMount]:
        """Give all directories, the one used last at the end."""
        found = []
        for path in self._directory.glob("[!.]*/name"):
            with contextlib.suppress(OSError):
                name = path.read_bytes().decode("utf-8", "surrogateescape")
                found.append(CacheMount(path.parent, name, path.stat().st_mtime))
        return sorted(found, key=lambda each: each.last_used)

    def remove(self, mount: CacheMount) -> bool:
        """Remove a directory and all it holds; say whether it is gone, which one in use is not."""
        lock = _lock(mount.path, exclusive=True)
        if lock is None:
            return False
        try:
            shutil.rmtree(mount.path, ignore_errors=True)
            return not mount.path.exists()
        finally:
            os.close(lock)


def _lock(path: Path, *, exclusive: bool) -> int | None:
    """Give a descriptor that holds the lock; None where somebody else does."""
    descriptor = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
