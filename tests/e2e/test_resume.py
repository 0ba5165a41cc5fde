"""A download that is ended from outside goes on where it stopped, in another process."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from layers.store.parts import part_path
from tests.support.images import image, layer, layer_of_tar
from tests.support.programs import until
from tests.support.registry import Registry

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.programs import Pybuild
    from tests.support.registry import Handler

pytestmark = pytest.mark.e2e

MIB = 1 << 20
BIG = layer_of_tar(bytes(range(256)) * 32768, "none")
"""8 MiB, whose tar is not looked at."""


def half_and_no_more(handler: Handler) -> bool:
    """Send half of the blob, and then nothing until the end of the test."""
    handler.wfile.write(f"HTTP/1.1 200 OK\r\nContent-Length: {8 * MIB}\r\n\r\n".encode() + BIG.content[: 4 * MIB])
    handler.registry.stopped.wait(60)
    return True


def part(pybuild: Pybuild) -> Path:
    return part_path(pybuild.store, BIG.descriptor.digest)


def have_come(pybuild: Pybuild, size: int) -> bool:
    path = part(pybuild)
    return path.exists() and path.stat().st_size >= size


def test_a_pull_that_is_killed_goes_on_in_the_next(pybuild: Pybuild) -> None:
    with Registry() as registry:
        registry.add(image(BIG, layer({"small": b""})))
        registry.fault("GET", str(BIG.descriptor.digest), half_and_no_more)
        name = f"{registry.address}/app:1"
        process = pybuild.start("pull", name, output=pybuild.home / "log")
        until(lambda: have_come(pybuild, 3 * MIB) or process.poll() is not None)
        process.kill()
        assert -signal.SIGKILL == process.wait(60)
        held = part(pybuild).stat().st_size
        assert held >= 3 * MIB

        served: list[int] = []

        def count(handler: Handler) -> bool:
            def note(body: bytes) -> tuple[bytes, dict[str, str]]:
                served.append(len(body))
                return body, {}

            handler.rewrite = note
            return False

        registry.fault("GET", str(BIG.descriptor.digest), count, times=99)
        pybuild("pull", name)
        assert [8 * MIB - held] == served
        assert BIG.descriptor.digest == pybuild.image(name).layers[0].descriptor.digest
        assert not part(pybuild).exists()
