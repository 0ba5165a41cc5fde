"""Readers of layers: tars, their indexes, compression, and archives of images."""

from __future__ import annotations

import io
import os
import struct
import tempfile
from pathlib import Path

from layers.archive.read import open_images
from layers.changeset.index import dump_index, index_layer, load_index
from layers.changeset.tree import Tree
from layers.compression import open_reader
from layers.digest import Digest

_BLOCK = 512
_MAX_SIZE = 16 << 20
_DIVIDER = b"\n%%\n"


def sealed(content: bytes) -> bytes:
    """Give blocks with the checksums that their headers would have: no fuzzer guesses those.

    An odd last byte leaves the input as it is.
    """
    if content[-1:] and content[-1] & 1:
        return content
    blocks = bytearray(content + bytes(-len(content) % _BLOCK))
    at = 0
    while at < len(blocks):
        if any(blocks[at : at + _BLOCK]):
            blocks[at + 148 : at + 156] = b" " * 8
            blocks[at + 148 : at + 156] = b"%06o\0 " % (sum(blocks[at : at + _BLOCK]) & 0o777777)
        try:
            size = int(blocks[at + 124 : at + 136].split(b"\0")[0] or b"0", 8)
        except ValueError:
            size = 0
        at += _BLOCK + max(0, size + -size % _BLOCK)
    return bytes(blocks)


def tar(content: bytes) -> None:
    """Read a layer, keep its index, and put it on top of itself."""
    index = index_layer(io.BytesIO(sealed(content)))
    assert index == load_index(dump_index(index))
    tree = Tree.empty().apply(index.entries)
    assert len(tree) == len(list(tree.walk())) + (tree.get(b"") is not None)
    for entry in tree.apply(index.entries).walk():
        tree.resolve(entry.path)


def index_file(content: bytes) -> None:
    """Read an index as it lies on disk: damaged, or from another version."""
    index = load_index(content)
    assert index == load_index(dump_index(index))


def compression(content: bytes) -> None:
    """Decompress, in whatever form it is."""
    with open_reader(io.BytesIO(content), max_size=_MAX_SIZE, max_ratio=2000) as reader:
        while reader.read(1 << 20):
            pass


def archive(content: bytes) -> None:
    """Open an archive: parts divided by ``%%``, each a name in the first line and then the file.

    ``@1`` in a document is the digest of the second part, ``#1`` its size: no fuzzer guesses those either.
    """
    parts = [part.partition(b"\n")[::2] for part in content.split(_DIVIDER)[:12]]
    bodies = [body for _, body in parts]
    for number in reversed(range(len(bodies))):
        for known in range(number + 1, len(bodies)):
            bodies[number] = bodies[number].replace(b"@%d" % known, str(Digest.of(bodies[known])).encode())
            bodies[number] = bodies[number].replace(b"#%d" % known, b"%d" % len(bodies[known]))
    names = [_name(name, bodies) for name, _ in parts]
    blocks = b"".join(_member(name, body) for name, body in zip(names, bodies, strict=True))
    file = os.memfd_create("archive")
    try:
        os.write(file, blocks)
        with open_images(Path(f"/proc/self/fd/{file}"), Path(tempfile.gettempdir())) as images:
            for archived in images:
                assert archived.source.digest.encoded
    finally:
        os.close(file)


def _name(name: bytes, bodies: list[bytes]) -> bytes:
    """Give a part's name; ``@3`` is the blob with the digest of the fourth."""
    if name[:1] == b"@" and name[1:].isdigit() and int(name[1:3]) < len(bodies):
        return b"blobs/" + str(Digest.of(bodies[int(name[1:3])])).replace(":", "/").encode()
    return name


def _member(name: bytes, body: bytes) -> bytes:
    kind, slash, link = name.partition(b"->")
    flag = b"2" if slash else b"0"
    size = 0 if slash else len(body)
    form = "100s8s8s8s12s12s8sc100s6s2s247x"
    header = struct.pack(
        form, kind, b"0000644", b"0000000", b"0000000", b"%011o" % size, b"0" * 11, b"", flag, link, b"ustar", b"00"
    )
    return sealed(header + bytes(_BLOCK))[:_BLOCK] + body[:size] + bytes(-size % _BLOCK)
