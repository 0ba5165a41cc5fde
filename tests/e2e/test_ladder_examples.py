"""The examples for pipelines, line by line, in a container as ``docker run`` makes it by default."""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from layers.store.trees import Trees
from tests.support import bases, confined

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.support.dockerd import Docker
    from tests.support.programs import Pybuild

pytestmark = [pytest.mark.e2e, pytest.mark.root, pytest.mark.xdist_group("docker")]

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
INSTALLED = 'pybuild() { python3 -m builder "$@"; }'
"""What stands in the place of ``pip install``."""


@pytest.fixture
def job() -> Iterator[Path]:
    """A directory that the container has."""
    with confined.place_of(0) as place:
        yield place


@pytest.fixture
def library() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="pybuild-copy-", dir="/var/tmp") as name:
        Path(name).chmod(0o755)
        yield confined.copy_of_pybuild(Path(name))


def repository(job: Path, registry: str) -> Path:
    """Make what is to be built."""
    context = job / "repository"
    context.mkdir()
    (context / "Dockerfile").write_text(f"FROM {registry}/base\nRUN echo built > /built && chown 33:44 /built\n")
    (context / ".dockerignore").write_text(".pybuild\n")
    return context


def put_base(pybuild: Pybuild, registry: str) -> None:
    """Have a base image in the registry."""
    bases.put(pybuild.layout, bases.busybox(), f"{registry}/base")
    pybuild("push", f"{registry}/base")


def run_lines(docker: Docker, job: Path, library: Path, lines: list[str], variables: Mapping[str, str]) -> str:
    """Run a job's lines as runners do, and give what they print."""
    assert any("pip install" in line for line in lines)
    script = "\n".join(INSTALLED if line.startswith("pip install") else line for line in lines)
    prefix = list(confined.in_container(docker, job, library, uid=0, network="host"))
    given = [word for name in variables for word in ("--env", name)]
    place = prefix.index("--env")
    command = [*prefix[:place], *given, *prefix[place:], "sh", "-ec", script]
    pybuild = confined.Confined(job / "store", job / "home", library=library)
    done = subprocess.run(command, env=pybuild.environment(variables), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def check_pushed(pybuild: Pybuild, name: str) -> None:
    pybuild("pull", name)
    (layer,) = pybuild.image(name).layers[2:]

    (entry,) = Trees(pybuild.layout).index(layer).entries
    assert (b"built", 33, 44) == (entry.path, entry.uid, entry.gid)


def test_the_gitlab_job_pushes_an_image(
    docker: Docker, job: Path, library: Path, private_registry: str, pybuild: Pybuild
) -> None:
    """With a login, and in a container where the steps can only run by chroot."""
    document: dict[str, Any] = yaml.safe_load((EXAMPLES / "gitlab-ci/.gitlab-ci.yml").read_text())
    task = document["build-image"]
    pybuild("login", "--username", "user", "--password-stdin", private_registry, input=b"secret")
    put_base(pybuild, private_registry)
    context = repository(job, private_registry)
    variables = {
        "CI_PROJECT_DIR": str(context),
        "CI_REGISTRY": private_registry,
        "CI_REGISTRY_USER": "user",
        "CI_REGISTRY_PASSWORD": "secret",
        "CI_REGISTRY_IMAGE": f"{private_registry}/team/app",
        "CI_COMMIT_SHORT_SHA": "0123abcd",
    }
    variables |= {name: value.replace("$CI_PROJECT_DIR", str(context)) for name, value in task["variables"].items()}

    printed = run_lines(docker, job, library, [f"cd {context}", *task["before_script"], *task["script"]], variables)

    assert "isolation: chroot" in printed
    check_pushed(pybuild, f"{private_registry}/team/app:0123abcd")
    assert (context / ".pybuild/oci-layout").exists()


def test_the_kubernetes_job_pushes_an_image(
    docker: Docker, job: Path, library: Path, private_registry: str, pybuild: Pybuild
) -> None:
    """With the credentials of a secret; the pod asks for nothing that a container has not by default."""
    document: dict[str, Any] = yaml.safe_load((EXAMPLES / "kubernetes/job.yaml").read_text())
    pod = document["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert "securityContext" not in {**pod, **container}
    assert ["sh", "-ec"] == container["command"]
    pybuild("login", "--username", "user", "--password-stdin", private_registry, input=b"secret")
    put_base(pybuild, private_registry)
    credentials = job / "credentials"
    credentials.mkdir()
    known = json.loads((pybuild.home / ".docker/config.json").read_text())
    (credentials / "config.json").write_text(json.dumps(known))
    variables = {each["name"]: each["value"] for each in container["env"]} | {
        "IMAGE": f"{private_registry}/team/app:latest",
        "CONTEXT": str(repository(job, private_registry)),
        "DOCKER_CONFIG": str(credentials),
        "PYBUILD_ROOT": str(job / "store"),
    }

    printed = run_lines(docker, job, library, container["args"][0].splitlines(), variables)

    assert "isolation: chroot" in printed
    check_pushed(pybuild, f"{private_registry}/team/app:latest")


def test_the_examples_ask_for_no_privileges() -> None:
    for path in ("gitlab-ci/.gitlab-ci.yml", "kubernetes/job.yaml"):
        lines = [line for line in (EXAMPLES / path).read_text().splitlines() if not line.startswith("#")]
        assert not [line for line in lines if "privileged" in line or "services" in line or "hostPath" in line]
