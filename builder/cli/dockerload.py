"""``--load``: into the Docker of this machine, through ``docker load``."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from builder.errors import ExportError
from layers.archive import docker
from layers.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from layers.image import Image
    from layers.mediatype import Compression
    from layers.reference import Reference
    from layers.store.layout import Layout


@frozen
class DockerLoad:
    """Pipes a tarball into ``docker load``."""

    layout: Layout
    written: Compression
    title: str = "importing to docker"

    def export(self, image: Image, names: Sequence[Reference]) -> None:
        """Load the image.

        Raises:
            ExportError: there is no docker, or it refuses.
        """
        try:
            process = subprocess.Popen(
                ["docker", "load", "--quiet"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
            )
        except OSError as error:
            hint = "install Docker's command line, or write a tarball with -o type=docker,dest=FILE"
            raise ExportError(f"cannot run docker: {error.strerror}", hint=hint) from error
        assert process.stdin is not None
        assert process.stderr is not None
        with process:
            try:
                docker.write([(image, names)], process.stdin)
                process.stdin.close()
            except BrokenPipeError:  # docker says why
                pass
            said = process.stderr.read().decode(errors="replace").strip()
        if process.returncode:
            raise ExportError(f"docker load failed: {said}")
