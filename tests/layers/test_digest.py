"""Digest and the streams that check or make one."""

from __future__ import annotations

import hashlib
import io

import pytest

from layers.digest import Digest, HashingReader, VerifyingReader
from layers.errors import InvalidError, VerificationError

EMPTY = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
CONTENT = b"hello " * 100


def test_a_digest_is_written_as_it_was_read() -> None:
    assert EMPTY == str(Digest.parse(EMPTY)) == str(Digest.of(b""))


def test_the_short_form_has_twelve_digits() -> None:
    assert "e3b0c44298fc" == Digest.parse(EMPTY).short


@pytest.mark.parametrize(("algorithm", "length"), [("sha256", 64), ("sha384", 96), ("sha512", 128)])
def test_three_algorithms_are_known(algorithm: str, length: int) -> None:
    digest = Digest.of(CONTENT, algorithm)

    assert length == len(digest.encoded)
    assert digest == Digest.parse(str(digest))


@pytest.mark.parametrize(
    "text",
    [
        *("", "sha256", "sha256:", EMPTY[:-1], EMPTY + "0", EMPTY.upper(), EMPTY + "\n", " " + EMPTY),
        *("md5:d41d8cd98f00b204e9800998ecf8427e", "sha512:" + EMPTY[7:], EMPTY.replace("e3", "g3")),
        *("sha256:../../../etc/passwd", "sha256:" + "٣" * 64, "sha256:" + "0" * 63 + "\u0660"),
    ],
)
def test_what_is_no_digest_is_refused(text: str) -> None:
    with pytest.raises(InvalidError, match="not a digest"):
        Digest.parse(text)


def test_digests_are_sorted_by_their_text() -> None:
    digests = [Digest.of(bytes([i])) for i in range(5)]

    assert sorted(map(str, digests)) == [str(each) for each in sorted(digests)]


def verifying(content: bytes, promised: bytes = CONTENT, size: int | None = None) -> VerifyingReader:
    return VerifyingReader(io.BytesIO(content), Digest.of(promised), size, what="layer")


@pytest.mark.parametrize("chunk", [-1, 1, 7, 600, 1000])
def test_what_is_as_promised_is_read(chunk: int) -> None:
    with verifying(CONTENT, size=len(CONTENT)) as reader:
        parts = []
        while part := reader.read(chunk):
            parts.append(part)

    assert CONTENT == b"".join(parts)
    assert len(CONTENT) == reader.size


@pytest.mark.parametrize("size", [None, 600])
def test_other_content_raises_at_the_end(size: int | None) -> None:
    reader = verifying(b"HELLO " * 100, size=size)
    reader.read(599)

    with pytest.raises(VerificationError, match=f"layer {Digest.of(CONTENT)} has other content: expected sha256:"):
        (reader.read(1), reader.read(1))


def test_with_a_promised_size_the_last_byte_is_where_other_content_raises() -> None:
    """A reader of a tar asks for no more once it has the end of it."""
    reader = verifying(b"HELLO " * 100, size=600)
    reader.read(599)

    with pytest.raises(VerificationError):
        reader.read(1)


def test_fewer_bytes_than_promised_raise_at_the_end() -> None:
    reader = verifying(CONTENT[:-1], size=600)
    reader.read(599)

    with pytest.raises(VerificationError, match="expected 600, got 599"):
        reader.read(1)


def test_more_bytes_than_promised_raise_as_soon_as_they_are_seen() -> None:
    reader = verifying(CONTENT * 1000, size=600)
    reader.read(600)

    with pytest.raises(VerificationError, match="longer than promised: expected 600, got at least 601"):
        reader.read(1)


def test_no_content_is_verified_too() -> None:
    assert b"" == verifying(b"", b"", 0).read(10)
    with pytest.raises(VerificationError):
        verifying(b"", CONTENT, 0).read(10)


def test_reading_on_after_the_end_gives_nothing() -> None:
    reader = verifying(CONTENT, size=600)
    reader.read()

    assert [b"", b""] == [reader.read(), reader.read(5)]


def test_leaving_the_block_closes_the_source_and_checks_nothing() -> None:
    source = io.BytesIO(b"other")

    with VerifyingReader(source, Digest.of(CONTENT)) as reader:
        assert reader.readable()
    assert source.closed


def test_a_hashing_reader_knows_what_it_has_read() -> None:
    reader = HashingReader(io.BytesIO(CONTENT))

    assert CONTENT[:5] == reader.read(5)
    assert (5, hashlib.sha256(CONTENT[:5]).hexdigest()) == (reader.size, reader.digest.encoded)
    assert CONTENT[5:] == reader.read()
    assert Digest.of(CONTENT) == reader.digest
