"""validate: each promise that an image can break is noticed, and both sides are named."""

from __future__ import annotations

from dataclasses import replace

import pytest

from layers import mediatype
from layers.config import History
from layers.digest import Digest
from layers.errors import ChangesetError, InvalidError, VerificationError
from layers.image import Image, Index
from layers.model import IndexManifest
from layers.validate import validate_image, validate_index, validate_layer
from tests.support.images import ARM64, MemoryLayer, image, index, layer

GOOD = layer()
OTHER = layer({"other": b""})


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
def test_a_good_layer_is_good(compression: mediatype.Compression) -> None:
    validate_layer(layer({"a": bytes(100_000)}, compression))


def lying(**changes: object) -> MemoryLayer:
    return replace(GOOD, descriptor=replace(GOOD.descriptor, **changes))  # type: ignore[arg-type]  # any field


@pytest.mark.parametrize(
    ("bad", "error", "message"),
    [
        (lying(size=1), VerificationError, "longer than promised: expected 1"),
        (lying(size=10**6), VerificationError, "expected 1000000, got "),
        (lying(digest=OTHER.descriptor.digest), VerificationError, f"expected {OTHER.descriptor.digest}, got sha256:"),
        (replace(GOOD, diff_id=OTHER.diff_id), VerificationError, f"diff_id of .*: expected {OTHER.diff_id}, got "),
        (lying(media_type=mediatype.OCI_LAYER_ZSTD), ChangesetError, "the content is not zstd, but gzip"),
        (lying(media_type=mediatype.OCI_LAYER), VerificationError, "the diff_id of layer"),
        (lying(media_type="text/plain"), InvalidError, "which is no file system layer"),
    ],
)
def test_a_bad_layer_is_noticed(bad: MemoryLayer, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        validate_layer(bad)


@pytest.mark.parametrize("media_types", ["oci", "docker"])
def test_a_good_image_is_good(media_types: str) -> None:
    validate_image(image(GOOD, OTHER, media_types="docker" if media_types == "docker" else "oci"))


def test_a_manifest_with_another_config_is_noticed() -> None:
    bad = Image(image(GOOD).manifest_bytes, image(GOOD, platform=ARM64).config_bytes, (GOOD,))

    with pytest.raises(VerificationError, match="the digest of the config: expected sha256:"):
        validate_image(bad)


def test_other_layers_than_the_manifest_lists_are_noticed() -> None:
    with pytest.raises(VerificationError, match=r"manifest\.layers\[0\]: expected"):
        validate_image(replace(image(GOOD), layers=(OTHER,)))
    with pytest.raises(VerificationError, match="the number of layers: expected 1, got 0"):
        validate_image(replace(image(GOOD), layers=()))


def test_another_diff_id_than_the_config_lists_is_noticed() -> None:
    with pytest.raises(VerificationError, match=r"diff_ids\[0\]: expected"):
        validate_image(replace(image(GOOD), layers=(replace(GOOD, diff_id=OTHER.diff_id),)))


def test_history_of_another_number_of_layers_is_noticed() -> None:
    good = image(GOOD)
    config = replace(good.config, history=(History(), History(), History(empty_layer=True))).to_bytes()
    descriptor = replace(good.manifest.config, digest=Digest.of(config), size=len(config))
    bad = Image(replace(good.manifest, config=descriptor).to_bytes(), config, good.layers)

    with pytest.raises(VerificationError, match=r"layers in config\.history: expected 1, got 2"):
        validate_image(bad)


def test_a_manifest_of_an_unknown_type_is_noticed() -> None:
    good = image(GOOD)

    with pytest.raises(InvalidError, match="is of type 'x'"):
        validate_image(replace(good, manifest_bytes=replace(good.manifest, media_type="x").to_bytes()))


def test_a_good_index_is_good_and_an_attestation_is_left_alone() -> None:
    good = index(image(GOOD), image(OTHER, platform=ARM64))
    validate_index(good)
    validate_index(Index(IndexManifest((good.descriptor,)).to_bytes(), lambda _: good))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"platform": ARM64}, r"index\.manifests\[0\]\.platform: expected .*arm64"),
        ({"size": 1}, r"the size of index\.manifests\[0\]: expected 1"),
        ({"digest": OTHER.diff_id}, r"the digest of index\.manifests\[0\]: expected"),
        ({"media_type": mediatype.DOCKER_MANIFEST}, r"manifests\[0\]\.mediaType: expected .*docker"),
    ],
)
def test_an_index_that_describes_its_image_wrongly_is_noticed(change: dict[str, object], message: str) -> None:
    good = image(GOOD)
    entry = replace(good.descriptor, **change)  # type: ignore[arg-type]  # any field

    with pytest.raises(VerificationError, match=message):
        validate_index(Index(IndexManifest((entry,)).to_bytes(), lambda _: good))
