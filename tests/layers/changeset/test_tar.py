"""Reading tar streams of other programs, and refusing what is broken or too much."""

from __future__ import annotations

import io
import subprocess
import tarfile
from typing import TYPE_CHECKING

import pytest

from layers.changeset import tar
from layers.changeset.entry import Entry
from layers.changeset.header import header, padding
from layers.errors import ChangesetError, LimitError
from tests.support import hostile
from tests.support.rootfs import build, directory, fifo, file, hardlink, stream_of, symlink, tar_of

if TYPE_CHECKING:
    from pathlib import Path

LONG = b"d" * 90 + b"/" + b"e" * 150
NODES = [
    directory(b"a", 0o700, 1_000_000_000),
    file(b"a/file", b"content", 0o4755, 1_700_000_000),
    file(b"empty"),
    directory(b"d" * 90),
    file(LONG, b"long", mtime=5),
    hardlink(b"again", LONG),
    symlink(b"link", b"t" * 150),
    symlink(b"short", b"a/file"),
    fifo(b"pipe", 0o600),
]


def read(stream: io.BytesIO) -> list[tuple[Entry, bytes]]:
    return [(entry, member.read()) for entry, member in tar.read(stream)]


def archive_of(*members: tarfile.TarInfo, kind: int = tarfile.GNU_FORMAT, content: bytes = b"") -> io.BytesIO:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=kind) as archive:
        for member in members:
            archive.addfile(member, io.BytesIO(content))
    made.seek(0)
    return made


def member(name: str, **attributes: object) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    for attribute, value in attributes.items():
        setattr(made, attribute, value)
    return made


@pytest.mark.parametrize("form", ["v7", "oldgnu", "gnu", "ustar", "posix"])
def test_every_form_of_gnu_tar_is_read(form: str, tmp_path: Path) -> None:
    nodes = [node for node in NODES if form in {"gnu", "oldgnu", "posix"} or len(node.entry.path) < 90]
    nodes = [node for node in nodes if form != "v7" or node.entry.kind != "fifo"]
    nodes = [node for node in nodes if len(node.entry.linkname) < 90 or form in {"gnu", "oldgnu", "posix"}]
    build(tmp_path, nodes)
    command = ["tar", "-C", str(tmp_path), f"--format={form}", "--sort=name", "-c", "."]
    packed = subprocess.run(command, check=True, capture_output=True).stdout
    found = {entry.path: (entry, content) for entry, content in read(io.BytesIO(packed))}

    assert {b"", *(node.entry.path for node in nodes)} == set(found)
    for node in nodes:
        entry, content = found[node.entry.path]
        if node.entry.path in {LONG, b"again"}:
            continue  # either may be the one that is linked
        assert node.entry._replace(digest=b"") == entry
        assert node.content == content


def test_base_256_numbers_are_read() -> None:
    entry, _ = read(archive_of(member("a", uid=2**31, mtime=-5)))[0]

    assert (2**31, -5) == (entry.uid, entry.mtime)


def test_fractions_of_pax_times_are_cut_towards_the_past() -> None:
    times = [(1.5, 1), (-1.5, -2), (-1.0, -1), (0.0, 0)]
    members = [member(str(number), mtime=time) for number, (time, _) in enumerate(times)]
    found = read(archive_of(*members, kind=tarfile.PAX_FORMAT))

    assert [seconds for _, seconds in times] == [entry.mtime for entry, _ in found]


def test_global_pax_headers_hold_for_all_that_follow() -> None:
    made = io.BytesIO()
    headers = {"uid": "77", "comment": "of git archive"}
    with tarfile.open(fileobj=made, mode="w", format=tarfile.PAX_FORMAT, pax_headers=headers) as archive:
        archive.addfile(member("a"))
        archive.addfile(member("b"))

    assert [77, 77] == [entry.uid for entry, _ in read(io.BytesIO(made.getvalue()))]


def test_extended_attributes_keep_any_bytes() -> None:
    nodes = [file(b"a", xattrs={"security.capability": bytes(range(20)), "user.ä": b"=\n="})]

    assert nodes[0].entry.xattrs == read(stream_of(nodes))[0][0].xattrs


@pytest.mark.parametrize(("name", "path"), [("../evil", b"evil"), ("/abs", b"abs"), ("a/../../b", b"b"), ("./", b"")])
def test_names_never_lead_above_the_root(name: str, path: bytes) -> None:
    assert path == read(archive_of(member(name, type=tarfile.DIRTYPE)))[0][0].path


def test_a_hard_links_target_is_in_the_form_of_a_path() -> None:
    link = member("a", type=tarfile.LNKTYPE, linkname="./../b//c")

    assert b"b/c" == read(archive_of(link))[0][0].linkname


def test_content_is_read_in_any_pieces_or_not_at_all() -> None:
    nodes = [file(b"one", b"x" * 1_000_000), file(b"two", b"0123456789"), file(b"three", b"3")]
    entries = tar.read(stream_of(nodes))
    next(entries)
    _, content = next(entries)

    assert [b"", b"0123", b"45", b"6789", b"", b""] == [content.read(size) for size in (0, 4, 2, 100, 1, -1)]
    assert b"3" == next(entries)[1].read()


def test_the_stream_is_read_to_its_end() -> None:
    """A digest is checked there, and a gzip's checksum."""
    stream = io.BytesIO(tar_of([]) + bytes(100_000))
    list(tar.read(stream))

    assert b"" == stream.read()


def test_a_stream_may_end_without_the_closing_blocks() -> None:
    assert [b"a"] == [entry.path for entry, _ in read(io.BytesIO(header(Entry(b"a", "fifo", 0o644))))]
    assert [] == read(io.BytesIO())


@pytest.mark.parametrize("size", [1, 511, 513, 1023, 1025, 1535])
def test_an_archive_that_is_cut_short_is_refused(size: int) -> None:
    archive = tar_of([file(b"a", b"x" * 700)])[:size]

    with pytest.raises(ChangesetError, match="cut short"):
        read(io.BytesIO(archive))


def test_what_is_no_tar_is_refused() -> None:
    with pytest.raises(ChangesetError, match="not a tar"):
        read(io.BytesIO(b"#!/bin/sh\n" * 100))


def test_sparse_files_are_refused_by_name(tmp_path: Path) -> None:
    with open(tmp_path / "sparse", "wb") as made:
        made.truncate(1_000_000)
    for form in ("gnu", "posix"):
        command = ["tar", "-C", str(tmp_path), f"--format={form}", "-S", "-c", "sparse"]
        packed = subprocess.run(command, check=True, capture_output=True).stdout
        with pytest.raises(ChangesetError, match="sparse"):
            read(io.BytesIO(packed))


@pytest.mark.parametrize(
    ("limits", "error"),
    [
        (tar.Limits(entries=3), "more than 3 entries"),
        (tar.Limits(name=200), "a name of 241 bytes"),
        (tar.Limits(extension=100), "an extended header of 2.. bytes"),
        (tar.Limits(text=300), "more bytes of long names and attributes"),
    ],
)
def test_what_is_too_much_is_refused(limits: tar.Limits, error: str) -> None:
    with pytest.raises(LimitError, match=error):
        list(tar.read(stream_of(NODES), limits))


def test_names_and_attributes_that_would_fill_the_memory_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also those that a global header gives every entry; two million entries could have 128 GB of them."""
    monkeypatch.setattr(tar.Bounds, "text", 100_000)
    monkeypatch.setattr(tar.Bounds, "entries", 20)
    one = hostile.pax({b"SCHILY.xattr.user.a": bytes(10_000)}) + hostile.entry(b"a")
    assert 9 == len(read(io.BytesIO(one * 9)))

    for archive, hint in ((one * 10, "PYBUILD_MAX_NAMES"), (hostile.entry(b"a") * 21, "PYBUILD_MAX_ENTRIES")):
        with pytest.raises(LimitError) as caught:
            read(io.BytesIO(archive))
        assert f"{hint} allows more" == caught.value.hint

    shared = hostile.pax({b"SCHILY.xattr.user.a": bytes(10_000)}, b"g") + hostile.entry(b"a") * 10
    with pytest.raises(LimitError, match="more bytes of long names"):
        read(io.BytesIO(shared))
    many = hostile.pax({b"a%d" % i: b"1" for i in range(1001)}, b"g") + hostile.entry(b"a")
    with pytest.raises(LimitError, match="more than 1000 global records"):
        read(io.BytesIO(many))


@pytest.mark.parametrize(
    "body",
    [
        b"x",
        b"5 a=b\n",
        b"7 a=b\n",
        b"6 a b\n",
        b"6 a=bx",
        b"-6 a=b\n",
        b"99999999 a=b\n",
        b"4 =\n",
        b"0 a=b\n",
        b"\x00",
    ],
)
def test_broken_pax_headers_are_refused(body: bytes) -> None:
    block = bytearray(header(Entry(b"pax", "file", 0o644, size=len(body))))
    block[156:157] = b"x"
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\x00 " % sum(block)
    archive = bytes(block) + body + padding(len(body)) + tar_of([file(b"a")])

    with pytest.raises(ChangesetError, match="pax header"):
        read(io.BytesIO(archive))


@pytest.mark.parametrize(
    "records",
    [{"path": "a\0b"}, {"uid": "-1"}, {"gid": "4294967295"}, {"size": "-1"}, {"size": "99999999999999999999"}],
)
def test_impossible_values_are_refused(records: dict[str, str]) -> None:
    with pytest.raises(ChangesetError, match="the tar has"):
        read(archive_of(member("a", pax_headers=records), kind=tarfile.PAX_FORMAT))


def test_a_directory_may_be_a_file_whose_name_ends_with_a_slash() -> None:
    """As archives of the seventh edition have them."""
    block = bytearray(header(Entry(b"old", "directory", 0o755)))
    block[156:157] = b"\x00"
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\x00 " % sum(block)

    assert [(b"old", "directory")] == [(entry.path, entry.kind) for entry, _ in read(io.BytesIO(bytes(block)))]


def test_a_header_is_known_by_its_checksum() -> None:
    block = header(Entry(b"a", "fifo", 0o644))

    assert tar.is_header(block)
    assert not tar.is_header(bytes(512))
    assert not tar.is_header(block[:-1])
    assert not tar.is_header(b"b" + block[1:])


@pytest.mark.parametrize("size", [b"0000000_004\x00", b"+0000000004\x00", b"-0000000004\x00", b"0o000000004\x00"])
def test_a_number_is_digits_and_nothing_else(size: bytes) -> None:
    """What one reader takes for a size and another does not hides a file from one of the two."""
    with pytest.raises(ChangesetError, match="broken number"):
        read(io.BytesIO(hostile.entry(b"f", size=size)))


@pytest.mark.parametrize("size", [b"0_4", b"+4", b" 4", b"4.5", b"9" * 21, b"", "\u0664".encode()])
def test_a_number_of_a_pax_header_is_digits_and_nothing_else(size: bytes) -> None:
    archive = io.BytesIO(hostile.pax({b"size": size}) + hostile.entry(b"f", content=b"evil"))
    if not size:  # that is how a global header's value is taken back
        assert [b"f"] == [entry.path for entry, _ in read(archive)]
        return
    with pytest.raises(ChangesetError, match="broken number in a pax header"):
        read(archive)


def test_the_content_of_a_file_that_is_a_directory_is_passed_over() -> None:
    archive = hostile.entry(b"d/", content=b"x" * 700) + hostile.entry(b"d/x")
    assert [(b"d", "directory", 0), (b"d/x", "file", 0)] == [
        (entry.path, entry.kind, entry.size) for entry, _ in read(io.BytesIO(archive))
    ]
