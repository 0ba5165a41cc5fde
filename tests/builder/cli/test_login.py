"""What ``pybuild login`` warns of and keeps, beside Docker's own."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.dockerd import client as docker
from tests.support.faults import status
from tests.support.images import image, layer
from tests.support.programs import need
from tests.support.real_registry import real_registry
from tests.support.registry import PASSWORD, REFRESH, USER, Registry

if TYPE_CHECKING:
    from pathlib import Path

    from tests.builder.cli.conftest import Cli

ON_STDIN = ("login", "-u", USER, "--password-stdin")


def kept(tmp_path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((tmp_path / "home" / "config.json").read_text())["auths"]
    return found


@pytest.mark.e2e
@pytest.mark.parametrize("given", ["option", "stdin"])
def test_the_warnings_are_dockers(cli: Cli, tmp_path: Path, given: str) -> None:
    need("docker", "docker-registry")
    options = ("-p", PASSWORD) if given == "option" else ("--password-stdin",)
    content = PASSWORD.encode() if given == "stdin" else b""
    environment = {**os.environ, "DOCKER_CONFIG": str(tmp_path / "home"), "DOCKER_HOST": "unix:///nowhere"}
    with real_registry(password=True) as address:
        command = [docker(), "login", "-u", USER, *options, address]
        theirs = subprocess.run(command, env=environment, input=content, capture_output=True, check=True)
        (tmp_path / "home" / "config.json").unlink()
        ours = cli("login", "-u", USER, *options, address, input=content)

    said = [line for line in theirs.stderr.decode().split("\n") if not line.startswith("time=")]  # a line of its log
    assert "\n".join(said) == ours.err
    assert theirs.stdout.decode() == ours.out


def test_what_a_helper_keeps_is_not_warned_of(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    helper = tmp_path / "docker-credential-test"
    helper.write_text("#!/bin/sh\ncat > /dev/null\n")
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "config.json").write_text('{"credsStore": "test"}')

    with Registry(auth="basic") as registry:
        assert "" == cli(*ON_STDIN, registry.address, input=PASSWORD.encode()).err


def test_a_token_that_lasts_is_kept_in_the_passwords_place(cli: Cli, tmp_path: Path) -> None:
    """It opens the registry from then on; the password is nowhere, and so nothing is warned of."""
    with Registry(auth="bearer") as registry:
        registry.lasting = True
        done = cli(*ON_STDIN, registry.address, input=PASSWORD.encode())
        name = f"{registry.address}/app:1"
        cli.put(image(layer()), name)
        cli("push", name)
        asked = registry.asked("POST", "/token")

    assert ("Login Succeeded\n", "") == (done.out, done.err)
    assert {registry.address: {"auth": "dXNlcjo=", "identitytoken": REFRESH}} == kept(tmp_path)
    assert asked
    assert all(f"refresh_token={REFRESH}".encode() in each.body for each in asked)


def test_nothing_but_a_login_asks_for_a_token_that_lasts(cli: Cli) -> None:
    with Registry(auth="bearer") as registry:
        registry.lasting = True
        registry.add(image(layer()))
        cli(*ON_STDIN, registry.address, input=PASSWORD.encode())
        (login,) = registry.asked("GET", "/token")
        cli("pull", f"{registry.address}/app:1")

        assert (["true"], ["pybuild"]) == (login.query["offline_token"], login.query["client_id"])
        assert not [each for each in registry.asked("GET", "/token")[1:] if "offline_token" in each.query]


def test_a_token_that_no_header_may_have_is_not_kept(cli: Cli, tmp_path: Path) -> None:
    with Registry(auth="bearer") as registry:
        answer = json.dumps({"token": "x", "refresh_token": "a\r\nb"}).encode()
        registry.fault("GET", "/token", status(200, answer), times=9)
        cli.fails(*ON_STDIN, registry.address, input=PASSWORD.encode())

    assert not (tmp_path / "home" / "config.json").exists()


def test_a_password_that_goes_over_plain_http_is_warned_of(cli: Cli) -> None:
    """0.0.0.0 leads here as well, and is not known to."""
    with Registry(auth="basic") as registry:
        address = f"0.0.0.0:{registry.port}"
        done = cli(*ON_STDIN, "--insecure", address, input=PASSWORD.encode())

    first = done.err.splitlines()[0]
    assert f"WARNING! {address} is asked without encryption: the password can be read by anybody on the way." == first
