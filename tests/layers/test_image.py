"""Image, Index and how they are read from blobs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from layers import mediatype
from layers.digest import Digest
from layers.errors import InvalidError, NotFoundError, VerificationError
from layers.image import Image, Index, check_layers, load, read_document
from layers.jsonread import MAX_DOCUMENT
from layers.model import Descriptor, IndexManifest, Manifest
from layers.platform import Platform
from layers.store.blobs import MemoryBlobs
from tests.support.images import AMD64, ARM64, content_of, image, index, layer

ATTESTATION = Platform("unknown", "unknown")


def stored(source: Image) -> MemoryBlobs:
    blobs = MemoryBlobs()
    for content in (source.manifest_bytes, source.config_bytes, *content_of(source)):
        blobs.put(content)
    return blobs


def test_an_image_is_named_by_its_bytes() -> None:
    source = image(layer())

    assert Digest.of(source.manifest_bytes) == source.digest == source.descriptor.digest
    assert Digest.of(source.config_bytes) == source.id
    assert (len(source.manifest_bytes), AMD64) == (source.descriptor.size, source.descriptor.platform)


def test_an_image_is_loaded_from_blobs() -> None:
    source = image(layer({"a": b"1"}), layer({"b": b"2"}))

    found = load(stored(source), source.descriptor)

    assert isinstance(found, Image)
    assert content_of(source) == content_of(found)
    assert source.config.diff_ids == tuple(each.diff_id for each in found.layers)


def test_an_artifact_is_loaded_as_an_image_without_file_systems() -> None:
    blobs = MemoryBlobs()
    content = blobs.put(b"signature")
    empty = Descriptor(mediatype.OCI_EMPTY, blobs.put(b"{}"), 2)
    manifest = Manifest(empty, (Descriptor("application/x", content, 9),)).to_bytes()

    found = load(blobs, Descriptor("", blobs.put(manifest), len(manifest)))

    assert isinstance(found, Image)
    assert [b"signature"] == content_of(found)
    with pytest.raises(InvalidError, match="is no file system layer"):
        check_layers(found.manifest, found.config)


def test_a_config_of_other_layers_than_the_manifest_lists_is_refused() -> None:
    source = image(layer())
    lying = Image(replace(source.manifest, layers=()).to_bytes(), source.config_bytes, ())

    with pytest.raises(VerificationError, match="expected 0, got 1"):
        load(stored(lying), lying.descriptor)
    with pytest.raises(InvalidError, match="0 layers and the config 1 diff_ids"):
        check_layers(lying.manifest, lying.config)


def test_a_document_that_is_too_large_is_not_read() -> None:
    with pytest.raises(InvalidError, match="more than a document's"):
        read_document(MemoryBlobs(), Descriptor("", Digest.of(b""), MAX_DOCUMENT + 1))


def test_a_document_of_another_size_is_refused() -> None:
    source = image(layer())

    with pytest.raises(VerificationError):
        load(stored(source), replace(source.descriptor, size=5))


def index_of(*platforms: Platform | None) -> Index:
    entries = [
        Descriptor(mediatype.OCI_MANIFEST, Digest.of(str(each).encode()), i, platform=each)
        for i, each in enumerate(platforms)
    ]

    def load_nothing(descriptor: Descriptor) -> Image:
        raise NotFoundError(str(descriptor.digest))

    return Index(IndexManifest(tuple(entries)).to_bytes(), load_nothing)


@pytest.mark.parametrize(
    ("wanted", "platforms", "chosen"),
    [
        ("linux/amd64", ["linux/arm64", "linux/amd64"], 1),
        ("linux/amd64", ["linux/amd64", "linux/amd64/v3"], 0),
        ("linux/amd64/v3", ["linux/amd64", "linux/amd64/v3"], 1),
        ("linux/amd64/v2", ["linux/amd64", "linux/amd64/v3"], 0),
        ("linux/arm/v7", ["linux/arm/v5", "linux/arm/v6", "linux/arm64"], 1),
    ],
)
def test_the_image_that_runs_best_is_chosen(wanted: str, platforms: list[str], chosen: int) -> None:
    found = index_of(*map(Platform.parse, platforms)).select(Platform.parse(wanted))

    assert chosen == found.size


def test_where_none_runs_the_error_says_what_there_is() -> None:
    source = index_of(ARM64, Platform("linux", "s390x"), ATTESTATION)

    with pytest.raises(NotFoundError, match="no image for platform linux/amd64") as caught:
        source.select(AMD64)
    assert "there are images for linux/arm64, linux/s390x" == caught.value.hint


def test_the_only_image_is_chosen_where_it_does_not_say_what_it_is_for() -> None:
    assert 0 == index_of(None).select(AMD64).size


def test_of_several_images_that_do_not_say_what_they_are_for_none_is_chosen() -> None:
    with pytest.raises(NotFoundError, match="no image for platform"):
        index_of(None, None).select(AMD64)


def test_an_index_in_an_index_leads_to_its_image() -> None:
    source = image(layer())
    inner = index(source)
    outer = IndexManifest((replace(inner.descriptor, platform=AMD64),))

    assert source.digest == Index(outer.to_bytes(), lambda _: inner).image(AMD64).digest
