"""One byte of what comes is another one: it is noticed, or asked for again, and nothing of it is kept.

A pull from a registry, a pull that goes on with what came before, and the documents of an archive. What no digest
covers is what a document without a digest says of its own: the names in an archive are as good as who gave it.
"""

from __future__ import annotations

import io
import tarfile
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from layers.archive import docker
from layers.archive.read import open_images
from layers.digest import Digest
from layers.errors import LayersError
from layers.image import Image
from layers.reference import Reference
from layers.registry.client import Client
from layers.registry.settings import Settings
from layers.store.layout import Layout
from layers.store.parts import part_path
from layers.validate import validate_image
from tests.support.images import AMD64, ARM64, image, index, layer, layer_of_tar, tar_of
from tests.support.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.support.images import MemoryLayer
    from tests.support.registry import Handler

_LAYERS = (layer(), layer_of_tar(tar_of({"app": bytes(range(256)) * 64}), "none"), layer({"b": b"2"}, "zstd"))
_IMAGE = image(*_LAYERS)
_INDEX = index(_IMAGE, image(layer({"c": b"3"}), platform=ARM64))
_BODIES: dict[str, bytes] = {
    "/manifests/1$": _INDEX.raw,
    f"/manifests/{_IMAGE.digest}$": _IMAGE.manifest_bytes,
    f"/blobs/{_IMAGE.id}$": _IMAGE.config_bytes,
    **{f"/blobs/{each.descriptor.digest}$": each.content for each in _LAYERS},
}

places = st.integers(0, 2**32 - 1).map(lambda number: number * 2654435761 % 2**32 / 2**32)
"""From 0 to 1, spread evenly: small numbers are tried most."""
flips = st.tuples(places, st.integers(1, 255))
"""Where a byte is changed, and which of its bits."""


def spoilt(content: bytes, place: float, mask: int) -> bytes:
    changed = bytearray(content)
    changed[int(place * len(content))] ^= mask
    return bytes(changed)


@pytest.fixture(scope="module")
def registry() -> Iterator[Registry]:
    with Registry() as started:
        started.add(_INDEX)
        yield started


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Directories that are new."""
    top = tmp_path_factory.mktemp("pulled")
    return (top / str(number) for number in range(1_000_000))


def pull(registry: Registry, root: Path) -> bool:
    """Pull into a store and tell whether it was done; either way all that the store has is what it is called."""
    layout, name = Layout.open(root), Reference.parse(f"{registry.address}/app:1")
    done = True
    with Client(Settings(retries=1, sleep=lambda _seconds: None)) as client:
        try:
            found = client.repository(name).get("1")
            layout.tag(name, layout.put(found, platforms=[AMD64], concurrency=1))
        except LayersError:
            done = False
    for digest in layout.blobs.list():
        assert digest == Digest.of(layout.blobs.path(digest).read_bytes())
    assert done == bool(layout.names())
    if done:
        pulled = layout.image(name, AMD64)
        validate_image(pulled)
        assert _IMAGE.digest == pulled.digest
    return done


@settings(max_examples=80)
@given(where=st.sampled_from(sorted(_BODIES)), flip=flips, times=st.sampled_from([1, 1000]))
def test_a_spoilt_byte_of_a_download_is_noticed_and_not_kept(
    registry: Registry, roots: Iterator[Path], where: str, flip: tuple[float, int], times: int
) -> None:
    """Asked again, with nothing wrong any more, the same store has the image."""
    root = next(roots)

    def spoil(handler: Handler) -> bool:
        handler.rewrite = lambda body: (spoilt(body, *flip), {})
        return False

    registry.fault("GET", where, spoil, times=times)
    try:
        done = pull(registry, root)
    finally:
        registry.faults.clear()

    assert not done
    assert pull(registry, root)


@settings(max_examples=80)
@given(which=st.sampled_from(_LAYERS), part=places, flip=flips)
def test_a_spoilt_byte_of_what_came_before_is_fetched_again(
    registry: Registry, roots: Iterator[Path], which: MemoryLayer, part: float, flip: tuple[float, int]
) -> None:
    """Wherever the download was cut short, also at its very end."""
    root = next(roots)
    path = part_path(root, which.descriptor.digest)
    path.parent.mkdir(parents=True)
    path.write_bytes(spoilt(which.content[: 1 + int(part * len(which.content))], *flip))

    assert pull(registry, root)
    assert not path.exists()


def archive(documents: Mapping[str, bytes]) -> io.BytesIO:
    return io.BytesIO(tar_of(documents))


@pytest.fixture(scope="module", params=["manifest.json", "index.json"])
def members(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, bytes]]:
    """The files of an archive with two images, in one of the two forms, and the document that names them."""
    buffer = io.BytesIO()
    one, two = (image(layer({"a": content}, "none")) for content in (b"1", b"2"))
    docker.write([(one, [Reference.parse("one:1")]), (two, [Reference.parse("two:2")])], buffer)
    buffer.seek(0)
    with tarfile.open(fileobj=buffer) as tar:
        files = {each.name: tar.extractfile(each).read() for each in tar if each.isfile()}  # type: ignore[union-attr]  # files all
    if request.param == "manifest.json":
        del files["index.json"], files["oci-layout"]
    return request.param, files


@settings(max_examples=200)
@given(flip=flips)
def test_a_spoilt_byte_of_an_archives_list_changes_names_and_nothing_else(
    members: tuple[str, dict[str, bytes]], tmp_path_factory: pytest.TempPathFactory, flip: tuple[float, int]
) -> None:
    """An image may be called something else, or be missing; one that is given is one that was there."""
    name, files = members
    scratch = tmp_path_factory.getbasetemp()
    known = _images(files, scratch)
    assert 2 == len(known)

    found = _images({**files, name: spoilt(files[name], *flip)}, scratch)

    assert found <= known


def _images(files: Mapping[str, bytes], scratch: Path) -> set[Digest]:
    """Give the configs' digests of the images that are sound."""
    found = set()
    try:
        with open_images(archive(files), scratch) as images:
            for each in images:
                assert isinstance(each.source, Image)
                validate_image(each.source)
                found.add(each.source.id)
    except LayersError:
        return set()
    return found


def test_every_document_of_a_pull_is_spoilt() -> None:
    """So that the law above is about all kinds of them: an index, a manifest, a config and the layers."""
    assert 3 + len(_IMAGE.layers) == len(_BODIES)
