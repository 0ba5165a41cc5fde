"""The examples do what they say."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.programs import Pybuild, need, skopeo

if TYPE_CHECKING:
    from tests.support.dockerd import Docker

pytestmark = pytest.mark.e2e

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def demo(pybuild: Pybuild, place: Path) -> Path:
    """A copy of the examples in which ``demo/run.sh`` has run; give the tarball that it wrote."""
    need("busybox")
    shutil.copytree(EXAMPLES, place / "examples")
    done = subprocess.run(
        [place / "examples/demo/run.sh", Path(sys.executable).parent / "pybuild"],
        env=pybuild.environment({"PYBUILD_ROOT": str(pybuild.store)}),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "wrote out/demo.tar" in done.stdout
    return place / "out" / "demo.tar"


def test_the_demo_writes_an_image(demo: Path, pybuild: Pybuild) -> None:
    assert tarfile.is_tarfile(demo)
    skopeo("inspect", f"docker-archive:{demo}:demo:latest")
    assert "app" == pybuild.image("demo").config.config.user
    pybuild.check_store()


@pytest.mark.root
def test_docker_runs_the_demo(demo: Path, docker: Docker) -> None:
    docker("load", "-i", str(demo))

    assert "hello from pybuild" in docker("run", "--rm", "--network=none", "demo")
