"""``type=registry`` and ``--push``: to where the names lead."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.errors import ExportError
from builder.export.convert import converted
from layers.frozen import frozen
from layers.registry.transfer import push

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from builder.export.exporter import Output
    from layers.image import Image
    from layers.mediatype import Compression
    from layers.reference import Reference
    from layers.registry.client import Client
    from layers.store.layout import Layout


@frozen
class RegistryExporter:
    """Pushes the image under each of its names."""

    output: Output
    layout: Layout
    written: Compression
    """How the build compressed its layers."""
    client: Callable[[], Client]
    title: str = "pushing to registry"

    def export(self, image: Image, names: Sequence[Reference]) -> None:
        """Push blobs that are not there yet, then the manifest under each name.

        Raises:
            ExportError: there is no name to push to.
            RegistryError: a registry refuses or cannot be reached.
        """
        names = self.output.named(names)
        if not names:
            raise ExportError("there is no name to push to", hint="give the image one with -t REGISTRY/NAME:TAG")
        image = converted(image, self.output, self.layout, self.written)
        client = self.client()
        for name in names:
            push(image, name, client=client)
