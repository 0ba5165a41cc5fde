"""Mirrors help, and can do no harm."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from layers import mediatype
from layers.reference import Reference
from layers.registry.client import Client
from layers.registry.transfer import pull
from tests.support.images import content_of, image, layer

if TYPE_CHECKING:
    from layers.registry.settings import Settings
    from tests.support.registry import Registry


def of(registry: Registry, name: str = "app", tag: str = "1") -> Reference:
    return Reference.parse(f"{registry.address}/{name}:{tag}")


def test_a_mirror_is_asked_first(registry: Registry, storage: Registry, settings: Settings) -> None:
    stored = image(layer())
    registry.add(stored)
    storage.add(stored, "cache/app")
    mirrored = replace(settings, mirrors={registry.address: (f"{storage.address}/cache",)})
    with Client(mirrored) as client:
        assert content_of(stored) == content_of(pull(of(registry), client=client))
    assert [] == registry.seen


def test_what_a_mirror_lacks_comes_from_the_registry(registry: Registry, storage: Registry, settings: Settings) -> None:
    stored = image(layer())
    registry.add(stored)
    storage.add(stored)
    storage.repository("app").blobs.clear()
    with Client(replace(settings, mirrors={registry.address: (storage.address,)})) as client:
        assert content_of(stored) == content_of(pull(of(registry), client=client))
    assert [] == registry.asked("GET", "/manifests/")


def test_a_mirror_that_is_down_is_asked_once(registry: Registry, settings: Settings) -> None:
    stored = image(layer())
    registry.add(stored)
    with Client(replace(settings, mirrors={registry.address: ("127.0.0.1:1",)})) as client:
        assert content_of(stored) == content_of(pull(of(registry), client=client))
        assert not client.repository(of(registry)).session.mirrors(registry.address)


def test_a_mirror_that_lies_is_passed_over(registry: Registry, storage: Registry, settings: Settings) -> None:
    digest = registry.add(image(layer({"right": b""})))
    wrong = image(layer({"wrong": b""}))
    storage.repository("app").manifests[str(digest)] = (wrong.manifest_bytes, mediatype.OCI_MANIFEST)
    with Client(replace(settings, mirrors={registry.address: (storage.address,)})) as client:
        assert digest == client.repository(of(registry)).image(digest).digest
