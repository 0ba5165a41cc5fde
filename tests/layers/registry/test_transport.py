"""Retries, redirects, time limits and TLS."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING

import pytest

from layers.errors import InvalidError, RegistryError
from layers.registry.client import Client
from layers.registry.credentials import Credential
from layers.registry.response import TransportError, join, public_url
from layers.registry.transport import Body, Transport, retry_after
from tests.support.faults import drop_after, hang_up, stall, status, with_headers
from tests.support.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from layers.registry.settings import Settings
    from tests.support.registry import Handler


@pytest.fixture
def transport(settings: Settings) -> Iterator[Transport]:
    transport = Transport(settings)
    yield transport
    transport.close()


@pytest.mark.parametrize("code", [429, 500, 502, 503, 504])
def test_a_busy_server_is_asked_again(registry: Registry, transport: Transport, code: int) -> None:
    registry.fault("GET", "/v2/", status(code, Retry_After="0"), times=2)
    with transport.request("GET", f"{registry.url}/v2/") as response:
        assert 200 == response.status
    assert 3 == len(registry.asked("GET"))


def test_attempts_end(registry: Registry, transport: Transport) -> None:
    registry.fault("GET", "/v2/", status(503), times=9)
    with transport.request("GET", f"{registry.url}/v2/") as response:
        assert 503 == response.status
    assert 3 == len(registry.asked("GET"))


def test_a_refusal_is_not_asked_again(registry: Registry, transport: Transport) -> None:
    registry.fault("GET", "/v2/", status(400))
    transport.request("GET", f"{registry.url}/v2/").close()
    assert 1 == len(registry.asked("GET"))


def test_retry_after_is_obeyed(registry: Registry, settings: Settings) -> None:
    waits: list[float] = []
    registry.fault("GET", "/v2/", status(429, Retry_After="1"))
    registry.fault("GET", "/v2/", status(429))
    transport = Transport(replace(settings, sleep=waits.append, backoff=0.25))
    transport.request("GET", f"{registry.url}/v2/").close()
    transport.close()
    assert [1, 0.5] == waits


def test_nobody_waits_for_hours(registry: Registry, transport: Transport) -> None:
    registry.fault("GET", "/v2/", status(429, Retry_After="21600"), times=9)
    with transport.request("GET", f"{registry.url}/v2/") as response:
        assert 429 == response.status
    assert 1 == len(registry.asked("GET"))


def test_retry_after_may_be_a_date() -> None:
    assert retry_after(format_datetime(datetime.now(UTC) + timedelta(seconds=30))) == pytest.approx(30, abs=2)
    assert 0 == retry_after(format_datetime(datetime.now(UTC) - timedelta(days=1)))
    assert [None, None, None] == [retry_after(text) for text in ("", "soon", "-1")]


def test_a_broken_connection_is_tried_again(registry: Registry, transport: Transport) -> None:
    registry.fault("GET", "/v2/", hang_up, times=2)
    with transport.request("GET", f"{registry.url}/v2/") as response:
        assert 200 == response.status


def test_a_server_that_always_hangs_up_is_an_error(registry: Registry, transport: Transport) -> None:
    registry.fault("GET", "/v2/", hang_up, times=9)
    with pytest.raises(TransportError, match="the connection broke"):
        transport.request("GET", f"{registry.url}/v2/")


def test_a_stalled_server_is_left(registry: Registry, settings: Settings) -> None:
    registry.fault("GET", "/v2/", stall, times=9)
    transport = Transport(replace(settings, read_timeout=0.1, retries=1))
    with pytest.raises(TransportError, match="stalled"):
        transport.request("GET", f"{registry.url}/v2/")
    transport.close()


def test_a_body_is_sent_again_from_its_start(registry: Registry, transport: Transport) -> None:
    registry.fault("PUT", "/x", status(500))
    body = Body(6, lambda: iter([b"abc", b"def"]))
    transport.request("PUT", f"{registry.url}/x", body=body).close()
    assert [b"abcdef", b"abcdef"] == [each.body for each in registry.asked("PUT")]


def test_a_host_that_is_not_there_is_named(transport: Transport) -> None:
    with pytest.raises(RegistryError, match=r"GET http://127\.0\.0\.1:1/v2/: cannot connect"):
        transport.request("GET", "http://127.0.0.1:1/v2/?token=secret")


def test_credentials_stay_with_their_host(registry: Registry, storage: Registry, transport: Transport) -> None:
    """A redirect within the registry keeps the token, one to another port or host does not."""
    registry.fault("GET", "/first", status(307, Location="/second"))
    registry.fault("GET", "/second", status(307, Location=f"{storage.url}/v2/"))
    transport.request("GET", f"{registry.url}/first", {"Authorization": "Bearer secret"}).close()
    assert ["Bearer secret"] * 2 == [each.headers.get("authorization") for each in registry.seen]
    assert [None] == [each.headers.get("authorization") for each in storage.seen]


def test_credentials_do_not_come_back_with_a_second_redirect(
    registry: Registry, storage: Registry, transport: Transport
) -> None:
    registry.fault("GET", "/first", status(302, Location=f"{storage.url}/there"))
    storage.fault("GET", "/there", status(302, Location=f"{registry.url}/v2/"))
    transport.request("GET", f"{registry.url}/first", {"Authorization": "Bearer secret"}).close()
    assert ["Bearer secret", None] == [each.headers.get("authorization") for each in registry.seen]


def test_redirects_are_counted(registry: Registry, transport: Transport) -> None:
    registry.fault("GET", "/round", status(302, Location="/round"), times=99)
    with pytest.raises(RegistryError, match="more than 10 redirects"):
        transport.request("GET", f"{registry.url}/round")


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://host/x", "http://user:pw@host/", "//[", "http://a b/"])
def test_redirects_lead_to_http_only(registry: Registry, transport: Transport, target: str) -> None:
    registry.fault("GET", "/v2/", status(302, Location=target))
    with pytest.raises(RegistryError, match="which is no HTTP address"):
        transport.request("GET", f"{registry.url}/v2/")


def test_a_place_is_shown_without_what_is_secret_in_it(registry: Registry, transport: Transport) -> None:
    registry.fault("GET", "/v2/", status(302, Location="ftp://user:hidden@host/there?signature=hidden"))
    with pytest.raises(RegistryError, match="sends to 'host/there', which is no HTTP address"):
        transport.request("GET", f"{registry.url}/v2/")


def test_https_is_not_left(certificate: Path, settings: Settings, storage: Registry) -> None:
    with Registry(tls=certificate) as registry:
        registry.fault("GET", "/x", status(302, Location=f"{storage.url}/v2/"))
        transport = Transport(replace(settings, ca_file=str(certificate)))
        with pytest.raises(RegistryError, match="redirects from https to http:"):
            transport.request("GET", f"{registry.url}/x")
        transport.close()
    assert [] == storage.seen


def test_a_certificate_is_checked(certificate: Path, settings: Settings) -> None:
    with Registry(tls=certificate) as registry, Client(settings) as client:
        with pytest.raises(RegistryError, match=r"TLS failed.*self-signed") as caught:
            client.ping(registry.address)
        assert "SSL_CERT_FILE" in caught.value.hint


def test_a_certificate_is_for_its_host_alone(certificate_of_another: Path, settings: Settings) -> None:
    """Trusted as it is: it would open every host otherwise."""
    trusting = replace(settings, ca_file=str(certificate_of_another))
    with Registry(tls=certificate_of_another) as registry, Client(trusting) as client:
        with pytest.raises(RegistryError, match=r"TLS failed.*(mismatch|not valid for|doesn't match)"):
            client.ping(registry.address)
        assert [] == registry.seen


def test_authorities_come_from_a_file(certificate: Path, settings: Settings) -> None:
    with Registry(tls=certificate) as registry:
        with Client(replace(settings, ca_file=str(certificate))) as client:
            client.ping(registry.address)
        with Client(replace(settings, ca_file="/nowhere")) as client, pytest.raises(InvalidError, match="/nowhere"):
            client.ping(registry.address)


def test_an_insecure_registry_may_have_any_certificate(certificate: Path, settings: Settings) -> None:
    with Registry(tls=certificate) as registry:
        trusting = replace(settings, insecure=frozenset({registry.address}))
        with Client(trusting) as client:
            client.ping(registry.address)


def test_plain_http_is_for_loopback_and_those_named(transport: Transport) -> None:
    with pytest.raises(RegistryError, match="plain HTTP is not allowed") as caught:
        transport.request("GET", "http://registry.example/v2/")
    assert "registry.example is an insecure registry" in caught.value.hint


def test_a_proxy_is_asked_for_all_but_loopback(registry: Registry, storage: Registry, settings: Settings) -> None:
    through = replace(
        settings,
        insecure=frozenset({"registry.example"}),
        proxies={"http": f"http://user:pw@{storage.address}", "https": "http://127.0.0.1:1"},
    )
    transport = Transport(through)
    assert "http://registry.example" == transport.base("registry.example")
    transport.request("GET", f"{registry.url}/v2/").close()
    transport.close()
    assert 1 == len(registry.seen)
    assert "Basic dXNlcjpwdw==" == storage.seen[0].headers["proxy-authorization"]
    assert "registry.example" == storage.seen[0].headers["host"]


@pytest.mark.parametrize("proxy", ["socks5://proxy.example", "http://", "nonsense://x"])
def test_a_proxy_is_of_http(settings: Settings, proxy: str) -> None:
    through = Transport(replace(settings, proxies={"https": proxy}))
    with pytest.raises(RegistryError, match="is no http or https address"):
        through.request("GET", "https://registry.example/v2/")


def test_an_unknown_host_is_not_asked_again(transport: Transport) -> None:
    with pytest.raises(RegistryError, match="the host's name is unknown") as caught:
        transport.request("GET", "https://registry.invalid/v2/")
    assert not isinstance(caught.value, TransportError)


def test_answers_are_read_to_a_limit(registry: Registry, transport: Transport) -> None:
    registry.fault("GET", "/v2/", status(200, b"x" * 1001))
    with (
        transport.request("GET", f"{registry.url}/v2/") as response,
        pytest.raises(RegistryError, match="more than 1000 bytes"),
    ):
        response.content(1000)


def test_a_short_answer_is_a_broken_connection(registry: Registry, transport: Transport) -> None:
    registry.fault("GET", "/v2/", drop_after(1))
    with (
        transport.request("GET", f"{registry.url}/v2/") as response,
        pytest.raises(TransportError, match="broke"),
    ):
        response.content(1000)


def test_errors_say_what_the_registry_said_and_no_secret(registry: Registry, client: Client) -> None:
    body = b'{"errors": [{"code": "DENIED", "message": "not \\u001b[31myou", "detail": {}}]}'
    registry.fault("GET", "/v2/$", status(302, Location="/there?X-Amz-Signature=secret"), times=2)
    registry.fault("GET", "/there", status(409, body), times=2)
    with pytest.raises(RegistryError) as caught:
        client.ping(registry.address)
    assert f"GET {registry.url}/there: 409: DENIED: not  [31myou" == caught.value.message
    assert (409, "DENIED") == (caught.value.status, caught.value.code)


def test_success_that_was_not_asked_for_is_told(registry: Registry, client: Client) -> None:
    client.ping(registry.address)
    registry.fault("GET", "/v2/", status(203))
    with pytest.raises(RegistryError, match="203, which is no answer to that") as caught:
        client.ping(registry.address)
    assert "login page" in caught.value.hint


def test_html_is_no_reason_for_confusion(registry: Registry, client: Client) -> None:
    client.ping(registry.address)
    registry.fault("GET", "/v2/", status(418, b"<html>teapot</html>"))
    with pytest.raises(RegistryError, match=r"/v2/: 418$"):
        client.ping(registry.address)


def test_urls_are_shown_without_secrets() -> None:
    assert "https://host/path" == public_url("https://user:pw@host/path?token=1#x")


def test_a_location_may_be_relative() -> None:
    assert "https://host:1/v2/x?y=1" == join("https://host:1/v2/", "x?y=1")
    assert "https://other/x" == join("https://host:1/v2/", "//other/x")


def test_identity_is_asked_for_and_the_program_named(registry: Registry, transport: Transport) -> None:
    """A blob that is compressed on the way would have another digest."""
    transport.request("GET", f"{registry.url}/v2/").close()
    headers = registry.seen[0].headers
    assert ("identity", "pybuild") == (headers["accept-encoding"], headers["user-agent"])


def test_connections_are_used_again(registry: Registry, client: Client) -> None:
    ports = []

    def note(handler: Handler) -> bool:
        ports.append(handler.client_address[1])
        return False

    registry.fault("GET", "/v2/", note, times=9)
    for _ in range(4):
        client.ping(registry.address)
    assert 1 == len(set(ports))


def test_a_stranger_with_credentials_is_no_different(registry: Registry, settings: Settings) -> None:
    """Credentials are sent only where they are asked for."""
    with Client(settings, lambda _registry, _repository: Credential("user", "secret")) as client:
        client.ping(registry.address)
    assert [None, None] == [each.headers.get("authorization") for each in registry.seen]


def test_an_empty_length_is_none(registry: Registry, transport: Transport) -> None:
    registry.fault("GET", "/v2/", with_headers(Content_Length="", Connection="close"))
    registry.fault("GET", "/x", drop_after(3))
    with transport.request("GET", f"{registry.url}/v2/") as response:
        assert response.length is None
