"""Unpack a base image while it is pulled: each layer as soon as it has arrived, and those behind it come meanwhile."""

from __future__ import annotations

import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from builder.errors import BuildError, CancelledError
from layers.errors import LayersError
from layers.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from layers.digest import Digest
    from layers.image import Image, Layer, Reader
    from layers.model import Descriptor
    from layers.store.layout import Layout

    Unpack = Callable[[list[Layer]], None]

_LOOK = 0.02
"""Seconds between two looks for a blob: others may bring it, too."""


@frozen
class ArrivingLayer:
    """A layer whose blob comes into the store meanwhile."""

    layout: Layout
    descriptor: Descriptor
    diff_id: Digest
    over: threading.Event

    @contextmanager
    def open(self) -> Iterator[Reader]:
        """Open the compressed bytes once they are there.

        Raises:
            CancelledError: they are no longer wanted, while they are waited for or read.
        """
        while not self.layout.blobs.has(self.descriptor.digest, self.descriptor.size):
            self._check(_LOOK)
        with self.layout.layer(self.descriptor, self.diff_id).open() as content:
            yield _Ending(content, self._check)

    def _check(self, seconds: float = 0) -> None:
        if self.over.wait(seconds):
            raise CancelledError("the build has ended")


class _Ending:
    """A reader that ends with the build."""

    def __init__(self, content: Reader, check: Callable[[], None]) -> None:
        self._content = content
        self._check = check

    def read(self, size: int = -1, /) -> bytes:
        self._check()
        return self._content.read(size)


class Arrivals:
    """What unpacks images while they are pulled; ends with its ``with`` block."""

    def __init__(self, layout: Layout, unpack: Unpack) -> None:
        """``unpack`` keeps layers, oldest first, unpacked where it finds them later on."""
        self._layout = layout
        self._unpack = unpack
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []

    def begin(self, image: Image) -> None:
        """Unpack an image whose layers are about to be fetched."""
        layout, over = self._layout, self._over
        layers: list[Layer] = [ArrivingLayer(layout, each.descriptor, each.diff_id, over) for each in image.layers]
        thread = threading.Thread(target=self._run, args=(layers,), name="unpack")
        self._threads.append(thread)
        thread.start()

    def _run(self, layers: list[Layer]) -> None:
        with suppress(BuildError, LayersError, OSError):  # whoever needs the layers unpacked meets it again, and tells
            self._unpack(layers)

    @contextmanager
    def until(self) -> Iterator[None]:
        """Go on as long as the ``with`` block lasts."""
        try:
            yield
        finally:
            self._over.set()
            for thread in self._threads:
                thread.join()
