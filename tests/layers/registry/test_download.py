"""Blobs: verified as they are read, and resumed where a connection breaks."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from layers.digest import Digest
from layers.errors import AuthenticationError, RegistryError, VerificationError
from layers.image import Held
from layers.model import Descriptor
from layers.reference import Reference
from layers.registry.client import Client
from layers.registry.response import TransportError
from tests.support.faults import drop_after, hang_up, stall, status, with_headers
from tests.support.images import image, layer_of_tar

if TYPE_CHECKING:
    from layers.registry.repository import Repository
    from layers.registry.settings import Settings
    from tests.support.registry import Action, Handler, Registry


BIG = layer_of_tar(bytes(range(256)) * 16384, "none")
"""4 MiB."""
MIB = 1 << 20


def of(registry: Registry, name: str = "app", tag: str = "1") -> Reference:
    return Reference.parse(f"{registry.address}/{name}:{tag}")


@pytest.fixture
def app(registry: Registry, client: Client) -> Repository:
    return client.repository(of(registry))


def read(app: Repository, descriptor: Descriptor) -> bytes:
    with app.open_blob(descriptor) as reader:
        return b"".join(iter(lambda: reader.read(100_000), b""))


@pytest.mark.parametrize("ranges", [True, False])
def test_a_dropped_blob_goes_on_where_it_broke(registry: Registry, app: Repository, *, ranges: bool) -> None:
    """With ranges only the rest is sent; without, what is known is passed over."""
    registry.ranges = ranges
    registry.add(image(BIG))
    registry.fault("GET", "/blobs/", drop_after(MIB + 17), times=3 if ranges else 1)
    assert BIG.content == read(app, BIG.descriptor)
    asked = [each.headers.get("range") for each in registry.asked("GET", "/blobs/")]
    steps = [None, *(f"bytes={(MIB + 17) * i}-" for i in range(1, 4))]
    assert (steps if ranges else [None, f"bytes={MIB + 17}-"]) == asked


def test_a_connection_that_breaks_without_progress_is_given_up(registry: Registry, app: Repository) -> None:
    registry.add(image(BIG))
    registry.fault("GET", "/blobs/", drop_after(100), times=99)
    with pytest.raises(TransportError, match="broke"):
        read(app, BIG.descriptor)
    assert 3 == len(registry.asked("GET", "/blobs/"))


def test_a_resume_survives_a_refused_connection(registry: Registry, app: Repository) -> None:
    registry.add(image(BIG))
    registry.fault("GET", "/blobs/", drop_after(2 * MIB))
    registry.fault("GET", "/blobs/", hang_up)
    registry.fault("GET", "/blobs/", status(503))
    assert BIG.content == read(app, BIG.descriptor)


def test_a_stalled_blob_is_asked_for_again(registry: Registry, settings: Settings) -> None:
    registry.add(image(BIG))
    registry.fault("GET", "/blobs/", stall)
    with Client(replace(settings, read_timeout=0.2)) as client:
        assert BIG.content == read(client.repository(of(registry)), BIG.descriptor)


@pytest.mark.parametrize("text", ["bytes 0-4194303/4194304", "bytes 1048576-4194303/9", "nonsense", ""])
def test_a_wrong_range_is_not_taken(registry: Registry, app: Repository, text: str) -> None:
    registry.add(image(BIG))
    registry.fault("GET", "/blobs/", drop_after(MIB))
    registry.fault("GET", "/blobs/", with_headers(Content_Range=text))
    with pytest.raises(RegistryError, match="asked for bytes 1048576-"):
        read(app, BIG.descriptor)


def test_wrong_content_is_found_at_the_end(registry: Registry, app: Repository) -> None:
    registry.add(image(BIG))
    wrong = BIG.content[:-1] + b"\0"
    registry.repository("app").blobs[str(BIG.descriptor.digest)] = wrong
    with pytest.raises(VerificationError, match=f"expected {BIG.descriptor.digest}, got {Digest.of(wrong)}"):
        read(app, BIG.descriptor)


def test_a_wrong_length_is_found_at_the_start(registry: Registry, app: Repository) -> None:
    registry.add(image(BIG))
    registry.repository("app").blobs[str(BIG.descriptor.digest)] = BIG.content + b"more"
    with pytest.raises(VerificationError, match="expected 4194304, got 4194308"), app.open_blob(BIG.descriptor):
        pass


@pytest.mark.parametrize("length", [MIB, 5 * MIB])
def test_a_length_that_is_not_told_is_counted(registry: Registry, app: Repository, length: int) -> None:
    content = (BIG.content * 2)[:length]
    answer = status(200, content, Content_Length="", Connection="close")
    registry.fault("GET", "/blobs/", answer, times=9)
    with pytest.raises((VerificationError, TransportError), match=r"longer than promised|ended after|ended early"):
        read(app, BIG.descriptor)


def test_what_has_no_end_is_not_read_to_it(registry: Registry, app: Repository) -> None:
    """A config is read at once: of more than it promised one byte is enough to know."""
    config = image(BIG).manifest.config
    sent = []

    def flood(handler: Handler) -> bool:
        handler.close_connection = True
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        while not registry.stopped.is_set():  # the client's hanging up ends it, by an error
            handler.wfile.write(bytes(MIB))
            sent.append(MIB)
        return True

    registry.fault("GET", "/blobs/", flood)
    with pytest.raises(VerificationError, match=f"longer than promised: expected {config.size}, got at least"):  # noqa: SIM117
        with app.open_blob(config) as reader:
            reader.read()
    assert len(sent) < 64


def test_blobs_may_be_elsewhere(registry: Registry, storage: Registry, app: Repository) -> None:
    stored = image(BIG)
    registry.add(stored)
    storage.add(stored, "cdn")
    digest = BIG.descriptor.digest
    registry.fault("GET", "/blobs/", status(307, Location=f"{storage.url}/v2/cdn/blobs/{digest}?sig=x"), times=9)
    storage.fault("GET", "/blobs/", drop_after(2 * MIB))
    assert BIG.content == read(app, BIG.descriptor)
    assert [None, f"bytes={2 * MIB}-"] == [each.headers.get("range") for each in storage.seen]


def read_after(app: Repository, held: bytes, reported: list[int] | None = None) -> bytes:
    report = reported.append if reported is not None else None
    with app.open_blob(BIG.descriptor, report, Held(io.BytesIO(held), len(held))) as reader:
        return b"".join(iter(lambda: reader.read(100_000), b""))


@pytest.mark.parametrize("ranges", [True, False])
def test_a_blob_goes_on_after_what_is_held(registry: Registry, app: Repository, *, ranges: bool) -> None:
    registry.ranges = ranges
    registry.add(image(BIG))
    reported: list[int] = []
    assert BIG.content[MIB:] == read_after(app, BIG.content[:MIB], reported)
    assert (MIB, 4 * MIB) == (reported[0], reported[-1])
    assert [f"bytes={MIB}-"] == [each.headers.get("range") for each in registry.asked("GET", "/blobs/")]


def test_a_blob_that_is_held_is_not_asked_for(registry: Registry, app: Repository) -> None:
    assert b"" == read_after(app, BIG.content)
    assert [] == registry.asked("GET", "/blobs/")


def test_what_is_held_is_verified_with_the_rest(registry: Registry, app: Repository) -> None:
    registry.add(image(BIG))
    with pytest.raises(VerificationError, match="other content"):
        read_after(app, bytes(MIB))


@pytest.mark.parametrize("times", [1, 2])
def test_going_on_survives_a_broken_connection(registry: Registry, app: Repository, times: int) -> None:
    registry.add(image(BIG))
    registry.ranges = False
    registry.fault("GET", "/blobs/", drop_after(17), times=times)
    assert BIG.content[MIB:] == read_after(app, BIG.content[:MIB])


@pytest.mark.parametrize(
    "answer", [status(416), status(206, b"x", Content_Range="bytes 7-7/8"), with_headers(Content_Range="")]
)
def test_a_registry_that_cannot_go_on_is_told_from_one_that_refuses(
    registry: Registry, app: Repository, answer: Action
) -> None:
    """What is held may be the reason: who holds it starts again without."""
    registry.add(image(BIG))
    registry.fault("GET", "/blobs/", answer)
    with pytest.raises(VerificationError, match="cannot be gone on with: expected bytes 1048576-"):
        read_after(app, BIG.content[:MIB])
    registry.fault("GET", "/blobs/", status(403))
    with pytest.raises(AuthenticationError):
        read_after(app, BIG.content[:MIB])


def test_an_empty_blob_is_read(registry: Registry, app: Repository) -> None:
    registry.repository("app").blobs[str(Digest.of(b""))] = b""
    assert b"" == read(app, Descriptor("", Digest.of(b""), 0))
