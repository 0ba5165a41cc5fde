"""Writing layers: one pass, the same bytes for the same changes, and an index on the way."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING

import pytest

from layers.changeset import tar
from layers.changeset.entry import Change, Entry
from layers.changeset.index import index_layer
from layers.changeset.write import LayerWriter, write_layer
from layers.compression import open_reader
from layers.digest import Digest
from layers.errors import ChangesetError
from tests.support.rootfs import change_of, directory, file, hardlink, symlink, tar_of

if TYPE_CHECKING:
    from pathlib import Path

    from layers.changeset.write import WrittenLayer
    from layers.mediatype import Compression

NODES = [
    directory(b"etc"),
    file(b"etc/passwd", b"root"),
    file(b"big", bytes(3_000_000)),
    hardlink(b"hard", b"big"),
    symlink(b"link", b"big"),
]


def written(
    *changes: Change, compression: Compression = "none", clamp: int | None = None
) -> tuple[bytes, WrittenLayer]:
    sink = io.BytesIO()
    layer = write_layer(changes, sink, compression, clamp_mtime=clamp)
    return sink.getvalue(), layer


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
def test_a_layer_is_the_tar_of_its_changes(compression: Compression) -> None:
    content, layer = written(*map(change_of, NODES), compression=compression)

    assert tar_of(NODES) == open_reader(io.BytesIO(content), compression).read()
    assert Digest.of(tar_of(NODES)) == layer.diff_id
    assert (Digest.of(content), len(content)) == (layer.digest, layer.size)
    assert len(tar_of(NODES)) == layer.uncompressed_size


def test_the_index_is_that_of_the_layer() -> None:
    """Nobody has to read what was just written."""
    content, layer = written(*map(change_of, NODES), Change(b"gone", None))

    assert index_layer(io.BytesIO(content)) == layer.index


def test_a_digest_that_is_known_is_taken() -> None:
    entry = Entry(b"a", "file", 0o644, size=1, digest=b"d" * 32)
    _, layer = written(Change(b"a", entry, lambda: io.BytesIO(b"x")))

    assert b"d" * 32 == layer.index.entries[0].digest


def test_a_whiteout_is_an_empty_file_of_mode_0() -> None:
    """As BuildKit and containerd write it."""
    content, _ = written(Change(b"etc/gone", None))
    entry, _ = next(tar.read(io.BytesIO(content)))

    assert Entry(b"etc/.wh.gone", "file", 0) == entry


def test_attributes_of_a_host_are_left_out() -> None:
    """An archive that ADD unpacks must not bring marks of overlayfs."""
    _, layer = written(change_of(file(b"a", xattrs={"trusted.overlay.redirect": b"/etc", "user.a": b"b"})))

    assert {"user.a": b"b"} == layer.index.entries[0].xattrs


def test_times_are_clamped_and_only_ever_lowered() -> None:
    _, layer = written(
        change_of(file(b"new", mtime=2000)), change_of(file(b"old", mtime=500)), Change(b"x", None), clamp=1000
    )

    assert [1000, 500, 0] == [entry.mtime for entry in layer.index.entries]


@pytest.mark.parametrize("size", [0, 1, 4096, 1_048_575, 1_048_576, 1_048_577, 5_000_000])
def test_files_are_read_through_descriptors_and_closed(size: int, tmp_path: Path) -> None:
    content = os.urandom(size)
    (tmp_path / "f").write_bytes(content)
    opened: list[int] = []

    def open_file() -> int:
        opened.append(os.open(tmp_path / "f", os.O_RDONLY))
        return opened[-1]

    layer, _ = written(Change(b"f", Entry(b"f", "file", 0o644, size=size), open_file))
    _, member = next(tar.read(io.BytesIO(layer)))

    assert content == member.read()
    for descriptor in opened:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)


@pytest.mark.parametrize("size", [10, 3_000_000])
@pytest.mark.parametrize("change", [-10, -1, 1, 2_000_000])
def test_a_file_that_changes_while_it_is_read_is_an_error(size: int, change: int) -> None:
    entry = Entry(b"f", "file", 0o644, size=size)

    with pytest.raises(ChangesetError, match="f changed while it was read"):
        written(Change(b"f", entry, lambda: io.BytesIO(bytes(size + change))))


def test_a_file_without_content_to_read_is_an_error() -> None:
    with pytest.raises(ChangesetError, match="nothing to read b'f' from"):
        written(Change(b"f", Entry(b"f", "file", 0o644, size=1)))


def test_members_of_an_archive_are_written_as_they_are_read() -> None:
    """As ADD does: nothing of an archive is held."""
    archive = tar.read(io.BytesIO(tar_of(NODES)))
    content, _ = written(*())
    sink = io.BytesIO()
    write_layer((Change(e.path, e, lambda member=member: member) for e, member in archive), sink, "none")  # type: ignore[misc]  # mypy infers no default

    assert tar_of(NODES) == sink.getvalue()
    assert 1024 == len(content)


def test_the_result_is_known_once_the_writer_is_closed() -> None:
    with LayerWriter(io.BytesIO(), "none") as writer:
        with pytest.raises(ChangesetError, match="not closed yet"):
            _ = writer.result
        writer.add(change_of(NODES[0]))

    assert writer.close() == writer.result


def test_an_error_leaves_the_layer_unfinished() -> None:
    sink = io.BytesIO()

    def fail() -> None:
        with LayerWriter(sink, "none") as writer:
            writer.add(change_of(NODES[1]))
            raise KeyError

    with pytest.raises(KeyError):
        fail()

    assert b"" == sink.getvalue()
