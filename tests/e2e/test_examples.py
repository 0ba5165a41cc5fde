"""The examples and the README's commands do what they say."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.programs import Pybuild, need, skopeo

if TYPE_CHECKING:
    from tests.e2e.conftest import Write
    from tests.support.dockerd import Docker

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


@pytest.fixture
def demo(pybuild: Pybuild, place: Path) -> Path:
    """A copy of the examples in which ``demo/run.sh`` has run; give the tarball that it wrote."""
    need("busybox")
    shutil.copytree(ROOT / "examples", place / "examples")
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


def commands() -> list[str]:
    """Give the README's command lines that build."""
    lines = [line for block in re.findall(r"```\n(.*?)```", README, re.DOTALL) for line in block.splitlines()]
    return [line for line in lines if line.startswith("pybuild -")]


@pytest.mark.parametrize("line", commands())
def test_the_readmes_commands_build(based: Pybuild, write: Write, registry: str, line: str) -> None:
    """As they are written, but for the registry's name."""
    text = "FROM busybox AS test\nARG VERSION=1\nRUN echo $VERSION > /version\nFROM test\n"
    context = write(text, {"docker/Dockerfile": text})
    _, *words = shlex.split(line.partition("&&")[0].replace("registry.example.com", registry), comments=True)

    based(*words, cwd=context)

    for name in re.findall(r"\bdest=(\S+)", line):
        assert (context / name).exists()


def test_the_readme_lists_the_options_that_there_are(pybuild: Pybuild, write: Write) -> None:
    """Those that are not supported are refused."""
    table = README.partition("| options of `pybuild build` |")[2].partition("\n\n")[0]
    supported, refused = (set(re.findall(r"`(--[a-z-]+)", part)) for part in table.split("| not supported |"))

    text = pybuild("build", "--help", env={"COLUMNS": "200"}).out.decode()

    known = set(re.findall(r"^  (?:-\w, )?(--[a-z-]+)", text, re.MULTILINE))
    assert known - {"--help"} == supported
    for option in refused:
        done = subprocess.run(
            pybuild.command(f"{option}=1", write("FROM scratch\n")),
            env=pybuild.environment(),
            capture_output=True,
            check=False,
        )
        assert done.returncode in {1, 2}, option
        assert option in done.stderr.decode()
