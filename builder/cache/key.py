"""What a step depends on, as one digest: content and meaning, never time."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from layers.digest import Digest
from layers.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping

_VERSION = 1
"""Raised when the meaning of a key or of a record changes, so that old ones are no longer found."""


@frozen
class CacheKey:
    """The name of a step with all that it depends on."""

    digest: Digest

    def __str__(self) -> str:
        return self.digest.encoded


def cache_key(kind: str, parent: Digest | None, meaning: Mapping[str, Any]) -> CacheKey:
    """Give the key of a step.

    Args:
        kind: the instruction's name.
        parent: the chain id of the layers below; None where the step does not depend on them.
        meaning: all else that the result depends on, as JSON values.
    """
    document = {"version": _VERSION, "kind": kind, "parent": str(parent or ""), "meaning": meaning}
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return CacheKey(Digest.of(text.encode()))
