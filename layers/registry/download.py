"""Blobs as they come: verified, and resumed where a connection breaks.

Spec: distribution-spec/spec.md, "Pulling blobs"; RFC 9110, section 14 (ranges).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO, cast

from layers.digest import VerifyingReader
from layers.errors import RegistryError, VerificationError
from layers.registry.response import Response, TransportError, public_url

if TYPE_CHECKING:
    from collections.abc import Iterator

    from layers.image import Held, Reader
    from layers.model import Descriptor
    from layers.registry.settings import Settings

_BLOCK = 256 << 10
_WORTH_A_RETRY = 1 << 20
"""Bytes between two breaks that count as progress, after which all retries are there again."""

Fetch = Callable[[int], Response]
"""Gives the answer with a blob's bytes from an offset on: status 206, or 200 and the whole of it."""


class BlobReader:
    """One blob's bytes, over as many connections as it takes."""

    def __init__(self, descriptor: Descriptor, fetch: Fetch, settings: Settings, offset: int = 0) -> None:
        self._descriptor = descriptor
        self._fetch = fetch
        self._settings = settings
        self._offset = offset
        self._failures = 0
        self._last_break = offset
        if offset:
            self._go_on()
            return
        self._response = fetch(0)
        promised = self._response.length
        if promised is not None and promised != descriptor.size:
            self._response.close()
            raise VerificationError(
                f"blob {descriptor.digest} has another size", expected=descriptor.size, actual=promised
            )

    def _go_on(self) -> None:
        """Ask for what follows bytes of another time.

        Raises:
            VerificationError: the registry has nothing to follow them.
        """
        try:
            self._response = self._fetch(self._offset)
            try:
                self._arrive()
            except TransportError as error:
                self._resume(error)
        except RegistryError as error:
            if isinstance(error, TransportError) or error.status not in {None, 416}:
                raise
            what = f"blob {self._descriptor.digest} cannot be gone on with"
            raise VerificationError(what, expected=f"bytes {self._offset}-", actual=error.message) from error

    def read(self, size: int = -1, /) -> bytes:
        """Give up to ``size`` bytes, and of more than the blob has one: who verifies sees by that what it is.

        Raises:
            TransportError: the connection broke again and again.
        """
        if size < 0:
            return b"".join(iter(lambda: self.read(_BLOCK), b""))
        size = min(size, self._descriptor.size + 1 - self._offset)
        while True:
            try:
                data = self._read(size)
            except TransportError as error:
                self._resume(error)
            else:
                self._offset += len(data)
                return data

    def _read(self, size: int) -> bytes:
        data = self._response.read(size)
        if not data and size and self._offset < self._descriptor.size:
            url = public_url(self._response.url)
            raise TransportError(f"GET {url}: ended after {self._offset} of {self._descriptor.size} bytes")
        return data

    def _resume(self, error: TransportError) -> None:
        """Go on from where it broke; a server without ranges starts again, and what is known is passed over."""
        while True:
            self._response.close()
            if self._offset - self._last_break >= _WORTH_A_RETRY:
                self._failures = 0
            self._last_break = self._offset
            self._failures += 1
            if self._failures > self._settings.retries:
                raise error
            self._settings.sleep(self._settings.backoff * 2 ** (self._failures - 1))
            try:
                self._response = self._fetch(self._offset)
                self._arrive()
            except TransportError as again:
                error = again
            else:
                return

    def _arrive(self) -> None:
        """Come to where it goes on."""
        if self._response.status == 206:
            self._check_range()
        else:
            self._skip(self._offset)

    def _check_range(self) -> None:
        text = self._response.header("Content-Range")
        found = re.fullmatch(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19}|\*)", text)
        total = self._descriptor.size
        if found is None or int(found[1]) != self._offset or found[3] not in {"*", str(total)}:
            self._response.close()
            url = public_url(self._response.url)
            raise RegistryError(f"GET {url}: asked for bytes {self._offset}-, got {text[:80]!r}")

    def _skip(self, left: int) -> None:
        while left:
            data = self._response.read(min(left, _BLOCK))
            if not data:
                raise TransportError(f"GET {public_url(self._response.url)}: ended early")
            left -= len(data)

    def close(self) -> None:
        self._response.close()


class _Watched:
    """Tells how far reading has come."""

    def __init__(self, source: Reader, report: Callable[[int], None], done: int) -> None:
        self._source = source
        self._report = report
        self._done = done

    def read(self, size: int = -1, /) -> bytes:
        data = self._source.read(size)
        self._done += len(data)
        if data:
            self._report(self._done)
        return data


@contextmanager
def open_blob(
    descriptor: Descriptor,
    fetch: Fetch,
    settings: Settings,
    report: Callable[[int], None] | None = None,
    held: Held | None = None,
) -> Iterator[Reader]:
    """Open a blob: bytes are verified as they are read, and ``report`` is told how many there were.

    What is ``held`` is read and verified first, and not given.
    """
    done = held.size if held else 0
    source = _Joined(held.reader if held and done else BlobReader(descriptor, fetch, settings))
    # the reader needs no more of a file than read and close
    with VerifyingReader(cast("BinaryIO", source), descriptor.digest, descriptor.size) as verifying:
        while verifying.size < done:
            verifying.read(min(done - verifying.size, _BLOCK))
        if 0 < done < descriptor.size:
            source.current = BlobReader(descriptor, fetch, settings, done)
        if report and done:
            report(done)
        yield _Watched(verifying, report, done) if report else verifying


class _Joined:
    """What is held of a blob, and then what comes."""

    def __init__(self, first: Reader) -> None:
        self.current = first

    def read(self, size: int = -1, /) -> bytes:
        return self.current.read(size)

    def close(self) -> None:
        if isinstance(self.current, BlobReader):
            self.current.close()
