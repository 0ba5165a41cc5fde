"""``type=image``: into the local store, under its names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from layers.image import Image
    from layers.reference import Reference
    from layers.store.layout import Layout


@dataclass(frozen=True, slots=True)
class StoreExporter:
    """Keeps the image in the store."""

    layout: Layout
    title: str = "exporting to image"

    def export(self, image: Image, names: Sequence[Reference]) -> None:
        """Store the manifest and config, and let the names lead to it; without a name it is kept by its id."""
        descriptor = self.layout.put(image)
        for name in names:
            self.layout.tag(name, descriptor)
        if not names:
            self.layout.keep(descriptor)
