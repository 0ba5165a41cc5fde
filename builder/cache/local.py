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
        try:
            return _read((self.directory / str(key)).read_bytes())
        except (OSError, InvalidError):
            return None

    def put(self, key: CacheKey, record: Record, action: CacheKey | None = None, form: CacheKey | None = None) -> None:
        """Remember a record: written aside and renamed, so that no reader sees half of it."""
        if action is not None:
            self._beside("actions", action).parent.mkdir(parents=True, exist_ok=True)
            self._beside("actions", action).touch()
        if form is not None:
            newest = dict.fromkeys([*(blob.digest for blob in record.blobs.values()), *self.of_form(form)])
            lines = [f"{digest}\n" for digest in [*newest][:_KEPT_OF_A_FORM]]
            _write_aside(self._beside("forms", form), "".join(lines).encode())
        _write_aside(self.directory / str(key), _write(record))

    def may_have(self, action: CacheKey) -> bool:
        """Tell whether a record of this action was ever put."""
        return self._beside("actions", action).exists()

    def of_form(self, form: CacheKey) -> Sequence[Digest]:
        """Give the blobs of the last few layers of a form, the newest first; they may be gone."""
        try:
            return [Digest.parse(line) for line in self._beside("forms", form).read_text("ascii").split()]
        except (OSError, ValueError, InvalidError):
            return []

    def _beside(self, name: str, key: CacheKey) -> Path:
        return self.directory.with_name(name) / str(key)

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

    def put(self, key: CacheKey, record: Record, action: CacheKey | None = None, form: CacheKey | None = None) -> None:
        """Remember a record."""
        self.cache.put(key, record, action, form)

    def may_have(self, action: CacheKey) -> bool:  # noqa: ARG002 - the protocol's
        """Say no: nothing will be found."""
        return False

    def of_form(self, form: CacheKey) -> Sequence[Digest]:  # noqa: ARG002 - the protocol's
        """Find nothing: every file is to be read."""
        return []


def _write_aside(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".tmp-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        os.rename(name, path)
    except BaseException:
        os.unlink(name)
        raise


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
