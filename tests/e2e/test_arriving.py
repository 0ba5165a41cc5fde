"""A base image is unpacked while it is pulled, and only where a step will run on it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.support import faults
from tests.support.bases import busybox_tar
from tests.support.images import image, layer, layer_of_tar
from tests.support.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.e2e.conftest import Write
    from tests.support.programs import Pybuild
    from tests.support.registry import Handler

pytestmark = pytest.mark.e2e

LAST = layer({"last": b"arrived\n"})
BASE = image(layer_of_tar(busybox_tar()), LAST)
SECONDS = 60


def unpacked(pybuild: Pybuild) -> bool:
    """Tell whether the first layer is there, or on its way to become so."""
    return any(pybuild.store.glob("unpacked/*/*/fs/bin/busybox"))


def held_back(until: Callable[[], bool], seen: list[bool]) -> Callable[[Handler], bool]:
    """Answer only once something is so, or after a minute; say which."""

    def wait(_handler: Handler) -> bool:
        end = time.monotonic() + SECONDS
        while not until() and time.monotonic() < end:
            time.sleep(0.02)
        seen.append(until())
        return False

    return wait


def test_the_first_layer_is_unpacked_before_the_last_one_is_there(pybuild: Pybuild, write: Write) -> None:
    seen: list[bool] = []
    with Registry() as registry:
        registry.add(BASE, "base")
        registry.fault("GET", str(LAST.descriptor.digest), held_back(lambda: unpacked(pybuild), seen))

        pybuild("-t", "app", write(f"FROM {registry.address}/base:1 AS one\nFROM one\nRUN cat /last > /copy\n"))

    assert [True] == seen
    assert b"arrived\n" == pybuild("run", "--rm", "app", "cat", "/copy").out


@pytest.mark.parametrize(
    "dockerfile",
    ["FROM {base}\nCOPY --from={base} /last /copy\n", "FROM {base} AS x\nFROM scratch\nCOPY --from=x /last /\n"],
    ids=["copied-onto", "copied-from"],
)
def test_nothing_is_unpacked_where_nothing_runs(pybuild: Pybuild, write: Write, dockerfile: str) -> None:
    with Registry() as registry:
        registry.add(BASE, "base")
        pybuild("-t", "app", write(dockerfile.format(base=f"{registry.address}/base:1")))

    assert not unpacked(pybuild)


def test_a_pull_that_fails_leaves_nothing_half_unpacked(pybuild: Pybuild, write: Write) -> None:
    with Registry() as registry:
        registry.add(BASE, "base")
        registry.fault("GET", str(LAST.descriptor.digest), faults.status(404), times=99)
        said = pybuild.fails(write(f"FROM {registry.address}/base:1\nRUN true\n"))

    assert "Dockerfile:1" in said
    assert [] == [path for path in pybuild.store.glob("unpacked/*/*") if path.suffix != ".lock"]
