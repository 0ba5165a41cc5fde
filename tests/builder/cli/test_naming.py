"""``tag``, ``rmi`` and the commands that prune."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from builder.cache.cache import Record
from builder.cache.key import cache_key
from builder.cache.local import LocalCache
from layers.config import chain_ids
from layers.reference import Reference
from tests.support.images import image, layer

if TYPE_CHECKING:
    from layers.image import Image, Index
    from tests.builder.cli.conftest import Cli


def remember(cli: Cli, found: Image, name: str = "RUN x") -> None:
    """Let the build cache know an image's lowest layer."""
    first = found.layers[0]
    record = Record(first.diff_id, "2020-01-01T00:00:00Z", {"gzip": first.descriptor})
    LocalCache(cli.store / "cache" / "steps").put(cache_key(name, None, {}), record)


def test_a_tag_is_one_more_name(cli: Cli, app: Image) -> None:
    cli.put(app, "app:1")

    cli("tag", "app:1", "registry.example.com/app:2")
    cli("image", "tag", app.id.short, "app")

    assert ["app:1", "app:latest", "registry.example.com/app:2"] == sorted(cli.names())
    assert app.digest == cli.image("registry.example.com/app:2").digest


@pytest.mark.parametrize("arguments", [("nope", "a"), ("app:1", "A"), ("app:1", "a@sha256:" + "0" * 64), ("app:1", "")])
def test_a_wrong_name_tags_nothing(cli: Cli, app: Image, arguments: tuple[str, str]) -> None:
    cli.put(app, "app:1")
    cli.fails("tag", *arguments)


def test_a_name_is_taken_and_the_image_stays_while_it_has_another(cli: Cli, app: Image) -> None:
    cli.put(app, "app:1", "app:2")
    before = cli.blobs()

    assert ["Untagged: app:1"] == cli("rmi", "app:1").lines

    assert ["app:2"] == cli.names()
    assert before == cli.blobs()


def test_the_last_name_takes_the_image_with_it(cli: Cli, app: Image, other: Image) -> None:
    cli.put(app, "app:1")
    cli.put(other, "other:1")
    chains = chain_ids(app.config.diff_ids)

    lines = cli("rmi", "app:1").lines

    # the second layer is the other image's as well, and stays
    assert ["Untagged: app:1", f"Deleted: {app.id}", f"Deleted: {chains[0]}"] == lines
    assert other.digest == cli.image("other:1").digest
    assert 4 == len(cli.blobs())
    cli("rmi", "other:1")
    assert set() == cli.blobs()


@pytest.mark.parametrize("kind", ["short", "id", "manifest", "bare"])
def test_ids_and_digests_remove(cli: Cli, app: Image, kind: str) -> None:
    cli.put(app, "app:1")
    texts = {"short": app.id.short, "id": str(app.id), "manifest": str(app.digest), "bare": app.id.encoded}

    lines = cli("rmi", texts[kind]).lines

    assert ["Untagged: app:1", f"Deleted: {app.id}"] == lines[:2]
    assert set() == cli.blobs()


def test_an_id_with_several_names_is_only_removed_by_force(cli: Cli, app: Image) -> None:
    cli.put(app, "app:1", "b:1")
    assert "several names" in cli.fails("rmi", app.id.short)

    assert ["Untagged: app:1", "Untagged: b:1"] == cli("rmi", "-f", app.id.short).lines[:2]


def test_what_can_be_removed_is_and_what_cannot_is_told(cli: Cli, app: Image) -> None:
    cli.put(app, "app:1")

    done = cli("rmi", "nope:1", "app:1", "nope:2", code=1)

    assert "Untagged: app:1" in done.out
    assert done.err.count("ERROR: no image") == 2


def test_no_prune_leaves_the_content(cli: Cli, app: Image) -> None:
    cli.put(app, "app:1")
    before = cli.blobs()

    assert ["Untagged: app:1", f"Deleted: {app.id}"] == cli("rmi", "--no-prune", "app:1").lines

    assert before == cli.blobs()


def test_an_index_goes_by_the_id_that_lists_show(cli: Cli, both: Index) -> None:
    cli.put(both, "app:1")

    cli("rmi", cli("images", "-q").out.strip())

    assert [] == cli.names()
    assert set() == cli.blobs()


def test_removing_leaves_what_the_cache_remembers(cli: Cli, app: Image) -> None:
    cli.put(app, "app:1")
    remember(cli, app)

    cli("rmi", "app:1")

    assert {app.layers[0].descriptor.digest} == cli.blobs()


def test_a_build_keeps_content_from_being_deleted(cli: Cli, app: Image) -> None:
    cli.put(app, "app:1")
    before = cli.blobs()

    with cli.layout.using():
        done = cli("rmi", "app:1")

    assert "later" in done.err
    assert before == cli.blobs()


def test_image_prune_asks_and_takes_what_has_no_name(cli: Cli, app: Image, other: Image) -> None:
    cli.put(app, "app:1")
    cli.put(other)
    assert "nothing was removed" in cli.fails("image", "prune", input=b"n\n")
    assert "nothing was removed" in cli.fails("image", "prune")

    lines = cli("image", "prune", input=b"y\n").lines

    assert "WARNING! This will remove all dangling images." == lines[0]
    assert f"deleted: {other.id}" in lines
    assert "Total reclaimed space: " in lines[-1]
    assert "0B" not in lines[-1]
    assert app.digest == cli.image("app:1").digest
    assert 4 == len(cli.blobs())


def test_image_prune_of_all_takes_what_passes_the_filters(cli: Cli, app: Image, other: Image) -> None:
    cli.put(app, "app:1")
    cli.put(other, "other:1")

    lines = cli("prune", "-a", "-f", "--filter", "label=who=me").lines

    assert ["Deleted Images:", "untagged: app:1", f"deleted: {app.id}"] == lines[:3]
    assert ["other:1"] == cli.names()
    assert ["Total reclaimed space: 0B"] == cli("prune", "-a", "-f", "--filter", "label!=who").lines
    cli("prune", "-af", "--filter", "label!=env")
    assert set() == cli.blobs()


def test_builder_prune_takes_records_that_no_image_uses(cli: Cli, app: Image) -> None:
    cli.put(app, "app:1")
    remember(cli, app)
    unused = image(layer({"unused": b"x"}))
    cli.layout.put(unused)
    remember(cli, unused, "RUN y")

    cli("builder", "prune", "-f", "--filter", "until=24h")
    cli("builder", "prune", "-f", "--keep-storage", "1GB")
    assert unused.layers[0].descriptor.digest in cli.blobs()
    assert 2 == len(list((cli.store / "cache" / "steps").iterdir()))

    assert "Total:" in cli("builder", "prune", "-f").lines[-1]
    assert unused.layers[0].descriptor.digest not in cli.blobs()
    assert 1 == len(list((cli.store / "cache" / "steps").iterdir()))

    cli("builder", "prune", "-a", "-f")
    assert [] == list((cli.store / "cache" / "steps").iterdir())
    assert app.digest == cli.image("app:1").digest


def test_keep_storage_keeps_the_newest(cli: Cli) -> None:
    found = [image(layer({name: b"x" * 100})) for name in ("old", "new")]
    for i, each in enumerate(found):
        cli.layout.put(each)
        remember(cli, each, f"RUN {i}")
    old = cli.store / "cache" / "steps" / str(cache_key("RUN 0", None, {}))
    os.utime(old, (1_500_000_000, 1_500_000_000))
    keep = found[1].layers[0].descriptor.size

    cli("builder", "prune", "-f", "--keep-storage", str(keep))

    assert {found[1].layers[0].descriptor.digest} == cli.blobs()


def test_builder_prune_waits_for_no_build(cli: Cli, app: Image) -> None:
    cli.put(app, "app:1")
    with cli.layout.using():
        assert "a build, a pull or a push is using the store" in cli.fails("builder", "prune", "-f")


@pytest.mark.parametrize("arguments", [["--keep-storage", "much"], ["--filter", "id=3"], ["--filter", "until=x"]])
def test_builder_prune_refuses_wrong_options(cli: Cli, arguments: list[str]) -> None:
    cli("images")
    cli.fails("builder", "prune", "-f", *arguments)


def test_system_prune_takes_both(cli: Cli, app: Image, other: Image) -> None:
    cli.put(app, "app:1")
    cli.put(other)
    unused = image(layer({"unused": b"x"}))
    cli.layout.put(unused)
    remember(cli, unused)

    lines = cli("system", "prune", input=b"y\n").lines

    assert "  - unused build cache" in lines
    assert f"deleted: {other.id}" in lines
    assert {"Id"} <= set(json.loads(cli("inspect", "app:1").out)[0])
    assert 4 == len(cli.blobs())


def test_system_df_counts_what_is_on_disk(cli: Cli, app: Image, other: Image) -> None:
    cli.put(app, "app:1")
    cli.put(other, "other:1")
    remember(cli, app)
    total = sum(cli.layout.blobs.size(each) for each in cli.blobs())

    rows = [line.split() for line in cli("system", "df").lines]

    assert ["TYPE", "TOTAL", "ACTIVE", "SIZE", "RECLAIMABLE"] == rows[0]
    assert ["Images", "2", "0"] == rows[1][:3]
    assert f"{total / 1000:.4g}kB" == rows[1][3]
    assert ["Build", "Cache", "1", "0"] == rows[4][:4]
    verbose = cli("system", "df", "-v").out
    assert "SHARED SIZE" in verbose
    assert "Build cache usage: 0B" in verbose
    assert "Images" == json.loads(cli("system", "df", "--format", "json").lines[0])["Type"]


def test_a_broken_store_stops_collection_and_not_with_a_crash(cli: Cli, app: Image, other: Image) -> None:
    """Where nobody knows what an image needs, nothing is deleted."""
    cli.put(app, "app:1")
    cli.put(other, "other:1")
    path = cli.store / "blobs" / "sha256" / other.digest.encoded
    path.write_bytes(b"x" * path.stat().st_size)
    before = cli.blobs()

    assert "other content" in cli("rmi", "app:1", code=1).err

    assert before == cli.blobs()
    assert other.digest == cli.layout.descriptor(Reference.parse("other:1")).digest
