"""What is remembered of a step, and who remembers."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Protocol

from layers.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from builder.cache.key import CacheKey
    from layers.digest import Digest
    from layers.mediatype import Compression
    from layers.model import Descriptor


@frozen
class Record:
    """The layer that a step made."""

    diff_id: Digest
    created: str
    """When the layer was made: RFC 3339."""
    blobs: Mapping[Compression, Descriptor] = field(default_factory=dict)
    """The layer's blob in each compression in which it was written."""


class Cache(Protocol):
    """Remembers the layers of steps."""

    def get(self, key: CacheKey) -> Record | None:
        """Give what was put under this key; None where nothing was, or it cannot be read."""

    def put(self, key: CacheKey, record: Record, action: CacheKey | None = None, form: CacheKey | None = None) -> None:
        """Remember a record, in place of an older one, that there is one of ``action``, and its layer by ``form``."""

    def may_have(self, action: CacheKey) -> bool:
        """Tell whether there may be a record of an action, whatever files it was of; no is sure, yes is not.

        An action is a step without the content of its files: where there is no record, no key need be found out.
        """

    def of_form(self, form: CacheKey) -> Sequence[Digest]:
        """Give the blobs of the last few layers that steps of a form have made, the newest first.

        A form is what is written of a step, whatever it lies on and whatever its files are: layers of one form have
        much in common.
        """
