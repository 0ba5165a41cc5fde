"""Readers of JSON: manifests, indexes, configs, records, credentials, answers of registries."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, NoReturn

from builder.cache.local import _read as read_record
from layers.archive.oci import read_index
from layers.config import ImageConfig
from layers.errors import LayersError, NotFoundError
from layers.model import IndexManifest, Manifest

if TYPE_CHECKING:
    from layers.digest import Digest


class _Nothing:
    """Content that has no blob."""

    def open(self, digest: Digest, size: int | None = None) -> NoReturn:
        raise NotFoundError(f"there is no {digest} of {size} bytes")


def document(content: bytes) -> None:
    """Read a document as each kind that there is; what is read is written in a form that is read as the same."""
    for kind in (Manifest, IndexManifest, ImageConfig):
        with contextlib.suppress(LayersError):
            found = kind.from_bytes(content)
            assert found == kind.from_bytes(found.to_bytes())
    with contextlib.suppress(LayersError):
        read_index(_Nothing(), content)
    read_record(content)
