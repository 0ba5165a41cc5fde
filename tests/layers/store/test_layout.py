"""Layout: images by name and by id, in a directory that other tools can read."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest

from layers.digest import Digest
from layers.errors import InvalidError, NotFoundError, StoreError, VerificationError
from layers.image import Image, Index
from layers.model import Descriptor, IndexManifest
from layers.reference import Reference
from layers.store.layout import Layout, Stored
from layers.store.names import REF_NAME
from tests.support.images import AMD64, ARM64, MemoryLayer, content_of, image, index, layer

if TYPE_CHECKING:
    from pathlib import Path

    from layers.digest import VerifyingReader

APP = Reference.parse("app:dev")


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout.open(tmp_path / "store")


def add(layout: Layout, source: Image | Index, *names: str) -> Descriptor:
    descriptor = layout.put(source)
    for name in names:
        layout.tag(Reference.parse(name), descriptor)
    return descriptor


def test_an_image_comes_back_as_it_was_put(layout: Layout) -> None:
    source = image(layer({"a": b"1"}), layer({"b": b"2"}))

    add(layout, source, "app:dev")
    found = Layout.open(layout.root, create=False).image(APP)

    assert source.manifest_bytes == found.manifest_bytes
    assert source.config_bytes == found.config_bytes
    assert content_of(source) == content_of(found)
    assert [each.diff_id for each in source.layers] == [each.diff_id for each in found.layers]


def test_no_temporary_file_is_left(layout: Layout) -> None:
    add(layout, image(layer()), "app:dev")

    assert [] == list((layout.root / "tmp").iterdir())


def test_a_name_is_written_for_skopeo_and_for_containerd(layout: Layout) -> None:
    add(layout, image(layer()), "app:dev")

    entries = json.loads((layout.root / "index.json").read_text())["manifests"]

    assert [
        {
            "io.containerd.image.name": "docker.io/library/app:dev",
            "org.opencontainers.image.ref.name": "docker.io/library/app:dev",
        }
    ] == [each["annotations"] for each in entries]


def test_a_directory_without_a_layout_is_refused_unless_one_is_to_be_made(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="is no OCI image layout"):
        Layout.open(tmp_path, create=False)


def test_a_layout_of_another_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "oci-layout").write_text('{"imageLayoutVersion":"2.0.0"}')

    with pytest.raises(StoreError, match=r"version 2\.0\.0"):
        Layout.open(tmp_path)


@pytest.mark.parametrize("version", ["2", "10", "next", "1.5", "", "9" * 5000])
def test_a_store_of_a_later_version_is_refused_and_left_alone(layout: Layout, version: str) -> None:
    (layout.root / "version").write_text(f"{version}\n")
    before = sorted(layout.root.rglob("*"))

    with pytest.raises(StoreError, match="is a store of version") as caught:
        Layout.open(layout.root)

    assert "PYBUILD_ROOT" in caught.value.hint
    assert before == sorted(layout.root.rglob("*"))


def test_a_store_of_an_earlier_version_is_used(layout: Layout) -> None:
    """The first one wrote no version, and what was derived from blobs bore no checksum: it is passed over."""
    descriptor = layout.put(image())
    layout.tag(Reference.parse("app:dev"), descriptor)
    layout.write_side(descriptor.digest, "index", b"1")
    layout.side(descriptor.digest, "index").write_bytes(b"1")
    (layout.root / "version").unlink()

    again = Layout.open(layout.root)

    assert image().digest == again.image(Reference.parse("app:dev")).digest
    assert again.read_side(descriptor.digest, "index") is None


def test_a_version_that_cannot_be_read_is_an_error(layout: Layout) -> None:
    (layout.root / "version").unlink()
    (layout.root / "version").mkdir()

    with pytest.raises(StoreError, match="cannot read"):
        Layout.open(layout.root)


def test_a_broken_index_is_an_error_that_names_the_file(layout: Layout) -> None:
    (layout.root / "index.json").write_text("{")

    with pytest.raises(StoreError, match=r"index\.json: index is not JSON"):
        layout.names()


def test_a_missing_image_is_an_error_with_names_like_it(layout: Layout) -> None:
    add(layout, image(layer()), "app:dev")

    with pytest.raises(NotFoundError) as caught:
        layout.get(Reference.parse("apq:dev"))

    assert "no image apq:dev in the store" == caught.value.message
    assert "did you mean app:dev?" == caught.value.hint


def test_moving_a_name_keeps_the_old_image_without_one(layout: Layout) -> None:
    old = add(layout, image(layer({"a": b"1"})), "app:dev")
    new = add(layout, image(layer({"a": b"2"})), "app:dev")

    assert [(APP, new.digest)] == [(name, each.digest) for name, each in layout.names()]
    assert {(old.digest, ()), (new.digest, (APP,))} == {(e.descriptor.digest, e.names) for e in layout.images()}


def test_moving_one_of_two_names_leaves_the_other(layout: Layout) -> None:
    add(layout, image(layer({"a": b"1"})), "app:dev", "app:old")
    add(layout, image(layer({"a": b"2"})), "app:dev")

    assert [(APP,), (Reference.parse("app:old"),)] == sorted(each.names for each in layout.images())


def test_naming_an_image_that_had_none_leaves_one_entry(layout: Layout) -> None:
    source = image(layer())
    layout.keep(layout.put(source))
    layout.tag(APP, source.descriptor)

    assert [(APP,)] == [each.names for each in layout.images()]


def test_keeping_an_image_that_has_a_name_changes_nothing(layout: Layout) -> None:
    descriptor = add(layout, image(layer()), "app:dev")
    before = (layout.root / "index.json").read_bytes()

    layout.keep(descriptor)
    layout.tag(APP, descriptor)

    assert before == (layout.root / "index.json").read_bytes()


def test_untag_takes_the_name_and_with_the_last_the_image(layout: Layout) -> None:
    descriptor = add(layout, image(layer()), "app:dev", "app:two")

    assert descriptor.digest == layout.untag(APP).digest
    assert [(Reference.parse("app:two"),)] == [each.names for each in layout.images()]

    layout.untag(Reference.parse("app:two"))
    assert [] == layout.images()


def test_untag_of_no_name_is_an_error(layout: Layout) -> None:
    with pytest.raises(NotFoundError):
        layout.untag(APP)


def test_a_name_cannot_be_given_to_what_is_not_stored(layout: Layout) -> None:
    with pytest.raises(NotFoundError):
        layout.tag(APP, image(layer()).descriptor)


def test_a_name_with_a_digest_leads_to_that_digest_only(layout: Layout) -> None:
    one = add(layout, image(layer({"a": b"1"})), "app:dev")
    two = add(layout, image(layer({"a": b"2"})), "app:dev")
    pinned = replace(APP, digest=one.digest)

    assert one.digest == layout.get(pinned).digest
    with pytest.raises(InvalidError, match="cannot be the name of"):
        layout.tag(pinned, two)


def test_entries_of_other_tools_are_kept_and_read(layout: Layout) -> None:
    """``skopeo copy ... oci:ROOT:Base`` writes a ref.name that is no reference of ours."""
    stranger = replace(layout.put(image(layer({"a": b"1"}))), annotations={REF_NAME: "Base", "x": "y"})
    (layout.root / "index.json").write_bytes(
        IndexManifest((stranger,), annotations={"k": "v"}, extra={"artifactType": "t"}).to_bytes()
    )
    add(layout, image(layer({"a": b"2"})), "app:dev")

    kept = json.loads((layout.root / "index.json").read_text())
    assert {"k": "v"} == kept["annotations"]
    assert "t" == kept["artifactType"]
    assert {REF_NAME: "Base", "x": "y"} == kept["manifests"][0]["annotations"]
    assert (stranger.digest, None) == (layout.resolve("Base").descriptor.digest, layout.resolve("Base").reference)


def test_a_foreign_name_without_registry_is_read_as_docker_reads_it(layout: Layout) -> None:
    stranger = replace(layout.put(image(layer())), annotations={REF_NAME: "app:dev"})
    (layout.root / "index.json").write_bytes(IndexManifest((stranger,)).to_bytes())

    assert stranger.digest == layout.get(APP).digest


def test_resolve_takes_names_ids_and_their_beginnings(layout: Layout) -> None:
    source = image(layer())
    descriptor = add(layout, source, "app:dev")
    texts = [
        *("app:dev", "docker.io/library/app:dev", f"app@{source.digest}"),
        *(str(source.id), source.id.encoded, source.id.short, source.digest.short, str(source.digest)),
    ]

    assert [descriptor.digest] * len(texts) == [layout.resolve(text).descriptor.digest for text in texts]
    assert [APP, APP] + [None] * 6 == [layout.resolve(text).reference for text in texts]


def test_resolve_refuses_the_beginning_of_several_ids(layout: Layout) -> None:
    for i in range(20):
        layout.keep(layout.put(image(layer({"a": bytes([i])}))))
    beginnings = [image(layer({"a": bytes([i])})).id.encoded[0] for i in range(20)]
    twice = next(each for each in beginnings if beginnings.count(each) > 1)

    with pytest.raises(InvalidError, match=f"several image ids begin with {twice}: "):
        layout.resolve(twice)


def test_a_name_goes_before_an_id(layout: Layout) -> None:
    other = image(layer({"a": b"1"}))
    layout.keep(layout.put(other))
    named = add(layout, image(layer({"a": b"2"})), other.id.encoded[:8])

    assert named.digest == layout.resolve(other.id.encoded[:8]).descriptor.digest


def test_an_index_gives_the_image_for_a_platform(layout: Layout) -> None:
    amd64, arm64 = image(layer({"a": b"1"})), image(layer({"a": b"2"}), platform=ARM64)
    add(layout, index(amd64, arm64), "app:dev")

    assert isinstance(layout.get(APP), Index)
    assert [amd64.digest, arm64.digest] == [layout.image(APP, each).digest for each in (AMD64, ARM64)]
    assert arm64.digest == layout.resolve(arm64.id.short).descriptor.digest


def test_of_an_index_only_the_wanted_platforms_are_stored(layout: Layout) -> None:
    amd64, arm64 = image(layer({"a": b"1"})), image(layer({"a": b"2"}), platform=ARM64)
    source = index(amd64, arm64)
    layout.tag(APP, layout.put(source, platforms=[ARM64]))

    assert arm64.digest == layout.image(APP, ARM64).digest
    with pytest.raises(NotFoundError, match="no blob"):
        layout.image(APP, AMD64)
    assert source.digest == layout.resolve(source.digest.short).descriptor.digest


def test_an_image_for_another_platform_is_not_found_where_one_is_asked_for(layout: Layout) -> None:
    source = image(layer(), platform=ARM64)
    add(layout, source, "app:dev")

    assert source.digest == layout.image(APP).digest
    with pytest.raises(NotFoundError) as caught:
        layout.image(APP, AMD64)
    assert "there is an image for linux/arm64" == caught.value.hint


@dataclass(frozen=True)
class Unreadable:
    """A layer that must not be opened."""

    layer: MemoryLayer

    @property
    def descriptor(self) -> Descriptor:
        return self.layer.descriptor

    @property
    def diff_id(self) -> Digest:
        return self.layer.diff_id

    def open(self) -> VerifyingReader:
        raise AssertionError


def test_blobs_that_are_here_are_not_read_again(layout: Layout) -> None:
    base = layer({"a": b"1"})
    layout.put(image(base))
    source = image(base, layer({"b": b"2"}))

    layout.put(replace(source, layers=(Unreadable(base), source.layers[1])))

    assert content_of(source) == content_of(layout.image(source.digest))


def test_a_layer_that_is_not_what_it_promised_is_not_stored(layout: Layout) -> None:
    good = layer()
    bad = replace(good, content=good.content[:-1] + b"?")

    with pytest.raises(VerificationError):
        layout.put(image(bad))

    assert not layout.blobs.has(good.descriptor.digest)
    assert [] == list((layout.root / "tmp").iterdir())


def test_a_blob_cut_short_is_written_anew(layout: Layout) -> None:
    """After a power failure a blob may have its name and not its content."""
    source = image(layer())
    layout.put(source)
    layout.blobs.path(source.layers[0].descriptor.digest).write_bytes(b"")

    layout.put(source)

    assert content_of(source) == content_of(layout.image(source.digest))


def test_side_data_comes_back(layout: Layout) -> None:
    digest = Digest.of(b"x")

    assert layout.read_side(digest, "index") is None
    layout.write_side(digest, "index", b"1")
    layout.write_side(digest, "index", b"2")
    assert b"2" == layout.read_side(digest, "index")


def test_side_data_of_another_blob_or_kind_or_damaged_is_none(layout: Layout) -> None:
    digest, other = Digest.of(b"x"), Digest.of(b"y")
    layout.write_side(digest, "index", b"1")
    content = layout.side(digest, "index").read_bytes()
    layout.side(other, "index").write_bytes(content)
    layout.side(digest, "bytes").write_bytes(content)

    assert layout.read_side(other, "index") is None
    assert layout.read_side(digest, "bytes") is None
    for damaged in (b"", content[:-1], content[1:], content + b"\n", b"2" + content[1:]):
        layout.side(digest, "index").write_bytes(damaged)
        assert layout.read_side(digest, "index") is None


def test_images_come_in_the_order_in_which_they_were_named(layout: Layout) -> None:
    one = add(layout, image(layer({"a": b"1"})), "one")
    two = add(layout, image(layer({"a": b"2"})), "two", "three")

    names = [tuple(each.familiar for each in stored.names) for stored in layout.images()]

    assert [one.digest, two.digest] == [each.descriptor.digest for each in layout.images()]
    assert [("one:latest",), ("three:latest", "two:latest")] == names
    assert isinstance(layout.images()[0], Stored)


def test_an_index_with_a_missing_image_is_refused_unless_it_may_be_sparse(layout: Layout) -> None:
    whole = index(image(layer({"a": b"1"})), image(layer({"a": b"2"}), platform=ARM64))

    def load(descriptor: Descriptor) -> Image | Index:
        if descriptor.platform == AMD64:
            raise NotFoundError("it is elsewhere")
        return whole.load(descriptor)

    source = Index(whole.raw, load)
    with pytest.raises(NotFoundError, match="it is elsewhere"):
        layout.put(source)

    layout.tag(APP, layout.put(source, sparse=True))
    assert ARM64 == layout.image(APP, ARM64).platform


def test_an_index_in_an_index_is_stored_with_its_images(layout: Layout) -> None:
    source = image(layer())
    inner = index(source)
    outer = Index(IndexManifest((replace(inner.descriptor, platform=AMD64),)).to_bytes(), lambda _: inner)

    add(layout, outer, "app:dev")

    assert source.digest == layout.image(APP, AMD64).digest
    assert source.digest == layout.resolve(source.id.short).descriptor.digest


def test_an_image_that_is_not_what_its_index_lists_is_not_stored(layout: Layout) -> None:
    good = image(layer())
    lying = Index(IndexManifest((good.descriptor,)).to_bytes(), lambda _: image(layer(), platform=ARM64))

    with pytest.raises(VerificationError, match="a document has other content"):
        layout.put(lying)


def test_when_one_layer_fails_the_others_are_given_up(layout: Layout) -> None:
    bad = MemoryLayer(b"", replace(layer({"bad": b""}).descriptor, size=0), layer().diff_id)
    parts = [layer({str(i): bytes(3 << 20)}, "none") for i in range(8)]

    with pytest.raises(VerificationError):
        layout.put(image(bad, *parts))

    assert [] == list((layout.root / "tmp").iterdir())


def test_a_layer_is_given_by_its_descriptor(layout: Layout) -> None:
    part = layer()
    layout.put(image(part))

    with layout.layer(part.descriptor, part.diff_id).open() as reader:
        assert part.content == reader.read()


def test_a_store_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "oci-layout").mkdir()

    with pytest.raises(StoreError, match="cannot read"):
        Layout.open(tmp_path)


def test_an_id_that_nothing_has_is_not_found(layout: Layout) -> None:
    for text in ("0" * 64, "sha256:" + "0" * 64, "0123", f"app@sha256:{'0' * 64}"):
        with pytest.raises(NotFoundError, match="no image"):
            layout.resolve(text)


def test_what_is_no_name_and_no_id_is_refused(layout: Layout) -> None:
    with pytest.raises(InvalidError, match="invalid repository"):
        layout.resolve("No Name")


def test_a_name_that_a_disk_has_spoilt_leads_nowhere(layout: Layout) -> None:
    """It is written twice; which of the two was meant, nobody knows. The image is kept, and can be named again."""
    reference, descriptor = Reference.parse("app:dev"), layout.put(image())
    layout.tag(reference, descriptor)
    path = layout.root / "index.json"
    path.write_bytes(path.read_bytes().replace(b"library/app:dev", b"library/apq:dev", 1))

    assert [] == layout.names()
    assert {"docker.io/library/app:dev", "docker.io/library/apq:dev"} == {*layout.doubtful()[0]}
    with pytest.raises(NotFoundError):
        layout.resolve("apq:dev")
    assert [descriptor.digest] == [each.descriptor.digest for each in layout.images()]

    layout.drop_doubtful()
    assert [] == layout.doubtful()
    layout.tag(reference, descriptor)
    assert [reference] == [name for name, _ in layout.names()]
