"""Blobs that come in part: what came before need not come again, whoever goes on."""

from __future__ import annotations

import errno
import io
import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import pytest

from layers.digest import Digest, VerifyingReader
from layers.errors import RegistryError, StoreError, VerificationError
from layers.image import Resumable
from layers.store.gc import collect, sweep
from layers.store.layout import Layout
from layers.store.parts import part_path, resume
from tests.support.images import image, layer, layer_of_tar

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

    from layers.image import Held, Image
    from layers.model import Descriptor
    from tests.support.images import MemoryLayer

MIB = 1 << 20
BIG = layer_of_tar(bytes(range(256)) * 16384, "none")
"""4 MiB."""


class _Breaking(io.BytesIO):
    """Content at whose end the connection breaks."""

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        if not data:
            raise RegistryError("the connection broke")
        return data


@dataclass
class Far:
    """A layer that is far away."""

    layer: MemoryLayer
    breaks_at: int | None = None
    """Bytes after which the connection breaks."""
    asked: list[int] = field(default_factory=list)
    """From where on it was asked for."""

    @property
    def descriptor(self) -> Descriptor:
        return self.layer.descriptor

    @property
    def diff_id(self) -> Digest:
        return self.layer.diff_id

    def open(self) -> VerifyingReader:
        raise AssertionError("it can be gone on with")

    def open_after(self, held: Held) -> VerifyingReader:
        self.asked.append(held.size)
        before = held.reader.read(held.size)
        content = before + self.layer.content[held.size :]
        source = io.BytesIO(content) if self.breaks_at is None else _Breaking(content[: self.breaks_at])
        reader = VerifyingReader(cast("BinaryIO", source), self.descriptor.digest, self.descriptor.size)
        if held.size:
            reader.read(held.size)
        return reader


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout.open(tmp_path / "store")


def of(far: Far) -> Image:
    near = image(far.layer)
    return type(near)(near.manifest_bytes, near.config_bytes, (far,))


def hold(layout: Layout, content: bytes, digest: Digest = BIG.descriptor.digest) -> Path:
    path = part_path(layout.root, digest)
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    return path


def parts(layout: Layout) -> list[str]:
    return [str(path) for path in (layout.root / "partial").rglob("*") if path.is_file()]


def test_what_came_before_a_break_is_not_asked_for_again(layout: Layout) -> None:
    far = Far(BIG, breaks_at=2 * MIB)
    assert isinstance(far, Resumable)
    with pytest.raises(RegistryError, match="broke"):
        layout.put(of(far))
    assert 2 * MIB == part_path(layout.root, BIG.descriptor.digest).stat().st_size
    assert not layout.blobs.has(BIG.descriptor.digest)
    again = Far(BIG)
    layout.put(of(again))
    assert ([0], [2 * MIB], []) == (far.asked, again.asked, parts(layout))
    with layout.blobs.open(BIG.descriptor.digest) as reader:
        assert BIG.content == reader.read()


def test_what_came_whole_is_only_verified(layout: Layout) -> None:
    """The process was killed before it gave the blob its name."""
    hold(layout, BIG.content)
    far = Far(BIG)
    layout.put(of(far))
    assert ([4 * MIB], True, []) == (far.asked, layout.blobs.has(BIG.descriptor.digest, 4 * MIB), parts(layout))


def test_a_beginning_of_something_else_is_thrown_away(layout: Layout) -> None:
    """A power failure may leave zeros where bytes were written."""
    hold(layout, bytes(MIB))
    far = Far(BIG)
    layout.put(of(far))
    assert ([MIB, 0], []) == (far.asked, parts(layout))
    with layout.blobs.open(BIG.descriptor.digest) as reader:
        assert BIG.content == reader.read()


def test_more_than_the_blob_has_is_thrown_away(layout: Layout) -> None:
    hold(layout, BIG.content + b"more")
    far = Far(BIG)
    layout.put(of(far))
    assert [0] == far.asked


def test_content_that_is_wrong_from_the_start_is_not_kept(layout: Layout) -> None:
    lying = layer_of_tar(bytes(4 * MIB), "none")
    far = Far(type(BIG)(lying.content, BIG.descriptor, BIG.diff_id))
    with pytest.raises(VerificationError, match="other content"):
        layout.put(of(far))
    assert ([0], [], []) == (far.asked, parts(layout), list(layout.blobs.list()))


def test_one_that_is_being_written_is_left_alone(layout: Layout) -> None:
    hold(layout, BIG.content[:MIB])
    digest = BIG.descriptor.digest
    with resume(layout.blobs, digest, 4 * MIB) as first:
        assert MIB == first.held.size
        far = Far(BIG)
        layout.put(of(far))
        assert ([0], True) == (far.asked, layout.blobs.has(digest, 4 * MIB))
        first.writer.write(BIG.content[MIB:])
        first.writer.commit(digest, 4 * MIB)
    assert [] == parts(layout)


def test_nothing_is_kept_of_nothing(layout: Layout) -> None:
    with pytest.raises(KeyboardInterrupt), resume(layout.blobs, BIG.descriptor.digest, 4 * MIB):
        raise KeyboardInterrupt
    assert [] == parts(layout)


def test_a_link_in_its_place_is_not_followed(layout: Layout, tmp_path: Path) -> None:
    path = part_path(layout.root, BIG.descriptor.digest)
    path.parent.mkdir(parents=True)
    (tmp_path / "canary").write_bytes(b"canary")
    path.symlink_to(tmp_path / "canary")
    with pytest.raises(Exception, match="cannot write"):
        layout.put(of(Far(BIG)))
    assert b"canary" == (tmp_path / "canary").read_bytes()


def test_a_full_disk_does_not_stay_full_of_a_part(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    write, written = os.write, []

    def refusing(descriptor: int, data: bytes) -> int:
        written.append(len(data))
        if len(written) > 1:
            raise OSError(errno.ENOSPC, "full")
        return write(descriptor, data)

    monkeypatch.setattr(os, "write", refusing)

    with pytest.raises(StoreError, match="No space left on device"):
        layout.put(of(Far(BIG)))

    assert 2 == len(written)
    assert [] == parts(layout)


def test_only_old_parts_are_collected(layout: Layout) -> None:
    """Somebody may go on with a blob tomorrow morning."""
    other = layer({"other": b""}).descriptor.digest
    young = hold(layout, BIG.content[:MIB])
    old = part_path(layout.root, other)
    for collector in (sweep, collect):
        old.write_bytes(b"x" * 100)
        os.utime(old, (time.time() - 100_000,) * 2)
        collector(layout)
        assert [str(young)] == parts(layout)
