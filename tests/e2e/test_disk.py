"""A disk that is full, or a limit on the size of files: an error, and nothing half-written."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
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
