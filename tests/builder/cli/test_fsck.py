"""``pybuild fsck`` sees all of a store, and ``--repair`` leaves nothing that does not belong there."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from builder.context.memo import Memo
from layers.digest import Digest
from layers.reference import Reference
from layers.store.layout import Layout
from layers.store.scratch import scratch_directory
from tests.builder.cli.test_naming import remember
from tests.support.images import MemoryLayer, image, layer

if TYPE_CHECKING:
    from pathlib import Path

    from layers.image import Image
    from tests.builder.cli.conftest import Cli

SOUND = "0 damaged, 0 orphans (0B); 0 broken images, 0 broken containers; 0 left over, 0 unusable"


def left_overs(store: Path) -> list[Path]:
    """What killed builds may leave."""
    paths = [store / "tmp" / "1-a", store / "cache" / "steps" / ".tmp-1-a", store / "cache" / "files" / ".tmp-1-a"]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half")
    directories = [
        store / "tmp" / "build-x",
        store / "run" / "run-x",
        store / "unpacked" / "root" / ".new-x",
        store / "cache" / "mounts" / "root" / ".new-x",
    ]
    for path in directories:
        path.mkdir(parents=True)
        (path / "file").write_bytes(b"x")
    return [*paths, *directories]


def test_what_killed_builds_have_left_is_found_and_removed(cli: Cli, app: Image) -> None:
    """It is no damage: the exit code is 0. It may have come just now."""
    cli.put(app, "app:1")
    left = left_overs(cli.store)

    lines = cli("fsck").lines
    assert {f"left over {path.relative_to(cli.store)}" for path in left} <= set(lines)
    assert f" {len(left)} left over, 0 unusable" in lines[-1]

    cli("fsck", "--repair")
    assert not [path for path in left if path.exists()]
    assert SOUND in cli("fsck").out


def test_what_a_running_build_has_made_is_not_left_over(cli: Cli, app: Image) -> None:
    cli.put(app, "app:1")
    left = left_overs(cli.store)

    with cli.layout.using():
        assert SOUND in cli("fsck").out
        assert "held by another process" in cli("fsck", "--repair", code=1).err

    assert all(path.exists() for path in left)


def test_a_scratch_directory_in_use_is_not_left_over(cli: Cli, app: Image) -> None:
    cli.put(app, "app:1")
    with scratch_directory(cli.store / "unpacked" / "root", ".new-"):
        assert SOUND in cli("fsck").out


def test_derived_data_that_is_not_what_was_written_is_unusable(cli: Cli, app: Image) -> None:
    """Nothing reads it, and it is made anew: no damage."""
    cli.put(app, "app:1")
    cli("images")  # derives sizes
    remember(cli, app)
    memo = Memo()
    memo.remember_selection(b"s" * 32, b"c" * 32)
    files = cli.store / "cache" / "files"
    files.mkdir(parents=True)
    memo.save(files / "memo")
    assert SOUND in cli("fsck").out
    sides = sorted((cli.store / "side").glob("*/*"))
    paths = [*sides, *sorted((cli.store / "cache" / "steps").iterdir()), files / "memo"]
    for path in paths:
        content = bytearray(path.read_bytes())
        content[0] ^= 1
        path.write_bytes(content)

    found = {line for line in cli("fsck").lines if line.startswith("unusable ")}
    assert {f"unusable {path.relative_to(cli.store)}" for path in paths} == found

    cli("fsck", "--repair")
    assert SOUND in cli("fsck").out
    assert app.digest == cli.image("app:1").digest


def test_a_layer_that_is_not_the_tar_its_config_promises_is_found(cli: Cli) -> None:
    """Each blob is what its digest says, and yet the image is not what it says."""
    honest = layer({"a": b"a"})
    lying = MemoryLayer(honest.content, honest.descriptor, Digest.of(b"another tar"))
    cli.put(image(lying), "lying:1")

    text = cli("fsck", code=1).out
    assert "broken image lying:1" in text
    assert "0 damaged" in text
    assert "forgot lying:1" in cli("fsck", "--repair").out
    cli("fsck")


def test_a_name_that_a_disk_has_spoilt_is_found(cli: Cli, app: Image) -> None:
    cli.put(app, "app:1")
    path = cli.store / "index.json"
    path.write_bytes(path.read_bytes().replace(b"library/app:1", b"library/apq:1", 1))

    assert "broken name in index.json: docker.io/library/ap" in cli("fsck", code=1).out

    cli("fsck", "--repair")
    assert SOUND in cli("fsck").out
    assert [app.digest] == [each.descriptor.digest for each in cli.layout.images()]


@pytest.mark.parametrize("damage", ["record", "image"])
def test_a_container_that_has_lost_something_is_found(cli: Cli, app: Image, damage: str) -> None:
    cli.put(app, "app:1")
    cli("create", "--name", "work", "app:1")
    assert SOUND in cli("fsck").out
    (record,) = (cli.store / "containers").glob("*.json")
    if damage == "record":
        record.write_bytes(record.read_bytes()[:-5])
    else:
        cli.layout.forget(app.digest)
        cli.layout.blobs.delete(app.manifest.config.digest)

    assert "broken container" in cli("fsck", code=1).out

    cli("fsck", "--repair")
    assert not record.exists()
    assert SOUND in cli("fsck").out


@pytest.mark.parametrize("size", [0, 5, -1])
def test_a_blob_that_a_power_cut_has_spoilt_is_made_anew(cli: Cli, app: Image, size: int) -> None:
    """Empty, cut short, or of zeros: after a repair the same image can be put again."""
    cli.put(app, "app:1")
    path = cli.layout.blobs.path(app.layers[0].descriptor.digest)
    whole = path.read_bytes()
    path.write_bytes(bytes(len(whole)) if size < 0 else whole[:size])

    assert "damaged blob" in cli("fsck", code=1).out
    cli("fsck", "--repair")
    cli.put(app, "app:1")

    assert app.digest == cli.image("app:1").digest
    assert whole == path.read_bytes()


def test_a_temporary_file_of_a_time_to_come_is_old(cli: Cli, app: Image) -> None:
    """The clock was put back since; a file of just now stays, as somebody may write to it."""
    cli.put(app, "app:1")
    new, future = cli.store / "tmp" / "1-a", cli.store / "tmp" / "1-b"
    for path in (new, future):
        path.write_bytes(b"")
    os.utime(future, (2**33, 2**33))

    cli("image", "prune", "-f")

    assert (True, False) == (new.exists(), future.exists())


def test_a_file_that_a_repair_takes_for_left_over_is_written_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = Layout.open(tmp_path)
    descriptor = layout.put(image())
    rename = os.rename
    swept: list[str] = []

    def rename_late(source: Path, target: Path) -> None:
        if not swept:
            swept.append(str(source))
            os.unlink(source)
        rename(source, target)

    monkeypatch.setattr(os, "rename", rename_late)
    layout.tag(Reference.parse("app:1"), descriptor)

    assert swept
    assert ["app:1"] == [name.familiar for name, _ in layout.names()]
    assert [] == list((tmp_path / "tmp").iterdir())
