"""Content by digest, on disk or in memory.

Spec: image-spec/image-layout.md, "Blobs".

What survives: a blob is written under a temporary name and renamed, so a killed process leaves a whole blob or none.
After a power failure a blob may be empty or cut short, unless :meth:`DiskBlobs.flush` had been called; a layout does so
before it writes a name, so that what has a name is whole. Other blobs are noticed by their size and their digest.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import secrets
import threading
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Protocol, cast

from layers.digest import Digest, VerifyingReader
from layers.errors import InvalidError, NotFoundError, StoreError, VerificationError
from layers.store.files import disk_errors, sync_path

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import BinaryIO


_SYNC_AFTER = 64 * 1024 * 1024
"""Bytes after which a blob begins to be brought to the disk; smaller ones wait for the flush."""


_SPOILT = "repair the store (pybuild fsck --repair): what is deleted is made or pulled anew when it is needed"


class BlobWriter(Protocol):
    """One blob on its way in; what is not committed is forgotten."""

    def write(self, data: bytes | memoryview, /) -> int:
        """Write all of ``data``.

        Raises:
            StoreError: the disk refuses.
        """

    def commit(self, digest: Digest | None = None, size: int | None = None) -> Digest:
        """Make the blob readable under its digest, and give that; nothing happens where it is there already.

        Raises:
            VerificationError: the content has another digest or size than promised.
            StoreError: the disk refuses.
        """


class BlobStore(Protocol):
    """Content by digest."""

    def has(self, digest: Digest, size: int | None = None) -> bool:
        """Tell whether the blob is there, and of that size where one is given; the content is not looked at."""

    def size(self, digest: Digest) -> int:
        """Give the blob's size in bytes.

        Raises:
            NotFoundError: no blob has this digest.
        """

    def open(self, digest: Digest, size: int | None = None) -> VerifyingReader:
        """Open a blob; its bytes are verified as they are read.

        Read to the end: a wrong byte is known only there.

        Raises:
            NotFoundError: no blob has this digest.
            VerificationError: it has another size; or, by the reader at the end, other content.
        """

    def write(self, *, hashing: bool = True) -> AbstractContextManager[BlobWriter]:
        """Start a blob; it is there once it is committed.

        Without ``hashing`` the caller, who has hashed the bytes already, vouches for the digest it commits with.
        """

    def put(self, content: bytes) -> Digest:
        """Store these bytes and give their digest."""

    def delete(self, digest: Digest) -> int:
        """Delete a blob and give its size; 0 where there is none."""

    def list(self) -> Iterator[Digest]:
        """Give every blob's digest, in no order."""


class _Tally:
    """Count what passes, hash it where wanted, and hold both against what was promised."""

    def __init__(self, *, hashing: bool, size: int = 0) -> None:
        self._hash = hashlib.sha256() if hashing else None
        self.size = size

    def add(self, data: bytes | memoryview) -> None:
        if self._hash is not None:
            self._hash.update(data)
        self.size += len(data)

    def check(self, digest: Digest | None, size: int | None) -> Digest:
        if size is not None and size != self.size:
            raise VerificationError(f"blob {digest or ''} has another size", expected=size, actual=self.size)
        if self._hash is None:
            if digest is None:
                raise InvalidError("a blob written without hashing needs a digest to be committed")
            return digest
        actual = Digest("sha256", self._hash.hexdigest())
        if digest is not None and digest != actual:
            raise VerificationError("blob has other content", expected=digest, actual=actual)
        return actual


class DiskBlobs:
    """Blobs as the files ``blobs/<algorithm>/<encoded>`` under a directory; may be used from several threads."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._temporary = root / "tmp"
        self._unsynced: set[Path] = set()
        self._guard = threading.Lock()

    def path(self, digest: Digest) -> Path:
        """Give the file that holds the blob, or would."""
        return self.root / "blobs" / digest.algorithm / digest.encoded

    def temporary(self) -> Path:
        """Give a new name in the directory of what is not finished; nothing is made there.

        Raises:
            StoreError: the disk refuses the directory.
        """
        with disk_errors("make", self._temporary):
            self._temporary.mkdir(parents=True, exist_ok=True)
        return self._temporary / f"{os.getpid()}-{secrets.token_hex(8)}"

    def has(self, digest: Digest, size: int | None = None) -> bool:
        try:
            actual = os.stat(self.path(digest)).st_size
        except OSError:
            return False
        return size is None or size == actual

    def size(self, digest: Digest) -> int:
        try:
            return os.stat(self.path(digest)).st_size
        except FileNotFoundError:
            raise self._missing(digest) from None

    def open(self, digest: Digest, size: int | None = None) -> VerifyingReader:
        path = self.path(digest)
        try:
            with disk_errors("read", path):
                file = open(path, "rb", buffering=0)  # noqa: SIM115 - the reader closes it
        except StoreError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                raise self._missing(digest) from None
            raise
        actual = os.fstat(file.fileno()).st_size
        if size is not None and size != actual:
            file.close()
            raise VerificationError(f"blob {path} has another size", expected=size, actual=actual, hint=_SPOILT)
        return VerifyingReader(cast("BinaryIO", file), digest, actual, what=f"blob in {self.root}", hint=_SPOILT)

    @contextmanager
    def write(self, *, hashing: bool = True) -> Iterator[BlobWriter]:
        temporary = self.temporary()
        descriptor = -1
        try:  # around all of it: Ctrl-C may come when the file has just been made
            with disk_errors("write", temporary):
                descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
            yield DiskWriter(self, temporary, descriptor, hashing=hashing)
        finally:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            if descriptor >= 0:
                os.close(descriptor)

    def put(self, content: bytes) -> Digest:
        digest = Digest.of(content)
        if not self.has(digest, len(content)):
            with self.write(hashing=False) as writer:
                writer.write(content)
                writer.commit(digest)
        return digest

    def delete(self, digest: Digest) -> int:
        path = self.path(digest)
        with disk_errors("delete", path):
            try:
                size = os.stat(path).st_size
                os.unlink(path)
            except FileNotFoundError:
                return 0
        return size

    def list(self) -> Iterator[Digest]:
        """Give every blob's digest, in no order; files of other names are passed over."""
        for algorithm in ("sha256", "sha384", "sha512"):
            try:
                names = os.listdir(self.root / "blobs" / algorithm)
            except FileNotFoundError:
                continue
            for name in names:
                with contextlib.suppress(InvalidError):
                    yield Digest.parse(f"{algorithm}:{name}")

    def flush(self) -> None:
        """Wait until every blob that this object has written is on disk.

        Raises:
            StoreError: the disk refuses.
        """
        with self._guard:
            paths, self._unsynced = self._unsynced, set()
        if not paths:
            return
        from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - a build that changes nothing needs none

        with disk_errors("write", self.root / "blobs"), ThreadPoolExecutor(8) as pool:
            list(pool.map(sync_path, paths))
            list(pool.map(sync_path, {path.parent for path in paths}))

    def adopt(self, temporary: Path, digest: Digest) -> None:
        """Take a finished file of :meth:`temporary`'s naming as the blob of a digest that the caller vouches for.

        Raises:
            StoreError: the disk refuses.
        """
        path = self.path(digest)
        with disk_errors("write", path):
            path.parent.mkdir(parents=True, exist_ok=True)
            os.rename(temporary, path)
        with self._guard:
            self._unsynced.add(path)

    def _missing(self, digest: Digest) -> NotFoundError:
        return NotFoundError(f"no blob {digest} in {self.root}")


class DiskWriter:
    """A blob on its way into a file of this directory, of which ``held`` bytes are there already."""

    def __init__(self, blobs: DiskBlobs, temporary: Path, descriptor: int, *, hashing: bool, held: int = 0) -> None:
        self._tally = _Tally(hashing=hashing, size=held)
        self._blobs = blobs
        self._path = temporary
        self._descriptor = descriptor
        self._unsynced = 0
        self._syncing: threading.Thread | None = None
        self._refused: OSError | None = None

    def write(self, data: bytes | memoryview, /) -> int:
        self._tally.add(data)
        written = 0
        with disk_errors("write", self._path):
            while written < len(data):
                written += os.write(self._descriptor, data[written:] if written else data)
        self._unsynced += written
        if self._unsynced >= _SYNC_AFTER and (self._syncing is None or not self._syncing.is_alive()):
            self._unsynced = 0
            self._syncing = threading.Thread(target=self._sync, args=(os.dup(self._descriptor),), daemon=True)
            self._syncing.start()
        return written

    def _sync(self, descriptor: int) -> None:
        """Bring to the disk what is written so far, while more is made: in the end there is less to wait for."""
        try:
            os.fdatasync(descriptor)
        except OSError as error:  # it is told once only, so that a later flush would not know
            self._refused = error
        finally:
            os.close(descriptor)

    def commit(self, digest: Digest | None = None, size: int | None = None) -> Digest:
        actual = self._tally.check(digest, size)
        if self._syncing is not None:
            self._syncing.join()
        if self._refused is not None:
            with disk_errors("write", self._path):
                raise self._refused
        if not self._blobs.has(actual, self._tally.size):
            self._blobs.adopt(self._path, actual)
        return actual


class MemoryBlobs:
    """Blobs in a dictionary: for small images and for tests."""

    def __init__(self) -> None:
        self._content: dict[Digest, bytes] = {}

    def has(self, digest: Digest, size: int | None = None) -> bool:
        content = self._content.get(digest)
        return content is not None and (size is None or size == len(content))

    def size(self, digest: Digest) -> int:
        return len(self._get(digest))

    def open(self, digest: Digest, size: int | None = None) -> VerifyingReader:
        content = self._get(digest)
        if size is not None and size != len(content):
            raise VerificationError(f"blob {digest} has another size", expected=size, actual=len(content))
        return VerifyingReader(io.BytesIO(content), digest, len(content))

    @contextmanager
    def write(self, *, hashing: bool = True) -> Iterator[BlobWriter]:
        yield _MemoryWriter(self._content, hashing=hashing)

    def put(self, content: bytes) -> Digest:
        digest = Digest.of(content)
        self._content.setdefault(digest, content)
        return digest

    def delete(self, digest: Digest) -> int:
        return len(self._content.pop(digest, b""))

    def list(self) -> Iterator[Digest]:
        yield from tuple(self._content)

    def _get(self, digest: Digest) -> bytes:
        try:
            return self._content[digest]
        except KeyError:
            raise NotFoundError(f"no blob {digest} in memory") from None


class _MemoryWriter:
    def __init__(self, content: dict[Digest, bytes], *, hashing: bool) -> None:
        self._tally = _Tally(hashing=hashing)
        self._content = content
        self._parts: list[bytes] = []

    def write(self, data: bytes | memoryview, /) -> int:
        self._tally.add(data)
        self._parts.append(bytes(data))
        return len(data)

    def commit(self, digest: Digest | None = None, size: int | None = None) -> Digest:
        actual = self._tally.check(digest, size)
        self._content[actual] = b"".join(self._parts)
        return actual
