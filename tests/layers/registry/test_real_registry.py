"""Against Debian's docker-registry, and skopeo on the other side."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from layers.errors import AuthenticationError, NotFoundError
from layers.image import Index
from layers.reference import Reference
from layers.registry.client import Client
from layers.registry.credentials import Credential
from layers.registry.settings import Settings
from layers.registry.transfer import pull, push
from tests.support.images import ARM64, content_of, image, index, layer
from tests.support.real_registry import real_registry

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.e2e
QUICK = Settings(backoff=0.01, retries=2)


@pytest.fixture(scope="module")
def registry() -> Iterator[str]:
    with real_registry() as address:
        yield address


@pytest.fixture
def client() -> Iterator[Client]:
    with Client(QUICK) as client:
        yield client


def skopeo(*arguments: str) -> str:
    return subprocess.run(["skopeo", *arguments], check=True, capture_output=True, text=True, timeout=60).stdout


def test_what_is_pushed_comes_back_the_same(registry: str, client: Client) -> None:
    pushed = image(layer({"a": b"1"}), layer({"b": b"2" * 3_000_000}))
    reference = Reference.parse(f"{registry}/team/app:1.0")

    descriptor = push(pushed, reference, client=client)
    pulled = pull(reference, client=client)

    assert pushed.descriptor.digest == descriptor.digest
    assert (pushed.manifest_bytes, pushed.config_bytes) == (pulled.manifest_bytes, pulled.config_bytes)
    assert content_of(pushed) == content_of(pulled)


def test_skopeo_reads_what_is_pushed(registry: str, client: Client) -> None:
    pushed = image(layer({"skopeo": b"reads"}))
    push(pushed, Reference.parse(f"{registry}/for-skopeo:1"), client=client)

    seen = json.loads(skopeo("inspect", "--tls-verify=false", f"docker://{registry}/for-skopeo:1"))

    assert str(pushed.digest) == seen["Digest"]
    assert [str(each.descriptor.digest) for each in pushed.layers] == seen["Layers"]


def test_what_skopeo_copies_is_pulled(registry: str, client: Client) -> None:
    pushed = image(layer({"there": b"and back"}), media_types="docker")
    push(pushed, Reference.parse(f"{registry}/first:1"), client=client)
    source, target = f"docker://{registry}/first:1", f"docker://{registry}/second:1"
    skopeo("copy", "--src-tls-verify=false", "--dest-tls-verify=false", source, target)

    pulled = pull(Reference.parse(f"{registry}/second:1"), client=client)

    assert content_of(pushed) == content_of(pulled)


def test_an_index_goes_with_all_its_images(registry: str, client: Client) -> None:
    both = index(image(layer({"amd64": b"1"})), image(layer({"arm64": b"1"}), platform=ARM64))
    reference = Reference.parse(f"{registry}/many:1")

    descriptor = push(both, reference, client=client)
    found = client.repository(reference).get("1")

    assert isinstance(found, Index)
    assert (both.raw, both.digest) == (found.raw, descriptor.digest)
    assert ARM64 == pull(reference, client=client, platform=ARM64).platform


def test_layers_of_another_repository_are_mounted(registry: str, client: Client) -> None:
    push(image(layer({"base": b"layer"})), Reference.parse(f"{registry}/base:1"), client=client)
    base = pull(Reference.parse(f"{registry}/base:1"), client=client)
    reports: list[tuple[str, int, int]] = []

    push(base, Reference.parse(f"{registry}/derived:1"), client=client, progress=lambda *each: reports.append(each))

    size = base.layers[0].descriptor.size
    digest = str(base.layers[0].descriptor.digest)
    assert [(digest, 0, size), (digest, size, size)] == [each for each in reports if each[0] == digest]
    assert content_of(base) == content_of(pull(Reference.parse(f"{registry}/derived:1"), client=client))


def test_tags_resolve_and_delete(registry: str, client: Client) -> None:
    pushed = image(layer({"tagged": b""}))
    repository = client.repository(Reference.parse(f"{registry}/tagged"))
    for tag in ("a", "b"):
        push(pushed, Reference.parse(f"{registry}/tagged:{tag}"), client=client)

    assert ["a", "b"] == sorted(repository.tags())
    assert pushed.digest == repository.resolve("a").digest
    assert pushed.digest == repository.resolve(pushed.digest).digest
    repository.delete(pushed.digest)
    with pytest.raises(NotFoundError):
        repository.resolve("a")
    assert any(found.name == "tagged" for found in client.search("tag", registry=registry))


def test_a_pull_through_cache_is_a_mirror(registry: str, client: Client) -> None:
    pushed = image(layer({"cached": b"soon"}))
    push(pushed, Reference.parse(f"{registry}/cached:1"), client=client)
    with real_registry(proxy_of=f"http://{registry}") as cache:
        mirrors = {"registry.example": (cache,)}
        with Client(replace(QUICK, mirrors=mirrors)) as distant:
            pulled = pull(Reference.parse("registry.example/cached:1"), client=distant)
            assert content_of(pushed) == content_of(pulled)


def test_a_password_is_asked_for_and_taken() -> None:
    with real_registry(password=True) as address:
        reference = Reference.parse(f"{address}/app:1")
        with Client(QUICK) as stranger, pytest.raises(AuthenticationError, match="401") as caught:
            stranger.repository(reference).resolve("1")
        assert f"pybuild login {address}" in caught.value.hint
        with Client(QUICK, lambda _registry, _repository: Credential("user", "secret")) as client:
            push(image(layer()), reference, client=client)
            client.check_login(address, "user", "secret")
            with pytest.raises(AuthenticationError):
                client.check_login(address, "user", "wrong")
