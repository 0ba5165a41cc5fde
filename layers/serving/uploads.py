"""Blobs on their way in, in as many requests as the client likes.

Spec: distribution-spec/spec.md, "Pushing blobs".
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from layers.digest import Digest
from layers.serving.refusal import RefusalError
from layers.store.files import disk_errors

if TYPE_CHECKING:
    from collections.abc import Iterator

    from layers.store.blobs import DiskBlobs

_CHUNK = 1 << 20


class Source(Protocol):
    """The body of a request."""

    def read(self, size: int, /) -> bytes:
        """Give up to ``size`` bytes, and none at the end."""


class Upload:
    """One blob on its way in: a temporary file, and the digest of what is in it so far."""

    def __init__(self, blobs: DiskBlobs, repository: str, algorithm: str) -> None:
        """Begin one; ``algorithm`` is that of the digest which it will probably be finished with.

        Raises:
            StoreError: the disk refuses.
        """
        self.id = secrets.token_hex(16)
        self.repository = repository
        self.size = 0
        self.used = time.monotonic()
        self.lock = threading.Lock()
        """Held by the request that is at it."""
        self._blobs = blobs
        self._hash = hashlib.new(algorithm)
        self._path = blobs.temporary()
        with disk_errors("write", self._path):
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)

    def append(self, body: Source) -> None:
        """Add all that a request brings; what came before the connection broke stays.

        Raises:
            StoreError: the disk refuses.
        """
        while data := body.read(_CHUNK):
            with disk_errors("write", self._path):
                view = memoryview(data)
                while view:
                    view = view[os.write(self._file, view) :]
            self._hash.update(data)
            self.size += len(data)
            self.used = time.monotonic()

    def finish(self, digest: Digest) -> None:
        """Make the blob readable, if its content is what the client says.

        Raises:
            RefusalError: it is not.
            StoreError: the disk refuses.
        """
        actual = self._digest(digest.algorithm)
        if actual != digest:
            raise RefusalError(400, "DIGEST_INVALID", f"the content's digest is {actual}, not {digest}")
        if not self._blobs.has(digest, self.size):
            self._blobs.adopt(self._path, digest)

    def _digest(self, algorithm: str) -> Digest:
        if algorithm != self._hash.name:  # nobody had said so
            self._hash = hashlib.new(algorithm)
            at = 0
            with disk_errors("read", self._path):
                while data := os.pread(self._file, _CHUNK, at):
                    self._hash.update(data)
                    at += len(data)
        return Digest(algorithm, self._hash.hexdigest())

    def close(self) -> None:
        """Forget what has not become a blob."""
        with contextlib.suppress(OSError):
            os.unlink(self._path)
        os.close(self._file)


class Uploads:
    """All uploads under way; may be used from several threads."""

    def __init__(self, blobs: DiskBlobs, limit: int) -> None:
        self._blobs = blobs
        self._limit = limit
        self._guard = threading.Lock()
        self._open: dict[str, Upload] = {}

    def begin(self, repository: str, algorithm: str = "sha256") -> Upload:
        """Begin an upload.

        Raises:
            RefusalError: there are too many.
            StoreError: the disk refuses.
        """
        with self._guard:
            if len(self._open) >= self._limit:
                message = f"{self._limit} uploads are under way already"
                raise RefusalError(429, "TOOMANYREQUESTS", message, headers={"Retry-After": "5"})
            upload = Upload(self._blobs, repository, algorithm)
            self._open[upload.id] = upload
        return upload

    @contextmanager
    def at(self, repository: str, id_: str) -> Iterator[Upload]:
        """Give the upload that a request goes on with, to it alone.

        Raises:
            RefusalError: there is none of that name in this repository, or another request is at it.
        """
        with self._guard:
            upload = self._open.get(id_)
        if upload is None or upload.repository != repository:
            raise RefusalError(404, "BLOB_UPLOAD_UNKNOWN", "no such upload is under way")
        if not upload.lock.acquire(blocking=False):
            raise RefusalError(409, "BLOB_UPLOAD_INVALID", "another request is at this upload")
        try:
            with self._guard:
                gone = id_ not in self._open
            if gone:
                raise RefusalError(404, "BLOB_UPLOAD_UNKNOWN", "no such upload is under way")
            yield upload
        finally:
            upload.used = time.monotonic()
            upload.lock.release()

    def end(self, upload: Upload) -> None:
        """Forget an upload that is finished or given up; called by who is at it."""
        with self._guard:
            if self._open.pop(upload.id, None) is not None:
                upload.close()

    def expire(self, seconds: float) -> list[str]:
        """Forget what nobody has gone on with for so long, and give the ids."""
        limit = time.monotonic() - seconds
        with self._guard:
            idle = [each for each in self._open.values() if each.used < limit]
        expired = []
        for upload in idle:
            if upload.lock.acquire(blocking=False):
                try:
                    self.end(upload)
                finally:
                    upload.lock.release()
                expired.append(upload.id)
        return expired

    def close(self) -> None:
        """Forget all of them; nobody is at any."""
        with self._guard:
            for upload in self._open.values():
                upload.close()
            self._open.clear()
