"""What the result of a RUN depends on, and what it does not."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.conftest import Write
    from tests.support.programs import Pybuild

pytestmark = pytest.mark.e2e

FIRST = ("--build-arg", "HTTP_PROXY=http://one", "--add-host", "name:10.0.0.1", "--ulimit", "nofile=100")


@pytest.fixture
def context(based: Pybuild, write: Write) -> Path:
    path = write("FROM busybox\nRUN --mount=type=secret,id=s true")
    based("-t", "a", *FIRST, path)
    return path


@pytest.mark.parametrize(
    "changed",
    [
        FIRST,
        ("--build-arg", "http_proxy=http://two", *FIRST[2:]),
        FIRST[2:],
        (*FIRST[:2], "--add-host", "name:10.0.0.2", *FIRST[4:]),
        (*FIRST, "--secret", "id=s,env=HOME"),
        (*FIRST, "--build-arg", "UNDECLARED=1"),
        (*FIRST, "--label", "a=b"),
    ],
    ids=["nothing", "proxy", "no proxy", "address", "secret", "other argument", "label"],
)
def test_the_result_stays(based: Pybuild, context: Path, changed: tuple[str, ...]) -> None:
    assert based("-t", "a", *changed, context).cached


@pytest.mark.parametrize(
    "changed",
    [
        (*FIRST[:2], "--add-host", "other:10.0.0.1", *FIRST[4:]),
        (*FIRST[:4], "--ulimit", "nofile=101"),
        (*FIRST, "--shm-size", "1m"),
        (*FIRST, "--network", "none"),
    ],
    ids=["host name", "limit", "shared memory", "network"],
)
def test_the_step_runs_again(based: Pybuild, context: Path, changed: tuple[str, ...]) -> None:
    assert not based("-t", "a", *changed, context).cached


def test_a_proxy_that_is_declared_counts(based: Pybuild, write: Write) -> None:
    context = write("FROM busybox\nARG HTTP_PROXY\nRUN true")
    based("-t", "a", "--build-arg", "HTTP_PROXY=http://one", context)

    assert not based("-t", "a", "--build-arg", "HTTP_PROXY=http://two", context).cached


def test_proxies_of_dockers_configuration_reach_steps_and_nothing_else(based: Pybuild, write: Write) -> None:
    (based.home / ".docker").mkdir()
    proxies = {"httpProxy": "http://docker", "noProxy": "localhost"}
    (based.home / ".docker" / "config.json").write_text(json.dumps({"proxies": {"default": proxies}}))
    script = 'RUN test "$HTTP_PROXY $http_proxy $no_proxy" = "http://docker http://docker localhost"'
    context = write(f"FROM busybox\n{script}")
    based("-t", "a", context)

    assert "docker" not in json.dumps(based.image("a").config.config.env)
    assert f"RUN /bin/sh -c {script.removeprefix('RUN ')} # buildkit" == based.image("a").config.history[-1].created_by
    assert "did not complete" in based.fails("--no-cache", "--build-arg", "HTTP_PROXY=http://other", context)
