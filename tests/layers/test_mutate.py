"""mutate: an image in, an image out, and what does not change keeps its bytes."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from layers import mediatype, mutate
from layers.config import ContainerConfig, History, ImageConfig
from layers.digest import Digest
from layers.errors import InvalidError
from layers.image import Image
from layers.model import Manifest
from tests.support.images import AMD64, content_of, image, layer


def test_scratch_has_a_platform_and_nothing_else() -> None:
    found = mutate.scratch(AMD64)

    assert (AMD64, (), (), ()) == (found.platform, found.layers, found.config.diff_ids, found.config.history)


def test_append_puts_layer_history_and_diff_id_on_top() -> None:
    base, top = image(layer({"a": b"1"})), layer({"b": b"2"})

    found = mutate.append(base, top, History(created_by="COPY b /"))

    assert (*base.layers, top) == found.layers
    assert (*base.config.diff_ids, top.diff_id) == found.config.diff_ids
    assert (*base.manifest.layers, top.descriptor) == found.manifest.layers
    assert ["COPY 0 /", "COPY b /"] == [each.created_by for each in found.config.history]


def test_append_of_no_layer_adds_history_that_says_so() -> None:
    base = image(layer())

    found = mutate.append(base, None, History(created_by="ENV A=1"))

    assert base.layers == found.layers
    assert History(created_by="ENV A=1", empty_layer=True) == found.config.history[-1]


def test_append_to_a_docker_image_gives_the_layer_dockers_type() -> None:
    found = mutate.append(image(layer(), media_types="docker"), layer({"b": b""}), History())

    assert [mediatype.DOCKER_LAYER_GZIP] * 2 == [each.media_type for each in found.manifest.layers]
    assert [each.descriptor for each in found.layers] == list(found.manifest.layers)


def test_the_manifest_names_the_config_it_has() -> None:
    found = mutate.append(image(layer()), None, History())

    assert (found.id, len(found.config_bytes)) == (found.manifest.config.digest, found.manifest.config.size)


def test_with_config_keeps_the_layers() -> None:
    base = image(layer())
    changed = replace(base.config, config=ContainerConfig(user="app"))

    found = mutate.with_config(base, changed)

    assert ("app", base.layers) == (found.config.config.user, found.layers)


def test_a_config_that_is_the_same_keeps_the_bytes() -> None:
    """The bytes of another builder, in an order that we would not write, keep their digest."""
    base = image(layer())
    shuffled = json.dumps(dict(reversed(json.loads(base.config_bytes).items())), indent=7).encode()
    odd = Image(
        replace(base.manifest, config=replace(base.manifest.config, digest=Digest.of(shuffled))).to_bytes(),
        shuffled,
        base.layers,
    )

    assert odd is mutate.with_config(odd, base.config)


def test_a_config_of_other_layers_is_refused() -> None:
    with pytest.raises(InvalidError, match="config is one of other layers"):
        mutate.with_config(image(layer()), ImageConfig(AMD64))


def test_annotations_are_added_to_those_there_are() -> None:
    base = image(layer(), annotations={"a": "1", "b": "2"})

    found = mutate.with_annotations(base, {"b": "3", "c": "4"})

    assert {"a": "1", "b": "3", "c": "4"} == found.manifest.annotations
    assert base.config_bytes == found.config_bytes
    assert base is mutate.with_annotations(base, {"a": "1"})


def test_dockers_manifest_has_no_place_for_annotations() -> None:
    with pytest.raises(InvalidError, match="cannot have annotations"):
        mutate.with_annotations(image(layer(), media_types="docker"), {"a": "1"})
    with pytest.raises(InvalidError, match="cannot have annotations"):
        image(layer(), media_types="docker", annotations={"a": "1"})


def test_what_nobody_here_knows_stays_in_the_manifest() -> None:
    base = image(layer())
    odd = Image(replace(base.manifest, extra={"new": [1]}).to_bytes(), base.config_bytes, base.layers)

    assert {"new": [1]} == mutate.append(odd, layer({"b": b""}), History()).manifest.extra


def test_content_embedded_in_the_config_descriptor_goes_with_the_old_config() -> None:
    base = image(layer())
    descriptor = replace(base.manifest.config, extra={"data": "e30="})
    odd = Image(replace(base.manifest, config=descriptor).to_bytes(), base.config_bytes, base.layers)

    assert {} == mutate.append(odd, None, History()).manifest.config.extra


def test_to_docker_and_back_changes_names_and_no_content() -> None:
    base = image(layer(), layer({"b": b""}, "none"))

    docker = mutate.to_docker(base)

    assert mediatype.DOCKER_MANIFEST == Manifest.from_bytes(docker.manifest_bytes).media_type
    assert mediatype.DOCKER_CONFIG == docker.manifest.config.media_type
    assert [mediatype.DOCKER_LAYER_GZIP, mediatype.DOCKER_LAYER] == [x.media_type for x in docker.manifest.layers]
    assert (content_of(base), base.id) == (content_of(docker), docker.id)
    assert base.manifest_bytes == mutate.to_oci(docker).manifest_bytes
    assert base is mutate.to_oci(base)
