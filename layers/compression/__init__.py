"""Compress and decompress layers: none, gzip (RFC 1952), zstd (RFC 8878).

Writing is deterministic: the same bytes, compression and level give the same compressed bytes, whatever the number of
threads or processors. Reading finds the compression from the first bytes.

Spec: image-spec/layer.md, "+gzip Media Types" and "+zstd Media Types".
"""

from layers.compression.read import ArchiveCompression, Bounds, open_reader, read_ahead, sniff
from layers.compression.write import Block, BlockWriter, Compressed, Seconds

__all__ = [
    "ArchiveCompression",
    "Block",
    "BlockWriter",
    "Bounds",
    "Compressed",
    "Seconds",
    "open_reader",
    "read_ahead",
    "sniff",
]
