"""An image in the form that an output asks for: other media types, layers compressed another way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layers import mutate
from layers.mediatype import layer_compression
from layers.store.recompress import recompressed

if TYPE_CHECKING:
    from builder.export.exporter import Output
    from layers.image import Image
    from layers.store.layout import Layout


def converted(image: Image, output: Output, layout: Layout, written: str) -> Image:
    """Give the image as the output wants it.

    Args:
        image: the image as it was built.
        output: what is asked for.
        layout: where layers that are compressed anew are kept.
        written: how the build compressed its own layers; they are left alone where the output wants the same.
    """
    wanted = output.compression
    if wanted is not None and (output.force_compression or wanted != written):
        layers = tuple(
            each
            if layer_compression(each.descriptor.media_type) == wanted
            else recompressed(layout, each, wanted, output.level)
            for each in image.layers
        )
        image = mutate.assemble(image.config, layers, annotations=image.manifest.annotations)
    return image if output.oci_media_types else mutate.to_docker(image)
