"""docker.write: one tar that Docker of any age, skopeo, containerd and podman can read."""

from __future__ import annotations

import io
import json
import tarfile
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from layers.archive import docker
from layers.digest import Digest
from layers.errors import InvalidError, VerificationError
from layers.platform import Platform
from layers.reference import Reference
from tests.support.images import ARM64, content_of, image, index, layer

if TYPE_CHECKING:
    from layers.image import Image, Index

APP = Reference.parse("app:dev")
OTHER = Reference.parse("ghcr.io/a/b:1")


def written(*images: tuple[Image | Index, list[Reference]]) -> bytes:
    sink = io.BytesIO()
    docker.write(images, sink)
    return sink.getvalue()


def members(archive: bytes) -> dict[str, bytes]:
    found = {}
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:") as tar:
        for member in tar:
            file = tar.extractfile(member)
            if file is not None:
                assert member.name not in found
                found[member.name] = file.read()
    return found


def test_manifest_json_names_config_layers_and_familiar_tags() -> None:
    source = image(layer({"a": b"1"}), layer({"b": b"2"}))

    manifest = json.loads(members(written((source, [APP, OTHER])))["manifest.json"])

    assert [
        {
            "Config": f"blobs/sha256/{source.id.encoded}",
            "RepoTags": ["app:dev", "ghcr.io/a/b:1"],
            "Layers": [f"blobs/sha256/{each.descriptor.digest.encoded}" for each in source.layers],
        }
    ] == manifest


def test_every_blob_is_there_under_its_digest() -> None:
    source = image(layer({"a": b"1"}), layer({"b": b"2"}, "zstd"))

    found = members(written((source, [APP])))
    blobs = {name.removeprefix("blobs/sha256/"): content for name, content in found.items() if "/" in name}

    assert {name: Digest.of(content).encoded for name, content in blobs.items()} == {name: name for name in blobs}
    assert {source.manifest_bytes, source.config_bytes, *content_of(source)} == set(blobs.values())


def test_index_json_lists_every_name() -> None:
    source = image(layer())

    manifests = json.loads(members(written((source, [APP, OTHER])))["index.json"])["manifests"]

    assert [str(source.digest)] * 2 == [each["digest"] for each in manifests]
    assert [str(APP), str(OTHER)] == [each["annotations"]["io.containerd.image.name"] for each in manifests]


def test_an_image_without_a_name_is_listed_all_the_same() -> None:
    found = members(written((image(layer()), [])))

    assert [None] == [each["RepoTags"] for each in json.loads(found["manifest.json"])]
    assert 1 == len(json.loads(found["index.json"])["manifests"])


def test_a_shared_layer_is_written_once() -> None:
    base = layer({"a": bytes(100_000)}, "none")

    archive = written((image(base, layer({"b": b"1"})), [APP]), (image(base, layer({"b": b"2"})), [OTHER]))

    assert len(archive) < 2 * len(base.content)


def test_the_same_images_give_the_same_bytes() -> None:
    source = image(layer({"a": b"1"}))

    assert written((source, [APP])) == written((source, [APP]))


def test_of_an_index_manifest_json_has_the_image_for_this_machine() -> None:
    here = image(layer({"a": b"1"}), platform=Platform.host())
    source = index(image(layer({"a": b"2"}), platform=replace(ARM64, architecture="s390x")), here)

    found = members(written((source, [APP])))

    assert [f"blobs/sha256/{here.id.encoded}"] == [each["Config"] for each in json.loads(found["manifest.json"])]
    assert source.raw == found[f"blobs/sha256/{source.digest.encoded}"]


def test_a_layer_that_is_not_what_it_promised_is_noticed() -> None:
    good = layer({}, "none")
    bad = replace(good, content=b"x" * len(good.content))

    with pytest.raises(VerificationError):
        written((image(bad), [APP]))


def test_a_name_with_the_digest_of_something_else_is_refused() -> None:
    with pytest.raises(InvalidError, match="cannot be the name of"):
        written((image(layer()), [replace(APP, digest=Digest.of(b""))]))
