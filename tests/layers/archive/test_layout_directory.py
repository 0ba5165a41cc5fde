"""oci.write_layout: images into a directory that others read."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from layers.archive import oci
from layers.errors import InvalidError, NotFoundError, StoreError, VerificationError
from layers.image import Image
from layers.reference import Reference
from layers.validate import validate_image
from tests.support.images import image, index, layer

if TYPE_CHECKING:
    from pathlib import Path

APP = Reference.parse("app:dev")
OTHER = Reference.parse("ghcr.io/a/b:1")
ONE, TWO = image(layer({"a": b"1"})), image(layer({"a": b"2"}))


def test_what_is_written_is_read_and_nothing_else_is_left(tmp_path: Path) -> None:
    oci.write_layout([(ONE, [APP, OTHER])], tmp_path / "out")

    [found] = oci.read_layout(tmp_path / "out")

    assert ((APP, OTHER), ONE.digest) == (found.names, found.source.digest)
    assert isinstance(found.source, Image)
    validate_image(found.source)
    assert {"blobs", "index.json", "oci-layout"} == {path.name for path in (tmp_path / "out").iterdir()}
    assert 3 == len(list((tmp_path / "out" / "blobs" / "sha256").iterdir()))


def test_an_image_takes_the_place_of_one_of_the_same_name(tmp_path: Path) -> None:
    oci.write_layout([(ONE, [APP, OTHER])], tmp_path)
    oci.write_layout([(TWO, [APP])], tmp_path)

    assert [((OTHER,), ONE.digest), ((APP,), TWO.digest)] == [
        (found.names, found.source.digest) for found in oci.read_layout(tmp_path)
    ]


def test_an_image_without_a_name_takes_the_place_of_one_without(tmp_path: Path) -> None:
    """With two of them in ``index.json``, skopeo could not tell which one is meant."""
    oci.write_layout([(ONE, [])], tmp_path)
    oci.write_layout([(TWO, [])], tmp_path)

    assert [TWO.digest] == [found.source.digest for found in oci.read_layout(tmp_path)]


def test_an_index_is_written_with_its_images(tmp_path: Path) -> None:
    oci.write_layout([(index(ONE, TWO), [APP])], tmp_path)

    [found] = oci.read_layout(tmp_path)
    assert not isinstance(found.source, Image)
    assert [ONE.digest, TWO.digest] == [found.source.load(each).digest for each in found.source.manifest.manifests]


def test_a_layer_that_is_not_what_it_promised_leaves_no_name(tmp_path: Path) -> None:
    good = layer({}, "none")
    bad = replace(good, content=b"x" * len(good.content))

    with pytest.raises(VerificationError):
        oci.write_layout([(image(bad), [APP])], tmp_path)

    assert [] == list((tmp_path / "blobs").rglob("*.tmp"))
    with pytest.raises(NotFoundError, match="it has no file oci-layout"):
        oci.read_layout(tmp_path)


def test_a_file_in_the_way_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")

    with pytest.raises(StoreError, match="cannot write the layout in"):
        oci.write_layout([(ONE, [APP])], tmp_path / "out")


def test_an_index_that_is_none_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "index.json").write_text('{"name": "a package of JavaScript"')

    with pytest.raises(InvalidError, match="index is not JSON"):
        oci.write_layout([(ONE, [APP])], tmp_path)


def test_a_layout_without_an_index_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "oci-layout").write_text("{}")

    with pytest.raises(NotFoundError, match=r"it has no file index"):
        oci.read_layout(tmp_path)


def test_a_blob_that_is_gone_or_no_file_or_of_another_size_is_an_error(tmp_path: Path) -> None:
    oci.write_layout([(ONE, [APP])], tmp_path)
    path = tmp_path / "blobs" / "sha256" / ONE.id.encoded

    path.write_bytes(b"")
    with pytest.raises(VerificationError, match="has another size"):
        oci.read_layout(tmp_path)
    path.unlink()
    with pytest.raises(NotFoundError, match="cannot read blob"):
        oci.read_layout(tmp_path)
    path.mkdir()
    with pytest.raises(NotFoundError, match="is no file"):
        oci.read_layout(tmp_path)


def test_what_another_tool_wrote_beside_it_stays(tmp_path: Path) -> None:
    oci.write_layout([(ONE, [APP])], tmp_path)
    document = json.loads((tmp_path / "index.json").read_text()) | {"annotations": {"k": "v"}}
    (tmp_path / "index.json").write_text(json.dumps(document))

    oci.write_layout([(TWO, [OTHER])], tmp_path)

    assert {"k": "v"} == json.loads((tmp_path / "index.json").read_text())["annotations"]
    assert 2 == len(oci.read_layout(tmp_path))


@pytest.mark.parametrize("name", ["index.json", "oci-layout"])
def test_a_pipe_in_a_files_place_is_not_waited_for(tmp_path: Path, name: str) -> None:
    oci.write_layout([(image(layer()), [])], tmp_path)
    (tmp_path / name).unlink()
    os.mkfifo(tmp_path / name)
    with pytest.raises(NotFoundError, match=f"it has no file {name}"):
        oci.read_layout(tmp_path)
