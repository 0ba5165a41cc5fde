"""Pulling: what a registry says is checked, and what breaks is resumed."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from layers import mediatype
from layers.digest import Digest
from layers.errors import InvalidError, NotFoundError, RegistryError, VerificationError
from layers.image import Image, Index
from layers.model import Descriptor
from layers.platform import Platform
from layers.reference import Reference
from layers.registry.assemble import Document
from layers.registry.transfer import pull
from tests.support.faults import drop_after, status, with_headers
from tests.support.images import AMD64, ARM64, content_of, image, index, layer, layer_of_tar

if TYPE_CHECKING:
    from layers.registry.client import Client
    from layers.registry.repository import Repository
    from tests.support.registry import Registry

BIG = layer_of_tar(bytes(range(256)) * 16384, "none")
"""4 MiB."""
MIB = 1 << 20


def of(registry: Registry, name: str = "app", tag: str = "1") -> Reference:
    return Reference.parse(f"{registry.address}/{name}:{tag}")


@pytest.fixture
def app(registry: Registry, client: Client) -> Repository:
    return client.repository(of(registry))


def put(registry: Registry, document: dict[str, Any] | bytes, media_type: str = mediatype.OCI_MANIFEST) -> Digest:
    """Store a manifest as it is, tagged 1."""
    content = document if isinstance(document, bytes) else json.dumps(document).encode()
    digest = Digest.of(content)
    stored = registry.repository("app")
    stored.manifests[str(digest)] = (content, media_type)
    stored.tags["1"] = str(digest)
    return digest


def test_a_tag_resolves_without_fetching(registry: Registry, app: Repository) -> None:
    stored = image(layer())
    registry.add(stored)
    expected = Descriptor(stored.manifest.media_type, stored.digest, len(stored.manifest_bytes))
    assert expected == app.resolve("1")
    assert [] == registry.asked("GET", "/manifests/")


def test_a_registry_that_does_not_tell_the_digest_is_asked_for_the_manifest(
    registry: Registry, app: Repository
) -> None:
    registry.content_digest = False
    assert registry.add(image(layer())) == app.resolve("1").digest


def test_a_registry_without_head_is_asked_for_the_manifest(registry: Registry, app: Repository) -> None:
    digest = registry.add(image(layer()))
    registry.fault("HEAD", "/manifests/", status(405))
    assert digest == app.resolve("1").digest


def test_every_known_type_is_accepted(registry: Registry, app: Repository) -> None:
    registry.add(image(layer()))
    app.resolve("1")
    accepted = registry.asked("HEAD")[0].headers["accept"]
    for each in mediatype.MANIFESTS | mediatype.INDEXES:
        assert each in accepted


def test_what_is_not_there_is_named(registry: Registry, app: Repository) -> None:
    with pytest.raises(NotFoundError, match=f"{registry.address}/app:2 is not in the registry"):
        app.resolve("2")
    with pytest.raises(NotFoundError, match="MANIFEST_UNKNOWN: manifest unknown"):
        app.manifest("2")
    digest = Digest.of(b"")
    with pytest.raises(NotFoundError, match=f"app@{digest}"), app.open_blob(Descriptor("", digest, 0)):
        pass


def test_a_manifest_of_another_digest_is_refused(registry: Registry, app: Repository) -> None:
    digest = registry.add(image(layer()))
    registry.repository("app").manifests[str(digest)] = (b'{"layers": []}', mediatype.OCI_MANIFEST)
    with pytest.raises(VerificationError, match=f"expected {digest}"):
        app.manifest(digest)


def test_a_head_that_lies_is_found_out(registry: Registry, app: Repository) -> None:
    digest = registry.add(image(layer()))
    registry.fault("HEAD", "/manifests/", with_headers(Docker_Content_Digest=str(Digest.of(b"other"))))
    with pytest.raises(VerificationError):
        app.resolve(digest)


def test_a_tag_is_checked_against_the_registrys_digest(registry: Registry, app: Repository) -> None:
    registry.add(image(layer()))
    registry.fault("GET", "/manifests/", with_headers(Docker_Content_Digest=str(Digest.of(b"other"))))
    with pytest.raises(VerificationError, match=r"manifest 1 of .*/app"):
        app.manifest("1")


def test_a_digest_that_is_none_is_an_error(registry: Registry, app: Repository) -> None:
    registry.add(image(layer()))
    registry.fault("HEAD", "/manifests/", with_headers(Docker_Content_Digest="md5:x"))
    with pytest.raises(RegistryError, match="Docker-Content-Digest is 'md5:x'"):
        app.resolve("1")


def test_documents_have_a_limit(registry: Registry, app: Repository) -> None:
    registry.fault("GET", "/manifests/", status(200, b" " * (8 * MIB + 1)))
    with pytest.raises(RegistryError, match="has more than 8388608 bytes"):
        app.manifest("1")


def test_a_manifest_broken_off_is_fetched_again(registry: Registry, app: Repository) -> None:
    stored = image(layer())
    registry.add(stored)
    registry.fault("GET", "/manifests/", drop_after(10))
    assert (stored.manifest_bytes, mediatype.OCI_MANIFEST) == app.manifest("1")


def test_a_login_page_is_no_manifest(registry: Registry, app: Repository) -> None:
    registry.fault("GET", "/manifests/", status(200, b"<html>Welcome</html>", Content_Type="text/html"))
    with pytest.raises(InvalidError, match="not JSON"):
        app.manifest("1")


@pytest.mark.parametrize(
    ("document", "media_type", "said"),
    [
        ({"schemaVersion": 1}, mediatype.DOCKER_MANIFEST_V1_SIGNED, "schema 1"),
        ({"schemaVersion": 1}, mediatype.OCI_MANIFEST, "schema 1"),
        ({"layers": [], "config": {}, "manifests": []}, mediatype.OCI_MANIFEST, "no image manifest and no index"),
        ({"layers": [], "config": {}}, mediatype.OCI_INDEX, "no image manifest and no index"),
        ({"manifests": []}, mediatype.OCI_MANIFEST, "no image manifest and no index"),
        ({"mediaType": mediatype.OCI_MANIFEST, "layers": []}, mediatype.OCI_INDEX, "was sent as"),
        ({"mediaType": "application/x", "layers": []}, "application/json", "'application/x'"),
        ({}, "application/json", "no image manifest and no index"),
        (b"[]", mediatype.OCI_MANIFEST, "not an object"),
    ],
)
def test_a_document_is_one_thing(
    registry: Registry, app: Repository, document: dict[str, Any] | bytes, media_type: str, said: str
) -> None:
    put(registry, document, media_type)
    with pytest.raises(InvalidError, match=said):
        app.get("1")


@pytest.mark.parametrize("sent", ["", "application/json", "text/plain; charset=utf-8", mediatype.OCI_INDEX + "; x=y"])
def test_the_type_is_told_by_the_document(sent: str) -> None:
    assert mediatype.OCI_INDEX == Document.read(b'{"manifests": []}', sent, "x").media_type


@pytest.mark.parametrize("media_types", ["oci", "docker"])
def test_an_image_is_pulled_whole(registry: Registry, client: Client, media_types: Any) -> None:
    stored = image(layer({"a": b"1"}), layer({"b": b"2"}, "zstd"), layer({"c": b"3"}, "none"), media_types=media_types)
    registry.add(stored)
    pulled = pull(of(registry), client=client)
    assert (stored.digest, stored.id, content_of(stored)) == (pulled.digest, pulled.id, content_of(pulled))
    assert [each.diff_id for each in stored.layers] == [each.diff_id for each in pulled.layers]


def test_layers_are_fetched_when_opened(registry: Registry, client: Client) -> None:
    stored = image(layer({"a": b"1"}))
    registry.add(stored)
    pull(of(registry), client=client)
    config = f"/v2/app/blobs/{stored.id}"
    assert [config] == [each.path for each in registry.asked("GET", "/blobs/")]


def test_an_image_is_pulled_by_its_digest(registry: Registry, client: Client) -> None:
    digest = registry.add(image(layer()))
    assert digest == pull(replace(of(registry), tag="gone", digest=digest), client=client).digest


def test_reading_is_reported(registry: Registry, client: Client) -> None:
    registry.add(image(BIG))
    reports: list[tuple[str, int, int]] = []
    pulled = pull(of(registry), client=client, progress=lambda *each: reports.append(each))
    with pulled.layers[0].open() as reader:
        while reader.read(MIB):
            pass
    digest = str(BIG.descriptor.digest)
    assert [(digest, done * MIB, 4 * MIB) for done in range(1, 5)] == reports


def test_an_index_gives_the_image_of_a_platform(registry: Registry, client: Client) -> None:
    images = [image(layer(), platform=each) for each in (AMD64, ARM64)]
    registry.add(index(*images))
    found = client.repository(of(registry)).get("1")
    assert isinstance(found, Index)
    assert images[1].digest == found.image(ARM64).digest
    with pytest.raises(NotFoundError, match="no image for platform linux/s390x"):
        client.repository(of(registry)).image("1", Platform.parse("linux/s390x"))


def test_an_index_may_hold_what_is_no_image(registry: Registry, app: Repository) -> None:
    """BuildKit's attestations lie beside the images, with layers that are no file systems."""
    stored = image(layer())
    registry.add(stored)
    statement = Descriptor("application/vnd.in-toto+json", Digest.of(b"{}"), 2)
    attested = replace(stored.manifest, layers=(statement,)).to_bytes()
    digest = put(registry, attested)
    unknown = Platform("unknown", "unknown")
    child = Descriptor(mediatype.OCI_MANIFEST, digest, len(attested), platform=unknown)
    put(registry, {"manifests": [child.to_json()]}, mediatype.OCI_INDEX)

    found = app.get("1")

    assert isinstance(found, Index)
    loaded = found.load(child)
    assert isinstance(loaded, Image)
    assert [statement] == [each.descriptor for each in loaded.layers]
    with pytest.raises(InvalidError, match="no file system layer"):
        app.get(digest)


def test_a_child_of_another_size_is_refused(registry: Registry, app: Repository) -> None:
    stored = image(layer())
    registry.add(stored)
    put(registry, {"manifests": [replace(stored.descriptor, size=5).to_json()]}, mediatype.OCI_INDEX)
    with pytest.raises(VerificationError, match="expected 5"):
        app.image("1", AMD64)


def test_indexes_are_nested_only_so_deep(registry: Registry, app: Repository) -> None:
    inner = Descriptor(mediatype.OCI_INDEX, Digest.of(b""), 0, platform=AMD64)
    for _ in range(12):
        content = json.dumps({"manifests": [inner.to_json()]}).encode()
        inner = Descriptor(
            mediatype.OCI_INDEX, put(registry, content, mediatype.OCI_INDEX), len(content), platform=AMD64
        )
    with pytest.raises((InvalidError, NotFoundError), match="nested more than"):
        app.image("1", AMD64)


def test_a_config_has_a_limit(registry: Registry, app: Repository) -> None:
    manifest = image(layer()).manifest
    put(registry, replace(manifest, config=replace(manifest.config, size=9 * MIB)).to_bytes())
    with pytest.raises(InvalidError, match="more than the 8388608 allowed"):
        app.image("1")


def test_manifest_and_config_agree(registry: Registry, app: Repository) -> None:
    stored = image(layer())
    registry.add(stored)
    put(registry, replace(stored.manifest, layers=()).to_bytes())
    with pytest.raises(InvalidError, match="0 layers and the config 1 diff_ids"):
        app.image("1")


def test_tags_come_page_by_page(registry: Registry, app: Repository) -> None:
    registry.page = 2
    for tag in "abcde":
        registry.add(image(layer()), tag=tag)
    assert list("abcde") == list(app.tags())
    assert 3 == len(registry.asked("GET", "/tags/"))


def test_pages_do_not_lead_elsewhere_nor_in_circles(registry: Registry, storage: Registry, app: Repository) -> None:
    registry.fault("GET", "/tags/", status(200, b'{"tags": ["a"]}', Link=f'<{storage.url}/x>; rel="next"'))
    with pytest.raises(RegistryError, match="the next page is elsewhere"):
        list(app.tags())
    registry.fault(
        "GET", "/tags/", status(200, b'{"tags": ["a"]}', Link='</v2/app/tags/list?x=1>; rel="next"'), times=9
    )
    assert ["a", "a"] == list(app.tags())


@pytest.mark.parametrize("body", [b'{"tags": null}', b"{}", b'{"tags": []}'])
def test_there_may_be_no_tags(registry: Registry, app: Repository, body: bytes) -> None:
    registry.fault("GET", "/tags/", status(200, body))
    assert [] == list(app.tags())


def test_blobs_are_found_and_deleted(registry: Registry, app: Repository) -> None:
    registry.add(image(BIG))
    assert app.has_blob(BIG.descriptor.digest, BIG.descriptor.size)
    app.delete_blob(BIG.descriptor.digest)
    assert not app.has_blob(BIG.descriptor.digest, BIG.descriptor.size)
    with pytest.raises(NotFoundError):
        app.delete_blob(BIG.descriptor.digest)


@pytest.mark.parametrize("length", ["0", "4194305"])
def test_a_blob_of_another_size_is_not_the_blob(registry: Registry, app: Repository, length: str) -> None:
    """Whoever answers 200 to everything has not everything."""
    registry.fault("HEAD", "/blobs/", status(200, Content_Length=length))
    assert not app.has_blob(BIG.descriptor.digest, BIG.descriptor.size)


def test_a_manifest_is_deleted(registry: Registry, app: Repository) -> None:
    digest = registry.add(image(layer()))
    app.delete(digest)
    with pytest.raises(NotFoundError):
        app.resolve("1")
