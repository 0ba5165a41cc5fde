"""Blobs: verified as they are read, and resumed where a connection breaks."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from layers.digest import Digest
from layers.errors import RegistryError, VerificationError
from layers.model import Descriptor
from layers.reference import Reference
from layers.registry.client import Client
from layers.registry.response import TransportError
from tests.support.faults import drop_after, hang_up, stall, status, with_headers
from tests.support.images import image, layer_of_tar

if TYPE_CHECKING:
    from layers.registry.repository import Repository
    from layers.registry.settings import Settings
    from tests.support.registry import Handler, Registry


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


def test_an_empty_blob_is_read(registry: Registry, app: Repository) -> None:
    registry.repository("app").blobs[str(Digest.of(b""))] = b""
    assert b"" == read(app, Descriptor("", Digest.of(b""), 0))
