"""What a store holds, as repositories with tags; read anew when the store's index has changed."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from layers import mediatype
from layers.errors import InvalidError, LayersError
from layers.frozen import frozen
from layers.image import read_document
from layers.jsonread import get, parse_object
from layers.model import Descriptor, IndexManifest, Manifest
from layers.store.files import disk_errors

if TYPE_CHECKING:
    from collections.abc import Iterator

    from layers.digest import Digest
    from layers.reference import Reference
    from layers.serving.names import Addresses
    from layers.store.layout import Layout


@dataclass(slots=True)
class Repository:
    """The manifests of one repository."""

    tags: dict[str, Descriptor] = field(default_factory=dict)
    untagged: list[Descriptor] = field(default_factory=list)
    """Those that have a name by their digest alone."""
    names: list[tuple[Reference, Descriptor]] = field(default_factory=list)
    """What the store calls all of these."""


@frozen
class Listing:
    """Everything that is served at one moment."""

    repositories: dict[str, Repository]
    nameless: tuple[Descriptor, ...]
    """What has lost its name: it belongs to no repository, and is found by its digest in all of them."""

    def entries(self, repository: str) -> Iterator[Descriptor]:
        """Give the manifests that a digest may mean in a repository, first those that are its own."""
        found = self.repositories.get(repository)
        if found is not None:
            yield from found.tags.values()
            yield from found.untagged
        yield from self.nameless


class Catalogue:
    """Lists a store; may be used from several threads."""

    def __init__(self, layout: Layout, addresses: Addresses) -> None:
        self._layout = layout
        self._addresses = addresses
        self._guard = threading.Lock()
        self._seen: tuple[int, ...] = ()
        self._listing = Listing({}, ())
        self._children: dict[Digest, tuple[Descriptor, ...]] = {}

    def listing(self) -> Listing:
        """Give what is there now.

        Raises:
            StoreError: the store cannot be read.
        """
        path = self._layout.root / "index.json"
        with disk_errors("read", path):
            status = os.stat(path)
        seen = (status.st_ino, status.st_mtime_ns, status.st_size)
        with self._guard:
            if seen != self._seen:
                self._listing = self._read()
                self._seen = seen
            return self._listing

    def _read(self) -> Listing:
        repositories: dict[str, Repository] = {}
        nameless = []
        for stored in self._layout.images():
            if not stored.names:
                nameless.append(stored.descriptor)
            for name in stored.names:
                served = self._addresses.served_as(name)
                if served:
                    _enter(repositories.setdefault(served, Repository()), name, stored.descriptor)
        for repository in repositories.values():
            # a name that spells out this server's address gives way to the one that does not
            for name, descriptor in repository.names:
                if name.tag and name.registry not in self._addresses.own:
                    repository.tags[name.tag] = descriptor
        return Listing(repositories, tuple(nameless))

    def find(self, repository: str, digest: Digest) -> Descriptor | None:
        """Give the manifest of a digest: one of a repository's own, or one that its indexes list."""
        return next((each for each in self._all(repository) if each.digest == digest), None)

    def _all(self, repository: str) -> Iterator[Descriptor]:
        """Give every manifest that a digest may mean in a repository, once: its own, then what its indexes list."""
        seen: set[Digest] = set()
        level = list(self.listing().entries(repository))
        while level:
            fresh = {each.digest: each for each in level if each.digest not in seen}
            seen.update(fresh)
            yield from fresh.values()
            level = [child for each in fresh.values() for child in self._listed(each)]

    def _listed(self, descriptor: Descriptor) -> tuple[Descriptor, ...]:
        """Give what an index lists; nothing of what is none, or is not here."""
        if descriptor.media_type in mediatype.MANIFESTS:
            return ()
        with self._guard:
            known = self._children.get(descriptor.digest)
        if known is None:
            try:
                content = read_document(self._layout.blobs, descriptor)
                is_index = "manifests" in parse_object(content, "manifest")
                known = IndexManifest.from_bytes(content).manifests if is_index else ()
            except LayersError:
                return ()
            with self._guard:
                if len(self._children) > 1000:
                    self._children.clear()
                self._children[descriptor.digest] = known
        return known

    def referrers(self, repository: str, subject: Digest) -> list[dict[str, Any]]:
        """Give the descriptors of all manifests that name another one as their subject, in the store's order.

        Spec: distribution-spec/spec.md, "Listing Referrers".
        """
        found = []
        for descriptor in self._all(repository):
            try:
                referrer = _referrer(read_document(self._layout.blobs, descriptor), descriptor, subject)
            except LayersError:  # it is not whole, or not here: it refers to nothing
                continue
            if referrer is not None:
                found.append(referrer)
        return found


def _enter(repository: Repository, name: Reference, descriptor: Descriptor) -> None:
    repository.names.append((name, descriptor))
    if name.tag:
        repository.tags[name.tag] = descriptor
    else:
        repository.untagged.append(descriptor)


def _referrer(content: bytes, descriptor: Descriptor, subject: Digest) -> dict[str, Any] | None:
    """Give the descriptor of a manifest as a list of referrers has it; None where its subject is another."""
    source = parse_object(content, "manifest")
    found = subject_of(source)
    if found is None or found.digest != subject:
        return None
    if "manifests" in source:
        index = IndexManifest.from_bytes(content)
        artifact_type, annotations = get(source, str, "artifactType", "index") or "", index.annotations
    else:
        manifest = Manifest.from_bytes(content)
        artifact_type, annotations = manifest.artifact_type or manifest.config.media_type, manifest.annotations
    listed = Descriptor(document_type(source), descriptor.digest, descriptor.size, annotations=annotations)
    return listed.to_json() | ({"artifactType": artifact_type} if artifact_type else {})


def subject_of(source: dict[str, Any]) -> Descriptor | None:
    """Give what a manifest or index refers to; None where it refers to nothing.

    Raises:
        InvalidError: it is no descriptor.
    """
    subject = get(source, dict, "subject", "manifest")
    return Descriptor.from_json(subject, "manifest.subject") if subject is not None else None


def document_type(source: dict[str, Any]) -> str:
    """Give the media type of a manifest or index: what it says, else what it looks like."""
    try:
        said = get(source, str, "mediaType", "manifest")
    except InvalidError:
        said = None
    return said or (mediatype.OCI_INDEX if "manifests" in source else mediatype.OCI_MANIFEST)
