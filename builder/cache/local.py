"""A cache on this machine: one small file for each key."""

from __future__ import annotations

import os
import tempfile
from typing import TYPE_CHECKING, Any

from builder.cache.cache import Record
from layers.digest import Digest
from layers.errors import InvalidError
from layers.frozen import frozen
from layers.jsonread import dump, parse_object, require
from layers.mediatype import layer_compression
from layers.model import Descriptor

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from builder.cache.key import CacheKey


@frozen
class LocalCache:
    """Records under a directory; a record that cannot be read is as good as none."""

    directory: Path

    def get(self, key: CacheKey) -> Record | None:
        """Give what was put under this key."""
        try:
            return _read((self.directory / str(key)).read_bytes())
        except (OSError, InvalidError):
            return None

    def put(self, key: CacheKey, record: Record, action: CacheKey | None = None) -> None:
        """Remember a record: written aside and renamed, so that no reader sees half of it."""
        self.directory.mkdir(parents=True, exist_ok=True)
        if action is not None:
            self._action(action).parent.mkdir(exist_ok=True)
            self._action(action).touch()
        descriptor, name = tempfile.mkstemp(dir=self.directory, prefix=".tmp-")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(_write(record))
            os.rename(name, self.directory / str(key))
        except BaseException:
            os.unlink(name)
            raise

    def may_have(self, action: CacheKey) -> bool:
        """Tell whether a record of this action was ever put."""
        return self._action(action).exists()

    def _action(self, action: CacheKey) -> Path:
        return self.directory.with_name("actions") / str(action)

    def records(self) -> Iterator[tuple[Path, Record]]:
        """Give every readable record and its file, in no order."""
        try:
            names = os.listdir(self.directory)
        except FileNotFoundError:
            return
        for name in names:
            try:
                yield self.directory / name, _read((self.directory / name).read_bytes())
            except (OSError, InvalidError):
                continue

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

    def put(self, key: CacheKey, record: Record, action: CacheKey | None = None) -> None:
        """Remember a record."""
        self.cache.put(key, record, action)

    def may_have(self, action: CacheKey) -> bool:  # noqa: ARG002 - the protocol's
        """Say no: nothing will be found."""
        return False


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
