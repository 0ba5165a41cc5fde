"""Pushing, as distribution-spec has it (upstream's conformance: blob APIs, manifests, bad digests)."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest

from layers import mediatype
from layers.digest import Digest
from layers.model import Descriptor, IndexManifest
from layers.validate import validate_image
from tests.support.images import ARM64, image, index, layer
from tests.support.serving import serving

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.serving import Answer, Service

CONTENT = bytes(range(256)) * 13
DIGEST = Digest.of(CONTENT)
WRONG = Digest.of(b"something else")
UPLOADS = "/v2/app/blobs/uploads/"


def begin(service: Service) -> str:
    answer = service("POST", UPLOADS)
    assert (202, "0-0") == (answer.status, answer.headers["Range"])
    return answer.headers["Location"]


def at_once(service: Service, digest: Digest) -> Answer:
    return service("POST", f"{UPLOADS}?digest={digest}", CONTENT)


def post_and_put(service: Service, digest: Digest) -> Answer:
    return service("PUT", f"{begin(service)}?digest={digest}", CONTENT)


def streamed(service: Service, digest: Digest) -> Answer:
    """As Docker does: one PATCH of an unknown length, and an empty PUT."""
    location = begin(service)
    answer = service("PATCH", location, (CONTENT[at : at + 100] for at in range(0, len(CONTENT), 100)))
    assert (202, f"0-{len(CONTENT) - 1}") == (answer.status, answer.headers["Range"])
    return service("PUT", f"{answer.headers['Location']}?digest={digest}")


def in_chunks(service: Service, digest: Digest) -> Answer:
    location = begin(service)
    for start in range(0, len(CONTENT), 1000):
        part = CONTENT[start : start + 1000]
        answer = service("PATCH", location, part, Content_Range=f"{start}-{start + len(part) - 1}")
        assert (202, f"0-{start + len(part) - 1}") == (answer.status, answer.headers["Range"])
        location = answer.headers["Location"]
    return service("PUT", f"{location}?digest={digest}")


def with_the_last_chunk(service: Service, digest: Digest) -> Answer:
    location = begin(service)
    service("PATCH", location, CONTENT[:1000], Content_Range="0-999")
    last = f"1000-{len(CONTENT) - 1}"
    return service("PUT", f"{location}?digest={digest}", CONTENT[1000:], Content_Range=last)


WAYS = [at_once, post_and_put, streamed, in_chunks, with_the_last_chunk]


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
@pytest.mark.parametrize("way", WAYS)
def test_a_blob_is_pushed(service: Service, way: Callable[[Service, Digest], Answer], algorithm: str) -> None:
    digest = Digest.of(CONTENT, algorithm)

    answer = way(service, digest)

    assert (201, str(digest)) == (answer.status, answer.headers["Docker-Content-Digest"])
    assert CONTENT == service("GET", answer.headers["Location"]).body
    assert [] == list((service.layout.root / "tmp").iterdir())


@pytest.mark.parametrize("way", WAYS)
def test_a_blob_that_is_something_else_is_refused_and_forgotten(
    service: Service, way: Callable[[Service, Digest], Answer]
) -> None:
    answer = way(service, WRONG)

    assert (400, "DIGEST_INVALID") == (answer.status, answer.code)
    assert not list(service.layout.blobs.list())
    assert [] == list((service.layout.root / "tmp").iterdir())


@pytest.mark.parametrize("content", [b"", b"{}"])
def test_the_smallest_blobs_are_pushed(service: Service, content: bytes) -> None:
    digest = service.blob("app", content)

    assert content == service("GET", f"/v2/app/blobs/{digest}").body


@pytest.mark.parametrize("place", ["2000-2999", "0-999", "999-1998", "1001-1000", "rubbish"])
@pytest.mark.parametrize("method", ["PATCH", "PUT"])
def test_a_chunk_out_of_order_is_refused_and_says_where_to_go_on(service: Service, method: str, place: str) -> None:
    location = begin(service)
    service("PATCH", location, CONTENT[:1000], Content_Range="0-999")

    answer = service(method, f"{location}?digest={DIGEST}", CONTENT[:1000], Content_Range=place)

    assert (416, "BLOB_UPLOAD_INVALID", "0-999") == (answer.status, answer.code, answer.headers["Range"])
    status = service("GET", location)
    assert (204, "0-999", location) == (status.status, status.headers["Range"], status.headers["Location"])
    assert 201 == service("PUT", f"{location}?digest={DIGEST}", CONTENT[1000:]).status


def test_an_upload_is_given_up(service: Service) -> None:
    location = begin(service)
    service("PATCH", location, CONTENT)

    assert 204 == service("DELETE", location).status

    assert [] == list((service.layout.root / "tmp").iterdir())
    for method in ("GET", "PATCH", "PUT", "DELETE"):
        answer = service(method, f"{location}?digest={DIGEST}")
        assert (404, "BLOB_UPLOAD_UNKNOWN") == (answer.status, answer.code)


def test_an_upload_belongs_to_its_repository(service: Service) -> None:
    other = begin(service).replace("/app/", "/other/")

    assert "BLOB_UPLOAD_UNKNOWN" == service("PUT", f"{other}?digest={DIGEST}", CONTENT).code


@pytest.mark.parametrize("source", ["&from=other", ""])
def test_a_blob_is_mounted_from_wherever_it_is(service: Service, source: str) -> None:
    service.blob("other", CONTENT)

    answer = service("POST", f"{UPLOADS}?mount={DIGEST}{source}")

    assert (201, f"/v2/app/blobs/{DIGEST}") == (answer.status, answer.headers["Location"])


def test_a_mount_of_what_is_nowhere_begins_an_upload(service: Service) -> None:
    answer = service("POST", f"{UPLOADS}?mount={DIGEST}&from=other")

    assert 202 == answer.status
    assert 201 == service("PUT", f"{answer.headers['Location']}?digest={DIGEST}", CONTENT).status


@pytest.mark.parametrize("query", ["digest=sha256:bad", "mount=sha256:bad", "digest-algorithm=md5"])
def test_an_upload_under_a_bad_digest_does_not_begin(service: Service, query: str) -> None:
    assert "DIGEST_INVALID" == service("POST", f"{UPLOADS}?{query}", b"x").code


@pytest.mark.parametrize("family", ["oci", "docker"])
@pytest.mark.parametrize("reference", ["1", "digest"])
def test_an_image_is_pushed(service: Service, family: Any, reference: str) -> None:
    app = image(layer(), layer({"b": b"2"}, "zstd" if family == "oci" else "gzip"), media_types=family)
    reference = str(app.digest) if reference == "digest" else reference

    answer = service.image("app", reference, app)

    assert (201, f"/v2/app/manifests/{reference}") == (answer.status, answer.headers["Location"])
    assert str(app.digest) == answer.headers["Docker-Content-Digest"]
    assert app.manifest_bytes == service("GET", answer.headers["Location"]).body
    ((name, descriptor),) = service.layout.names()
    assert (reference in str(name), app.descriptor) == (
        True,
        Descriptor(descriptor.media_type, descriptor.digest, descriptor.size, platform=descriptor.platform),
    )
    validate_image(service.layout.image(name))


def test_a_push_by_digest_may_give_tags(service: Service) -> None:
    app = image(layer())

    answer = service.image("app", f"{app.digest}?tag=1&tag=2", app)

    assert (201, "1, 2") == (answer.status, answer.headers["OCI-Tag"])
    assert ["1", "2"] == service("GET", "/v2/app/tags/list").json["tags"]


def test_an_index_is_pushed_and_its_images_need_no_names_any_more(service: Service) -> None:
    here, other = image(layer()), image(layer({"arm": b"64"}), platform=ARM64)
    both = index(here, other)
    for each in (here, other):
        service.image("app", str(each.digest), each)
    assert 2 == len(service.layout.names())

    assert 201 == service.manifest("app", "1", both.raw, mediatype.OCI_INDEX).status

    assert ["app:1"] == [name.familiar for name, _ in service.layout.names()]
    for each in (here, other):
        assert each.manifest_bytes == service("GET", f"/v2/app/manifests/{each.digest}").body


def test_a_manifest_of_another_digest_is_refused(service: Service) -> None:
    app = image(layer())

    assert "DIGEST_INVALID" == service.image("app", str(WRONG), app).code
    assert "DIGEST_INVALID" == service.image("app", "sha256:baddigeststring", app).code
    assert [] == service.layout.images()


def test_a_manifest_without_its_blobs_is_refused(service: Service) -> None:
    app = image(layer())
    service.blob("app", app.config_bytes)

    answer = service.manifest("app", "1", app.manifest_bytes, mediatype.OCI_MANIFEST)

    assert (404, "MANIFEST_BLOB_UNKNOWN") == (answer.status, answer.code)
    assert str(app.layers[0].descriptor.digest) in answer.json["errors"][0]["message"]
    assert not service.layout.blobs.has(app.digest)


def test_an_index_without_its_images_is_refused(service: Service) -> None:
    both = index(image(layer()))

    answer = service.manifest("app", "1", both.raw, mediatype.OCI_INDEX)

    assert (404, "MANIFEST_BLOB_UNKNOWN") == (answer.status, answer.code)


def test_a_layer_that_is_kept_elsewhere_need_not_come(service: Service) -> None:
    """Of Windows's base images, layers may not be given on: the manifest has their URLs."""
    app = image(layer(), layer({"b": b"2"}))
    source = json.loads(app.manifest_bytes)
    url = {"mediaType": mediatype.OCI_NONDISTRIBUTABLE_LAYER_GZIP, "urls": ["https://store.example.com/1"]}
    source["layers"][0] |= url
    service.blob("app", app.config_bytes)
    with app.layers[1].open() as reader:
        service.blob("app", reader.read())

    assert 201 == service.manifest("app", "1", json.dumps(source).encode(), mediatype.OCI_MANIFEST).status


def _changed(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda source: source.update(changes)


def _size(source: dict[str, Any]) -> None:
    source["layers"][0]["size"] += 1


def _one_layer_more(source: dict[str, Any]) -> None:
    source["layers"] *= 2


BAD: dict[str, Callable[[dict[str, Any]], None]] = {
    "another type than the request says": _changed(mediaType=mediatype.DOCKER_MANIFEST),
    "an index's type": _changed(mediaType=mediatype.OCI_INDEX),
    "of the first schema": _changed(schemaVersion=1),
    "an index as well": _changed(manifests=[]),
    "no list of layers": _changed(layers={}),
    "no config": _changed(config=None),
    "a subject that is none": _changed(subject={"digest": "x"}),
    "a layer of another size": _size,
    "more layers than diff_ids": _one_layer_more,
}


@pytest.mark.parametrize("what", BAD)
def test_a_manifest_that_breaks_a_rule_is_refused(service: Service, what: str) -> None:
    app = image(layer())
    assert 201 == service.image("good", "1", app).status
    source = json.loads(app.manifest_bytes)
    BAD[what](source)

    answer = service.manifest("bad", "1", json.dumps(source).encode(), mediatype.OCI_MANIFEST)

    assert (400, "MANIFEST_INVALID") == (answer.status, answer.code)
    assert ["good:1"] == [name.familiar for name, _ in service.layout.names()]


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'{"a":' * 50_000, b"\xff\xfe", b'{"schemaVersion": NaN}'])
def test_a_manifest_that_is_no_json_is_refused(service: Service, content: bytes) -> None:
    assert "MANIFEST_INVALID" == service.manifest("app", "1", content, mediatype.OCI_MANIFEST).code


def test_a_config_that_cannot_be_read_is_refused(service: Service) -> None:
    """It would stop every command that lists the store."""
    app = image(layer())
    service.image("good", "1", app)
    config = service.blob("bad", b'{"rootfs": 1}')
    source = json.loads(app.manifest_bytes)
    source["config"] |= {"digest": str(config), "size": len(b'{"rootfs": 1}')}

    assert "MANIFEST_INVALID" == service.manifest("bad", "1", json.dumps(source).encode(), "").code


def test_a_manifest_of_four_mebibytes_is_taken_and_a_larger_one_refused(service: Service) -> None:
    app = image(layer())
    service.image("app", "1", app)
    source = json.loads(app.manifest_bytes)

    for size, status in ((4 << 20, 201), ((4 << 20) + 1, 413)):
        source["annotations"] = {"a": ""}
        source["annotations"]["a"] = "A" * (size - len(json.dumps(source)))
        assert status == service.manifest("app", "large", json.dumps(source).encode(), mediatype.OCI_MANIFEST).status


def nested(service: Service, depth: int, width: int = 1) -> Answer:
    """Push an index of an index of ... an image, each listing the next one ``width`` times."""
    app = image(layer())
    answer = service.image("app", "0", app)
    child = Descriptor(mediatype.OCI_MANIFEST, app.digest, len(app.manifest_bytes))
    for i in range(depth):
        content = IndexManifest((child,) * width).to_bytes()
        answer = service.manifest("app", str(i + 1), content, mediatype.OCI_INDEX)
        child = Descriptor(mediatype.OCI_INDEX, Digest.of(content), len(content))
    return answer


def test_indexes_are_nested_as_deep_as_the_store_can_read_and_no_deeper(service: Service) -> None:
    assert 201 == nested(service, 4).status
    assert service.layout.resolve(image(layer()).id.encoded[:12])  # looks through all of them
    assert 400 == nested(service, 5).status


def test_an_index_that_unfolds_to_millions_is_refused(service: Service) -> None:
    """Each index lists the same smaller one a hundred times: who walks them would never end."""
    assert 400 == nested(service, 2, 100).status
    assert {"app:0", "app:1"} == {name.familiar for name, _ in service.layout.names()}


def test_a_sha512_manifest_is_pushed_and_pulled(service: Service) -> None:
    app = image(layer())
    service.image("app", "1", app)
    digest = f"sha512:{hashlib.sha512(app.manifest_bytes).hexdigest()}"

    assert 201 == service.manifest("app", digest, app.manifest_bytes, mediatype.OCI_MANIFEST).status
    assert app.manifest_bytes == service("GET", f"/v2/app/manifests/{digest}").body


def test_a_tag_that_is_pushed_anew_leaves_the_old_image_without_a_name(service: Service) -> None:
    old, new = image(layer()), image(layer({"new": b""}))
    service.image("app", "1", old)
    service.image("app", "1", new)

    kept = {each.descriptor.digest: [name.familiar for name in each.names] for each in service.layout.images()}
    assert {old.digest: [], new.digest: ["app:1"]} == kept
    assert 200 == service("GET", f"/v2/app/manifests/{old.digest}").status


def test_a_registry_that_is_read_only_takes_nothing(service: Service) -> None:
    app = image(layer())
    service.image("app", "1", app)
    with serving(service.layout, read_only=True) as reading:
        for method, path in [
            ("POST", UPLOADS),
            ("PUT", "/v2/app/manifests/2"),
            ("DELETE", "/v2/app/manifests/1"),
            ("DELETE", f"/v2/app/blobs/{app.id}"),
        ]:
            answer = reading(method, path, b"")
            assert (405, "UNSUPPORTED") == (answer.status, answer.code)
        assert 200 == reading("GET", "/v2/app/manifests/1").status
        assert 200 == reading("HEAD", f"/v2/app/blobs/{app.id}").status
