"""What makes compressed blocks of plain ones, and back: the same bytes of the same bytes, wherever they are made."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from layers.errors import ChangesetError, InvalidError
from layers.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Callable

    from layers.mediatype import Compression

    Buffer = bytes | memoryview
    Code = Callable[[Buffer], Buffer]

_GZIP = 31
"""What zlib and its kin call a window of 32 KiB in a gzip member."""
_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
_STORED = struct.Struct("<BHH")
_TRAILER = struct.Struct("<II")
_STORED_MAX = 65535
_ZSTD_WINDOW = 23
"""8 MiB: the largest that every reader is to support (RFC 8878, 3.1.1.1.2)."""
_TASTE = 4096
_TASTES = 4
_BITE = 64 * 1024
"""Two of gzip's windows: what repeats itself within one shows in it."""


@frozen
class Codec:
    """Compresses blocks and decompresses them, in one thread."""

    name: str
    """The format, the level, and the library with its version."""
    pack: Code
    unpack: Code
    """Raises ChangesetError where there is no block of this format."""
    again: Callable[[], Codec] | None = None

    def fresh(self) -> Codec:
        """Give the same codec for another thread."""
        return self.again() if self.again is not None else self


def codec_of(compression: Compression, level: int | None, warn: Callable[[str], None] | None) -> Codec:
    """Give what compresses; see ``BlockWriter`` for the levels.

    Raises:
        InvalidError: there is no such level.
    """
    if compression == "none":
        return Codec("none", _same, _same)
    lowest, highest, default = (0, 9, 2) if compression == "gzip" else (1, 22, 3)
    level = default if level is None else level
    if not lowest <= level <= highest:
        raise InvalidError(f"{compression} has no level {level}", hint=f"its levels are {lowest} to {highest}")
    return _gzip(level, warn) if compression == "gzip" else _zstd(level)


def _same(data: Buffer) -> Buffer:
    return data


def _gzip(level: int, warn: Callable[[str], None] | None) -> Codec:
    if 1 <= level <= 3:
        try:
            return _igzip(level)
        except ImportError:
            if warn is not None:
                warn("isal is not installed: gzip is slower, and layers have other digests than with it")
    import zlib  # noqa: PLC0415  # start-up time: only where it is used

    def compress(data: Buffer) -> bytes:
        return zlib.compress(data, level, _GZIP)

    def decompress(data: Buffer) -> bytes:
        try:
            return zlib.decompress(data, _GZIP)
        except zlib.error as error:
            raise ChangesetError(f"a gzip block is corrupt: {error}") from error

    return Codec(f"gzip {level} zlib {zlib.ZLIB_RUNTIME_VERSION}", _sparing(compress, zlib.crc32), decompress)


def _igzip(level: int) -> Codec:
    import isal  # noqa: PLC0415  # start-up time, and there may be no wheel
    from isal import isal_zlib  # noqa: PLC0415  # as above

    def compress(data: Buffer) -> bytes:
        return isal_zlib.compress(data, level, _GZIP)

    def decompress(data: Buffer) -> bytes:
        try:
            return isal_zlib.decompress(data, _GZIP)
        except isal_zlib.error as error:  # type: ignore[misc]  # the stub gives it no base
            raise ChangesetError(f"a gzip block is corrupt: {error}") from error

    return Codec(f"gzip {level} isal {isal.__version__}", _sparing(compress, isal_zlib.crc32), decompress)


def _sparing(compress: Callable[[Buffer], bytes], crc32: Callable[[Buffer], int]) -> Code:
    """Compress only what becomes smaller; the rest is stored as it is, at ten times the speed."""

    def pack(data: Buffer) -> bytes:
        return _stored(data, crc32(data)) if _is_dense(data, compress) else compress(data)

    return pack


def _is_dense(data: Buffer, compress: Callable[[Buffer], bytes]) -> bool:
    """Tell whether samples of a block do not become smaller: first short ones from all over, then a long one."""
    size = len(data)
    if size < 2 * _BITE:
        return False
    step = size // _TASTES
    taste = b"".join([data[at : at + _TASTE] for at in range(0, step * _TASTES, step)])
    if len(compress(taste)) < len(taste):
        return False
    middle = size // 2
    return len(compress(data[middle : middle + _BITE])) >= _BITE


def _stored(data: Buffer, crc: int) -> bytes:
    """Give a gzip member of stored blocks (RFC 1951, 3.2.4)."""
    size = len(data)
    parts: list[Buffer] = [_HEADER]
    for at in range(0, size, _STORED_MAX):
        part = data[at : at + _STORED_MAX]
        parts += (_STORED.pack(at + _STORED_MAX >= size, len(part), len(part) ^ 0xFFFF), part)
    parts.append(_TRAILER.pack(crc, size & 0xFFFFFFFF))
    return b"".join(parts)


def _zstd(level: int) -> Codec:
    import zstandard  # noqa: PLC0415  # start-up time: only where it is used

    # What a block repeats of its own beginning is found; smaller inputs get smaller windows by themselves.
    parameters = zstandard.ZstdCompressionParameters(compression_level=level, window_log=_ZSTD_WINDOW)
    compressor = zstandard.ZstdCompressor(compression_params=parameters)
    decompressor = zstandard.ZstdDecompressor()

    def decompress(data: Buffer) -> bytes:
        try:
            return decompressor.decompress(data)
        except zstandard.ZstdError as error:
            raise ChangesetError(f"a zstd block is corrupt: {error}") from error

    version = ".".join(map(str, zstandard.ZSTD_VERSION))
    return Codec(f"zstd {level} libzstd {version}", compressor.compress, decompress, lambda: _zstd(level))
