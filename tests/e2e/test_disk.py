"""A disk that is full, or a limit on the size of files: an error, and nothing half-written."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.support import bases
from tests.support.programs import Pybuild, run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.e2e.conftest import Write

pytestmark = pytest.mark.e2e
MEGABYTE = 1 << 20


def small_files() -> None:
    """Let this process write no file larger than four megabytes."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (4 * MEGABYTE, 4 * MEGABYTE))


@pytest.fixture
def large(write: Write) -> Path:
    """A build with a file of 16 megabytes that no compression makes smaller."""
    return write("FROM busybox\nCOPY large /\n", {"large": os.urandom(16 * MEGABYTE)})


@pytest.fixture
def small_disk(place: Path) -> Iterator[Pybuild]:
    """A store on a disk of 12 megabytes."""
    disk, home = place / "disk", place / "home"
    disk.mkdir()
    home.mkdir(exist_ok=True)
    run("mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", disk)
    try:
        pybuild = Pybuild(disk / "store", home)
        bases.put(pybuild.layout, bases.busybox(), bases.BUSYBOX)
        yield pybuild
        assert not [line for line in pybuild.left() if "tmpfs" not in line]
        pybuild.check_store()
        pybuild("-t", "after", "-", input=b"FROM busybox\nRUN echo after > /after\n")
        pybuild.image("after")
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_a_layer_larger_than_a_file_may_be(based: Pybuild, large: Path) -> None:
    error = based.fails("-t", "app", large, before=small_files)

    assert "Dockerfile:2: " in error
    assert "File too large" in error
    based.check_store()
    based("-t", "app", large)
    based.image("app")


def test_an_archive_larger_than_a_file_may_be(based: Pybuild, large: Path, place: Path) -> None:
    based("-t", "app", large)
    (place / "out").mkdir()

    for output in ("type=docker", "type=oci", "type=tar"):
        error = based.fails("-o", f"{output},dest={place}/out/app.tar", large, before=small_files)

        assert "app.tar: File too large" in error
        assert [] == list((place / "out").iterdir())


def test_files_larger_than_a_file_may_be(based: Pybuild, large: Path, place: Path) -> None:
    based("-t", "app", large)

    assert "File too large" in based.fails("-o", f"{place}/out", large, before=small_files)


@pytest.mark.root
def test_a_disk_is_full_in_a_copy(small_disk: Pybuild, large: Path) -> None:
    error = small_disk("-t", "app", large, code=1).err

    assert "Dockerfile:2: " in error
    assert "No space left on device" in error


@pytest.mark.root
def test_a_disk_is_full_in_a_step(small_disk: Pybuild, write: Write) -> None:
    """The command says so itself."""
    context = write("FROM busybox\nRUN dd if=/dev/zero of=/large bs=1M count=30\n")

    error = small_disk("-t", "app", context, code=1).err

    assert "No space left on device" in error
    assert "exit code: 1" in error


@pytest.mark.root
def test_a_disk_is_full_when_a_step_becomes_a_layer(small_disk: Pybuild, write: Write) -> None:
    context = write("FROM busybox\nRUN dd if=/dev/urandom of=/large bs=1M count=6\n")

    error = small_disk("-t", "app", context, code=1).err

    assert "Dockerfile:2: " in error
    assert "No space left on device" in error


@pytest.mark.root
def test_a_disk_is_full_when_the_base_is_unpacked(small_disk: Pybuild, write: Write) -> None:
    filler = small_disk.store / "filler"
    filler.write_bytes(bytes(shutil.disk_usage(small_disk.store).free - MEGABYTE))

    error = small_disk("-t", "app", write("FROM busybox\nRUN true\n"), code=1).err

    filler.unlink()
    assert "No space left on device" in error


@pytest.mark.root
def test_a_disk_is_full_in_a_pull(small_disk: Pybuild, write: Write, registry: str, pybuild: Pybuild) -> None:
    context = write("FROM scratch\nCOPY large /\n", {"large": os.urandom(16 * MEGABYTE)})
    pybuild("-t", f"{registry}/large:1", "--push", context)

    error = small_disk("-t", "app", write(f"FROM {registry}/large:1\n"), code=1).err

    assert "No space left on device" in error


@pytest.mark.parametrize("kept", [0, 100, None], ids=["empty", "cut short", "of zeros"])
@pytest.mark.parametrize("spoilt", ["base", "step"])
def test_a_blob_that_a_power_cut_has_spoilt_is_had_anew(
    pybuild: Pybuild, write: Write, registry: str, spoilt: str, kept: int | None
) -> None:
    """An empty or cut one at once; one of the right size is an error that says how to go on."""
    base = f"{registry}/spoilt-{spoilt}:{kept}"
    pybuild("-t", base, "--push", write("FROM scratch\nCOPY a /\n", {"a": "a" * 3000}))
    context = write(f"FROM {base}\nCOPY b /\nCOPY --from={base} /a /c\n", {"b": "b" * 3000})
    pybuild("-t", "app", context)
    image = pybuild.image("app")
    path = pybuild.layout.blobs.path(image.layers[spoilt == "step"].descriptor.digest)
    size = path.stat().st_size
    path.write_bytes(bytes(size) if kept is None else path.read_bytes()[:kept])

    if kept is None:
        error = pybuild("save", "-o", "app.tar", "app", code=1).err
        assert "pybuild fsck --repair" in error
        assert not (pybuild.home / "app.tar").exists()
        pybuild("fsck", code=1)
        pybuild("fsck", "--repair")
    pybuild("-t", "app", context)

    assert size == path.stat().st_size
    assert image.config.diff_ids == pybuild.image("app").config.diff_ids
    pybuild.check_store()


@pytest.mark.root
def test_a_disk_without_inodes(place: Path, write: Write) -> None:
    """However many are left: an error, nothing half-written; with more of them the build goes on."""
    disk, home = place / "disk", place / "home"
    disk.mkdir()
    home.mkdir()
    run("mount", "-t", "tmpfs", "-o", "nr_inodes=60", "tmpfs", disk)
    try:
        pybuild = Pybuild(disk / "store", home)
        bases.put(pybuild.layout, bases.busybox(), bases.BUSYBOX)
        context = write("FROM busybox\nCOPY a /\nRUN cat /a > /b\n", {"a": "a"})
        free = os.statvfs(disk).f_ffree
        for left in range(0, free, 9):
            for number in range(free - left):
                (disk / f"{number}").touch()
            error = pybuild("-t", "app", context, code=1).err
            assert "No space left on device" in error
            for number in range(free - left):
                (disk / f"{number}").unlink()
            pybuild.check_store()
        run("mount", "-o", "remount,nr_inodes=10000", disk)
        pybuild("-t", "app", context)
        pybuild.image("app")
        assert not [line for line in pybuild.left() if "tmpfs" not in line]
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


@pytest.mark.root
def test_a_store_that_is_mounted_read_only_can_be_read_and_is_not_changed(based: Pybuild, write: Write) -> None:
    context = write("FROM busybox\nCOPY a /\n", {"a": "a"})
    based("images")
    run("mount", "--bind", based.store, based.store)
    try:
        run("mount", "-o", "remount,bind,ro", based.store)
        before = sorted(based.store.rglob("*"))
        assert b"busybox" in based("images").out
        assert b"sha256:" in based("inspect", "busybox").out
        for command in (
            ["-t", "app", context],
            ["tag", "busybox", "app"],
            ["rmi", "busybox"],
            ["system", "prune", "-f"],
        ):
            assert "Read-only file system" in based(*command, code=1).err
        assert before == sorted(based.store.rglob("*"))
    finally:
        subprocess.run(["umount", "--lazy", str(based.store)], check=True)
    based("-t", "app", context)


def test_a_store_whose_directory_may_not_be_written_is_not_changed(based: Pybuild, write: Write) -> None:
    """As an ordinary user; for root, modes are no obstacle."""
    if os.geteuid() == 0:
        user = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--")
        based = replace(based, prefix=user)
    context = write("FROM busybox\nCOPY a /\n", {"a": "a"})
    folders = [path for path in (based.store, *based.store.rglob("*")) if path.is_dir()]
    for path in folders:
        path.chmod(0o555)
    try:
        for command in (["-t", "app", context], ["tag", "busybox", "app"], ["rmi", "busybox"]):
            assert "Permission denied" in based(*command, code=1).err
    finally:
        for path in folders:
            path.chmod(0o755)
    Pybuild(based.store, based.home)("-t", "app", context)
