"""Layers that hold what they unpack to against the config while they are read."""

from __future__ import annotations

import random
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import pytest

from layers import mediatype
from layers.archive.checked import CheckedLayer, checked
from layers.digest import Digest
from layers.errors import VerificationError
from layers.image import BlobLayer, Image, Index
from layers.store.blobs import MemoryBlobs
from tests.support.images import MemoryLayer, image, index, layer, tar_of

if TYPE_CHECKING:
    from layers.mediatype import Compression

COMPRESSIONS: list[Compression] = ["none", "gzip", "zstd"]


def large(compression: Compression) -> MemoryLayer:
    """A layer of more chunks than wait at once, packed as well as unpacked."""
    return layer({"random": random.Random(1).randbytes(10 << 20), "zeros": bytes(6 << 20)}, compression)


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_a_layer_that_is_what_it_says_is_read_as_it_is(compression: Compression) -> None:
    whole = large(compression)

    with CheckedLayer(whole).open() as reader:
        found = b"".join(iter(lambda: reader.read(1 << 20), b""))
        assert b"" == reader.read(1)

    assert whole.content == found


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("size", [1 << 20, 1000])
def test_a_layer_that_unpacks_to_something_else_is_refused_at_its_end(compression: Compression, size: int) -> None:
    lying = replace(layer(compression=compression), diff_id=Digest.of(b"else"))

    with CheckedLayer(lying).open() as reader:
        while len(reader.read(size)) == size:
            pass
        with pytest.raises(VerificationError, match="does not unpack to what its image's config says") as caught:
            reader.read(size)

    assert (Digest.of(b"else"), Digest.of(tar_of({"etc/": b"", "etc/motd": b"hello\n"}))) == (
        caught.value.expected,
        caught.value.actual,
    )


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_a_layer_that_does_not_unpack_is_refused(compression: Compression) -> None:
    """All of it is read first: its digest says whether it arrived as it was sent."""
    for content in (random.Random(2).randbytes(9 << 20), large(compression).content[:-100]):
        descriptor = replace(layer(compression=compression).descriptor, digest=Digest.of(content), size=len(content))
        broken = MemoryLayer(content, descriptor, Digest.of(b""))

        with pytest.raises(VerificationError, match="does not unpack"):
            CheckedLayer(broken).verify()


def test_a_reader_that_stops_early_leaves_no_thread() -> None:
    with CheckedLayer(large("gzip")).open() as reader:
        reader.read(1 << 20)

    assert not [each for each in threading.enumerate() if each.name == "check"]


def kept(whole: Image) -> Image:
    """The same image, its layers kept as blobs of their own."""
    blobs = MemoryBlobs()
    for each in whole.layers:
        blobs.put(cast("MemoryLayer", each).content)
    layers = tuple(BlobLayer(blobs, each.descriptor, each.diff_id) for each in whole.layers)
    return Image(whole.manifest_bytes, whole.config_bytes, layers)


def test_images_and_those_of_an_index_check_their_layers() -> None:
    app = kept(image(layer(), layer({"b": b""})))
    both = index(app)

    alone, listed = checked(app), checked(both)

    assert isinstance(alone, Image)
    assert isinstance(listed, Index)
    inner = listed.load(both.manifest.manifests[0])
    assert isinstance(inner, Image)
    assert (app.digest, both.raw, app.digest) == (alone.digest, listed.raw, inner.digest)
    assert {CheckedLayer} == {type(each) for each in (*alone.layers, *inner.layers)}


def test_an_artifact_is_left_alone() -> None:
    """Its layers are no file systems, and its config has no diff_ids."""
    app = kept(image(layer()))
    config = replace(app.manifest.config, media_type=mediatype.OCI_EMPTY)
    artifact = Image(replace(app.manifest, config=config).to_bytes(), app.config_bytes, app.layers)

    assert checked(artifact) is artifact
