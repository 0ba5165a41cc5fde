"""A real Docker engine loads what is built, and runs it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.support import bases
from tests.support.programs import skopeo

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.conftest import Write
    from tests.support.dockerd import Docker
    from tests.support.programs import Pybuild

pytestmark = [pytest.mark.e2e, pytest.mark.root]

DOCKERFILE = r"""
FROM busybox
RUN echo built > /built && chown 33:44 /built && ln /built /linked && rm /etc/second && mkdir -m 1770 /sticky
COPY --chown=web --chmod=4755 tool /bin/tool
ENV GREETING="hello there"
WORKDIR /srv/deep
USER web
HEALTHCHECK --interval=30s CMD ["true"]
EXPOSE 80/tcp
VOLUME /data
STOPSIGNAL SIGKILL
ENTRYPOINT ["/bin/sh", "-c"]
CMD ["echo $GREETING from $(id -u):$(id -g) in $(pwd)"]
"""


@pytest.fixture
def context(write: Write) -> Path:
    return write(DOCKERFILE, {"tool": "#!/bin/sh\necho tool\n"})


def runs(docker: Docker, name: str, *command: str) -> str:
    return docker("run", "--rm", "--network=none", name, *command)


def test_docker_runs_what_it_loads(based: Pybuild, docker: Docker, context: Path, place: Path) -> None:
    """The entry point, the user, the variables, the directory, and every file as it should be."""
    based("-t", "e2e/load:1", "-t", "e2e/load:2", "-o", f"type=docker,dest={place}/app.tar", context)

    docker("load", "-i", f"{place}/app.tar")

    assert "hello there from 33:33 in /srv/deep\n" == runs(docker, "e2e/load:1")
    listed = runs(docker, "e2e/load:2", "stat -c '%n %a %u:%g %h' /built /linked /bin/tool /sticky /srv/deep; ls /etc")
    assert [
        "/built 644 33:44 2",
        "/linked 644 33:44 2",
        "/bin/tool 4755 33:33 1",
        "/sticky 1770 0:0 2",
        "/srv/deep 755 0:0 2",
    ] == listed.splitlines()[:5]
    assert "second" not in listed.splitlines()


def test_docker_knows_the_image_by_our_id_and_its_config(based: Pybuild, docker: Docker, context: Path) -> None:
    """As --load brings it, through the docker command."""
    identity = based.home / "id"
    based("-t", "e2e/config:1", "--load", "--iidfile", identity, context, env={"DOCKER_HOST": docker.host})

    found = json.loads(docker("inspect", "e2e/config:1"))[0]

    assert identity.read_text() == found["Id"]
    assert {"80/tcp": {}} == found["Config"]["ExposedPorts"]
    assert {"/data": {}} == found["Config"]["Volumes"]
    assert ("web", "/srv/deep") == (found["Config"]["User"], found["Config"]["WorkingDir"])
    assert ["CMD", "true"] == found["Config"]["Healthcheck"]["Test"]
    assert 5 == len(found["RootFS"]["Layers"])
    history = docker("history", "--no-trunc", "--format", "{{.CreatedBy}}", "e2e/config:1").splitlines()
    assert 'CMD ["echo $GREETING from $(id -u):$(id -g) in $(pwd)"]' == history[0]


def test_load_without_an_engine_is_an_error(based: Pybuild, context: Path) -> None:
    error = based.fails("-t", "a", "--load", context, env={"DOCKER_HOST": f"unix://{based.home}/none.sock"})

    assert "docker load failed" in error


@pytest.mark.parametrize("options", ["compression=gzip", "compression=uncompressed", "oci-mediatypes=false"])
def test_docker_loads_every_form(based: Pybuild, docker: Docker, context: Path, place: Path, options: str) -> None:
    name = f"e2e/{options.replace('=', '-')}:1"
    based("-t", name, "-o", f"type=docker,dest={place}/app.tar,{options}", context)

    docker("load", "-i", f"{place}/app.tar")

    assert "tool\n" == runs(docker, name, "tool")


def test_docker_pulls_what_is_pushed(based: Pybuild, docker: Docker, context: Path, registry: str) -> None:
    name = f"{registry}/e2e/pushed:1"
    based("-t", name, "--push", context)

    docker("pull", "-q", name)

    assert "tool\n" == runs(docker, name, "tool")


def test_what_docker_saves_is_a_base(
    pybuild: Pybuild, docker: Docker, write: Write, place: Path, registry: str
) -> None:
    """From the engine to a registry to a build, and back."""
    name = f"{registry}/e2e/saved:1"
    bases.put(pybuild.layout, bases.busybox(), "e2e/saved:1")
    skopeo("copy", "-q", f"oci:{pybuild.store}:docker.io/e2e/saved:1", f"docker-archive:{place}/a.tar:{name}")
    docker("load", "-i", f"{place}/a.tar")
    docker("push", name)

    pybuild("-t", "e2e/back:1", "-o", f"type=docker,dest={place}/b.tar", write(f"FROM {name}\nRUN echo more > /more\n"))

    docker("load", "-i", f"{place}/b.tar")
    assert "more\n" == runs(docker, "e2e/back:1", "cat", "/more")
