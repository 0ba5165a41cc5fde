"""One byte of a store or an archive is another one: it is noticed, or nothing that is used has changed.

What is used of an image is all that its digests cover, and its name. Of an archive, names are covered by no digest: a
name there may be read as another name. The files of unpacked layers are not read again: a store is trusted that far.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builder.cache.cache import Record
from builder.cache.key import cache_key
from builder.cache.local import LocalCache
from builder.containers.record import Container
from builder.containers.store import Containers, new_id
from builder.context.memo import Memo
from builder.runtime.unpacked import Unpacked
from builder.runtime.userns import Namespace
from layers.archive import docker, oci
from layers.archive.read import open_images
from layers.changeset.write import write_layer
from layers.config import chain_ids
from layers.errors import LayersError
from layers.image import Image
from layers.mediatype import layer_type
from layers.model import Descriptor
from layers.reference import Reference
from layers.store.layout import Layout
from layers.store.trees import Trees
from layers.validate import validate_image
from tests.support.images import image, layer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from layers.image import Layer

APP = Reference.parse("registry.example.com/team/app:1.0")
KEY = cache_key("COPY", None, {"files": ["a"]})
_FILES = {"etc/": b"", "etc/passwd": b"root:x:0:0::/:/bin/sh\n", "etc/motd": b"hello\n" * 40}

places = st.integers(0, 2**32 - 1).map(lambda number: number * 2654435761 % 2**32 / 2**32)
"""From 0 to 1, spread evenly: small numbers are tried most."""
masks = st.integers(1, 255)


class Spoilable(NamedTuple):
    """Some files, and what is seen when they are used."""

    root: Path
    use: Callable[[], dict[str, object]]
    """Gives what each thing is; one that is noticed to be damaged, or missing, is left out."""
    files: dict[Path, bytes]
    sound: dict[str, object]

    @classmethod
    def of(cls, root: Path, use: Callable[[], dict[str, object]]) -> Spoilable:
        files = {path: path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}
        return cls(root, use, files, use())

    def spoil(self, path: Path, place: float, mask: int) -> dict[str, object]:
        """Change one byte, give what is used then, and put all back."""
        content = bytearray(self.files[path])
        content[int(place * len(content))] ^= mask
        path.write_bytes(content)
        try:
            return self.use()
        finally:
            for each in set(self.root.rglob("*")) - self.files.keys():
                if each.is_file():
                    each.unlink()
            for each, before in self.files.items():
                each.write_bytes(before)


def seen(found: dict[str, object], name: str, look: Callable[[], object]) -> None:
    """Note what something is, where it can be had."""
    try:
        value = look()
    except LayersError:
        return
    if value is not None:
        found[name] = value


def meaning(found: Image) -> object:
    validate_image(found)
    return found.digest, found.manifest_bytes, found.config_bytes


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Spoilable:
    """A store with an image, a record of its layer, the layer's index and size, and a memo of files."""
    root = tmp_path_factory.mktemp("store")
    layout = Layout.open(root)
    built = image(layer(_FILES), layer({"app": bytes(range(256))}, "zstd"))
    layout.tag(APP, layout.put(built))
    layers = layout.image(APP).layers
    blob = layers[0].descriptor
    LocalCache(root / "cache" / "steps").put(KEY, Record(layers[0].diff_id, "2020-01-01T00:00:00Z", {"gzip": blob}))
    Trees(layout).tree(layers)
    layout.write_side(blob.digest, "bytes", b"123")
    memo, files = Memo(), root / "cache" / "files"
    files.mkdir()
    memo.remember_selection(b"s" * 32, b"c" * 32)
    memo.save(files / "memo")
    for path in (root / "locks").iterdir():
        path.unlink()

    def use() -> dict[str, object]:
        found: dict[str, object] = {}
        try:
            opened = Layout.open(root)
            names = [str(name) for name, _ in opened.names()]
        except LayersError:
            return {}
        found["names"] = names
        for name in names:
            seen(found, name, lambda name=name: meaning(opened.image(Reference.parse(name))))  # type: ignore[misc]
        seen(found, "record", lambda: LocalCache(root / "cache" / "steps").get(KEY))
        seen(found, "index", lambda: Trees(opened).kept(blob.digest))
        seen(found, "tree", lambda: list(Trees(opened).tree(layers).walk(b"")))
        seen(found, "bytes", lambda: opened.read_side(blob.digest, "bytes"))
        seen(found, "memo", lambda: Memo.load(files / "memo").selection(b"s" * 32))
        return found

    return Spoilable.of(root, use)


@settings(max_examples=400)
@given(data=st.data(), place=places, mask=masks)
def test_a_spoilt_byte_of_a_store_is_noticed_or_not_used(
    store: Spoilable, data: st.DataObject, place: float, mask: int
) -> None:
    path = data.draw(st.sampled_from([path for path, content in store.files.items() if content]))

    found = store.spoil(path, place, mask)

    assert not [name for name in found.get("names", []) if name != str(APP)]  # type: ignore[attr-defined]
    assert found.items() <= (store.sound | {"names": []}).items() or found.items() <= store.sound.items()
    assert store.use() == store.sound


def test_every_file_of_the_store_is_one_that_is_known(store: Spoilable) -> None:
    """So that the law above is about all kinds of them."""
    kinds = {path.relative_to(store.root).parts[0] for path, content in store.files.items() if content}
    assert {"blobs", "side", "cache", "index.json", "oci-layout", "version"} == kinds
    assert {"names", str(APP), "record", "index", "tree", "bytes", "memo"} == store.sound.keys()


@pytest.fixture(scope="module", params=[docker.write, oci.write], ids=["docker", "oci"])
def archive(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Spoilable:
    root = tmp_path_factory.mktemp("archive")
    path, scratch = root / "app.tar", tmp_path_factory.mktemp("scratch")
    with path.open("wb") as sink:
        request.param([(image(layer(_FILES), layer({"app": b"x"}, "none")), [APP])], sink)

    def use() -> dict[str, object]:
        found: dict[str, object] = {}
        try:
            with open_images(path, scratch) as images:
                for each in images:
                    assert isinstance(each.source, Image)
                    found["image"] = meaning(each.source)
        except LayersError:
            return {}
        return found

    return Spoilable.of(root, use)


@settings(max_examples=300)
@given(place=places, mask=masks)
def test_a_spoilt_byte_of_an_archive_is_noticed_or_not_used(archive: Spoilable, place: float, mask: int) -> None:
    """What is not used: the padding between members, the archive's end, times and owners of its members."""
    (path,) = archive.files

    assert archive.spoil(path, place, mask).items() <= archive.sound.items()


@pytest.fixture(scope="module")
def notes(tmp_path_factory: pytest.TempPathFactory) -> Spoilable:
    """What is noted beside layers that are unpacked."""
    layout = Layout.open(tmp_path_factory.mktemp("layers"))
    root = tmp_path_factory.mktemp("unpacked")
    trees = Trees(layout)
    layers = [_written(layout, trees, {"a": bytes([number]), "b": b"b"}) for number in range(3)]
    chains = chain_ids(tuple(each.diff_id for each in layers))

    def use() -> dict[str, object]:
        lowers = Unpacked(root, Namespace("single", 1)).lower_directories(layers, chains, Trees(layout))
        shown = {name: next((each / name).read_bytes() for each in lowers if (each / name).exists()) for name in "ab"}
        return {"files": shown}

    use()
    return Spoilable.of(root, use)


def _written(layout: Layout, trees: Trees, files: dict[str, bytes]) -> Layer:
    from layers.changeset.entry import Change, Entry  # noqa: PLC0415 - only here

    def changes() -> Iterator[Change]:
        for name, content in files.items():
            yield Change(name.encode(), Entry(name.encode(), "file", 0o644, size=1), lambda c=content: io.BytesIO(c))  # type: ignore[misc]

    with layout.blobs.write(hashing=False) as blob:
        written = write_layer(changes(), blob, "gzip")
        blob.commit(written.digest, written.size)
    trees.keep(written.digest, written.diff_id, written.index)
    return layout.layer(Descriptor(layer_type("gzip"), written.digest, written.size), written.diff_id)


@settings(max_examples=100)
@given(data=st.data(), place=places, mask=masks)
def test_a_spoilt_byte_of_a_note_shows_no_other_files(
    notes: Spoilable, data: st.DataObject, place: float, mask: int
) -> None:
    """What cannot be believed is unpacked again, perhaps into other directories; so nothing is put back."""
    path = data.draw(st.sampled_from([path for path in notes.files if path.suffix == ".next" or path.name == "note"]))
    content = bytearray(path.read_bytes() if path.exists() else b"{")
    content[int(place * len(content))] ^= mask
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)

    assert notes.sound == notes.use()


@pytest.fixture(scope="module")
def containers(tmp_path_factory: pytest.TempPathFactory) -> Spoilable:
    """Two containers of a store, with all that can be written down of one."""
    layout = Layout.open(tmp_path_factory.mktemp("containers"))
    known = Containers(layout)
    digest = str(image(layer(_FILES)).digest)
    for name in ("one", "two"):
        known.add(
            Container(new_id(), name, "app:1", digest, digest, ("/bin/sh",), ("-c", "true"), labels={"a": "b"}, pid=7)
        )
    return Spoilable.of(known.directory, lambda: {each.id: each for each in known.all()})


@settings(max_examples=100)
@given(data=st.data(), place=places, mask=masks)
def test_a_spoilt_byte_of_a_containers_record_is_noticed(
    containers: Spoilable, data: st.DataObject, place: float, mask: int
) -> None:
    """The container of that record is none any more, and ``fsck`` tells of it; the other is as it was."""
    path = data.draw(st.sampled_from(sorted(containers.files)))

    assert {path.stem} == containers.sound.keys() - containers.spoil(path, place, mask).keys()
    assert containers.use() == containers.sound
