"""What is asked of a registry as a whole, and the names that Docker Hub goes by."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from layers.errors import InvalidError
from layers.reference import Reference
from layers.registry.client import Client, Found
from layers.registry.settings import Settings, is_loopback, proxy_for
from layers.registry.transfer import pull
from tests.support.faults import status
from tests.support.images import image, layer

if TYPE_CHECKING:
    from tests.support.registry import Registry


def of(registry: Registry, name: str = "app", tag: str = "1") -> Reference:
    return Reference.parse(f"{registry.address}/{name}:{tag}")


def test_a_search_goes_through_the_catalog(registry: Registry, client: Client) -> None:
    registry.page = 1
    for name in ("team/app", "team/web", "other/APP-less"[:9].lower(), "apple"):
        registry.add(image(layer()), name)
    assert ["apple", "other/app", "team/app"] == [each.name for each in client.search("app", registry=registry.address)]
    assert 2 == len(client.search("app", 2, registry=registry.address))


@pytest.fixture
def hub_settings(registry: Registry, settings: Settings) -> Settings:
    """Lead what is meant for Docker Hub through a proxy that is a registry in memory."""
    proxies = {"http": registry.url, "https": registry.url}
    return replace(settings, insecure=frozenset({"index.docker.io", "registry-1.docker.io"}), proxies=proxies)


def test_docker_hub_is_not_where_its_name_says(registry: Registry, hub_settings: Settings) -> None:
    stored = image(layer())
    registry.add(stored, "library/alpine", "3")
    with Client(hub_settings) as client:
        assert stored.digest == pull(Reference.parse("alpine:3"), client=client).digest
    assert {"registry-1.docker.io"} == {each.headers["host"] for each in registry.asked("GET")}


def test_docker_hub_has_its_own_search(registry: Registry, hub_settings: Settings) -> None:
    answer = {
        "results": [
            {
                "name": "nginx",
                "description": "web\nserver",
                "star_count": 9,
                "is_official": True,
                "is_automated": False,
            },
            {"name": "me/nginx", "description": None},
            {"name": "more"},
        ]
    }
    registry.fault("GET", "/v1/search", status(200, json.dumps(answer).encode()), times=2)
    with Client(hub_settings) as client:
        found = client.search("nginx web", 2)
    assert (Found("nginx", "web server", 9, official=True), Found("me/nginx")) == found
    (asked,) = registry.asked("GET", "/v1/search")
    assert ("index.docker.io", ["nginx web"], ["2"]) == (asked.headers["host"], asked.query["q"], asked.query["n"])


@pytest.mark.parametrize(
    "answer", [b'{"results": [1]}', b'{"results": 1}', b"[]", b"<html>", b'{"results": [{"name": 1}]}']
)
def test_a_search_that_talks_nonsense(registry: Registry, hub_settings: Settings, answer: bytes) -> None:
    registry.fault("GET", "/v1/search", status(200, answer))
    with Client(hub_settings) as client, pytest.raises(InvalidError):
        client.search("x")


@pytest.mark.parametrize(
    ("rule", "host", "excepted"),
    [
        ("*", "any.example", True),
        ("host.example", "host.example", True),
        ("host.example", "host.example:5000", True),
        ("host.example:5000", "host.example:5000", True),
        ("host.example:5000", "host.example", False),
        ("example", "host.example", True),
        (".example", "host.example", True),
        ("*.example", "host.example", True),
        ("ample", "host.example", False),
        ("10.0.0.0/8", "10.1.2.3:5000", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("10.0.0.0/8", "host.example", False),
        ("fd00::/8", "[fd00::1]:5000", True),
        ("", "host.example", False),
        ("", "127.0.0.1:5000", True),
        ("", "localhost", True),
        ("", "[::1]:5000", True),
    ],
)
def test_a_proxy_has_exceptions(rule: str, host: str, *, excepted: bool) -> None:
    settings = Settings(proxies={"https": "http://proxy.example"}, no_proxy=("other.example", rule))
    assert ("" if excepted else "http://proxy.example") == proxy_for(settings, f"https://{host}/v2/")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8:80", "localhost:5000", "[::1]:5000", "app.localhost"])
def test_loopback_is_known_by_name(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["127.0.0.1.example", "localhost.example", "10.0.0.1", "[::2]", "notlocalhost", ""])
def test_what_only_looks_like_loopback_is_not(host: str) -> None:
    assert not is_loopback(host)


def test_a_client_imports_no_http_library() -> None:
    """It costs 80 ms, which commands without a network need not pay."""
    code = "import sys, layers.registry.client, layers.registry.transfer; sys.exit('urllib3' in sys.modules)"
    assert 0 == subprocess.run([sys.executable, "-c", code], check=False).returncode
