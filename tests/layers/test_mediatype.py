"""Media types: two families for the same things."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from layers import mediatype

if TYPE_CHECKING:
    from layers.mediatype import Compression

PAIRS = {
    mediatype.OCI_INDEX: mediatype.DOCKER_INDEX,
    mediatype.OCI_MANIFEST: mediatype.DOCKER_MANIFEST,
    mediatype.OCI_CONFIG: mediatype.DOCKER_CONFIG,
    mediatype.OCI_LAYER_GZIP: mediatype.DOCKER_LAYER_GZIP,
    mediatype.OCI_LAYER_ZSTD: mediatype.DOCKER_LAYER_ZSTD,
}


@pytest.mark.parametrize("oci", PAIRS)
def test_each_type_has_its_name_in_the_other_family(oci: str) -> None:
    """media-types.md, "Compatibility Matrix"."""
    assert PAIRS[oci] == mediatype.to_docker(oci)
    assert oci == mediatype.to_oci(PAIRS[oci])
    assert oci == mediatype.to_oci(oci)


def test_a_type_without_a_pair_stays_itself() -> None:
    assert "application/x" == mediatype.to_docker("application/x") == mediatype.to_oci("application/x")


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
def test_a_layer_type_says_how_it_is_compressed(compression: Compression) -> None:
    media_type = mediatype.layer_type(compression)

    assert compression == mediatype.layer_compression(media_type)
    assert compression == mediatype.layer_compression(mediatype.to_docker(media_type))
    assert mediatype.is_layer(media_type)


def test_what_is_no_layer_has_no_compression() -> None:
    assert mediatype.layer_compression(mediatype.OCI_CONFIG) is None
    assert not mediatype.is_layer("application/vnd.in-toto+json")
