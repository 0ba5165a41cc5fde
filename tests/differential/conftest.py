"""One Docker engine, and one store, for all cases."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.differential.workshop import Workshop
from tests.support.dockerd import dockerd
from tests.support.programs import need

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    need("dockerd", "docker", "busybox", "runc")
    with dockerd(driver="") as docker:
        workshop = Workshop(docker, tmp_path_factory.mktemp("workshop"))
        yield workshop
        assert not workshop.pybuild.left()
