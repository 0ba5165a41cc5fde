"""``type=image``: into the local store, under its names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layers.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from builder.export.exporter import Output
    from layers.image import Image
    from layers.reference import Reference
    from layers.store.layout import Layout


@frozen
class StoreExporter:
    """Keeps the image in the store."""

    layout: Layout
    outputs: Sequence[Output] = ()
    """Those of type ``image``, which may have names of their own."""
    title: str = "exporting to image"

    def export(self, image: Image, names: Sequence[Reference]) -> None:
        """Store the manifest and config, and let the names lead to it; without a name it is kept by its id."""
        descriptor = self.layout.put(image)
        given = dict.fromkeys([*names, *(name for output in self.outputs for name in output.named(()))])
        for name in given:
            self.layout.tag(name, descriptor)
        if not given:
            self.layout.keep(descriptor)
