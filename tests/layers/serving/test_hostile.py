"""Clients that mean no good, or are broken: they get an answer or are cut off, and the store stays as it is."""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING

import pytest

from layers.digest import Digest
from layers.errors import BusyError
from layers.reference import Reference
from layers.store import gc
from layers.store.layout import Layout
from tests.support.images import image, layer
from tests.support.programs import until
from tests.support.serving import Service, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

UPLOADS = "/v2/app/blobs/uploads/"
HEAD = b"Host: localhost\r\nConnection: close\r\n"


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout.open(tmp_path / "store")


@contextmanager
def connected(service: Service, sent: bytes = b"") -> Iterator[socket.socket]:
    """Open a connection, and send something on it."""
    with socket.create_connection(("127.0.0.1", service.server.port), timeout=60) as connection:
        connection.sendall(sent)
        yield connection


def ended(connection: socket.socket) -> bytes:
    """Give what comes until the server ends the connection."""
    found = b""
    try:
        while data := connection.recv(1 << 16):
            found += data
    except ConnectionResetError:
        pass
    return found


# Who asks


@pytest.mark.parametrize("origin", ["https://evil.example", "http://localhost:5000", "null"])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "OPTIONS"])
def test_a_web_page_is_refused(service: Service, method: str, origin: str) -> None:
    """Browsers say where a request comes from; none of a registry's clients does."""
    answer = service(method, UPLOADS, Origin=origin)

    assert (403, "DENIED") == (answer.status, answer.code)
    assert not [name for name in answer.headers if name.lower().startswith("access-control")]


@pytest.mark.parametrize("site", ["cross-site", "same-site", "same-origin"])
def test_a_page_that_hides_its_origin_is_refused(service: Service, site: str) -> None:
    assert 403 == service("GET", "/v2/_catalog", Sec_Fetch_Site=site).status
    assert 200 == service("GET", "/v2/_catalog", Sec_Fetch_Site="none").status


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:5000", "localhost.evil.example", "", "a@localhost:b", "[::1"]
)
def test_a_name_that_somebody_made_lead_here_is_refused(service: Service, host: str) -> None:
    """DNS rebinding: the page is its own origin, and its name is not ours."""
    answer = service("GET", "/v2/", Host=host)

    assert 403 == answer.status


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:5000", "127.0.0.1:1", "[::1]:5000", "a.localhost", "10.0.0.1"]
)
def test_an_address_is_nobody_elses_name(service: Service, host: str) -> None:
    assert 200 == service("GET", "/v2/", Host=host).status


def test_a_name_that_was_given_is_answered(layout: Layout) -> None:
    with serving(layout, names=("registry",)) as service:
        assert 200 == service("GET", "/v2/", Host="registry:5000").status
        assert 403 == service("GET", "/v2/", Host="other:5000").status


def test_a_request_without_a_host_or_with_two_is_refused(service: Service) -> None:
    assert b" 403 " in service.raw(b"GET /v2/ HTTP/1.0\r\n\r\n")
    assert b" 403 " in service.raw(
        b"GET /v2/ HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\nConnection: close\r\n\r\n"
    )


# What is asked


@pytest.mark.parametrize(
    "path",
    [
        "/v2/../../etc/passwd/manifests/1",
        "/v2/%2e%2e/%2e%2e/manifests/1",
        "/v2/app/blobs/sha256:../../../../index.json",
        "/v2/app/blobs/sha256:%2e%2e%2f%2e%2e%2findex.json",
        "/v2/app/blobs/..%2f..%2findex.json",
        "/v2/app/manifests/..",
        "/v2/app/manifests/%00",
        "/v2/a%0d%0ab/tags/list",
        "/v2/%ff/tags/list",
        "/v2/app/blobs/uploads/..",
        "/v2/app/blobs/uploads/%2e%2e%2f%2e%2e",
        "//etc/passwd",
        "/v2/" + "a/" * 3000 + "tags/list",
        "/v2/app/tags/list?" + "n=1&" * 1000,
    ],
)
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_no_name_leads_out_of_the_store(service: Service, method: str, path: str) -> None:
    def files() -> set[Path]:
        """All that is beside the store and in it, but for locks."""
        return {
            each for each in service.layout.root.parent.rglob("*") if each.is_file() and each.parent.name != "locks"
        }

    before = files()

    answer = service(method, path, b"content")

    assert answer.status in {400, 404, 405}
    assert before == files()


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /v2/ HTTP/1.1\r\n" + b"".join(b"X-%d: x\r\n" % i for i in range(200)) + HEAD + b"\r\n",
        b"GET /v2/ HTTP/1.1\r\nX: " + b"x" * 70_000 + b"\r\n" + HEAD + b"\r\n",
        b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\n" + HEAD + b"\r\n",
        b"GET /v2/ HTTP/9.9\r\n" + HEAD + b"\r\n",
        b"GET /v2/ nonsense\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"PUT /v2/app/manifests/1 HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n" + HEAD + b"\r\nabcdef",
        b"PUT /v2/app/manifests/1 HTTP/1.1\r\nContent-Length: -5\r\n" + HEAD + b"\r\nabcdef",
        b"PUT /v2/app/manifests/1 HTTP/1.1\r\nContent-Length: +5\r\n" + HEAD + b"\r\nabcdef",
        b"PUT /v2/app/manifests/1 HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n"
        + HEAD
        + b"\r\n0\r\n\r\n",
        b"PUT /v2/app/manifests/1 HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n" + HEAD + b"\r\n0\r\n\r\n",
    ],
)
def test_what_is_no_proper_request_is_refused(service: Service, request_: bytes) -> None:
    """Two lengths would be two requests to somebody on the way."""
    with connected(service, request_) as connection:
        answer = ended(connection)

    assert answer.count(b"HTTP/1.1 ") <= 1
    assert not answer or answer.split()[1][:1] in {b"4", b"5"}
    assert b"Traceback" not in answer


@pytest.mark.parametrize(
    "body", [b"5\r\nabc", b"x\r\n", b"-1\r\n", b"5\r\nabcdefgh\r\n0\r\n\r\n", b"f" * 5000, b"1 1\r\na\r\n"]
)
def test_a_body_that_is_not_chunked_as_it_says_is_cut_off(service: Service, body: bytes) -> None:
    request = b"POST %s?digest=%s HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" % (
        UPLOADS.encode(),
        str(Digest.of(b"abcde")).encode(),
    )
    with connected(service, request + HEAD + b"\r\n" + body) as connection:
        connection.shutdown(socket.SHUT_WR)

        assert b"" == ended(connection)
    assert [] == list(service.layout.blobs.list())


# How much, and how slowly


def test_a_client_that_goes_away_can_go_on_later(service: Service) -> None:
    location = service("POST", UPLOADS).headers["Location"]
    request = b"PATCH %s HTTP/1.1\r\nContent-Length: 10\r\n" % location.encode() + HEAD + b"\r\n01234"
    with connected(service, request):
        until(lambda: any(each.stat().st_size == 5 for each in (service.layout.root / "tmp").iterdir()), 60)
    until(lambda: service("GET", location).status == 204, 60)

    assert "0-4" == service("GET", location).headers["Range"]
    digest = Digest.of(b"0123456789")
    assert 201 == service("PUT", f"{location}?digest={digest}", b"56789").status


def test_an_upload_is_of_one_request_at_a_time(service: Service) -> None:
    location = service("POST", UPLOADS).headers["Location"]
    request = b"PATCH %s HTTP/1.1\r\nContent-Length: 10\r\n" % location.encode() + HEAD + b"\r\n01234"
    with connected(service, request):
        until(lambda: any(each.stat().st_size == 5 for each in (service.layout.root / "tmp").iterdir()), 60)
        assert "BLOB_UPLOAD_INVALID" == service("PATCH", location, b"x").code


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET /v2/ HTTP/1.1\r\nHost: local",
        b"PUT /v2/app/manifests/1 HTTP/1.1\r\nContent-Length: 10\r\n" + HEAD + b"\r\n012",
        b"PUT /v2/app/manifests/1 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" + HEAD + b"\r\n5\r\n012",
    ],
)
def test_who_says_nothing_more_is_cut_off(layout: Layout, sent: bytes) -> None:
    with serving(layout, patience=0.2) as service, connected(service, sent) as connection:
        assert b"" == ended(connection)


def test_who_says_little_again_and_again_is_cut_off(layout: Layout) -> None:
    """One byte now and then keeps no connection."""
    request = b"PUT /v2/app/manifests/1 HTTP/1.1\r\nContent-Length: 1000000\r\n" + HEAD + b"\r\n"
    with serving(layout, patience=0.5) as service, connected(service, request) as connection:

        def cut() -> bool:
            try:
                connection.sendall(b"x")
            except (ConnectionResetError, BrokenPipeError):
                return True
            return False

        until(cut, 60)


def test_who_takes_nothing_is_cut_off(layout: Layout) -> None:
    with serving(layout, patience=0.5) as service:
        digest = service.blob("app", bytes(64 << 20))
        request = f"GET /v2/app/blobs/{digest} HTTP/1.1\r\n".encode() + HEAD + b"\r\n"
        with connected(service, request):
            until(lambda: [each for each in service.reported if each.size == 64 << 20], 60)


def test_connections_are_limited(layout: Layout) -> None:
    with serving(layout, max_connections=3) as service, ExitStack() as stack:
        for _ in range(3):
            held = stack.enter_context(connected(service, b"GET /v2/ HTTP/1.1\r\nHost: localhost\r\n\r\n"))
            assert held.recv(12) == b"HTTP/1.1 200"
        with connected(service) as refused:
            assert ended(refused).startswith(b"HTTP/1.1 503 ")
        stack.close()
        until(lambda: _answers(service), 60)


def _answers(service: Service) -> bool:
    try:
        return service("GET", "/v2/").status == 200
    except (ConnectionError, http.client.HTTPException):
        return False


def test_uploads_are_limited(layout: Layout) -> None:
    with serving(layout, max_uploads=3) as service:
        assert [202, 202, 202, 429] == [service("POST", UPLOADS).status for _ in range(4)]


def test_an_upload_that_nobody_goes_on_with_is_forgotten(layout: Layout) -> None:
    with serving(layout, upload_idle=0.2) as service:
        location = service("POST", UPLOADS).headers["Location"]
        until(lambda: not list((layout.root / "tmp").iterdir()), 60)

        assert "BLOB_UPLOAD_UNKNOWN" == service("PUT", f"{location}?digest={Digest.of(b'')}").code


def test_a_large_body_that_is_refused_does_not_take_the_answer_away(service: Service) -> None:
    """The client may still be sending when it is told."""
    connection = http.client.HTTPConnection(service.address, timeout=60)
    with closing(connection):
        connection.request("PUT", "/v2/app/manifests/1", bytes(12 << 20))
        answer = connection.getresponse()
        assert 413 == answer.status
        assert b"MANIFEST_INVALID" in answer.read()


def test_who_waits_to_be_told_is_told_before_it_sends(service: Service) -> None:
    request = b"PUT /v2/%s/manifests/1 HTTP/1.1\r\nContent-Length: 10\r\nExpect: 100-continue\r\n" + HEAD + b"\r\n"
    with connected(service, request % b"app") as connection:
        assert b"HTTP/1.1 100 Continue\r\n\r\n" == connection.recv(100)
        connection.sendall(b"0123456789")
        assert b"MANIFEST_INVALID" in ended(connection)
    with connected(service, request % b"APP") as connection:
        assert ended(connection).startswith(b"HTTP/1.1 400 ")


def test_files_are_closed(service: Service) -> None:
    app = image(layer())
    service.image("app", "1", app)
    service("GET", f"/v2/app/blobs/{app.id}")
    service("POST", UPLOADS)

    def opened() -> int:
        count = 0
        for each in os.listdir("/proc/self/fd"):
            with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                count += os.readlink(f"/proc/self/fd/{each}").startswith(root)
        return count

    root = str(service.layout.root)
    before = opened()
    for _ in range(20):
        service("GET", f"/v2/app/blobs/{app.id}")
        service("HEAD", f"/v2/app/blobs/{app.id}")
        service("GET", f"/v2/app/blobs/{app.id}", Range="bytes=5000-")
        service("GET", f"/v2/app/blobs/{app.id}", If_None_Match=f'"{app.id}"')
        service("PUT", f"{service('POST', UPLOADS).headers['Location']}?digest={app.id}", b"wrong")

    until(lambda: opened() <= before, 60)


# Beside a collector


def test_a_collector_stays_away_until_a_push_has_its_name(layout: Layout) -> None:
    app = image(layer())
    with serving(layout) as service:
        service.blob("app", app.config_bytes)
        with pytest.raises(BusyError):
            gc.collect(layout)
        service.image("app", "1", app)

        assert () == gc.collect(layout).digests


def test_a_blob_that_somebody_was_told_of_is_kept_for_him(layout: Layout) -> None:
    """Clients do not push what they find."""
    digest = layout.blobs.put(b"content")
    with serving(layout) as service:
        assert 200 == service("HEAD", f"/v2/app/blobs/{digest}").status

        with pytest.raises(BusyError):
            gc.collect(layout)


def test_a_push_that_nobody_goes_on_with_is_given_up(layout: Layout) -> None:
    with serving(layout, lease=0.2) as service:
        digest = service.blob("app", b"content")

        assert (digest,) == gc.collect(layout, wait=60).digests


def test_a_push_waits_for_a_collector_and_is_told_when_that_takes_long(layout: Layout) -> None:
    with serving(layout, collector_wait=0.1) as service:
        with layout.lock.exclusive():
            answer = service("POST", UPLOADS)
        assert (503, "UNAVAILABLE", "5") == (answer.status, answer.code, answer.headers["Retry-After"])
        assert 202 == service("POST", UPLOADS).status


def test_what_is_not_finished_goes_when_the_server_ends(layout: Layout) -> None:
    with serving(layout) as service:
        service("PATCH", service("POST", UPLOADS).headers["Location"], b"half")
        digest = service.blob("app", b"without a name")

    assert [] == list((layout.root / "tmp").iterdir())
    assert (digest,) == gc.collect(layout).digests


@pytest.mark.parametrize("broken", ["broken", None])
def test_a_store_that_cannot_be_read_is_not_the_clients_fault(layout: Layout, broken: str | None) -> None:
    layout.tag(Reference.parse("app:1"), layout.put(image(layer())))
    if broken is None:
        (layout.root / "index.json").unlink()
    else:
        (layout.root / "index.json").write_text(broken)
    with serving(layout) as service:
        answer = service("GET", "/v2/app/manifests/1")

        assert (500, "UNKNOWN") == (answer.status, answer.code)
        assert str(layout.root) not in answer.body.decode()
        until(lambda: any("index.json" in each.cause for each in service.reported), 60)
