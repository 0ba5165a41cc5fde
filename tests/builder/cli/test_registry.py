"""``pull``, ``push``, ``login``, ``logout``, ``search`` and ``manifest``, with a registry in memory."""

from __future__ import annotations

import base64
import json
import stat
from typing import TYPE_CHECKING

import pytest

from layers.image import Index
from layers.reference import Reference
from tests.support.images import AMD64, ARM64, image, layer
from tests.support.registry import PASSWORD, USER, Registry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from layers.image import Image
    from tests.builder.cli.conftest import Cli


@pytest.fixture
def registry() -> Iterator[Registry]:
    with Registry() as started:
        yield started


@pytest.fixture
def private() -> Iterator[Registry]:
    with Registry(auth="basic") as started:
        yield started


def test_what_is_pushed_is_pulled(cli: Cli, registry: Registry, app: Image) -> None:
    name = f"{registry.address}/team/app:1"
    cli.put(app, name)

    lines = cli("push", name).lines
    cli("rmi", name)
    pulled = cli("pull", name).lines

    assert f"The push refers to repository [{registry.address}/team/app]" == lines[0]
    assert {f"{each.diff_id.short}: Pushed" for each in app.layers} <= set(lines)
    assert f"1: digest: {app.digest} size: {len(app.manifest_bytes)}" == lines[-1]
    assert "1: Pulling from team/app" == pulled[0]
    assert {f"{each.descriptor.digest.short}: Pull complete" for each in app.layers} <= set(pulled)
    assert [f"Digest: {app.digest}", f"Status: Downloaded newer image for {name}", name] == pulled[-3:]
    assert app.digest == cli.image(name).digest


def test_what_is_there_already_is_not_sent_again(cli: Cli, registry: Registry, app: Image) -> None:
    name = f"{registry.address}/app:1"
    cli.put(app, name)
    cli("push", name)

    lines = cli("push", name).lines
    pulled = cli("pull", name).lines

    assert {f"{each.diff_id.short}: Layer already exists" for each in app.layers} <= set(lines)
    assert f"Status: Image is up to date for {name}" == pulled[-2]


def test_quiet_prints_the_name_alone(cli: Cli, registry: Registry, app: Image) -> None:
    name = f"{registry.address}/app:1"
    cli.put(app, name)
    assert [name] == cli("push", "-q", name).lines
    assert [name] == cli("pull", "--quiet", name).lines


def test_all_tags(cli: Cli, registry: Registry, app: Image, other: Image) -> None:
    base = f"{registry.address}/app"
    cli.put(app, f"{base}:1", f"{base}:2")
    cli.put(other, f"{base}:3", "other:1")

    cli("push", "-a", base)
    cli("rmi", f"{base}:1", f"{base}:2", f"{base}:3")
    cli("pull", "-a", base)

    assert [f"{base}:1", f"{base}:2", f"{base}:3", "other:1"] == sorted(cli.names())
    assert "tag can't be used" in cli.fails("pull", "-a", f"{base}:1")
    assert "tag can't be used" in cli.fails("push", "-a", f"{base}:1")
    cli.fails("push", "-a", f"{registry.address}/nope")


def test_no_tag_is_latest(cli: Cli, registry: Registry, app: Image) -> None:
    cli.put(app, f"{registry.address}/app")
    assert "Using default tag: latest" == cli("push", f"{registry.address}/app").lines[0]
    assert "Using default tag: latest" == cli("pull", f"{registry.address}/app").lines[0]


def test_one_platform_of_an_index_is_pulled(cli: Cli, registry: Registry, both: Index) -> None:
    registry.add(both)
    name = f"{registry.address}/app:1"

    cli("pull", "--platform", "linux/arm64", name)

    assert ARM64 == cli.image(name, ARM64).platform
    assert [False, True] == [each["Available"] for each in json.loads(cli("inspect", name).out)[0]["Manifests"]]
    assert "no image for platform" in cli.fails("pull", "--platform", "linux/s390x", name)
    done = cli("push", f"{registry.address}/app:1")
    assert "not all images" in done.err


def test_an_image_for_another_platform_is_taken_with_a_warning_unless_one_was_asked_for(
    cli: Cli, registry: Registry
) -> None:
    registry.add(image(layer(), platform=ARM64 if AMD64.architecture == "amd64" else AMD64))
    name = f"{registry.address}/app:1"

    assert "is for linux/arm64" in cli.fails("pull", "--platform", "linux/amd64", name)
    assert "WARNING: " in cli("pull", name).err


def test_a_digest_is_pulled(cli: Cli, registry: Registry, app: Image) -> None:
    digest = registry.add(app)
    name = f"{registry.address}/app@{digest}"
    assert f"Digest: {digest}" in cli("pull", name).lines
    assert [f"{registry.address}/app", "<none>"] == cli("images").lines[1].split()[:2]


@pytest.mark.parametrize("name", ["app:nope", "nope:1", "app@sha256:" + "1" * 64])
def test_what_is_not_there_changes_nothing(cli: Cli, registry: Registry, app: Image, name: str) -> None:
    registry.add(app)
    cli("images")
    cli.fails("pull", f"{registry.address}/{name}")
    cli.fails("push", f"{registry.address}/{name}")


def test_wrong_names_reach_no_registry(cli: Cli) -> None:
    cli("images")
    for name in ("A", "a:b:c", "", "a@b"):
        cli.fails("pull", name)
        cli.fails("push", name)


def test_a_push_that_lacks_a_layer_sends_nothing(cli: Cli, registry: Registry, app: Image) -> None:
    cli.put(app, f"{registry.address}/app:1")
    cli.layout.blobs.delete(app.layers[1].descriptor.digest)

    assert "not complete" in cli.fails("push", f"{registry.address}/app:1")

    assert [] == registry.seen


def test_a_login_is_kept_where_docker_keeps_it(cli: Cli, private: Registry, app: Image, tmp_path: Path) -> None:
    name = f"{private.address}/app:1"
    cli.put(app, name)
    assert "pybuild login" in cli.fails("push", name)

    done = cli("login", "-u", USER, "--password-stdin", private.address, input=f"{PASSWORD}\n".encode())

    path = tmp_path / "home" / "config.json"
    assert "Login Succeeded\n" == done.out
    auth = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    assert {private.address: {"auth": auth}} == json.loads(path.read_text())["auths"]
    assert 0o600 == stat.S_IMODE(path.stat().st_mode)
    cli("push", name)
    assert f"Removing login credentials for {private.address}\n" == cli("logout", private.address).out
    assert f"Not logged in to {private.address}\n" == cli("logout", private.address).out
    assert {} == json.loads(path.read_text())["auths"]


def test_a_password_on_the_command_line_is_warned_of(cli: Cli, private: Registry) -> None:
    assert "insecure" in cli("login", "-u", USER, "-p", PASSWORD, f"http://{private.address}/v2/").err


@pytest.mark.parametrize(
    "options",
    [
        ["-u", USER, "-p", "wrong"],
        ["-p", PASSWORD, "--password-stdin"],
        ["--password-stdin"],
        ["-u", USER],
        [],
        ["-u", USER, "--password-stdin"],
    ],
)
def test_a_login_that_fails_keeps_nothing(cli: Cli, private: Registry, tmp_path: Path, options: list[str]) -> None:
    cli.fails("login", *options, private.address)
    assert not (tmp_path / "home" / "config.json").exists()


def test_a_helper_keeps_the_login(cli: Cli, private: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The helper's protocol: store, get and erase by standard input."""
    folder = tmp_path / "bin"
    folder.mkdir()
    helper = folder / "docker-credential-test"
    helper.write_text(
        f"#!/bin/sh\ncase $1 in\nstore) cat > {tmp_path}/kept;;\nget) cat {tmp_path}/kept 2>/dev/null "
        f'|| {{ echo "credentials not found in native keychain"; exit 1; }};;\nerase) rm {tmp_path}/kept;;\nesac\n'
    )
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "config.json").write_text('{"credsStore": "test", "other": 1}')

    cli("login", "-u", USER, "--password-stdin", private.address, input=PASSWORD.encode())

    kept = json.loads((tmp_path / "kept").read_text())
    assert {"ServerURL": private.address, "Username": USER, "Secret": PASSWORD} == kept
    config = json.loads((tmp_path / "home" / "config.json").read_text())
    assert (1, {private.address: {}}) == (config["other"], config["auths"])
    cli("logout", private.address)
    assert not (tmp_path / "kept").exists()


def test_a_search_looks_into_the_catalog(cli: Cli, registry: Registry, app: Image) -> None:
    for name in ("team/app", "team/other", "application"):
        registry.add(app, name)

    rows = cli("search", f"{registry.address}/app").lines

    assert ["NAME", "DESCRIPTION", "STARS", "OFFICIAL"] == rows[0].split()
    assert [f"{registry.address}/application", f"{registry.address}/team/app"] == sorted(
        row.split()[0] for row in rows[1:]
    )
    assert 1 == len(cli("search", "--limit", "1", "--format", "{{.Name}}", f"{registry.address}/app").lines)
    assert [] == cli("search", "--filter", "stars=3", f"{registry.address}/app").lines[1:]
    assert [] == cli("search", "--filter", "is-official=true", f"{registry.address}/app").lines[1:]
    cli.fails("search", "--filter", "x=y", "app")
    cli("search", "--limit", "0", "app", code=2)


def test_images_here_and_elsewhere_make_a_list(cli: Cli, registry: Registry, app: Image) -> None:
    arm = image(layer({"arm": b"64"}), platform=ARM64)
    registry.add(arm, "arm", "1")
    cli.put(app, "app:amd64")
    name = f"{registry.address}/app:list"

    assert (
        f"Created manifest list {name}\n"
        == cli("manifest", "create", name, "app:amd64", f"{registry.address}/arm:1").out
    )
    assert f"sha256:" in cli("manifest", "push", name).out  # noqa: F541
    cli("manifest", "rm", name)

    assert ["app:amd64"] == cli.names()
    assert app.digest == cli.image("app:amd64").digest
    cli("pull", "--platform", "linux/arm64", name)
    assert arm.digest == cli.image(name, ARM64).digest


def test_a_list_is_amended_and_annotated(cli: Cli, app: Image, other: Image) -> None:
    cli.put(app, "app:1")
    cli.put(other, "other:1")
    cli("manifest", "create", "list:1", "app:1")
    assert "--amend" in cli.fails("manifest", "create", "list:1", "other:1")

    cli("manifest", "create", "--amend", "list:1", "other:1", "app:1")
    cli("manifest", "annotate", "--os", "linux", "--arch", "arm", "--variant", "v6", "list:1", "other:1")
    document = json.loads(cli("manifest", "inspect", "list:1").out)

    assert [str(app.digest), str(other.digest)] == [each["digest"] for each in document["manifests"]]
    assert {"architecture": "arm", "os": "linux", "variant": "v6"} == document["manifests"][1]["platform"]
    assert 1 == len(
        [stored for stored in cli.layout.images() if isinstance(cli.layout.get(stored.descriptor.digest), Index)]
    )
    verbose = json.loads(cli("manifest", "inspect", "-v", "list:1").out)
    assert str(app.digest) == verbose[0]["Descriptor"]["digest"]
    member = json.loads(cli("manifest", "inspect", "list:1", str(other.digest)).out)
    assert json.loads(other.manifest_bytes) == member
    assert json.loads(app.manifest_bytes) == json.loads(cli("manifest", "inspect", "app:1").out)


def test_a_list_of_an_index_has_its_images(cli: Cli, both: Index, other: Image) -> None:
    cli.put(both, "both:1")
    cli.put(other, "other:1")
    cli("manifest", "create", "list:1", "both:1")
    cli("manifest", "add", "list:1", "other:1")

    found = cli.layout.get(Reference.parse("list:1"))

    assert isinstance(found, Index)
    assert [*both.manifest.manifests, other.descriptor] == list(found.manifest.manifests)


@pytest.mark.parametrize(
    "arguments",
    [
        ["create", "app:1", "app:1"],
        ["create", "A", "app:1"],
        ["create", "new:1", "127.0.0.1:1/nope:1"],
        ["add", "nope:1", "app:1"],
        ["annotate", "--arch", "arm", "nope:1", "app:1"],
        ["annotate", "--arch", "arm", "list:1", "other:1"],
        ["inspect", "127.0.0.1:1/nope:1"],
        ["inspect", "app:1", "other:1"],
        ["push", "app:1"],
        ["push", "nope:1"],
        ["rm", "app:1"],
        ["rm", "nope:1"],
    ],
)
def test_what_is_no_list_changes_nothing(cli: Cli, app: Image, other: Image, arguments: list[str]) -> None:
    cli.put(app, "app:1")
    cli.put(other, "other:1")
    cli("manifest", "create", "list:1", "app:1")
    cli.fails("manifest", *arguments)


def test_purge_removes_the_list_after_the_push(cli: Cli, registry: Registry, app: Image) -> None:
    cli.put(app, "app:1")
    name = f"{registry.address}/app:list"
    cli("manifest", "create", name, "app:1")
    cli("manifest", "push", "-p", name)
    assert ["app:1"] == cli.names()
