"""``type=local`` and ``type=tar``: the image's file system, as files or as one tar."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import IO, TYPE_CHECKING

from builder.errors import ExportError
from builder.export.archive import whole_file
from layers.changeset.apply import apply
from layers.changeset.write import write_layer
from layers.compression import open_reader
from layers.frozen import frozen
from layers.store.merged import MergedFiles

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from builder.export.exporter import Output
    from layers.changeset.entry import Entry
    from layers.image import Image
    from layers.reference import Reference
    from layers.store.trees import Trees


@frozen
class LocalExporter:
    """Unpacks the image's files into a directory; they belong to the user who builds."""

    output: Output
    warn: Callable[[str], None]
    """Told of what this user may not make: devices, and attributes of files."""
    title: str = "exporting to client directory"

    def export(self, image: Image, names: Sequence[Reference]) -> None:  # noqa: ARG002 - files have no image names
        """Unpack all layers, one over the other."""
        directory = Path(self.output.destination)
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ExportError(f"cannot make {directory}: {error.strerror}") from error
        for layer in image.layers:
            with layer.open() as blob, open_reader(blob) as content:
                apply(content, directory, same_owner=False, skipped=self._left_out)

    def _left_out(self, entry: Entry, error: OSError) -> None:
        self.warn(f"/{entry.path.decode('utf-8', 'replace')} is left out or incomplete: {error.strerror}")


@frozen
class TarExporter:
    """Writes the image's files as one tar, with their owners."""

    output: Output
    trees: Trees
    scratch: Path
    stream: IO[bytes]
    """Where ``dest=-`` goes."""
    title: str = "exporting to client tarball"

    def export(self, image: Image, names: Sequence[Reference]) -> None:  # noqa: ARG002 - files have no image names
        """Write the merged tree."""
        changes = MergedFiles(self.trees, image.layers, self.scratch).walk(b"")
        with contextlib.ExitStack() as stack:
            sink = self.stream
            if self.output.destination not in {"", "-"}:
                sink = stack.enter_context(whole_file(Path(self.output.destination)))
            write_layer(changes, sink, "none")
