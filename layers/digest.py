"""Digests, and streams that hash and count as bytes pass.

Spec: image-spec/descriptor.md, "Digests" and "Verification".
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Self

from layers.errors import InvalidError, VerificationError
from layers.frozen import frozen

if TYPE_CHECKING:
    from types import TracebackType
    from typing import BinaryIO

_HEX_LENGTHS = {"sha256": 64, "sha384": 96, "sha512": 128}
_DIGEST = re.compile(r"(sha256|sha384|sha512):([0-9a-f]+)")


@frozen(order=True)
class Digest:
    """The name of content: ``algorithm:encoded``."""

    algorithm: str
    encoded: str

    @classmethod
    def parse(cls, text: str) -> Digest:
        """Read ``sha256:<64 hex digits>``; sha384 and sha512 are taken too.

        Raises:
            InvalidError: another algorithm, another length, upper-case digits.
        """
        found = _DIGEST.fullmatch(text)
        if found is None or len(found[2]) != _HEX_LENGTHS[found[1]]:
            raise InvalidError(f"not a digest: {text[:160]!r}", hint="a digest is sha256: and 64 lower-case hex digits")
        return cls(found[1], found[2])

    @classmethod
    def of(cls, content: bytes, algorithm: str = "sha256") -> Digest:
        """Give the digest of these bytes."""
        return cls(algorithm, hashlib.new(algorithm, content).hexdigest())

    @property
    def short(self) -> str:
        """The first twelve digits, as lists of images show them."""
        return self.encoded[:12]

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.encoded}"


class HashingReader:
    """Read a stream whose digest nobody knows yet, hashing (sha256) and counting what passes."""

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self._hash = hashlib.sha256()
        self.size = 0

    def read(self, size: int = -1, /) -> bytes:
        """Read as the source does."""
        data = self._source.read(size)
        self._hash.update(data)
        self.size += len(data)
        return data

    @property
    def digest(self) -> Digest:
        """The digest of what was read so far."""
        return Digest("sha256", self._hash.hexdigest())


class VerifyingReader:
    """Read a stream whose digest, and size where known, were promised.

    Read to the end: a wrong byte is known only there, with the last byte of a promised size or else with the empty
    read after it. More bytes than promised raise as soon as they are seen, so that a lying source cannot fill the
    disk. Leaving the ``with`` block closes the source and checks nothing.
    """

    def __init__(
        self, source: BinaryIO, digest: Digest, size: int | None = None, *, what: str = "blob", hint: str = ""
    ) -> None:
        self._source = source
        self._hint = hint
        self._expected = digest
        self._expected_size = size
        self._what = f"{what} {digest}"
        self._hash = hashlib.new(digest.algorithm)
        self._done = False
        self.size = 0

    def read(self, size: int = -1, /) -> bytes:
        """Read as the source does.

        Raises:
            VerificationError: too many bytes, or at the end too few or other ones.
        """
        data = self._source.read(size)
        self._hash.update(data)
        self.size += len(data)
        if self._expected_size is not None and self.size > self._expected_size:
            raise VerificationError(
                f"{self._what} is longer than promised", expected=self._expected_size, actual=f"at least {self.size}"
            )
        if not self._done and (size < 0 or self.size == self._expected_size or (size > 0 and not data)):
            self._done = True
            self._verify()
        return data

    def _verify(self) -> None:
        if self._expected_size is not None and self.size != self._expected_size:
            what = f"{self._what} has another size"
            raise VerificationError(what, expected=self._expected_size, actual=self.size, hint=self._hint)
        actual = Digest(self._expected.algorithm, self._hash.hexdigest())
        if actual != self._expected:
            what = f"{self._what} has other content"
            raise VerificationError(what, expected=self._expected, actual=actual, hint=self._hint)

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        self._source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
