"""Blobs on their way out: mounted, sent in one piece, or in chunks.

Spec: distribution-spec/spec.md, "Pushing blobs".
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from layers.errors import LayersError, RegistryError, VerificationError
from layers.registry.response import Response, TransportError, join
from layers.registry.transport import Body

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from layers.image import Reader
    from layers.model import Descriptor
    from layers.registry.session import Session

    Open = Callable[[], AbstractContextManager[Reader]]
    Report = Callable[[int], None]

_BLOCK = 256 << 10
_CHUNK = 16 << 20
_MAX_CHUNK = 256 << 20
_TOO_MUCH_AT_ONCE = frozenset({405, 411, 413, 415, 501})
"""Answers of registries, and of proxies before them, that take a blob in chunks only."""
_STORED = frozenset({201, 204})


@dataclass(frozen=True, slots=True)
class Upload:
    """One blob to bring into one repository."""

    session: Session
    registry: str
    repository: str
    descriptor: Descriptor
    open: Open
    report: Report | None = None

    def run(self, mount_from: str = "") -> bool:
        """Bring the blob there; False where it was mounted from ``mount_from`` and nothing was sent.

        Raises:
            VerificationError: the content is not what the descriptor says.
            RegistryError: the registry refuses, or the connection breaks each time.
        """
        location = self._start(mount_from)
        if not location:
            return False
        settings = self.session.settings
        for attempt in range(settings.retries):
            try:
                self._send(location)
            except RegistryError as error:
                if not (isinstance(error, TransportError) or error.status in {408, 416, 429, 500, 502, 503, 504}):
                    raise
                settings.sleep(settings.backoff * 2**attempt)
            else:
                return True
            location = self._start("")
        self._send(location)
        return True

    def _scopes(self, mount_from: str = "") -> tuple[str, ...]:
        scope = (f"repository:{self.repository}:pull,push",)
        return (*scope, f"repository:{mount_from}:pull") if mount_from else scope

    def _request(
        self,
        method: str,
        target: str,
        *,
        expect: frozenset[int],
        scopes: tuple[str, ...] = (),
        headers: dict[str, str] | None = None,
        body: bytes | Body | None = None,
        attempts: int | None = None,
    ) -> Response:
        return self.session.request(
            self.registry,
            method,
            target,
            what=f"{self.registry}/{self.repository}",
            scopes=scopes or self._scopes(),
            expect=expect,
            headers=headers,
            body=body,
            attempts=attempts,
        )

    def _start(self, mount_from: str) -> str:
        """Open an upload session and give its URL; ``""`` where the blob could be mounted instead."""
        path = f"/v2/{self.repository}/blobs/uploads/"
        if mount_from:
            path += "?" + urlencode({"mount": str(self.descriptor.digest), "from": mount_from})
        try:
            expect = frozenset({201, 202} if mount_from else {202})
            response = self._request("POST", path, expect=expect, scopes=self._scopes(mount_from))
        except LayersError:
            if not mount_from:
                raise
            return self._start("")  # no right to read the other repository is no reason to fail
        with response:
            return "" if response.status == 201 else _location(response)

    def _send(self, location: str) -> None:
        body = Body(self.descriptor.size, self._chunks)
        target = _with_digest(location, self.descriptor)
        headers = {"Content-Type": "application/octet-stream"}
        expect = _STORED | _TOO_MUCH_AT_ONCE | {404}
        try:
            response = self._request("PUT", target, expect=expect, headers=headers, body=body, attempts=1)
        except BaseException as error:
            self._cancel(location, error)
            raise
        with response:
            if response.status in _STORED:
                self._check_stored(response)
                return
            self._check_session(response)
        self._cancel(location)
        self._send_chunked()

    def _chunks(self) -> Iterator[bytes]:
        """Give the content, as many bytes as the descriptor says and no other."""
        done = 0
        with self.open() as source:
            while data := source.read(_BLOCK):
                done += len(data)
                if done > self.descriptor.size:
                    break
                yield data
                if self.report:
                    self.report(done)
        if done != self.descriptor.size:
            what = f"blob {self.descriptor.digest} has another size"
            raise VerificationError(what, expected=self.descriptor.size, actual=done)

    def _send_chunked(self) -> None:
        response = self._request("POST", f"/v2/{self.repository}/blobs/uploads/", expect=frozenset({202}))
        with response:
            location, smallest = _location(response), response.header("OCI-Chunk-Min-Length")
        size = max(_CHUNK, int(smallest)) if re.fullmatch("[0-9]{1,12}", smallest) else _CHUNK
        try:
            offset = 0
            for chunk in _regroup(self._chunks(), min(size, _MAX_CHUNK)):
                location = self._patch(location, offset, chunk)
                offset += len(chunk)
            target = _with_digest(location, self.descriptor)
            with self._request("PUT", target, expect=_STORED | {404}, attempts=1) as response:
                self._check_session(response)
                self._check_stored(response)
        except BaseException as error:
            self._cancel(location, error)
            raise

    def _patch(self, location: str, offset: int, chunk: bytes) -> str:
        """Send one chunk and give the URL for the next."""
        end = offset + len(chunk)
        headers = {"Content-Type": "application/octet-stream", "Content-Range": f"{offset}-{end - 1}"}
        response = self._request(
            "PATCH", location, expect=frozenset({202, 404}), headers=headers, body=chunk, attempts=1
        )
        with response:
            self._check_session(response)
            stored = re.fullmatch(r"(?:bytes=)?0-([0-9]{1,19})", response.header("Range"))
            if stored and int(stored[1]) != end - 1:
                raise TransportError(f"the upload session has {int(stored[1]) + 1} bytes, {end} were sent")
            return _location(response)

    def _check_session(self, response: Response) -> None:
        if response.status == 404:
            raise TransportError(f"{self.registry}/{self.repository}: the registry lost the upload")

    def _check_stored(self, response: Response) -> None:
        stored = response.header("Docker-Content-Digest")
        if stored.startswith(f"{self.descriptor.digest.algorithm}:") and stored != str(self.descriptor.digest):
            raise VerificationError("the registry stored another blob", expected=self.descriptor.digest, actual=stored)

    def _cancel(self, location: str, error: BaseException | None = None) -> None:
        """Tell the registry that nothing more comes, where it can be told; it finds out by itself, later."""
        if not isinstance(error, TransportError):
            with contextlib.suppress(LayersError):
                self._request("DELETE", location, expect=frozenset(range(200, 600)), attempts=1).close()


def _location(response: Response) -> str:
    location = response.header("Location")
    if not location:
        raise RegistryError(f"POST {response.url}: opens an upload and does not say where")
    target = join(response.url, location)
    if response.url.startswith("https:") and not target.startswith("https:"):
        hint = "behind a proxy, the registry needs X-Forwarded-Proto, or relative URLs switched on"
        raise RegistryError("the registry serves https and wants the blob sent by plain HTTP", hint=hint)
    return target


def _with_digest(location: str, descriptor: Descriptor) -> str:
    return f"{location}{'&' if '?' in location else '?'}digest={quote(str(descriptor.digest), safe='')}"


def _regroup(pieces: Iterator[bytes], size: int) -> Iterator[bytes]:
    """Give the same bytes in blocks of ``size``, the last one shorter; none is empty."""
    buffer = bytearray()
    for piece in pieces:
        buffer += piece
        while len(buffer) >= size:
            yield bytes(buffer[:size])
            del buffer[:size]
    if buffer:
        yield bytes(buffer)
