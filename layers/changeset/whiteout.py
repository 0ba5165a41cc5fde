"""Whiteouts: the names in a layer that hide paths of the layers below it.

Spec: image-spec/layer.md, "Whiteouts" and "Opaque Whiteout".
"""

from __future__ import annotations

from typing import Literal

from layers.errors import ChangesetError

PREFIX = b".wh."
OPAQUE = b".wh..wh..opq"
_META = b".wh..wh."

Marker = Literal["whiteout", "opaque", "ignored"]


def marker_of(path: bytes) -> bytes:
    """Give the path of the whiteout that hides ``path``."""
    parent, slash, name = path.rpartition(b"/")
    return parent + slash + PREFIX + name


def read_marker(path: bytes) -> tuple[Marker, bytes] | None:
    """Tell what an entry of this path means for lower layers; None for an ordinary entry.

    Gives ``("whiteout", path that is hidden)``, ``("opaque", directory whose lower content is hidden)``, or
    ``("ignored", path)`` for other names that begin with ``.wh..wh.``: AUFS's own records.

    Raises:
        ChangesetError: the whiteout names no path: ``.wh.``, ``.wh..`` or ``.wh...``.
    """
    if PREFIX not in path:
        return None
    parent, slash, name = path.rpartition(b"/")
    if name == OPAQUE:
        return "opaque", parent
    if path.startswith(_META) or b"/" + _META in path:
        return "ignored", path
    if not name.startswith(PREFIX):
        return None
    hidden = name[len(PREFIX) :]
    if hidden in {b"", b".", b".."}:
        raise ChangesetError(f"a whiteout names no path: {path!r}")
    return "whiteout", parent + slash + hidden
