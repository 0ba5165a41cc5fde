"""Layers whose content is held against the config's diff_ids while their compressed bytes pass.

Digests say that an archive's blobs are what its manifest lists; only this says that they are what its config, and so
the image's id, stands for. Spec: image-spec/config.md, "rootfs"; layers of Docker's own format are checked when such
an archive is opened.
"""

from __future__ import annotations

import hashlib
import threading
from contextlib import contextmanager
from queue import SimpleQueue
from typing import TYPE_CHECKING

from layers import mediatype
from layers.compression import open_reader
from layers.digest import Digest
from layers.errors import LayersError, VerificationError
from layers.frozen import frozen
from layers.image import BlobLayer, Image, Index

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from layers.image import Layer, Reader
    from layers.model import Descriptor

_CHUNK = 1 << 20
_AHEAD = 8
"""Chunks that wait to be unpacked."""


def checked(found: Image | Index, each: Callable[[CheckedLayer], Layer] = lambda layer: layer) -> Image | Index:
    """Give an image, or an index and its images, whose layers check themselves; ``each`` may replace one."""
    if isinstance(found, Index):

        def load(descriptor: Descriptor) -> Image | Index:
            return checked(found.load(descriptor), each)

        return Index(found.raw, load)
    if found.manifest.config.media_type not in mediatype.CONFIGS:
        return found
    layers = tuple(each(CheckedLayer(layer)) if isinstance(layer, BlobLayer) else layer for layer in found.layers)
    return Image(found.manifest_bytes, found.config_bytes, layers)


@frozen
class CheckedLayer:
    """A layer that is unpacked, beside its reader, as it is read."""

    layer: Layer

    @property
    def descriptor(self) -> Descriptor:
        return self.layer.descriptor

    @property
    def diff_id(self) -> Digest:
        return self.layer.diff_id

    @contextmanager
    def open(self) -> Iterator[Reader]:
        """Open the compressed bytes; the last read, which is empty, waits for what they unpack to.

        Raises:
            VerificationError: by the reader, at the end: they are not what was promised, packed or unpacked.
        """
        with self.layer.open() as source:
            check = _Check(source, self.layer)
            try:
                yield check
            finally:
                check.close()

    def verify(self) -> None:
        """Read all of it, and nothing more.

        Raises:
            VerificationError: it is not what was promised, packed or unpacked.
        """
        with self.open() as reader:
            while reader.read(_CHUNK):
                pass


class _Check:
    """Reads on behalf of two: the caller, and a thread that unpacks and hashes."""

    def __init__(self, source: Reader, layer: Layer) -> None:
        self._source = source
        self._layer = layer
        self._waiting: SimpleQueue[bytes] = SimpleQueue()
        self._room = threading.Semaphore(_AHEAD)
        self._over = False
        self._error: LayersError | None = None
        self._actual: Digest | None = None
        self._thread = threading.Thread(target=self._unpack, name="check", daemon=True)
        self._thread.start()

    def read(self, size: int = -1, /) -> bytes:
        if self._over:
            return b""
        data = self._source.read(size)
        self._over = not data
        self._room.acquire()
        self._waiting.put(data)
        if not data:
            self._thread.join()
            self._judge()
        return data

    def _judge(self) -> None:
        what = f"layer {self._layer.descriptor.digest} does not unpack to what its image's config says"
        hint = "whoever made this changed the layer or the config alone: make it anew"
        if self._error is not None:
            raise VerificationError(what, expected=self._layer.diff_id, actual=self._error.message, hint=hint)
        if self._actual != self._layer.diff_id:
            raise VerificationError(what, expected=self._layer.diff_id, actual=self._actual, hint=hint)

    def close(self) -> None:
        """End the thread, also where not all has been read."""
        self._waiting.put(b"")
        self._thread.join()

    def _unpack(self) -> None:
        """Hash what the bytes unpack to; after an error, let the rest pass."""
        packed = _Packed(self._waiting, self._room)
        try:
            unpacked = hashlib.new(self._layer.diff_id.algorithm)
            with open_reader(packed, mediatype.layer_compression(self._layer.descriptor.media_type)) as reader:
                while data := reader.read(_CHUNK):
                    unpacked.update(data)
            self._actual = Digest(self._layer.diff_id.algorithm, unpacked.hexdigest())
        except LayersError as error:
            self._error = error
        finally:
            while packed.read(_CHUNK):
                pass


class _Packed:
    """The bytes that were handed over, as a stream."""

    def __init__(self, waiting: SimpleQueue[bytes], room: threading.Semaphore) -> None:
        self._waiting = waiting
        self._room = room
        self._rest = b""
        self._over = False

    def read(self, size: int = -1, /) -> bytes:
        if not self._rest and not self._over:
            self._rest = self._waiting.get()
            self._room.release()
            self._over = not self._rest
        given = self._rest if size < 0 else self._rest[:size]
        self._rest = self._rest[len(given) :]
        return given
