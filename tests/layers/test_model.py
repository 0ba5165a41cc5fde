"""Descriptor, Manifest and IndexManifest: read strictly, written as BuildKit does, nothing lost."""

from __future__ import annotations

import json
from typing import Any

import pytest

from layers import mediatype
from layers.digest import Digest
from layers.errors import InvalidError
from layers.model import Descriptor, IndexManifest, Manifest
from layers.platform import Platform

DIGEST = Digest.of(b"")
DESCRIPTOR: dict[str, Any] = {"mediaType": mediatype.OCI_CONFIG, "digest": str(DIGEST), "size": 0}


def manifest_with(**values: Any) -> bytes:
    return json.dumps({"schemaVersion": 2, "config": DESCRIPTOR, "layers": [], **values}).encode()


def test_a_descriptor_keeps_everything() -> None:
    source = {
        **DESCRIPTOR,
        "urls": ["https://example.org"],
        "annotations": {"a": "b"},
        "platform": {"architecture": "arm", "os": "linux", "os.features": ["x"], "os.version": "1", "variant": "v7"},
        "artifactType": "a/b",
        "data": "",
    }

    assert source == Descriptor.from_json(source, "x").to_json()
    assert ["mediaType", "digest", "size", "urls", "annotations", "platform", "artifactType", "data"] == list(
        Descriptor.from_json(source, "x").to_json()
    )


def test_what_is_empty_is_left_out() -> None:
    assert DESCRIPTOR == Descriptor(mediatype.OCI_CONFIG, DIGEST, 0).to_json()


def test_a_platform_is_brought_into_normal_form() -> None:
    source = {**DESCRIPTOR, "platform": {"os": "linux", "architecture": "arm64", "variant": "v8"}}

    assert Platform("linux", "arm64") == Descriptor.from_json(source, "x").platform


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"digest": None}, r"x\.digest is missing"),
        ({"digest": "sha256:1"}, "not a digest"),
        ({"size": None}, r"x\.size is missing"),
        ({"size": -1}, r"x\.size is not the size of anything: -1"),
        ({"size": 1 << 63}, r"x\.size is not the size of anything"),
        ({"size": "1"}, r"x\.size is a str, not a int"),
        ({"size": 1.0}, r"x\.size is a float, not a int"),
        ({"size": True}, r"x\.size is a bool, not a int"),
        ({"mediaType": 1}, r"x\.mediaType is a int, not a str"),
        ({"urls": "a"}, r"x\.urls is a str, not a list"),
        ({"annotations": {"a": 1}}, r"x\.annotations\.a is a int"),
        ({"platform": {"os": "linux"}}, r"x\.platform\.architecture is missing"),
        ({"platform": []}, r"x\.platform is a list, not a dict"),
    ],
)
def test_a_broken_descriptor_is_an_error_that_names_the_path(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidError, match=message):
        Descriptor.from_json(DESCRIPTOR | change, "x")


def test_a_manifest_is_written_as_buildkit_writes_it() -> None:
    layer = Descriptor(mediatype.OCI_LAYER_GZIP, DIGEST, 5)
    manifest = Manifest(Descriptor(mediatype.OCI_CONFIG, DIGEST, 0), (layer,), annotations={"b": "2", "a": "1"})

    expected = f"""{{
  "schemaVersion": 2,
  "mediaType": "application/vnd.oci.image.manifest.v1+json",
  "config": {{
    "mediaType": "application/vnd.oci.image.config.v1+json",
    "digest": "{DIGEST}",
    "size": 0
  }},
  "layers": [
    {{
      "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
      "digest": "{DIGEST}",
      "size": 5
    }}
  ],
  "annotations": {{
    "a": "1",
    "b": "2"
  }}
}}"""
    assert expected.encode() == manifest.to_bytes()
    assert manifest == Manifest.from_bytes(manifest.to_bytes())


def test_what_a_manifest_has_beyond_the_spec_is_kept() -> None:
    found = Manifest.from_bytes(manifest_with(subject=DESCRIPTOR, artifactType="a/b", new={"a": [1]}))

    assert ({"new": {"a": [1]}}, "a/b") == (found.extra, found.artifact_type)
    assert json.loads(manifest_with(subject=DESCRIPTOR, artifactType="a/b", new={"a": [1]})) | {
        "mediaType": mediatype.OCI_MANIFEST
    } == json.loads(found.to_bytes())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{}", r"manifest\.layers is missing"),
        (b'{"schemaVersion": 1}', "Docker's schema 1"),
        (manifest_with(manifests=[]), "it is an index"),
        (manifest_with(layers=None), r"manifest\.layers is missing"),
        (manifest_with(layers={}), r"manifest\.layers is a dict"),
        (manifest_with(layers=[1]), r"manifest\.layers\[0\] is a int, not an object"),
        (manifest_with(layers=[{}]), r"manifest\.layers\[0\]\.size is missing"),
        (manifest_with(config=None), r"manifest\.config is missing"),
        (manifest_with(annotations=[]), r"manifest\.annotations is a list"),
        (manifest_with(mediaType=2), r"manifest\.mediaType is a int"),
    ],
)
def test_a_broken_manifest_is_an_error_that_names_the_path(content: bytes, message: str) -> None:
    with pytest.raises(InvalidError, match=message):
        Manifest.from_bytes(content)


def test_an_index_comes_back_as_it_was_written() -> None:
    index = IndexManifest(
        (Descriptor(mediatype.OCI_MANIFEST, DIGEST, 3, platform=Platform("linux", "arm", "v7")),),
        annotations={"a": "b"},
        extra={"artifactType": "x"},
    )

    assert index == IndexManifest.from_bytes(index.to_bytes())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"manifests": {}}', r"index\.manifests is a dict"),
        (b'{"manifests": [[]]}', r"index\.manifests\[0\] is a list, not an object"),
        (manifest_with(), "it is a manifest"),
        (manifest_with(manifests=[]), "it is a manifest"),
    ],
)
def test_a_broken_index_is_an_error_that_names_the_path(content: bytes, message: str) -> None:
    """A document that is index and manifest in one would be another image to another reader (CVE-2021-41190)."""
    with pytest.raises(InvalidError, match=message):
        IndexManifest.from_bytes(content)


def test_an_index_of_nothing_may_say_null() -> None:
    """Go writes an empty list that was never made as null."""
    assert () == IndexManifest.from_bytes(b'{"schemaVersion": 2, "manifests": null}').manifests
