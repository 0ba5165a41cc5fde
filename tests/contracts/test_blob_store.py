"""What every BlobStore does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from layers.digest import Digest
from layers.errors import InvalidError, NotFoundError, VerificationError
from layers.store.blobs import BlobStore, DiskBlobs, MemoryBlobs

if TYPE_CHECKING:
    from pathlib import Path

CONTENT = b"hello " * 1000
DIGEST = Digest.of(CONTENT)


@pytest.fixture(params=["disk", "memory"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> BlobStore:
    return DiskBlobs(tmp_path) if request.param == "disk" else MemoryBlobs()


def test_what_is_put_can_be_read(blobs: BlobStore) -> None:
    assert DIGEST == blobs.put(CONTENT)
    with blobs.open(DIGEST, len(CONTENT)) as reader:
        assert CONTENT == reader.read()
    assert len(CONTENT) == blobs.size(DIGEST)
    assert [DIGEST] == list(blobs.list())


def test_has_looks_at_the_size_where_one_is_given(blobs: BlobStore) -> None:
    blobs.put(CONTENT)

    assert (True, True, False) == (blobs.has(DIGEST), blobs.has(DIGEST, 6000), blobs.has(DIGEST, 1))
    assert not blobs.has(Digest.of(b""))


def test_putting_twice_is_putting_once(blobs: BlobStore) -> None:
    blobs.put(CONTENT)
    blobs.put(CONTENT)

    assert [DIGEST] == list(blobs.list())


def test_what_is_not_there_is_an_error(blobs: BlobStore) -> None:
    with pytest.raises(NotFoundError, match=f"no blob {DIGEST}"):
        blobs.open(DIGEST)
    with pytest.raises(NotFoundError, match=f"no blob {DIGEST}"):
        blobs.size(DIGEST)


def test_opening_with_another_size_is_an_error(blobs: BlobStore) -> None:
    blobs.put(CONTENT)

    with pytest.raises(VerificationError, match="expected 7, got 6000"):
        blobs.open(DIGEST, 7)


def test_deleting_gives_the_size_and_then_nothing(blobs: BlobStore) -> None:
    blobs.put(CONTENT)

    assert [len(CONTENT), 0] == [blobs.delete(DIGEST), blobs.delete(DIGEST)]
    assert not blobs.has(DIGEST)


def test_a_blob_is_there_once_it_is_committed(blobs: BlobStore) -> None:
    with blobs.write() as writer:
        assert 6 == writer.write(CONTENT[:6])
        writer.write(memoryview(CONTENT)[6:])
        assert not blobs.has(DIGEST)
        assert DIGEST == writer.commit()

    with blobs.open(DIGEST) as reader:
        assert CONTENT == reader.read()


def test_what_is_not_committed_is_forgotten(blobs: BlobStore) -> None:
    with blobs.write() as writer:
        writer.write(CONTENT)

    assert [] == list(blobs.list())


def test_what_fails_while_it_is_written_is_forgotten(blobs: BlobStore) -> None:
    def interrupted() -> None:
        with blobs.write() as writer:
            writer.write(CONTENT)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()

    assert [] == list(blobs.list())


@pytest.mark.parametrize(("digest", "size"), [(Digest.of(b""), None), (DIGEST, 5999), (None, 1)])
def test_committing_what_was_not_promised_is_an_error(blobs: BlobStore, digest: Digest | None, size: int) -> None:
    with blobs.write() as writer:
        writer.write(CONTENT)
        with pytest.raises(VerificationError):
            writer.commit(digest, size)

    assert [] == list(blobs.list())


def test_who_has_hashed_already_vouches_for_the_digest(blobs: BlobStore) -> None:
    with blobs.write(hashing=False) as writer:
        writer.write(CONTENT)
        assert DIGEST == writer.commit(DIGEST, len(CONTENT))

    assert blobs.has(DIGEST, len(CONTENT))


def test_without_hashing_a_digest_is_needed(blobs: BlobStore) -> None:
    with blobs.write(hashing=False) as writer, pytest.raises(InvalidError, match="needs a digest"):
        writer.commit()


def test_committing_what_is_there_changes_nothing(blobs: BlobStore) -> None:
    blobs.put(CONTENT)

    with blobs.write() as writer:
        writer.write(CONTENT)
        assert DIGEST == writer.commit()

    assert [DIGEST] == list(blobs.list())


def test_several_blobs_may_be_written_at_once(blobs: BlobStore) -> None:
    with blobs.write() as one, blobs.write() as two:
        one.write(b"1")
        two.write(b"2")
        written = {one.commit(), two.commit()}

    assert {Digest.of(b"1"), Digest.of(b"2")} == written == set(blobs.list())
