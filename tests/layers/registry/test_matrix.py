"""Every fault of the table at every request of a pull and of a push.

Whatever happens: it works in the end, or it fails in words, after few attempts; and nothing corrupt is kept, neither
in the store nor behind a tag of the registry.
"""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from layers.digest import Digest
from layers.errors import LayersError
from layers.jsonread import parse_object
from layers.reference import Reference
from layers.registry.client import Client
from layers.registry.credentials import Credential
from layers.registry.settings import Settings
from layers.registry.transfer import push
from layers.store.layout import Layout
from tests.support.faults import drop_after
from tests.support.images import AMD64, ARM64, image, index, layer, layer_of_tar
from tests.support.registry import PASSWORD, USER, Registry
from tests.support.registryfaults import FAULTS, RegistryFault

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.registry import Handler

_LAYER = layer_of_tar(bytes(range(256)) * 1024, "none")
_IMAGE = image(_LAYER, layer({"a": b"1"}))
_INDEX = index(_IMAGE, image(layer({"b": b"2"}), platform=ARM64))
_RETRIES = 2
_MANY = 60
"""Requests that no transfer of these images needs, whatever goes wrong once in each attempt."""


@dataclass(frozen=True)
class Asked:
    """One request of a transfer: where the fault is put."""

    name: str
    method: str
    path: str
    """A regular expression."""
    skip: int = 0
    """How many requests like it are let through before."""
    chunked: bool = False
    """Whether the registry takes blobs in chunks only."""
    breaks: bool = False
    """Whether the blob's connection breaks before, so that the rest of it is asked for."""


PULL = (
    Asked("ping", "GET", "/v2/$"),
    Asked("the tag without a token", "GET", "/manifests/1$"),
    Asked("token", "GET", "/token"),
    Asked("index", "GET", "/manifests/1$", skip=1),
    Asked("manifest", "GET", f"/manifests/{_IMAGE.digest}"),
    Asked("config", "GET", f"/blobs/{_IMAGE.id}"),
    Asked("layer", "GET", f"/blobs/{_LAYER.descriptor.digest}"),
    Asked("rest of a layer", "GET", f"/blobs/{_LAYER.descriptor.digest}", skip=1, breaks=True),
)
PUSH = (
    Asked("ping", "GET", "/v2/$"),
    Asked("blob without a token", "HEAD", "/blobs/"),
    Asked("token", "GET", "/token"),
    Asked("blob", "HEAD", f"/blobs/{_LAYER.descriptor.digest}$", skip=1),
    Asked("mount", "POST", "/uploads/"),
    Asked("second upload", "POST", "/uploads/", skip=1),
    Asked("upload in one piece", "PUT", "/uploads/"),
    Asked("second upload in one piece", "PUT", "/uploads/", skip=1),
    Asked("upload in one piece refused", "PUT", "/uploads/", chunked=True),
    Asked("upload in chunks", "POST", "/uploads/", skip=1, chunked=True),
    Asked("chunk", "PATCH", "/uploads/", chunked=True),
    Asked("end of the chunks", "PUT", "/uploads/", skip=1, chunked=True),
    Asked("config", "HEAD", f"/blobs/{_IMAGE.id}$"),
    Asked("manifest", "PUT", f"/manifests/{_IMAGE.digest}"),
    Asked("tag", "PUT", "/manifests/2$"),
)
_WAITED_FOR = 0.25


@dataclass
class Cell:
    """One transfer with one fault: what came of it."""

    directory: Path
    asked: Asked
    fault: RegistryFault
    always: bool
    waits: list[float] = field(default_factory=list)
    error: LayersError | None = None

    def act(self, handler: Handler) -> bool:
        """Let a few requests pass, and then do it once or always."""
        with handler.registry.lock:
            self._count += 1
            now = self._count - self.asked.skip
        return (now == 1 or (self.always and now > 1)) and self.fault.action(handler)

    _count: int = 0

    def run(self, transfer: Callable[[Registry, Client], None]) -> None:
        """Make the transfer with a registry of its own, and check what holds whatever comes of it."""
        slow = self.fault.kind == "waiting"
        settings = Settings(
            retries=_RETRIES,
            connect_timeout=5,
            read_timeout=_WAITED_FOR if slow else 30,
            min_rate=1000,
            sleep=self.waits.append,
        )
        with Registry(auth="bearer") as registry:
            registry.add(_INDEX)
            registry.strict = True
            registry.monolithic = not self.asked.chunked
            if self.asked.breaks:
                registry.fault("GET", self.asked.path, drop_after(1000))
                self._count += 1
            registry.fault(self.asked.method, self.asked.path, self.act, times=1000)
            with Client(settings, lambda _registry, _repository: Credential(USER, PASSWORD)) as client:
                try:
                    transfer(registry, client)
                except LayersError as error:
                    self.error = error
            self._check(registry)

    def _check(self, registry: Registry) -> None:
        assert len(registry.seen) <= _MANY
        assert all(0 <= wait <= 120 for wait in self.waits)
        assert len(self.waits) <= 4 * _RETRIES
        if self.error is not None:
            text = f"{self.error.message} {self.error.hint}"
            assert text.isprintable()
            assert 10 < len(text) < 700
            secrets = [PASSWORD, *registry.tokens]
            assert [] == [secret for secret in secrets if secret in text]
        for name, stored in registry.repositories.items():
            for digest, content in stored.blobs.items():
                assert digest == str(Digest.of(content)), name
            for tag, digest in stored.tags.items():
                assert _is_whole(registry, name, digest), tag


def _is_whole(registry: Registry, name: str, digest: str) -> bool:
    stored = registry.repository(name)
    content, _ = stored.manifests[digest]
    source = parse_object(content, "manifest")
    if "manifests" in source:
        return all(_is_whole(registry, name, each["digest"]) for each in source["manifests"])
    return all(each["digest"] in stored.blobs for each in (source["config"], *source["layers"]))


def pull(cell: Cell, registry: Registry, client: Client) -> None:
    """Pull by tag into a store, and find nothing wrong in the store, whatever comes of it."""
    layout = Layout.open(cell.directory)
    reference = Reference.parse(f"{registry.address}/app:1")
    try:
        found = client.repository(reference).get("1")
        layout.tag(reference, layout.put(found, platforms=[AMD64], concurrency=1))
    finally:
        for digest in layout.blobs.list():
            with layout.blobs.open(digest) as reader:
                reader.read()
        assert [] == list((cell.directory / "tmp").glob("*"))
        assert all(_INDEX.digest == descriptor.digest for _, descriptor in layout.names())
    assert _IMAGE.digest == layout.image(reference, AMD64).digest


def push_elsewhere(cell: Cell, registry: Registry, client: Client) -> None:
    """Push beside what is there: the first layer can be mounted, the others are sent."""
    base = Reference.parse(f"{registry.address}/app:1")
    if cell.asked.name != "mount":
        registry.mounts = False
    reference = Reference.parse(f"{registry.address}/new/app:2")
    push(_INDEX, reference, client=client, concurrency=1, mount_from=base)
    assert {"2": str(_INDEX.digest)} == registry.repository("new/app").tags


_REQUESTS = [("pull", asked) for asked in PULL] + [("push", asked) for asked in PUSH]


def _run(directory: Path, what: str, asked: Asked, fault: RegistryFault, *, always: bool) -> str:
    """Make one cell of the matrix; give what is wrong with it, in words."""
    cell = Cell(directory / re.sub("[^a-z]", "-", f"{what} {asked.name} {always}"), asked, fault, always=always)
    transfer = pull if what == "pull" else push_elsewhere
    where = f"{fault.name} at {what}'s {asked.name}, {'always' if always else 'once'}"
    try:
        cell.run(lambda registry, client: transfer(cell, registry, client))
    except AssertionError as error:
        return f"{where}: {error}"
    recovers = fault.kind == "harmless" or (fault.kind == "passing" and not always)
    return f"{where}: {cell.error.message}" if cell.error is not None and recovers else ""


def _of(*kinds: str) -> pytest.MarkDecorator:
    faults = [fault for fault in FAULTS if fault.kind in kinds]
    return pytest.mark.parametrize("fault", faults, ids=lambda fault: re.sub("[^0-9A-Za-z]+", "-", fault.name))


@_of("passing", "lasting", "lying", "harmless")
def test_a_fault_is_overcome_or_told_at_every_request(tmp_path: Path, fault: RegistryFault) -> None:
    """What passes is overcome where it happens once."""
    times = (False, True) if fault.kind == "passing" else (True,)
    wrong = [_run(tmp_path, what, asked, fault, always=each) for what, asked in _REQUESTS for each in times]
    assert [] == [each for each in wrong if each]


@_of("waiting")
def test_no_server_holds_us_for_ever_at_any_request(tmp_path: Path, fault: RegistryFault) -> None:
    """Neither by silence nor by a little now and then. All at once, since most of it is waiting."""
    with ThreadPoolExecutor(len(_REQUESTS)) as pool:
        wrong = list(pool.map(lambda each: _run(tmp_path, each[0], each[1], fault, always=True), _REQUESTS))
    assert [] == [each for each in wrong if each]
