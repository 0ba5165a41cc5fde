"""The names in a layout's ``index.json``.

An entry bears its full name twice: as ``org.opencontainers.image.ref.name``, which skopeo and umoci look for, and as
``io.containerd.image.name``, which containerd does. Where the two are full names and differ, a disk has spoilt one: the
entry counts as one without a name. Such an entry keeps an image that has lost its own. What other tools have written is
kept as it is.

Spec: image-spec/image-layout.md, "index.json file".
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from layers.errors import InvalidError, StoreError
from layers.model import Descriptor, IndexManifest
from layers.reference import Reference
from layers.store.files import disk_errors, replace_file
from layers.store.lock import Lock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from layers.digest import Digest
    from layers.store.blobs import DiskBlobs

REF_NAME = "org.opencontainers.image.ref.name"
CONTAINERD_NAME = "io.containerd.image.name"
_PATIENCE = 60.0


class Named(NamedTuple):
    """One entry of the index."""

    descriptor: Descriptor
    name: str
    """As it is written there; ``""`` where the entry has none."""
    reference: Reference | None
    """The name read as Docker does; None where it is no name of an image."""


class Names:
    """Which names lead to which manifests; each change is whole or does not happen."""

    def __init__(self, blobs: DiskBlobs) -> None:
        self._blobs = blobs
        self._path = blobs.root / "index.json"
        self._lock = Lock(blobs.root / "locks" / "names")

    def entries(self) -> tuple[Named, ...]:
        """Give all entries in the order of the file.

        Raises:
            StoreError: the file cannot be read, or is no index.
        """
        return tuple(map(_named, self._read().manifests))

    def point(self, reference: Reference, descriptor: Descriptor) -> None:
        """Let a name lead to a manifest; an image that loses its last name by this stays as one without."""
        if reference.digest not in {None, descriptor.digest}:
            raise InvalidError(f"{reference} cannot be the name of {descriptor.digest}")
        with self._change() as entries:
            old = [each for each in entries if each.reference == reference]
            if [each.descriptor.digest for each in old] == [descriptor.digest]:
                return
            entries[:] = [each for each in entries if each not in old and (each.name or not _same(each, descriptor))]
            entries += [_nameless(each.descriptor) for each in old if not _holds(entries, each.descriptor)]
            annotations = {**_nameless(descriptor).descriptor.annotations}
            annotations |= {REF_NAME: str(reference), CONTAINERD_NAME: str(reference)}
            entries.append(_named(replace(descriptor, annotations=annotations)))

    def keep(self, descriptor: Descriptor) -> None:
        """Keep an image that has no name; nothing happens where an entry holds it already."""
        with self._change() as entries:
            if not _holds(entries, descriptor):
                entries.append(_nameless(descriptor))

    def drop(self, reference: Reference) -> Descriptor | None:
        """Take a name away, and with the last one the entry; give the manifest it led to, None where there was none."""
        with self._change() as entries:
            found = [each for each in entries if each.reference == reference]
            entries[:] = [each for each in entries if each not in found]
        return found[0].descriptor if found else None

    def forget(self, digest: Digest) -> tuple[Named, ...]:
        """Take away every entry of a manifest, and give them."""
        with self._change() as entries:
            found = tuple(each for each in entries if each.descriptor.digest == digest)
            entries[:] = [each for each in entries if each not in found]
        return found

    def drop_doubtful(self) -> None:
        """Let every entry whose two names differ have none."""
        with self._change() as entries:
            entries[:] = [_nameless(each.descriptor) if doubt(each.descriptor) else each for each in entries]

    @contextmanager
    def _change(self) -> Iterator[list[Named]]:
        """Give the entries to be changed in place, under the lock; they are written where they did change.

        The blobs go to disk first, so that no name outlives a power failure which its image does not.
        """
        with self._lock.exclusive(wait=_PATIENCE):
            index = self._read()
            entries = [_named(each) for each in index.manifests]
            yield entries
            manifests = tuple(each.descriptor for each in entries)
            if manifests != index.manifests:
                self._blobs.flush()
                content = replace(index, manifests=manifests).to_bytes()
                replace_file(self._path, content, self._blobs.temporary(), sync=True)

    def _read(self) -> IndexManifest:
        with disk_errors("read", self._path):
            content = self._path.read_bytes()
        try:
            return IndexManifest.from_bytes(content)
        except InvalidError as error:
            hint = "the blobs beside it are unharmed; restore the file, or move the store away and start anew"
            raise StoreError(f"{self._path}: {error.message}", hint=hint) from error


def doubt(descriptor: Descriptor) -> tuple[str, str] | None:
    """Give the two full names of an entry where they differ; one of them is not what was written."""
    first, second = (descriptor.annotations.get(each, "") for each in (CONTAINERD_NAME, REF_NAME))
    return (first, second) if first != second and "/" in first and "/" in second else None


def _named(descriptor: Descriptor) -> Named:
    if doubt(descriptor) is not None:
        return Named(descriptor, "", None)
    name = descriptor.annotations.get(CONTAINERD_NAME) or descriptor.annotations.get(REF_NAME, "")
    try:
        return Named(descriptor, name, Reference.parse(name) if name else None)
    except InvalidError:
        return Named(descriptor, name, None)


def _nameless(descriptor: Descriptor) -> Named:
    rest = {key: value for key, value in descriptor.annotations.items() if key not in {REF_NAME, CONTAINERD_NAME}}
    return Named(replace(descriptor, annotations=rest), "", None)


def _same(entry: Named, descriptor: Descriptor) -> bool:
    return entry.descriptor.digest == descriptor.digest


def _holds(entries: list[Named], descriptor: Descriptor) -> bool:
    return any(_same(each, descriptor) for each in entries)
