"""The headers that are written: as plain as the entry allows."""

from __future__ import annotations

import io
import tarfile

import pytest

from layers.changeset.entry import Entry
from layers.changeset.header import END, header, padding
from layers.errors import ChangesetError


def test_a_header_of_a_small_file_is_one_ustar_block() -> None:
    block = header(Entry(b"etc/passwd", "file", 0o644, 1, 2, 3, 4))

    assert 512 == len(block)
    assert b"ustar\x0000" == block[257:265]
    assert bytes(64) == block[265:329], "no names of users"


def test_tarfile_agrees_with_every_byte() -> None:
    """Python writes the same header for the same plain entry, but leaves the numbers of a device blank."""
    member = tarfile.TarInfo("etc/passwd")
    member.mode, member.uid, member.gid, member.size, member.mtime = 0o4755, 1000, 100, 1_234_567, 1_700_000_000

    block = header(Entry(b"etc/passwd", "file", 0o4755, 1000, 100, 1_234_567, 1_700_000_000))
    theirs = member.tobuf(tarfile.USTAR_FORMAT)

    assert theirs[:148] == block[:148]
    assert theirs[156:329] == block[156:329]
    assert (bytes(16), b"0000000\x000000000\x00") == (theirs[329:345], block[329:345])
    assert theirs[345:] == block[345:]


def test_names_of_directories_end_with_a_slash() -> None:
    assert header(Entry(b"etc", "directory", 0o755)).startswith(b"etc/\x00")
    assert header(Entry(b"", "directory", 0o755)).startswith(b"./\x00")


@pytest.mark.parametrize(
    ("entry", "blocks"),
    [
        (Entry(b"x" * 100, "file", 0o644), 1),
        (Entry(b"x" * 101, "file", 0o644), 3),
        (Entry(b"d" * 155 + b"/" + b"x" * 100, "file", 0o644), 1),
        (Entry(b"d" * 155 + b"/" + b"x" * 99, "directory", 0o755), 1),
        (Entry(b"d" * 156 + b"/x", "file", 0o644), 3),
        (Entry("ä".encode(), "file", 0o644), 3),
        (Entry(b"\xff", "file", 0o644), 3),
        (Entry(b"a", "symlink", 0o777, linkname=b"t" * 101), 3),
        (Entry(b"a", "file", 0o644, uid=2_097_152), 3),
        (Entry(b"a", "file", 0o644, uid=2_097_151, gid=2_097_151), 1),
        (Entry(b"a", "file", 0o644, size=8 * 2**30), 3),
        (Entry(b"a", "file", 0o644, size=8 * 2**30 - 1), 1),
        (Entry(b"a", "file", 0o644, mtime=-1), 3),
        (Entry(b"a", "file", 0o644, xattrs={"user.a": b"b"}), 3),
        (Entry(b"a", "block", 0o644, major=8, minor=1), 1),
    ],
)
def test_a_pax_header_comes_only_where_ustar_has_no_room(entry: Entry, blocks: int) -> None:
    assert 512 * blocks == len(header(entry))


def test_records_of_pax_count_their_own_digits() -> None:
    """Around the lengths where the count itself gets longer."""
    for length in range(60, 130):
        value = b"v" * length
        archive = header(Entry(b"a", "fifo", 0o644, xattrs={"user.x": value})) + END
        with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
            assert value.decode() == opened.getmembers()[0].pax_headers["SCHILY.xattr.user.x"]


def test_an_attribute_that_pax_cannot_hold_is_refused() -> None:
    with pytest.raises(ChangesetError, match=r"an extended attribute's name cannot be kept in a tar: b'user\.a=b'"):
        header(Entry(b"a", "file", 0o644, xattrs={"user.a=b": b""}))


@pytest.mark.parametrize(("size", "zeros"), [(0, 0), (1, 511), (511, 1), (512, 0), (513, 511)])
def test_content_is_filled_up_to_whole_blocks(size: int, zeros: int) -> None:
    assert bytes(zeros) == padding(size)
