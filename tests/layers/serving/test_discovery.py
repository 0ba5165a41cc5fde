"""Listing and deleting, as distribution-spec has it (upstream's conformance: tag list, referrers, deletes)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from layers import mediatype
from layers.digest import Digest
from layers.reference import Reference
from layers.store import gc
from tests.support.images import ARM64, image, index, layer

if TYPE_CHECKING:
    from layers.model import Descriptor
    from tests.support.serving import Service

SBOM, SIGNATURE = "application/vnd.example.sbom", "application/vnd.example.signature"
EMPTY = {"mediaType": mediatype.OCI_EMPTY, "digest": str(Digest.of(b"{}")), "size": 2}


def tag(service: Service, *names: str) -> None:
    descriptor = service.layout.put(image(layer()))
    for name in names:
        service.layout.tag(Reference.parse(name), descriptor)


def pages(service: Service, path: str, key: str) -> list[list[str]]:
    """Follow ``Link`` from page to page."""
    found = []
    while path:
        answer = service("GET", path)
        assert 200 == answer.status
        found.append(answer.json[key])
        link = answer.headers.get("Link", "")
        assert not link or link.endswith('>; rel="next"')
        path = link.partition(">")[0].removeprefix("<")
        assert not urlsplit(path).netloc
    return found


def test_tags_are_listed_page_by_page(service: Service) -> None:
    tag(service, *(f"app:{each}" for each in ("b", "a", "d", "c", "B", "10", "9")), "other:x")
    path = "/v2/app/tags/list"

    assert {"name": "app", "tags": ["10", "9", "B", "a", "b", "c", "d"]} == service("GET", path).json
    assert [["10", "9", "B"], ["a", "b", "c"], ["d"]] == pages(service, f"{path}?n=3", "tags")
    assert [["c", "d"]] == pages(service, f"{path}?last=b", "tags")
    assert [["9"], ["B"], ["a"], ["b"], ["c"], ["d"]] == pages(service, f"{path}?n=1&last=10", "tags")
    assert [[]] == pages(service, f"{path}?n=0", "tags")
    assert [["10", "9", "B", "a", "b", "c", "d"]] == pages(service, f"{path}?n=7", "tags")


@pytest.mark.parametrize("count", ["-1", "x", "1e3", "9999999999"])
def test_a_page_of_no_number_is_refused(service: Service, count: str) -> None:
    tag(service, "app:1")

    assert 400 == service("GET", f"/v2/app/tags/list?n={count}").status


def test_repositories_are_listed_page_by_page(service: Service) -> None:
    tag(service, "app:1", "app:2", "me/app:1", "ghcr.io/me/app:1", "other.example:5000/app:1")

    assert [["app", "ghcr.io/me/app", "me/app"]] == pages(service, "/v2/_catalog", "repositories")
    assert [["app", "ghcr.io/me/app"], ["me/app"]] == pages(service, "/v2/_catalog?n=2", "repositories")


def test_a_list_sees_what_others_do_to_the_store(service: Service) -> None:
    tag(service, "app:1")
    assert ["1"] == service("GET", "/v2/app/tags/list").json["tags"]

    tag(service, "app:2")
    service.layout.untag(Reference.parse("app:1"))

    assert ["2"] == service("GET", "/v2/app/tags/list").json["tags"]


def refer(service: Service, subject: Descriptor, kind: str, reference: str = "", **more: Any) -> Digest:
    """Push an artifact about something else."""
    service.blob("app", b"{}")
    source = {
        "schemaVersion": 2,
        "mediaType": mediatype.OCI_MANIFEST,
        "artifactType": kind,
        "config": EMPTY,
        "layers": [EMPTY],
        "subject": {"mediaType": subject.media_type, "digest": str(subject.digest), "size": subject.size},
        **more,
    }
    content = json.dumps(source).encode()
    digest = Digest.of(content)
    answer = service.manifest("app", reference or str(digest), content, mediatype.OCI_MANIFEST)
    assert (201, str(subject.digest)) == (answer.status, answer.headers["OCI-Subject"])
    return digest


def test_what_refers_to_an_image_is_listed(service: Service) -> None:
    app = image(layer())
    service.image("app", "1", app)
    sbom = refer(service, app.descriptor, SBOM, annotations={"a": "b"})
    signature = refer(service, app.descriptor, SIGNATURE, "signed")
    path = f"/v2/app/referrers/{app.digest}"

    everything, some = service("GET", path), service("GET", f"{path}?artifactType={SBOM}")

    assert (200, mediatype.OCI_INDEX) == (everything.status, everything.headers["Content-Type"])
    assert {str(sbom), str(signature)} == {each["digest"] for each in everything.json["manifests"]}
    assert "artifactType" == some.headers["OCI-Filters-Applied"]
    size = service.layout.blobs.size(sbom)
    assert some.json["manifests"] == [
        {
            "mediaType": mediatype.OCI_MANIFEST,
            "digest": str(sbom),
            "size": size,
            "annotations": {"a": "b"},
            "artifactType": SBOM,
        }
    ]


def test_an_artifact_without_a_type_has_that_of_its_config(service: Service) -> None:
    app = image(layer())
    service.image("app", "1", app)
    refer(service, app.descriptor, "")

    (found,) = service("GET", f"/v2/app/referrers/{app.digest}").json["manifests"]
    assert mediatype.OCI_EMPTY == found["artifactType"]


def test_an_index_may_refer_to_something_and_so_may_what_it_lists(service: Service) -> None:
    app = image(layer())
    service.image("app", "1", app)
    child = refer(service, app.descriptor, SBOM)
    subject = {"mediaType": mediatype.OCI_MANIFEST, "digest": str(app.digest), "size": len(app.manifest_bytes)}
    listed = {"mediaType": mediatype.OCI_MANIFEST, "digest": str(child), "size": service.layout.blobs.size(child)}
    source = {"schemaVersion": 2, "artifactType": SIGNATURE, "manifests": [listed], "subject": subject}
    answer = service.manifest("app", "signed", json.dumps(source).encode(), mediatype.OCI_INDEX)

    found = service("GET", f"/v2/app/referrers/{app.digest}").json["manifests"]

    assert str(app.digest) == answer.headers["OCI-Subject"]
    assert {SBOM, SIGNATURE} == {each["artifactType"] for each in found}


def test_nothing_refers_to_what_nobody_knows(service: Service) -> None:
    """Also where there is no such repository: clients would fall back on tags else."""
    nobody = Digest.of(b"nobody")

    assert [] == service("GET", f"/v2/app/referrers/{nobody}").json["manifests"]
    assert "DIGEST_INVALID" == service("GET", "/v2/app/referrers/sha256:bad").code


def test_an_artifact_may_come_before_what_it_is_about(service: Service) -> None:
    app = image(layer())
    artifact = refer(service, app.descriptor, SBOM)

    (found,) = service("GET", f"/v2/app/referrers/{app.digest}").json["manifests"]
    assert str(artifact) == found["digest"]


def test_a_tag_is_deleted_and_its_image_stays_without_a_name(service: Service) -> None:
    app = image(layer())
    service.image("app", "1", app)

    assert 202 == service("DELETE", "/v2/app/manifests/1").status

    assert 404 == service("GET", "/v2/app/manifests/1").status
    assert app.manifest_bytes == service("GET", f"/v2/app/manifests/{app.digest}").body
    assert [()] == [each.names for each in service.layout.images()]
    assert 404 == service("DELETE", "/v2/app/manifests/1").status


def test_a_manifest_is_deleted_with_all_its_tags(service: Service) -> None:
    app = image(layer())
    for each in ("1", "2", str(app.digest)):
        service.image("app", each, app)
    service.image("other", "1", app)

    assert 202 == service("DELETE", f"/v2/app/manifests/{app.digest}").status

    assert 404 == service("GET", f"/v2/app/manifests/{app.digest}").status
    assert ["other:1"] == [name.familiar for name, _ in service.layout.names()]
    assert 200 == service("GET", "/v2/other/manifests/1").status


def test_a_manifest_without_a_name_is_deleted(service: Service) -> None:
    app = image(layer())
    service.image("app", "1", app)
    service("DELETE", "/v2/app/manifests/1")

    assert 202 == service("DELETE", f"/v2/app/manifests/{app.digest}").status

    assert [] == service.layout.images()
    answer = service("DELETE", f"/v2/app/manifests/{app.digest}")
    assert (404, "MANIFEST_UNKNOWN") == (answer.status, answer.code)


def test_an_image_of_an_index_is_not_deleted_alone(service: Service) -> None:
    here, other = image(layer()), image(layer({"arm": b"64"}), platform=ARM64)
    both = index(here, other)
    for each in (here, other):
        service.image("app", str(each.digest), each)
    service.manifest("app", "1", both.raw, mediatype.OCI_INDEX)

    assert 405 == service("DELETE", f"/v2/app/manifests/{here.digest}").status
    assert 202 == service("DELETE", f"/v2/app/manifests/{both.digest}").status
    assert 404 == service("GET", f"/v2/app/manifests/{here.digest}").status


def test_a_blob_is_not_deleted_alone(service: Service) -> None:
    """Other images may need it: what nothing needs goes with the next collection."""
    app = image(layer())
    service.image("app", "1", app)

    answer = service("DELETE", f"/v2/app/blobs/{app.id}")
    assert (405, "UNSUPPORTED") == (answer.status, answer.code)

    service("DELETE", f"/v2/app/manifests/{app.digest}")
    assert 3 == len(gc.collect(service.layout, wait=60).digests)
    assert 404 == service("GET", f"/v2/app/blobs/{app.id}").status


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/v2/"), ("PATCH", "/v2/app/manifests/1"), ("BREW", "/v2/_catalog")]
)
def test_what_no_registry_does_is_refused(service: Service, method: str, path: str) -> None:
    answer = service(method, path)

    assert (405, "UNSUPPORTED") == (answer.status, answer.code)
    assert "GET" in answer.headers["Allow"]
