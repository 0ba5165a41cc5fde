"""Which names in a store are which repositories of the registry."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from layers.reference import Reference
from layers.serving.names import Addresses
from tests.support.images import image, layer

if TYPE_CHECKING:
    from tests.support.serving import Service

OWN = Addresses(frozenset({"localhost:5000", "127.0.0.1:5000"}))


@pytest.mark.parametrize(
    ("name", "repository"),
    [
        ("app", "app"),
        ("docker.io/library/app", "app"),
        ("me/app", "me/app"),
        ("ghcr.io/me/app", "ghcr.io/me/app"),
        ("localhost/app", "localhost/app"),
        ("localhost:5000/app", "app"),
        ("127.0.0.1:5000/library/app", "app"),
        ("localhost:5000/ghcr.io/me/app", "ghcr.io/me/app"),
        ("docker.io/ghcr.io/app", "docker.io/ghcr.io/app"),
        ("localhost:6000/app", ""),
        ("other.example:5000/app", ""),
        ("[::1]:5001/app", ""),
        ("Upper.example/app", ""),
        ("app/" + "a" * 251, "app/" + "a" * 251),
        ("ghcr.io/" + "a" * 255, ""),
    ],
)
def test_a_name_is_served_as_what_follows_the_address(name: str, repository: str) -> None:
    assert repository == OWN.served_as(Reference.parse(name))


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ("app", "app:1"),
        ("library/app", "app:1"),
        ("docker.io/library/app", "app:1"),
        ("me/app", "me/app:1"),
        ("ghcr.io/me/app", "ghcr.io/me/app:1"),
    ],
)
def test_what_is_built_here_is_pulled_by_its_name_behind_the_address(service: Service, asked: str, name: str) -> None:
    found = image(layer())
    service.layout.tag(Reference.parse(name), service.layout.put(found))

    assert found.manifest_bytes == service("GET", f"/v2/{asked}/manifests/1").body
    assert {"name": asked, "tags": ["1"]} == service("GET", f"/v2/{asked}/tags/list").json


@pytest.mark.parametrize(
    ("pushed", "name"),
    [("app", "app:2"), ("library/app", "app:2"), ("me/app", "me/app:2"), ("quay.io/a/b", "quay.io/a/b:2")],
)
def test_what_is_pushed_has_its_name_without_the_address(service: Service, pushed: str, name: str) -> None:
    assert 201 == service.image(pushed, "2", image(layer())).status

    assert [name] == [each.familiar for each, _ in service.layout.names()]


def test_a_name_with_this_address_gives_way_to_one_without(service: Service) -> None:
    plain, spelt = image(layer()), image(layer({"b": b""}))
    layout = service.layout
    layout.tag(Reference.parse("app:1"), layout.put(plain))
    for tag in ("1", "2"):
        layout.tag(Reference.parse(f"localhost:{service.server.port}/app:{tag}"), layout.put(spelt))

    assert plain.manifest_bytes == service("GET", "/v2/app/manifests/1").body
    assert spelt.manifest_bytes == service("GET", "/v2/app/manifests/2").body
    assert ["1", "2"] == service("GET", "/v2/app/tags/list").json["tags"]
    assert 202 == service("DELETE", "/v2/app/manifests/1").status
    assert [f"localhost:{service.server.port}/app:2"] == [name.familiar for name, _ in layout.names()]
