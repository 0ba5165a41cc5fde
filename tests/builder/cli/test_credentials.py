"""What opens a registry is in no output, no store, no command line and no environment, whatever goes well or wrong."""

from __future__ import annotations

import base64
import json
import os
import secrets
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from builder.cli.environment import Environment
from tests.support.faults import drop_after, status
from tests.support.images import image, layer
from tests.support.registry import USER, Registry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from layers.registry.settings import Settings
    from tests.builder.cli.conftest import Cli
    from tests.support.registry import Handler

_HELPER = """#!/bin/sh
cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null >> "{place}/seen"
case "$1" in
store) cat > "{place}/kept" ;;
get) cat > /dev/null; cat "{place}/kept" ;;
*) cat > /dev/null ;;
esac
"""


@pytest.fixture
def password() -> str:
    """A token as registries give them, with what has to be quoted."""
    return f"glpat-{secrets.token_urlsafe(40)}/+="


@pytest.fixture(params=["basic", "bearer"])
def registry(request: pytest.FixtureRequest, password: str) -> Iterator[Registry]:
    with Registry(auth=request.param) as registry:
        registry.password = password
        registry.add(image(layer()))
        yield registry


@pytest.fixture
def helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory in which a credential helper keeps what it is told, and what it sees of all processes.

    Nothing is waited for.
    """
    settings = Environment.registry_settings

    def quick(environment: Environment) -> Settings:
        return replace(settings(environment), retries=1, sleep=lambda _seconds: None)

    monkeypatch.setattr(Environment, "registry_settings", quick)
    place = tmp_path / "helper"
    place.mkdir()
    program = place / "docker-credential-spy"
    program.write_text(_HELPER.format(place=place))
    program.chmod(0o755)
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "config.json").write_text('{"credsStore": "spy"}')
    monkeypatch.setenv("PATH", f"{place}:{os.environ['PATH']}")
    return place


def _echo(handler: Handler) -> bool:
    """Say back what came, as debugging servers do."""
    if not handler.headers.get("Authorization") and not handler.body:
        return False
    said = f"who is {handler.headers.get('Authorization')}? {handler.body.decode(errors='replace')}"
    document = {"errors": [{"code": said, "message": "x" * 180 + said, "detail": said}]}
    handler.answer(400, json.dumps(document).encode(), {"Content-Type": "application/json"})
    return True


def _said(cli: Cli, *arguments: str | Path, input_: bytes = b"") -> str:
    """Give all that a command prints, whether it ends well or not."""
    try:
        done = cli(*arguments, input=input_)
    except AssertionError as error:
        return str(error)
    return done.out + done.err


def _all_said(cli: Cli, registry: Registry, password: str, context: Path) -> Iterator[str]:
    """Do all that asks a registry, with and without success; give what is printed."""
    name = f"{registry.address}/app:1"
    login = ("login", "-u", USER, "--password-stdin", registry.address)
    build = ("build", "--progress", "plain", "--pull", "--push", "-t", f"{registry.address}/new:1", context)
    (context / "Dockerfile").write_text(f"FROM {name}\nCOPY Dockerfile /\n")
    yield _said(cli, *login, input_=password[:-1].encode())
    registry.fault("GET", "/v2/$", _echo)
    yield _said(cli, *login, input_=password.encode())
    worked = [_said(cli, *each) for each in (login, ("pull", name), ("push", name), build) if each is not login]
    assert [] == [each for each in worked if "ERROR" in each]
    yield from worked
    for method, path in (("GET", "/manifests/"), ("GET", "/token"), ("HEAD", "/blobs/"), ("POST", "/uploads/")):
        for act in (_echo, status(403, b'{"errors": []}'), drop_after(3)):
            registry.faults = []
            registry.fault(method, path, act, times=99)
            yield from (_said(cli, *each) for each in ((("pull", name), build) if act is _echo else (("push", name),)))
    registry.faults = []
    registry.password = "another one"
    yield from (_said(cli, *each) for each in (("pull", name), ("search", f"{registry.address}/app"), build))
    yield _said(cli, "logout", registry.address)


def test_nothing_shows_what_opens_a_registry(
    cli: Cli, registry: Registry, password: str, helper: Path, tmp_path: Path
) -> None:
    (tmp_path / "context").mkdir()
    said = list(_all_said(cli, registry, password, tmp_path / "context"))
    assert any("***" in each for each in said)

    basic = base64.b64encode(f"{USER}:{password}".encode()).decode()
    forms = {password, password[:-3], quote(password, safe=""), basic, basic[:-4], *registry.tokens}
    assert [] == [each for each in said for form in forms if form in each]
    seen = (helper / "seen").read_bytes()
    assert b"docker-credential-spy" in seen
    assert password in (helper / "kept").read_text()
    files = [path for top in ("store", "home") for path in (tmp_path / top).rglob("*") if path.is_file()]
    contents = [seen, *(path.read_bytes() for path in files)]
    assert [] == [form for form in forms for content in contents if form.encode() in content]
