"""DiskBlobs: what a disk adds to the contract of every BlobStore."""

from __future__ import annotations

import errno
import os
import resource
import signal
from typing import TYPE_CHECKING

import pytest

from layers.digest import Digest
from layers.errors import StoreError, VerificationError
from layers.store.blobs import DiskBlobs
from layers.store.files import disk_errors, replace_file

if TYPE_CHECKING:
    from pathlib import Path


def test_a_blob_is_the_file_that_the_layout_names(tmp_path: Path) -> None:
    digest = DiskBlobs(tmp_path).put(b"x")

    assert b"x" == (tmp_path / "blobs" / "sha256" / digest.encoded).read_bytes()


def test_a_blob_may_be_read_by_whom_the_umask_lets(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        blobs = DiskBlobs(tmp_path)
        mode = blobs.path(blobs.put(b"x")).stat().st_mode & 0o777
    finally:
        os.umask(before)

    assert 0o640 == mode


def test_a_blob_that_was_changed_on_disk_is_noticed_when_it_is_read(tmp_path: Path) -> None:
    blobs = DiskBlobs(tmp_path)
    digest = blobs.put(b"hello")
    blobs.path(digest).write_bytes(b"HELLO")

    with pytest.raises(VerificationError), blobs.open(digest) as reader:
        reader.read()


def test_other_files_among_the_blobs_are_not_listed(tmp_path: Path) -> None:
    blobs = DiskBlobs(tmp_path)
    digest = blobs.put(b"x")
    blobs.path(digest).with_name("README").write_text("?")

    assert [digest] == list(blobs.list())


def test_a_blob_under_another_algorithm_is_read(tmp_path: Path) -> None:
    blobs = DiskBlobs(tmp_path)
    digest = Digest.of(b"x", "sha512")
    with blobs.write(hashing=False) as writer:
        writer.write(b"x")
        writer.commit(digest)

    with blobs.open(digest) as reader:
        assert b"x" == reader.read()
    assert [digest] == list(blobs.list())


def test_a_full_disk_is_an_error_with_a_hint_and_leaves_nothing(tmp_path: Path) -> None:
    """A limit of the size of files stands in for the disk."""
    blobs = DiskBlobs(tmp_path)

    def write() -> None:
        with blobs.write() as writer:
            for _ in range(100):
                writer.write(bytes(3000))

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(StoreError, match=r"cannot write .*: File too large"):
            write()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)

    assert [] == list((tmp_path / "tmp").iterdir())


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES])
def test_what_the_user_can_mend_comes_with_a_hint(tmp_path: Path, number: int) -> None:
    with pytest.raises(StoreError) as caught, disk_errors("write", tmp_path):
        raise OSError(number, "...")

    assert f"cannot write {tmp_path}: {os.strerror(number)}" == caught.value.message
    assert caught.value.hint


def test_flush_does_not_mind_blobs_that_are_gone(tmp_path: Path) -> None:
    blobs = DiskBlobs(tmp_path)
    blobs.delete(blobs.put(b"x"))
    blobs.put(b"y")

    blobs.flush()
    blobs.flush()


def test_a_file_that_cannot_be_replaced_stays_as_it_was(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()

    with pytest.raises(StoreError, match="cannot write"):
        replace_file(target, b"new", tmp_path / "temporary")

    assert [target] == list(tmp_path.iterdir())
