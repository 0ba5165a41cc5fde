"""Where a FROM comes from: registries, names, digests, indexes, forms of images, credentials."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from layers.platform import Platform
from layers.reference import Reference
from layers.store.trees import Trees
from tests.support import bases
from tests.support.images import image, index, layer
from tests.support.programs import PATH, Pybuild, skopeo

if TYPE_CHECKING:
    from pathlib import Path

    from layers.mediatype import Compression
    from layers.mutate import Family
    from tests.e2e.conftest import Write

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def published(registry: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A registry with busybox in several forms: ``busybox:1``, ``busybox:zstd``, ``busybox:docker`` ..."""
    store = Pybuild(tmp_path_factory.mktemp("published") / "store", tmp_path_factory.mktemp("home"))
    forms: dict[str, tuple[Compression, Family]] = {
        "1": ("gzip", "oci"), "zstd": ("zstd", "oci"), "plain": ("none", "oci"), "docker": ("gzip", "docker"),
    }  # fmt: skip
    for tag, (compression, family) in forms.items():
        name = f"{registry}/busybox:{tag}"
        bases.put(store.layout, bases.busybox(compression, family), name)
        store("push", name)
    return registry


@pytest.fixture(scope="module")
def many(registry: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of an index for three platforms; each image has a file ``arch`` that names its own."""
    store = Pybuild(tmp_path_factory.mktemp("many") / "store", tmp_path_factory.mktemp("home"))
    platforms = ("linux/amd64", "linux/arm64/v8", "linux/arm/v7")
    images = [image(layer({"arch": each.encode()}), platform=Platform.parse(each)) for each in platforms]
    name = f"{registry}/many:1"
    store.layout.tag(Reference.parse(name), store.layout.put(index(*images)))
    store("push", name)
    return name


@pytest.mark.parametrize("tag", ["1", "zstd", "plain", "docker"])
def test_a_base_of_any_form_is_pulled_and_built_on(pybuild: Pybuild, write: Write, published: str, tag: str) -> None:
    """Its layers stay as they are; the result is of OCI's types."""
    done = pybuild("-t", "app", write(f"FROM {published}/busybox:{tag}\nRUN cat /etc/second > /copied\n"))

    found = pybuild.image("app")
    assert "[internal] pull" in done.err
    assert 3 == len(found.layers)
    assert "application/vnd.oci.image.manifest.v1+json" == found.manifest.media_type
    skopeo("copy", "-q", f"oci:{pybuild.store}:docker.io/library/app:latest", f"dir:{pybuild.home}/out")


def test_what_is_pulled_once_is_in_the_store(pybuild: Pybuild, write: Write, published: str) -> None:
    context = write(f"FROM {published}/busybox:1\nRUN true\n")
    pybuild("-t", "app", context)

    done = pybuild("-t", "app", context)

    assert "pull" not in done.err
    assert f"{published}/busybox" in pybuild("images").out.decode()


def test_a_base_by_its_digest(pybuild: Pybuild, write: Write, published: str) -> None:
    """With a tag before it or not; the tag then means nothing."""
    digest = bases.busybox().digest
    for number, name in enumerate((f"busybox@{digest}", f"busybox:no-such-tag@{digest}")):
        pybuild("-t", f"app:{number}", write(f"FROM {published}/{name}\nRUN true\n"))

    assert pybuild.image("app:0").config.diff_ids == pybuild.image("app:1").config.diff_ids


def test_a_digest_of_something_else_is_an_error(pybuild: Pybuild, write: Write, published: str) -> None:
    wrong = f"{published}/busybox@sha256:{'0' * 64}"

    assert wrong in pybuild.fails(write(f"FROM {wrong}\n"))


def test_short_names_are_docker_hubs(pybuild: Pybuild, write: Write) -> None:
    """In the store as well as in messages."""
    bases.put(pybuild.layout, bases.busybox(), "docker.io/library/busybox:latest")
    bases.put(pybuild.layout, bases.busybox(), "index.docker.io/team/tool:1")
    for name in ("busybox", "busybox:latest", "library/busybox", "docker.io/busybox", "team/tool:1"):
        pybuild("-t", "app", write(f"FROM {name}\nRUN true\n"))

    assert "registry-1.docker.io/v2/library/debian/manifests/12" in pybuild.fails(write("FROM debian:12\n"))


def test_a_mirror_stands_in_for_a_registry(pybuild: Pybuild, write: Write, published: str) -> None:
    """As the configuration file says."""
    config = pybuild.home / ".config" / "pybuild" / "config.yaml"
    config.parent.mkdir(parents=True)
    config.write_text(f"registries:\n  registry.example.com:\n    mirrors: [{published}]\n")

    pybuild("-t", "app", write("FROM registry.example.com/busybox:1\nRUN true\n"))

    assert 3 == len(pybuild.image("app").layers)


@pytest.mark.parametrize(
    ("platform", "found"),
    [("linux/amd64", "linux/amd64"), ("linux/arm64", "linux/arm64/v8"), ("linux/arm/v7", "linux/arm/v7")],
)
def test_an_index_gives_the_image_of_the_platform(
    pybuild: Pybuild, write: Write, many: str, platform: str, found: str
) -> None:
    context = write(
        f"FROM {many} AS base\nFROM scratch\nCOPY --from=base /arch /arch\nCOPY --from={many} /arch /direct\n"
    )

    pybuild("-t", "app", "-o", pybuild.home / "out", "--platform", platform, context)

    assert found == (pybuild.home / "out/arch").read_text() == (pybuild.home / "out/direct").read_text()


def test_a_stage_has_a_platform_of_its_own(pybuild: Pybuild, write: Write, many: str) -> None:
    context = write(f"FROM --platform=linux/arm/v7 {many} AS other\nFROM {many}\nCOPY --from=other /arch /other\n")

    pybuild("-o", pybuild.home / "out", "--platform", "linux/amd64", context)

    assert ("linux/amd64", "linux/arm/v7") == (
        (pybuild.home / "out/arch").read_text(),
        (pybuild.home / "out/other").read_text(),
    )


def test_a_platform_that_is_not_there_is_told_with_those_that_are(pybuild: Pybuild, write: Write, many: str) -> None:
    error = pybuild.fails("--platform", "linux/s390x", write(f"FROM {many}\n"))

    assert "linux/s390x" in error
    assert "linux/arm/v7" in error


def test_a_base_of_another_architecture_is_warned_of(pybuild: Pybuild, write: Write, published: str) -> None:
    done = pybuild("-t", "app", "--platform", "linux/s390x", write(f"FROM {published}/busybox:1\nWORKDIR /w\n"))

    assert "WARN: InvalidBaseImagePlatform" in done.err
    assert "s390x" == pybuild.image("app").platform.architecture


def test_a_copy_comes_straight_from_an_image(pybuild: Pybuild, write: Write, published: str) -> None:
    pybuild("-t", "app", write(f"FROM scratch\nCOPY --from={published}/busybox:1 /etc /etc\n"))

    tree = Trees(pybuild.layout).tree(pybuild.image("app").layers)
    assert {b"group", b"motd", b"passwd", b"second"} == set(tree.children(b"etc"))


def test_an_image_layout_and_an_archive_can_be_named(based: Pybuild, write: Write, place: Path) -> None:
    """As BuildKit names them; and what is loaded has its name in the store."""
    based(
        "-t", "mine:1", "-o", f"type=oci,tar=false,dest={place}/layout", "-", input=b"FROM busybox\nRUN echo 1 > /1\n"
    )
    based("-t", "mine:2", "-o", f"type=docker,dest={place}/mine.tar", "-", input=b"FROM busybox\nRUN echo 2 > /2\n")
    other = Pybuild(place / "other", based.home)

    context = write("FROM base\nRUN cat /1 > /copy\n")
    other("-t", "app:1", "--build-context", f"base=oci-layout://{place}/layout:docker.io/library/mine:1", context)
    other("load", "-i", place / "mine.tar")
    other("-t", "app:2", write("FROM mine:2\nRUN cat /2 > /copy\n"))

    assert 4 == len(other.image("app:1").layers) == len(other.image("app:2").layers)


def test_triggers_of_a_base_are_carried_out(based: Pybuild, write: Write) -> None:
    based("-t", "trigger", "-", input=b"FROM busybox\nONBUILD COPY a /triggered\nONBUILD RUN cat /triggered > /ran\n")

    based("-t", "app", write("FROM trigger\nRUN cat /ran > /after\n", {"a": "a"}))

    found = based.image("app")
    assert () == tuple(found.config.config.on_build)
    assert 5 == len(found.layers)


def logged_in(pybuild: Pybuild, config: dict[str, object]) -> None:
    folder = pybuild.home / "docker-config"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    pybuild.variables["DOCKER_CONFIG"] = str(folder)


def private_image(pybuild: Pybuild, address: str) -> str:
    """Put an image where a password is asked for; give its name."""
    name = f"{address}/secret/base:1"
    bases.put(pybuild.layout, bases.busybox(), name)
    skopeo(
        "copy", "-q", "--dest-tls-verify=false", "--dest-creds=user:secret", f"oci:{pybuild.store}:{name}", f"docker://{name}"
    )  # fmt: skip
    pybuild("rmi", name)
    return name


def test_a_password_comes_from_docker_config(pybuild: Pybuild, write: Write, private_registry: str) -> None:
    name = private_image(pybuild, private_registry)
    context = write(f"FROM {name}\nRUN true\n")

    assert "401" in pybuild.fails(context)
    logged_in(pybuild, {"auths": {private_registry: {"auth": "dXNlcjpzZWNyZXQ="}}})
    pybuild("-t", "app", context)

    assert 3 == len(pybuild.image("app").layers)


@pytest.mark.parametrize("kind", ["credHelpers", "credsStore"])
def test_a_password_comes_from_a_helper(
    pybuild: Pybuild, write: Write, private_registry: str, place: Path, kind: str
) -> None:
    """A program that is asked with the registry's name on standard input."""
    name = private_image(pybuild, private_registry)
    helper = place / "bin" / "docker-credential-test"
    helper.parent.mkdir()
    helper.write_text(f"""#!/bin/sh
read -r server
[ "$1 $server" = "get {private_registry}" ] || {{ echo "credentials not found"; exit 1; }}
echo '{{"ServerURL": "{private_registry}", "Username": "user", "Secret": "secret"}}'
""")
    helper.chmod(0o755)
    logged_in(pybuild, {kind: {private_registry: "test"} if kind == "credHelpers" else "test"})
    context = write(f"FROM {name}\nRUN true\n")

    assert "docker-credential-test" in pybuild.fails(context)
    pybuild("-t", "app", context, env={"PATH": f"{helper.parent}:{PATH}"})

    assert 3 == len(pybuild.image("app").layers)


def test_a_login_is_kept_for_builds(pybuild: Pybuild, write: Write, private_registry: str) -> None:
    """``pybuild login`` as Docker's, with the password on standard input."""
    name = private_image(pybuild, private_registry)
    pybuild.fails("login", "-u", "user", "--password-stdin", private_registry, input=b"wrong\n")

    pybuild("login", "-u", "user", "--password-stdin", private_registry, input=b"secret\n")
    pybuild("-t", "app", write(f"FROM {name}\nRUN true\n"))
    pybuild("logout", private_registry)

    assert "401" in pybuild.fails("--pull", write(f"FROM {name}\nRUN true\n"))
