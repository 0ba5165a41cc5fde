"""Pulling, as distribution-spec has it (upstream's conformance: pull, head, range requests)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from layers import mediatype
from layers.digest import Digest
from layers.model import Descriptor, IndexManifest
from layers.reference import Reference
from tests.support.images import ARM64, image, index, layer

if TYPE_CHECKING:
    from layers.image import Image, Index
    from tests.support.serving import Service

NOBODY = Digest.of(b"nobody has this")


def put(service: Service, found: Image | Index, *names: str) -> Descriptor:
    descriptor = service.layout.put(found)
    for name in names:
        service.layout.tag(Reference.parse(name), descriptor)
    return descriptor


def test_v2_says_that_this_is_a_registry(service: Service) -> None:
    for path in ("/v2/", "/v2"):
        answer = service("GET", path)

        assert (200, "registry/2.0") == (answer.status, answer.headers["Docker-Distribution-API-Version"])


@pytest.mark.parametrize("reference", ["1", "digest"])
def test_a_manifest_comes_byte_for_byte(service: Service, reference: str) -> None:
    app = image(layer())
    put(service, app, "app:1")
    path = f"/v2/app/manifests/{app.digest if reference == 'digest' else reference}"

    answer, head = service("GET", path), service("HEAD", path)

    assert (200, app.manifest_bytes) == (answer.status, answer.body)
    assert str(app.digest) == answer.headers["Docker-Content-Digest"]
    assert mediatype.OCI_MANIFEST == answer.headers["Content-Type"]
    assert (200, b"") == (head.status, head.body)
    assert str(len(app.manifest_bytes)) == head.headers["Content-Length"]
    assert dict(answer.headers) == dict(head.headers)


def test_a_blob_comes_byte_for_byte(service: Service) -> None:
    app = image(layer({"large": bytes(3_000_000)}, "none"))
    put(service, app, "app:1")
    digest = app.layers[0].descriptor.digest

    answer, head = (service(method, f"/v2/app/blobs/{digest}") for method in ("GET", "HEAD"))

    assert (200, digest) == (answer.status, Digest.of(answer.body))
    assert (200, b"", str(len(answer.body))) == (head.status, head.body, head.headers["Content-Length"])
    assert str(digest) == head.headers["Docker-Content-Digest"] == head.headers["ETag"].strip('"')


@pytest.mark.parametrize(
    ("asked", "status", "start", "end"),
    [
        ("bytes=500-1499", 206, 500, 1500),
        ("bytes=500-", 206, 500, 2048),
        ("bytes=-500", 206, 1548, 2048),
        ("bytes=2000-5000", 206, 2000, 2048),
        ("bytes=0-2047", 200, 0, 2048),
        ("bytes=1-2,4-5", 200, 0, 2048),
        ("lines=1-2", 200, 0, 2048),
    ],
)
def test_a_range_of_a_blob_comes_alone(service: Service, asked: str, status: int, start: int, end: int) -> None:
    content = bytes(range(256)) * 8
    digest = service.blob("app", content)

    answer = service("GET", f"/v2/app/blobs/{digest}", Range=asked)

    assert (status, content[start:end]) == (answer.status, answer.body)
    if status == 206:
        assert f"bytes {start}-{end - 1}/2048" == answer.headers["Content-Range"]


@pytest.mark.parametrize("asked", ["bytes=500-0", "bytes=5000-10000", "bytes=2048-", "bytes=-0"])
def test_a_range_without_bytes_is_refused(service: Service, asked: str) -> None:
    digest = service.blob("app", bytes(2048))

    answer = service("GET", f"/v2/app/blobs/{digest}", Range=asked)

    assert (416, "bytes */2048") == (answer.status, answer.headers["Content-Range"])


def test_a_range_of_another_version_is_all_of_this_one(service: Service) -> None:
    digest = service.blob("app", b"0123456789")

    other = service("GET", f"/v2/app/blobs/{digest}", Range="bytes=1-2", If_Range=f'"{NOBODY}"')
    same = service("GET", f"/v2/app/blobs/{digest}", Range="bytes=1-2", If_Range=f'"{digest}"')

    assert (b"0123456789", b"12") == (other.body, same.body)


def test_what_the_client_has_is_not_sent_again(service: Service) -> None:
    app = image(layer())
    put(service, app, "app:1")

    for path in ("manifests/1", f"manifests/{app.digest}", f"blobs/{app.id}"):
        etag = service("HEAD", f"/v2/app/{path}").headers["ETag"]
        assert (304, b"") == ((answer := service("GET", f"/v2/app/{path}", If_None_Match=etag)).status, answer.body)
        assert 200 == service("GET", f"/v2/app/{path}", If_None_Match=f'"{NOBODY}"').status


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/v2/app/manifests/missing", 404, "MANIFEST_UNKNOWN"),
        (f"/v2/app/manifests/{NOBODY}", 404, "MANIFEST_UNKNOWN"),
        (f"/v2/app/blobs/{NOBODY}", 404, "BLOB_UNKNOWN"),
        ("/v2/nobody/tags/list", 404, "NAME_UNKNOWN"),
        ("/v2/app/manifests/sha256:baddigeststring", 400, "DIGEST_INVALID"),
        ("/v2/app/blobs/sha256:baddigeststring", 400, "DIGEST_INVALID"),
        ("/v2/app/manifests/.tag", 400, "MANIFEST_INVALID"),
        ("/v2/App/manifests/1", 400, "NAME_INVALID"),
        ("/v2/a//b/manifests/1", 400, "NAME_INVALID"),
        ("/v2/" + "a" * 256 + "/tags/list", 400, "NAME_INVALID"),
        ("/", 404, "NAME_UNKNOWN"),
        ("/v2/app", 404, "NAME_UNKNOWN"),
    ],
)
def test_what_is_not_there_is_refused_in_the_standards_words(
    service: Service, path: str, status: int, code: str
) -> None:
    put(service, image(layer()), "app:1")

    answer = service("GET", path)

    assert (status, code, "application/json") == (answer.status, answer.code, answer.headers["Content-Type"])


def test_who_knows_no_indexes_gets_the_image_for_this_machine(service: Service) -> None:
    """Docker before 1.10 and small tools say so in ``Accept``; by digest there is but one answer."""
    here, other = image(layer()), image(layer({"arm": b"64"}), platform=ARM64)
    both = index(here, other)
    put(service, both, "app:1")

    plain = service("GET", "/v2/app/manifests/1", Accept=mediatype.OCI_MANIFEST)
    whole = service("GET", "/v2/app/manifests/1", Accept=f"{mediatype.OCI_MANIFEST}, {mediatype.OCI_INDEX};q=0.5")
    exact = service("GET", f"/v2/app/manifests/{both.digest}", Accept=mediatype.OCI_MANIFEST)

    assert plain.body in {here.manifest_bytes, other.manifest_bytes}
    assert str(Digest.of(plain.body)) == plain.headers["Docker-Content-Digest"]
    assert both.raw == whole.body == exact.body


@pytest.mark.parametrize("accept", ["*/*", "application/json", "application/*", "text/html, */*;q=0.1"])
def test_who_takes_anything_gets_it(service: Service, accept: str) -> None:
    put(service, image(layer()), "app:1")

    assert 200 == service("GET", "/v2/app/manifests/1", Accept=accept).status


@pytest.mark.parametrize("accept", [mediatype.DOCKER_MANIFEST, f"{mediatype.OCI_MANIFEST};q=0"])
def test_nothing_is_converted(service: Service, accept: str) -> None:
    """Another format would be another digest."""
    put(service, image(layer()), "app:1")

    assert "MANIFEST_UNKNOWN" == service("GET", "/v2/app/manifests/1", Accept=accept).code


def test_an_index_that_was_pulled_in_part_gives_what_is_here(service: Service) -> None:
    here, other = image(layer()), image(layer({"arm": b"64"}), platform=ARM64)
    manifest = IndexManifest((here.descriptor, other.descriptor)).to_bytes()
    service.layout.put(here)
    digest = service.layout.blobs.put(manifest)
    service.layout.tag(Reference.parse("app:1"), Descriptor(mediatype.OCI_INDEX, digest, len(manifest)))

    assert manifest == service("GET", "/v2/app/manifests/1").body
    assert 200 == service("GET", f"/v2/app/manifests/{here.digest}").status
    assert 404 == service("GET", f"/v2/app/manifests/{other.digest}").status


def test_a_digest_leads_only_to_what_its_repository_has(service: Service) -> None:
    mine, yours = image(layer()), image(layer({"b": b""}))
    put(service, mine, "mine:1")
    put(service, index(yours), "yours:1")

    assert 404 == service("GET", f"/v2/mine/manifests/{yours.digest}").status
    assert 200 == service("GET", f"/v2/yours/manifests/{yours.digest}").status


def test_requests_follow_one_another_on_a_connection(service: Service) -> None:
    put(service, image(layer()), "app:1")
    request = b"GET /v2/app/manifests/%s HTTP/1.1\r\nHost: localhost\r\n%s\r\n"

    found = service.raw(
        request % (b"1", b"") + request % (b"missing", b"") + request % (b"1", b"Connection: close\r\n")
    )

    assert (2, 1) == (found.count(b"HTTP/1.1 200 OK"), found.count(b"HTTP/1.1 404 Not Found"))
