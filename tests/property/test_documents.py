"""Laws of the JSON documents: nothing is lost, and no bytes bring down who reads them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from layers import mutate
from layers.config import History, ImageConfig
from layers.digest import Digest
from layers.errors import InvalidError
from layers.model import Descriptor, IndexManifest, Manifest
from layers.validate import validate_image
from tests.property.test_platforms import PLATFORMS
from tests.support.images import image, layer

if TYPE_CHECKING:
    from layers.image import Image

TEXT = st.text(max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
DIGESTS = st.binary(max_size=4).map(Digest.of)
STRING_MAPS = st.dictionaries(TEXT, TEXT, max_size=3)
UNKNOWN = st.dictionaries(TEXT.map("x-".__add__), JSON, max_size=2)
DESCRIPTORS = st.builds(
    Descriptor,
    TEXT,
    DIGESTS,
    st.integers(0, 2**63 - 1),
    st.lists(TEXT, max_size=2).map(tuple),
    STRING_MAPS,
    st.none() | PLATFORMS,
    TEXT,
    UNKNOWN,
)
LISTS = st.lists(DESCRIPTORS, max_size=3).map(tuple)
MEDIA_TYPES = st.text(min_size=1, max_size=8)
MANIFESTS = st.builds(Manifest, DESCRIPTORS, LISTS, MEDIA_TYPES, STRING_MAPS, TEXT, st.none() | DESCRIPTORS, UNKNOWN)
INDEXES = st.builds(IndexManifest, LISTS, MEDIA_TYPES, STRING_MAPS, UNKNOWN)


@given(MANIFESTS)
def test_a_manifest_is_read_as_it_was_written(manifest: Manifest) -> None:
    assert manifest == Manifest.from_bytes(manifest.to_bytes())


@given(INDEXES)
def test_an_index_is_read_as_it_was_written(index: IndexManifest) -> None:
    assert index == IndexManifest.from_bytes(index.to_bytes())


@given(UNKNOWN, UNKNOWN, UNKNOWN, PLATFORMS)
def test_what_a_config_has_beyond_the_spec_is_kept(a: Any, b: Any, c: Any, platform: Any) -> None:
    document = {"architecture": platform.architecture, "os": platform.os, "config": a, "history": [b], **c}
    if platform.variant:
        document["variant"] = platform.variant

    found = json.loads(ImageConfig.from_bytes(json.dumps(document).encode()).to_bytes())

    assert document | {"rootfs": {"type": "layers", "diff_ids": []}} == found


KEYS = st.sampled_from(
    [
        *("schemaVersion", "mediaType", "config", "layers", "manifests", "annotations", "digest", "size", "platform"),
        *("os", "architecture", "rootfs", "diff_ids", "history", "Env", "Cmd", "Healthcheck", "Test", "Labels"),
    ]
)
DOCUMENTS = st.dictionaries(
    KEYS, st.recursive(JSON, lambda inner: st.dictionaries(KEYS, inner, max_size=3) | st.lists(inner, max_size=3))
)


@given(st.binary() | DOCUMENTS.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_a_document_or_refused(content: bytes) -> None:
    for read in (Manifest.from_bytes, IndexManifest.from_bytes, ImageConfig.from_bytes):
        try:
            found = read(content)
        except InvalidError:
            continue
        assert found.to_bytes() == read(found.to_bytes()).to_bytes()


IMAGES = st.builds(
    lambda parts, media_types: image(*(layer({"f": part}) for part in parts), media_types=media_types),
    st.lists(st.binary(max_size=3), max_size=3),
    st.sampled_from(["oci", "docker"]),
)


@given(IMAGES, st.lists(st.binary(max_size=3) | st.none(), max_size=3))
def test_every_verb_gives_an_image_that_keeps_its_promises(source: Image, steps: list[bytes | None]) -> None:
    for step in steps:
        source = mutate.append(source, None if step is None else layer({"f": step}), History(created_by="x"))
    for found in (source, mutate.to_docker(source), mutate.to_oci(source)):
        validate_image(found)
    assert mutate.to_oci(source).manifest_bytes == mutate.to_oci(mutate.to_docker(source)).manifest_bytes
