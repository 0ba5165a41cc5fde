"""gc: what no name leads to goes, and nothing else does."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import pytest

from layers.config import chain_ids
from layers.errors import BusyError, InvalidError, NotFoundError, VerificationError
from layers.image import Image
from layers.reference import Reference
from layers.store import gc
from layers.store.layout import Layout
from layers.validate import validate_image, validate_index
from tests.support.images import ARM64, image, index, layer

if TYPE_CHECKING:
    from pathlib import Path

    from layers.digest import Digest
    from layers.image import Index

APP = Reference.parse("app:dev")


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout.open(tmp_path)


def add(layout: Layout, source: Image | Index, *names: str) -> None:
    descriptor = layout.put(source)
    for name in names:
        layout.tag(Reference.parse(name), descriptor)


def digests(source: Image) -> set[Digest]:
    return {source.digest, source.id, *(each.descriptor.digest for each in source.layers)}


def test_what_has_a_name_stays_and_what_has_none_goes(layout: Layout) -> None:
    shared = layer({"a": b"1"})
    kept, lost = image(shared, layer({"b": b"2"})), image(shared, layer({"c": b"3"}))
    add(layout, kept, "app:dev")
    add(layout, lost)

    collected = gc.collect(layout)

    assert digests(lost) - digests(kept) == set(collected.digests)
    assert digests(kept) == set(layout.blobs.list())
    validate_image(layout.image(APP))


def test_the_freed_size_is_that_of_the_blobs(layout: Layout) -> None:
    lost = image(layer())
    add(layout, lost)
    size = len(lost.manifest_bytes) + len(lost.config_bytes) + lost.layers[0].descriptor.size

    assert size == gc.collect(layout).size
    assert 0 == gc.collect(layout).size


def test_an_image_kept_without_a_name_stays(layout: Layout) -> None:
    source = image(layer())
    layout.keep(layout.put(source))

    assert () == gc.collect(layout).digests


def test_images_of_an_index_stay_with_it(layout: Layout) -> None:
    source = index(image(layer({"a": b"1"})), image(layer({"a": b"2"}), platform=ARM64))
    add(layout, source, "app:dev")

    gc.collect(layout)

    found = layout.get(APP)
    assert not isinstance(found, Image)
    validate_index(found)


def test_an_index_with_images_that_were_never_fetched_is_no_obstacle(layout: Layout) -> None:
    source = index(image(layer({"a": b"1"})), image(layer({"a": b"2"}), platform=ARM64))
    layout.tag(APP, layout.put(source, platforms=[ARM64]))

    assert () == gc.collect(layout).digests
    assert gc.stored_size(layout, source.descriptor) < sum(gc.reachable(layout, [source.descriptor]).values())


def test_what_the_caller_keeps_stays(layout: Layout) -> None:
    cached = layout.blobs.put(b"a layer that only the cache knows")
    lost = layout.blobs.put(b"a layer that nobody knows")

    assert (lost,) == gc.collect(layout, keep=[cached]).digests
    assert layout.blobs.has(cached)


def test_a_running_build_keeps_the_collector_out(layout: Layout) -> None:
    with layout.using(), pytest.raises(BusyError):
        gc.collect(layout)


def test_the_collector_waits_for_a_build_that_ends(layout: Layout) -> None:
    layout.blobs.put(b"lost")
    started = threading.Event()

    def build() -> None:
        with layout.using():
            started.set()
            threading.Event().wait(0.1)

    builder = threading.Thread(target=build)
    builder.start()
    started.wait()
    collected = gc.collect(layout, wait=30)
    builder.join()

    assert 1 == len(collected.digests)


def test_a_broken_manifest_stops_the_collector_before_it_deletes(layout: Layout) -> None:
    source = image(layer())
    add(layout, source, "app:dev")
    other = layout.blobs.put(b"lost")
    layout.blobs.path(source.digest).write_bytes(b"x" * len(source.manifest_bytes))

    with pytest.raises(VerificationError):
        gc.collect(layout)

    assert layout.blobs.has(other)


def test_what_was_derived_from_a_blob_goes_with_it(layout: Layout) -> None:
    kept, lost = image(layer({"a": b"1"})), image(layer({"a": b"2"}))
    add(layout, kept, "app:dev")
    add(layout, lost)
    sides = [each.layers[0].descriptor.digest for each in (kept, lost)]
    for each in sides:
        layout.write_side(each, "index", b"...")

    gc.collect(layout)

    assert [b"...", None] == [layout.read_side(each, "index") for each in sides]


def test_what_a_killed_build_left_goes_and_what_is_fresh_stays(layout: Layout) -> None:
    old, fresh, directory = (layout.root / "tmp" / name for name in ("old", "fresh", "directory"))
    for path in (old, fresh):
        path.write_bytes(b"12345")
    (directory / "sub").mkdir(parents=True)
    for path in (old, directory):
        os.utime(path, (0, 0))

    assert 5 == gc.collect(layout).size
    assert [fresh] == list((layout.root / "tmp").iterdir())


def test_sweeping_waits_for_nobody(layout: Layout) -> None:
    """While a build is at work nothing is swept: what is old may still be written to."""
    old = layout.root / "tmp" / "old"
    old.parent.mkdir(exist_ok=True)
    old.write_bytes(b"12345")
    os.utime(old, (0, 0))

    with layout.using():
        assert 0 == gc.sweep(layout)
    assert 5 == gc.sweep(layout)
    assert not old.exists()


def test_a_file_that_is_renamed_while_it_is_looked_at_is_passed_over(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who writes a container's record, or the like, does so without the lock."""
    old = layout.root / "tmp" / "old"
    old.parent.mkdir(exist_ok=True)
    old.write_bytes(b"12345")
    os.utime(old, (0, 0))
    monkeypatch.setattr(gc, "temporary", lambda root: [root / "tmp" / "gone", old])

    assert 5 == gc.sweep(layout)
    assert not old.exists()


def test_files_that_are_nobodys_blobs_are_left_alone(layout: Layout) -> None:
    stranger = layout.root / "blobs" / "sha256" / "README"
    stranger.write_text("?")
    (layout.root / "unpacked").mkdir()

    gc.collect(layout)

    assert stranger.exists()
    assert (layout.root / "unpacked").exists()


def test_stacks_are_the_chain_ids_of_stored_images(layout: Layout) -> None:
    one, two = layer({"a": b"1"}), layer({"b": b"2"})
    add(layout, image(one, two), "app:dev")
    add(layout, image(two))

    assert set(chain_ids((one.diff_id, two.diff_id))) == gc.stacks(layout)


def test_removing_the_last_name_frees_the_image(layout: Layout) -> None:
    source = image(layer())
    add(layout, source, "app:dev", "app:two")

    assert gc.Removed((APP,), None) == gc.remove(layout, "app:dev")
    assert () == gc.collect(layout).digests
    assert gc.Removed((Reference.parse("app:two"),), source.digest) == gc.remove(layout, "app:two")
    assert digests(source) == set(gc.collect(layout).digests)


def test_removing_by_id_takes_the_only_name_too(layout: Layout) -> None:
    source = image(layer())
    add(layout, source, "app:dev")

    assert gc.Removed((APP,), source.digest) == gc.remove(layout, source.id.short)
    assert [] == layout.images()


def test_removing_by_id_what_has_several_names_needs_force(layout: Layout) -> None:
    source = image(layer())
    add(layout, source, "app:dev", "app:two")

    with pytest.raises(InvalidError, match="has several names: app:dev, app:two"):
        gc.remove(layout, source.id.short)
    assert 2 == len(gc.remove(layout, source.id.short, force=True).untagged)


def test_one_image_of_an_index_cannot_be_removed_alone(layout: Layout) -> None:
    child = image(layer())
    add(layout, index(child), "app:dev")

    with pytest.raises(InvalidError, match="is one image of an index"):
        gc.remove(layout, child.id.short)


def test_removing_what_is_not_there_is_an_error(layout: Layout) -> None:
    with pytest.raises(NotFoundError):
        gc.remove(layout, "app:dev")
