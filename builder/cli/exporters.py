"""From outputs to those who bring an image there."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from builder.events import Warned
from builder.export.store import StoreExporter
from layers.frozen import frozen
from layers.store.trees import Trees

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from builder.events import Listener
    from builder.export.exporter import Exporter, Output
    from layers.mediatype import Compression
    from layers.registry.client import Client
    from layers.store.layout import Layout


@frozen
class Ends:
    """What exporters work with."""

    layout: Layout
    scratch: Path
    client: Callable[[], Client]
    written: Compression
    """How the build compresses its layers."""
    listener: Listener


def exporters(outputs: Sequence[Output], ends: Ends, *, load: bool) -> list[Exporter]:
    """Give what the image goes through: the store always, then each output in order, Docker last."""
    found: list[Exporter] = [StoreExporter(ends.layout, [each for each in outputs if each.kind == "image"])]
    for output in outputs:
        found += _of(output, ends)
    if load:
        from builder.cli.dockerload import DockerLoad  # noqa: PLC0415 - only where it is asked for

        found.append(DockerLoad(ends.layout, ends.written))
    return found


def _of(output: Output, ends: Ends) -> list[Exporter]:
    stream = sys.stdout.buffer
    match output.kind:
        case "image" | "registry":
            from builder.export.registry import RegistryExporter  # noqa: PLC0415 - only where something is pushed

            return [RegistryExporter(output, ends.layout, ends.written, ends.client)] if output.push else []
        case "docker" | "oci":
            from builder.export.archive import ArchiveExporter  # noqa: PLC0415

            return [ArchiveExporter(output, ends.layout, ends.written, stream)]
        case "local":
            from builder.export.directory import LocalExporter  # noqa: PLC0415

            return [LocalExporter(output, lambda text: ends.listener(Warned("LocalOutput", text)))]
        case "tar":
            from builder.export.directory import TarExporter  # noqa: PLC0415

            return [TarExporter(output, Trees(ends.layout), ends.scratch, stream)]
