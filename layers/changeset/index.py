"""What a layer's tar holds, without its files: kept beside the layer so that nothing has to be unpacked to know it.

Spec: image-spec/layer.md.
"""

from __future__ import annotations

import base64
import json
import sys
from dataclasses import field
from hashlib import sha256
from typing import TYPE_CHECKING, Any, BinaryIO

from layers.changeset import tar
from layers.changeset.columns import Columns, rows
from layers.compression import Block
from layers.errors import InvalidError
from layers.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from layers.changeset.entry import Entry
    from layers.image import Reader

KEPT = frozenset({b"etc/passwd", b"etc/group"})
"""Files whose content an index holds: builders look users up in them."""
KEPT_SIZE = 1024 * 1024
"""Bytes of the largest such file."""

EMPTY = sha256(b"").digest()
"""The digest of a file without content."""

_FORMAT = "pybuild layer index 1"
_CHUNK = 1024 * 1024
_DIGEST_SIZE = 32


@frozen
class LayerIndex:
    """The entries of a layer in its tar's order, whiteouts included, and the content of a few small files."""

    entries: Sequence[Entry]
    contents: Mapping[bytes, bytes] = field(default_factory=dict)
    """By path: those of ``KEPT`` that the layer has."""
    blocks: tuple[Block, ...] = field(default=(), compare=False)
    """The compressed blocks of its blob; none where this program did not write it."""


def index_layer(stream: Reader, limits: tar.Limits = tar.DEFAULT_LIMITS) -> LayerIndex:
    """Read a layer's uncompressed tar to its end and give its index, with the digest of each file's content.

    Raises:
        ChangesetError: this is no tar, or it is corrupt.
        LimitError: more entries, or longer names, than ``limits`` allow.
    """
    entries: list[Entry] = []
    contents: dict[bytes, bytes] = {}
    for entry, member in tar.read(stream, limits):
        if entry.kind == "file":
            if entry.path in KEPT and entry.size <= KEPT_SIZE:
                content = contents[entry.path] = member.read()
                digest = sha256(content).digest()
            elif entry.size <= _CHUNK:
                digest = sha256(member.read()).digest()
            else:
                digest = _digest(member)
            entries.append(entry._replace(digest=digest))
        else:
            entries.append(entry)
    return LayerIndex(entries, contents)


def _digest(member: tar.Member) -> bytes:
    hashed = sha256()
    while data := member.read(_CHUNK):
        hashed.update(data)
    return hashed.digest()


def dump_index(index: LayerIndex) -> bytes:
    """Write an index down: a line of JSON, then columns, so that many thousand entries are read in milliseconds."""
    return b"".join(index_parts(index))


def index_parts(index: LayerIndex) -> list[bytes | memoryview]:
    """Give what :func:`dump_index` gives, in pieces; the columns are those of the index itself."""
    entries = index.entries
    if not isinstance(entries, Columns):
        entries = Columns()
        entries.extend(index.entries)
    columns = entries.parts()
    head = {
        "format": _FORMAT,
        "count": len(entries),
        "columns": [column.nbytes for column in columns],
        "shapes": list(entries.shapes),
        "devices": entries.devices,
        "xattrs": [[number, _to_text(xattrs)] for number, xattrs in entries.xattrs],
        "blocks": [block[:2] for block in index.blocks],
        "known": base64.b64encode(b"".join([block.seal + block.key for block in index.blocks])).decode(),
        "contents": _to_text({path.decode("latin-1"): content for path, content in index.contents.items()}),
    }
    return [json.dumps(head, separators=(",", ":")).encode() + b"\n", *columns]


def load_index(data: bytes) -> LayerIndex:
    """Read what ``dump_index`` wrote.

    Raises:
        InvalidError: this is no index, one of another version, or a damaged one.
    """
    try:
        line, _, rest = data.partition(b"\n")
        head = json.loads(line)
        if head["format"] != _FORMAT:
            raise InvalidError(f"not a layer index of this version: {head['format']!r}")
        return _load(head, rest)
    except (ValueError, KeyError, TypeError, IndexError, StopIteration) as error:
        raise InvalidError(f"the layer index is damaged: {error}") from error


def _load(head: dict[str, Any], rest: bytes) -> LayerIndex:
    columns = []
    if len(rest) != sum(head["columns"]):
        raise ValueError("its columns have another length")
    for length in head["columns"]:
        columns.append(rest[:length])
        rest = rest[length:]
    shapes = [(sys.intern(kind), mode, uid, gid) for kind, mode, uid, gid in head["shapes"]]
    entries = rows(columns, shapes)
    if len(entries) != head["count"]:
        raise ValueError("it has another number of entries")
    for number, major, minor in head["devices"]:
        entries[number] = entries[number]._replace(major=major, minor=minor)
    for number, xattrs in head["xattrs"]:
        entries[number] = entries[number]._replace(xattrs=_from_text(xattrs))
    contents = {path.encode("latin-1"): content for path, content in _from_text(head["contents"]).items()}
    return LayerIndex(entries, contents, _blocks(head))


def read_blocks(file: BinaryIO) -> tuple[Block, ...]:
    """Read no more than the blocks of an index that begins here.

    Raises:
        InvalidError: this is no index, one of another version, or a damaged one.
    """
    try:
        head = json.loads(file.readline())
        return _blocks(head) if head["format"] == _FORMAT else ()
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidError(f"the layer index is damaged: {error}") from error


def _blocks(head: dict[str, Any]) -> tuple[Block, ...]:
    """Give the blocks; without seals and keys where an earlier version has written them, or something else has."""
    known = base64.b64decode(head.get("known", ""))
    size = 2 * _DIGEST_SIZE
    pairs = [(known[at : at + _DIGEST_SIZE], known[at + _DIGEST_SIZE : at + size]) for at in range(0, len(known), size)]
    starts = head.get("blocks", ())
    if len(pairs) != len(starts):
        pairs = [(b"", b"")] * len(starts)
    if not all(isinstance(each, int) for start in starts for each in start):
        raise ValueError("its blocks begin nowhere")
    return tuple(Block(start, packed, *pair) for (start, packed), pair in zip(starts, pairs, strict=True))


def _to_text(values: Mapping[str, bytes]) -> dict[str, str]:
    return {key: base64.b64encode(value).decode() for key, value in values.items()}


def _from_text(values: Mapping[str, str]) -> dict[str, bytes]:
    return {key: base64.b64decode(value) for key, value in values.items()}
