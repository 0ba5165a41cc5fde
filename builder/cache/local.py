"""A cache on this machine: one small file for each key."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from builder.cache.cache import Record
from layers.digest import Digest
from layers.errors import InvalidError
from layers.frozen import frozen
from layers.jsonread import dump, parse_object, require
from layers.mediatype import layer_compression
from layers.model import Descriptor
from layers.store.files import TEMPORARY, disk_errors, replace_file, sealed, temporary_beside, unsealed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from builder.cache.key import CacheKey

_KEPT_OF_A_FORM = 4
"""Layers: several projects on a machine may have a step that reads the same."""


@frozen
class LocalCache:
    """Records under a directory; a record that cannot be read is as good as none."""

    directory: Path

    def get(self, key: CacheKey) -> Record | None:
        """Give what was put under this key."""
        return self._read(str(key))

    def put(self, key: CacheKey, record: Record, action: CacheKey | None = None, form: CacheKey | None = None) -> None:
        """Remember a record: written aside and renamed, so that no reader sees half of it.

        Raises:
            StoreError: the disk refuses.
        """
        with disk_errors("write", self.directory):
            self.directory.mkdir(parents=True, exist_ok=True)
            if action is not None:
                self._beside("actions", action).parent.mkdir(exist_ok=True)
                self._beside("actions", action).touch()
            if form is not None:
                self._beside("forms", form).parent.mkdir(exist_ok=True)
        if form is not None:
            newest = dict.fromkeys([*(blob.digest for blob in record.blobs.values()), *self.of_form(form)])
            lines = [f"{digest}\n" for digest in [*newest][:_KEPT_OF_A_FORM]]
            _replace(self._beside("forms", form), "".join(lines).encode())
        _replace(self.directory / str(key), _write(record))

    def may_have(self, action: CacheKey) -> bool:
        """Tell whether a record of this action was ever put."""
        return self._beside("actions", action).exists()

    def of_form(self, form: CacheKey) -> Sequence[Digest]:
        """Give the blobs of the last few layers of a form, the newest first; they may be gone."""
        try:
            content = unsealed(self._beside("forms", form).read_bytes(), str(form)) or b""
            return [Digest.parse(line) for line in content.decode("ascii").split()]
        except (OSError, ValueError, InvalidError):
            return []

    def _beside(self, name: str, key: CacheKey) -> Path:
        return self.directory.with_name(name) / str(key)

    def records(self) -> Iterator[tuple[Path, Record]]:
        """Give every readable record and its file, in no order."""
        for path in self.paths():
            if (record := self._read(path.name)) is not None:
                yield path, record

    def paths(self) -> list[Path]:
        """Give the files of all records, readable or not."""
        try:
            return [self.directory / name for name in os.listdir(self.directory) if not name.startswith(TEMPORARY)]
        except FileNotFoundError:
            return []

    def _read(self, name: str) -> Record | None:
        try:
            content = unsealed((self.directory / name).read_bytes(), name)
            return _read(content) if content is not None else None
        except (OSError, InvalidError):
            return None

    def blobs(self) -> set[Digest]:
        """Give the digests of all blobs that a record needs."""
        return {blob.digest for _, record in self.records() for blob in record.blobs.values()}


@frozen
class WriteOnlyCache:
    """Remembers for later builds and finds nothing for this one: ``--no-cache``."""

    cache: LocalCache

    def get(self, key: CacheKey) -> Record | None:  # noqa: ARG002 - the protocol's
        """Find nothing."""
        return None

    def put(self, key: CacheKey, record: Record, action: CacheKey | None = None, form: CacheKey | None = None) -> None:
        """Remember a record."""
        self.cache.put(key, record, action, form)

    def may_have(self, action: CacheKey) -> bool:  # noqa: ARG002 - the protocol's
        """Say no: nothing will be found."""
        return False

    def of_form(self, form: CacheKey) -> Sequence[Digest]:  # noqa: ARG002 - the protocol's
        """Find nothing: every file is to be read."""
        return []


def _replace(path: Path, content: bytes) -> None:
    replace_file(path, sealed(content, path.name), temporary_beside(path))


def _read(content: bytes) -> Record:
    source = parse_object(content, "cache record")
    blobs = {}
    for i, each in enumerate(require(source, list, "blobs", "record")):
        descriptor = Descriptor.from_json(each, f"record.blobs[{i}]")
        compression = layer_compression(descriptor.media_type)
        if compression is None:
            raise InvalidError(f"record.blobs[{i}] is of type {descriptor.media_type!r}, which is no layer")
        blobs[compression] = descriptor
    diff_id = Digest.parse(require(source, str, "diff_id", "record"))
    return Record(diff_id, require(source, str, "created", "record"), blobs)


def _write(record: Record) -> bytes:
    document: dict[str, Any] = {
        "diff_id": str(record.diff_id),
        "created": record.created,
        "blobs": [blob.to_json() for blob in record.blobs.values()],
    }
    return dump(document)
