"""Pushing: only what is missing, in every way a registry takes it."""

from __future__ import annotations

import io
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pytest

from layers import mediatype
from layers.digest import Digest
from layers.errors import AuthenticationError, InvalidError, RegistryError, VerificationError
from layers.image import Image, Index
from layers.model import Descriptor, IndexManifest
from layers.reference import Reference
from layers.registry import upload as upload_module
from layers.registry.client import Client
from layers.registry.credentials import Credential
from layers.registry.transfer import pull, push
from tests.support.faults import drop_after, hang_up, status, with_headers
from tests.support.images import AMD64, ARM64, MemoryLayer, content_of, image, index, layer, layer_of_tar

if TYPE_CHECKING:
    from collections.abc import Iterator

    from layers.image import Reader
    from layers.registry.settings import Settings
    from tests.support.registry import Action, Handler, Registry

BIG = layer_of_tar(bytes(range(256)) * 16384, "none")
"""4 MiB."""


def of(registry: Registry, name: str = "app", tag: str = "1") -> Reference:
    return Reference.parse(f"{registry.address}/{name}:{tag}")


def stored(registry: Registry, name: str = "app") -> set[str]:
    return set(registry.repository(name).blobs)


def test_everything_arrives(registry: Registry, client: Client) -> None:
    pushed = image(layer({"a": b"1"}), BIG)
    descriptor = push(pushed, of(registry), client=client)
    assert pushed.descriptor == descriptor
    assert content_of(pushed) == content_of(pull(of(registry), client=client))
    assert {} == registry.uploads


def test_the_manifest_goes_last_and_the_config_after_the_layers(registry: Registry, client: Client) -> None:
    pushed = image(layer({"a": b"1"}), layer({"b": b"2"}))
    push(pushed, of(registry), client=client)
    puts = [each.query.get("digest", [each.path])[0] for each in registry.asked("PUT")]
    layers = {str(each.descriptor.digest) for each in pushed.layers}
    assert (layers, [str(pushed.id), "/v2/app/manifests/1"]) == (set(puts[:2]), puts[2:])


@pytest.mark.parametrize("code", [200, 201])
def test_a_manifest_that_nobody_names_is_looked_for(registry: Registry, client: Client, code: int) -> None:
    """A login page says 200 to everything; a registry says what it has stored, or has it when it is asked."""
    registry.fault("PUT", "/manifests/", status(code, b"<html>Please log in</html>"))
    with pytest.raises(RegistryError, match="app:1 is not there, though the registry took it"):
        push(image(layer()), of(registry), client=client)
    registry.content_digest = False
    registry.fault("PUT", "/manifests/", with_headers(Docker_Content_Digest=""))
    pushed = image(layer({"b": b"2"}))
    assert pushed.descriptor == push(pushed, of(registry), client=client)


def test_a_tag_that_leads_elsewhere_after_a_push_is_told(registry: Registry, client: Client) -> None:
    registry.add(image(layer({"old": b""})))
    registry.fault("PUT", "/manifests/", status(200))
    with pytest.raises(VerificationError, match="the manifest stored in"):
        push(image(layer()), of(registry), client=client)


def test_the_manifest_has_its_own_type(registry: Registry, client: Client) -> None:
    push(image(layer(), media_types="docker"), of(registry), client=client)
    assert mediatype.DOCKER_MANIFEST == registry.asked("PUT", "/manifests/")[0].headers["content-type"]


def test_what_is_there_is_not_sent(registry: Registry, client: Client) -> None:
    pushed = image(layer(), BIG)
    registry.add(pushed)
    push(pushed, of(registry, tag="2"), client=client)
    assert ["/v2/app/manifests/2"] == [each.path for each in registry.asked("PUT")]
    assert [] == registry.asked("POST")


def test_a_layer_that_is_there_twice_is_sent_once(registry: Registry, client: Client) -> None:
    push(image(BIG, layer(), BIG), of(registry), client=client)
    assert 3 == len(registry.asked("POST"))


def test_layers_of_the_same_registry_are_mounted(registry: Registry, client: Client) -> None:
    registry.add(image(BIG), "base")
    base = pull(of(registry, "base"), client=client)
    push(base, of(registry, "derived"), client=client)
    assert str(BIG.descriptor.digest) in stored(registry, "derived")
    assert [] == registry.asked("GET", f"/blobs/{BIG.descriptor.digest}")


def test_a_base_image_may_be_named(registry: Registry, client: Client) -> None:
    """A layer out of a local store does not know any more where it came from."""
    registry.add(image(BIG), "base")
    push(image(BIG, layer()), of(registry), client=client, mount_from=of(registry, "base"))
    assert {"base"} == {each.query["from"][0] for each in registry.asked("POST") if "from" in each.query}
    assert 2 == len(registry.asked("PUT", "/uploads/"))


def test_a_registry_need_not_mount(registry: Registry, client: Client) -> None:
    registry.mounts = False
    registry.add(image(BIG), "base")
    push(pull(of(registry, "base"), client=client), of(registry, "derived"), client=client)
    assert str(BIG.descriptor.digest) in stored(registry, "derived")


def test_no_right_to_mount_is_no_reason_to_fail(registry: Registry, client: Client) -> None:
    registry.add(image(BIG), "base")
    registry.fault("POST", "/uploads/", status(403))
    push(image(BIG), of(registry), client=client, mount_from=of(registry, "base"))
    assert str(BIG.descriptor.digest) in stored(registry)


def test_layers_of_another_registry_flow_through(registry: Registry, storage: Registry, client: Client) -> None:
    source = image(BIG, layer())
    storage.add(source)
    push(pull(of(storage), client=client), of(registry), client=client)
    assert content_of(source) == content_of(pull(of(registry), client=client))


def test_a_broken_source_is_resumed_while_it_is_sent(registry: Registry, storage: Registry, client: Client) -> None:
    storage.add(image(BIG))
    pulled = pull(of(storage), client=client)
    storage.fault("GET", "/blobs/", drop_after(2_000_000))
    push(pulled, of(registry), client=client)
    assert 1 == len(registry.asked("PUT", "/uploads/")) - 1
    assert str(BIG.descriptor.digest) in stored(registry)


@pytest.mark.parametrize("fault", [status(500), status(503), hang_up, status(404)])
def test_an_upload_that_fails_starts_again(registry: Registry, client: Client, fault: Action) -> None:
    registry.fault("PUT", "/uploads/", fault)
    push(image(BIG), of(registry), client=client)
    assert {str(BIG.descriptor.digest), str(image(BIG).id)} == stored(registry)


def test_a_session_that_is_lost_starts_again_in_one_piece(registry: Registry, client: Client) -> None:
    registry.fault("PUT", "/uploads/", status(404))
    push(image(BIG), of(registry), client=client)
    assert [] == registry.asked("PATCH")


def test_an_upload_that_always_fails_is_given_up(registry: Registry, client: Client) -> None:
    registry.fault("PUT", "/uploads/", status(500), times=99)
    with pytest.raises(RegistryError, match="500"):
        push(image(BIG), of(registry), client=client)
    assert 3 == len(registry.asked("PUT"))
    assert [] == registry.asked("PUT", "/manifests/")


def test_a_session_that_is_given_up_is_closed(registry: Registry, client: Client) -> None:
    registry.fault("PUT", "/uploads/", status(400))
    with pytest.raises(RegistryError, match="400"):
        push(image(BIG), of(registry), client=client)
    assert {} == registry.uploads


@pytest.mark.parametrize("size", [1 << 20, 3_000_000, 4 << 20, 16 << 20])
def test_a_registry_may_want_chunks(
    registry: Registry, client: Client, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(upload_module, "_CHUNK", size)
    registry.monolithic = False
    push(image(BIG), of(registry), client=client)
    assert {str(BIG.descriptor.digest), str(image(BIG).id)} == stored(registry)
    sizes = [len(each.body) for each in registry.asked("PATCH")]
    assert (4 << 20, min(size, 4 << 20)) == (sum(size for size in sizes if size > 9999), max(sizes))


def test_chunks_are_as_large_as_the_registry_asks(
    registry: Registry, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload_module, "_CHUNK", 1 << 20)
    registry.monolithic = False
    registry.fault("POST", "/uploads/", with_headers(OCI_Chunk_Min_Length="3000000"), times=9)
    push(image(BIG), of(registry), client=client)
    assert [3_000_000, (4 << 20) - 3_000_000] == [len(each.body) for each in registry.asked("PATCH")][:2]


@pytest.mark.parametrize("fault", [hang_up, status(404), status(416)])
def test_chunks_that_break_start_again(
    registry: Registry, client: Client, monkeypatch: pytest.MonkeyPatch, fault: Action
) -> None:
    monkeypatch.setattr(upload_module, "_CHUNK", 1 << 20)
    registry.monolithic = False

    def break_second(handler: Handler) -> bool:
        return not handler.headers["Content-Range"].startswith("0-") and fault(handler)

    registry.fault("PATCH", "/uploads/", break_second, times=2)
    push(image(BIG), of(registry), client=client)
    assert str(BIG.descriptor.digest) in stored(registry)


def test_empty_blobs_are_sent(registry: Registry, client: Client) -> None:
    repository = client.repository(of(registry))
    descriptor = Descriptor("", Digest.of(b""), 0)
    for monolithic in (True, False):
        registry.monolithic = monolithic
        registry.repository("app").blobs.clear()
        assert repository.upload_blob(descriptor, MemoryLayer(b"", descriptor, descriptor.digest).open)
        assert {str(descriptor.digest)} == stored(registry)


@dataclass
class Liar:
    """A layer whose bytes are not what it says."""

    content: bytes
    descriptor: Descriptor = BIG.descriptor
    diff_id: Digest = field(default=BIG.diff_id)

    @contextmanager
    def open(self) -> Iterator[Reader]:
        yield io.BytesIO(self.content)


@pytest.mark.parametrize("content", [b"short", BIG.content[1:] + b"more"])
def test_a_layer_of_another_size_is_not_stored(registry: Registry, client: Client, content: bytes) -> None:
    pushed = replace(image(BIG), layers=(Liar(content),))
    with pytest.raises(VerificationError, match="another size"):
        push(pushed, of(registry), client=client)
    assert set() == stored(registry)


def test_a_layer_of_other_content_is_refused_by_the_registry(registry: Registry, client: Client) -> None:
    pushed = replace(image(BIG), layers=(Liar(BIG.content[::-1]),))
    with pytest.raises(RegistryError, match="DIGEST_INVALID"):
        push(pushed, of(registry), client=client)


def test_a_registry_that_stores_something_else_is_found_out(registry: Registry, client: Client) -> None:
    other = str(Digest.of(b"other"))
    registry.fault("PUT", "/uploads/", with_headers(Docker_Content_Digest=other))
    with pytest.raises(VerificationError, match=f"got {other}"):
        push(image(BIG), of(registry), client=client)
    registry.fault("PUT", "/manifests/", with_headers(Docker_Content_Digest=other))
    with pytest.raises(VerificationError, match=f"got {other}"):
        push(image(BIG), of(registry), client=client)


def test_the_first_failure_ends_the_push(registry: Registry, client: Client) -> None:
    registry.fault("POST", "/uploads/", status(400))
    layers = [layer({"file": bytes([i])}) for i in range(20)]
    with pytest.raises(RegistryError, match="400"):
        push(image(*layers), of(registry), client=client, concurrency=1)
    assert 1 == len(registry.asked("POST"))


def test_a_session_elsewhere_gets_no_token(registry: Registry, storage: Registry, settings: Settings) -> None:
    registry.auth = "bearer"
    registry.tokens["given"] = {"repository:app:push", "repository:app:pull"}
    registry.fault("POST", "/uploads/", status(202, Location=f"{storage.url}/v2/app/blobs/uploads/s?state=a/b"))
    storage.uploads["s"] = b""
    with Client(settings, lambda _registry, _repository: Credential(registry_token="given")) as client:
        registry.add(image(layer()))
        client.repository(of(registry)).resolve("1")
        assert client.repository(of(registry)).upload_blob(BIG.descriptor, BIG.open)
    assert [None] == [each.headers.get("authorization") for each in storage.seen]
    assert str(BIG.descriptor.digest) in stored(storage)


def test_an_upload_without_a_place_is_an_error(registry: Registry, client: Client) -> None:
    registry.fault("POST", "/uploads/", status(202))
    with pytest.raises(RegistryError, match="does not say where"):
        push(image(BIG), of(registry), client=client)


def test_progress_counts_up_to_each_size(registry: Registry, client: Client) -> None:
    reports: dict[str, list[tuple[int, int]]] = {}
    pushed = image(BIG, layer())
    push(
        pushed,
        of(registry),
        client=client,
        progress=lambda digest, done, size: reports.setdefault(digest, []).append((done, size)),
    )
    sizes = {str(each.descriptor.digest): each.descriptor.size for each in pushed.layers}
    sizes[str(pushed.id)] = len(pushed.config_bytes)
    assert sizes == {digest: each[-1][0] for digest, each in reports.items()}
    for digest, each in reports.items():
        assert each == sorted(each)
        assert {sizes[digest]} == {size for _, size in each}


def test_an_index_goes_after_its_images(registry: Registry, client: Client) -> None:
    both = index(image(layer(), platform=AMD64), image(layer(), platform=ARM64))
    assert both.descriptor == push(both, of(registry), client=client)
    names = [each.path.rpartition("/")[2] for each in registry.asked("PUT", "/manifests/")]
    assert [*(str(each.digest) for each in both.manifest.manifests), "1"] == names


def test_nested_indexes_go_from_the_inside_out(registry: Registry, client: Client) -> None:
    inner = index(image(layer()))
    child = replace(inner.descriptor, platform=AMD64)
    outer = Index(IndexManifest((child, child)).to_bytes(), lambda _: inner)
    push(outer, of(registry), client=client)
    names = [each.path.rpartition("/")[2] for each in registry.asked("PUT", "/manifests/")]
    assert [str(inner.manifest.manifests[0].digest), str(inner.digest), "1"] == names


def test_an_index_in_itself_is_an_error(registry: Registry, client: Client) -> None:
    inner = Descriptor(mediatype.OCI_INDEX, Digest.of(b"never"), 0)
    outer = Index(IndexManifest((inner,)).to_bytes(), lambda _: outer)
    with pytest.raises(InvalidError, match="nested"):
        push(outer, of(registry), client=client)


def test_a_push_by_digest_needs_no_tag(registry: Registry, client: Client) -> None:
    pushed = image(layer())
    name = replace(of(registry), tag="", digest=pushed.digest)
    push(pushed, name, client=client)
    assert ({}, {str(pushed.digest)}) == (registry.repository("app").tags, set(registry.repository("app").manifests))
    with pytest.raises(InvalidError, match="cannot push"):
        push(image(BIG), name, client=client)


def test_layers_that_may_not_be_given_on_stay_where_they_are(registry: Registry, client: Client) -> None:
    """Windows's base layers name the place that they may be had from."""
    source = image(BIG)
    foreign = replace(
        BIG, descriptor=replace(BIG.descriptor, media_type=mediatype.DOCKER_FOREIGN_LAYER, urls=("https://elsewhere/",))
    )
    pushed = Image(replace(source.manifest, layers=(foreign.descriptor,)).to_bytes(), source.config_bytes, (foreign,))
    push(pushed, of(registry), client=client)
    assert {str(source.id)} == stored(registry)


def test_no_right_to_push_is_said_at_once(registry: Registry, client: Client) -> None:
    registry.fault("POST", "/uploads/", status(403, b'{"errors": [{"code": "DENIED", "message": "read only"}]}'))
    with pytest.raises(AuthenticationError, match="DENIED: read only"):
        push(image(BIG), of(registry), client=client)
