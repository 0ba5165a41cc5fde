"""``type=docker`` and ``type=oci``: one file, or an OCI layout as a directory."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import IO, TYPE_CHECKING

from builder.errors import ExportError
from builder.export.convert import converted
from layers.archive import docker, oci
from layers.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from builder.export.exporter import Output
    from layers.image import Image
    from layers.mediatype import Compression
    from layers.reference import Reference
    from layers.store.layout import Layout


@frozen
class ArchiveExporter:
    """Writes a tarball for ``docker load``, which is an OCI archive as well, or an OCI archive alone."""

    output: Output
    layout: Layout
    written: Compression
    """How the build compressed its layers."""
    stream: IO[bytes]
    """Where ``dest=-`` goes."""

    @property
    def title(self) -> str:
        """What progress calls it."""
        return f"exporting to {self.output.kind} image format"

    def export(self, image: Image, names: Sequence[Reference]) -> None:
        """Write the archive; the file appears whole, or not at all."""
        image, names = converted(image, self.output, self.layout, self.written), self.output.named(names)
        if not self.output.archive:
            oci.write_layout([(image, names)], Path(self.output.destination))
            return
        write = docker.write if self.output.kind == "docker" else oci.write
        with self._sink() as sink:
            write([(image, names)], sink)

    @contextlib.contextmanager
    def _sink(self) -> Iterator[IO[bytes]]:
        if self.output.destination in {"", "-"}:
            yield self.stream
            self.stream.flush()
            return
        with whole_file(Path(self.output.destination)) as file:
            yield file


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """Write a file under another name beside it, which takes its own name at the end of the ``with`` block.

    Raises:
        ExportError: it cannot be written.
    """
    if path.exists() and not path.is_file():  # a pipe or a device is written to as it is
        with open(path, "wb") as file:
            yield file
        return
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            yield file
        os.replace(temporary, path)
    except OSError as error:
        raise ExportError(f"cannot write {path}: {error.strerror}") from error
    finally:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
