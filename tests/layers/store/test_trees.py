"""Indexes of layers, kept beside their blobs."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest

from layers.changeset.entry import Change, Entry
from layers.changeset.write import write_layer
from layers.errors import VerificationError
from layers.mediatype import OCI_LAYER_GZIP
from layers.model import Descriptor
from layers.store.layout import Layout
from layers.store.trees import Trees

if TYPE_CHECKING:
    from pathlib import Path

    from layers.digest import Digest
    from layers.image import BlobLayer


def stored(layout: Layout, name: bytes, diff_id: Digest | None = None) -> BlobLayer:
    """Store a layer of one file, under its own diff_id or another."""
    sink = io.BytesIO()
    change = Change(name, Entry(name, "file", 0o644, size=len(name)), lambda: io.BytesIO(name))
    written = write_layer([change], sink, "gzip")
    layout.blobs.put(sink.getvalue())
    descriptor = Descriptor(OCI_LAYER_GZIP, written.digest, written.size)
    return layout.layer(descriptor, diff_id or written.diff_id)


def test_a_layer_is_read_once_and_its_index_kept(tmp_path: Path) -> None:
    layout = Layout.open(tmp_path)
    layer = stored(layout, b"f")
    assert Trees(layout).tree([layer]).get(b"f") is not None
    layout.blobs.delete(layer.descriptor.digest)
    assert Trees(layout).tree([layer]).get(b"f") is not None


def test_a_damaged_index_is_made_again(tmp_path: Path) -> None:
    layout = Layout.open(tmp_path)
    layer = stored(layout, b"f")
    Trees(layout).tree([layer])
    for content in (b"", b"{", f"{layer.diff_id}\n".encode()):
        layout.write_side(layer.descriptor.digest, "index", content)
        assert Trees(layout).tree([layer]).get(b"f") is not None


def test_a_config_that_claims_another_images_layer_is_found_out(tmp_path: Path) -> None:
    """Else its files would be remembered under the other's name, and come into builds on that one."""
    layout = Layout.open(tmp_path)
    honest = stored(layout, b"honest")
    with pytest.raises(VerificationError):
        Trees(layout).tree([stored(layout, b"evil", honest.diff_id)])


def test_it_is_found_out_also_where_the_index_is_known(tmp_path: Path) -> None:
    layout = Layout.open(tmp_path)
    honest, evil = stored(layout, b"honest"), stored(layout, b"evil")
    trees = Trees(layout)
    trees.tree([honest])
    trees.tree([evil])
    for each in (trees, Trees(layout)):
        with pytest.raises(VerificationError) as caught:
            each.index(layout.layer(evil.descriptor, honest.diff_id))
        assert (honest.diff_id, evil.diff_id) == (caught.value.expected, caught.value.actual)
