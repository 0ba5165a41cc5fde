"""``pybuild import``: an image of one layer from the tar of a root file system."""

from __future__ import annotations

import contextlib
import sys
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import typer

from builder.cli import common as opt
from builder.cli.changes import changed
from builder.cli.environment import Environment
from builder.errors import BuildError
from builder.execute.times import rfc3339
from layers import mutate
from layers.config import History, ImageConfig
from layers.errors import LayersError
from layers.mediatype import layer_type
from layers.model import Descriptor
from layers.platform import Platform
from layers.reference import Reference

if TYPE_CHECKING:
    from collections.abc import Iterator

    from layers.image import BlobLayer
    from layers.store.layout import Layout

_CHUNK = 1 << 20


def import_(
    source: Annotated[str, typer.Argument(metavar="FILE|URL|-", help="A tar, compressed or not.")],
    name: Annotated[str, typer.Argument(metavar="[REPOSITORY[:TAG]]", help="What to call the image.")] = "",
    changes: Annotated[
        list[str] | None, typer.Option("-c", "--change", metavar="INSTRUCTION", help="CMD, ENV, LABEL ...: repeatable.")
    ] = None,
    message: Annotated[str, typer.Option("-m", "--message", help="The comment in the image's history.")] = "",
    platform: opt.PlatformName = "",
    root: opt.Root = "",
) -> None:
    """Make an image from the tar of a root file system.

    Example: pybuild import -c 'CMD ["/bin/sh"]' rootfs.tar.gz app:base
    """
    from layers.store.trees import Trees  # noqa: PLC0415 - what --help does not need

    reference = Reference.parse(name) if name else None
    if reference is not None and reference.digest is not None:
        raise BuildError(f"an imported image cannot be called {name}", hint="give it a tag, not a digest")
    config = changed(changes or ())
    environment = Environment(root=Path(root) if root else None)
    layout = environment.layout()
    wanted = Platform.parse(platform) if platform else Platform.host()
    with layout.using(), _opened(source, environment) as stream:
        shown = "standard input" if source == "-" else source
        try:
            layer = _stored(layout, stream)
        except LayersError as error:
            raise BuildError(f"cannot import {shown}: {error.message}", hint=error.hint) from error
        try:
            Trees(layout).index(layer)  # that it can be read, every entry of it
        except LayersError as error:
            layout.blobs.delete(layer.descriptor.digest)
            raise BuildError(f"cannot import {shown}: {error.message}", hint=error.hint) from error
        now = rfc3339(time.time())
        entry = History(created=now, comment=message or f"Imported from {source}")
        document = ImageConfig(wanted, config, history=(entry,), created=now)
        image = mutate.assemble(document, [layer])
        descriptor = layout.put(image)
        if reference is None:
            layout.keep(descriptor)
        else:
            layout.tag(reference, descriptor)
    print(image.id)


def _stored(layout: Layout, stream: IO[bytes]) -> BlobLayer:
    """Write a tar as a layer, compressed by gzip whatever it was."""
    from layers.compression import BlockWriter, open_reader  # noqa: PLC0415 - what --help does not need

    with layout.blobs.write(hashing=False) as blob:
        with open_reader(stream) as tar, BlockWriter(blob, "gzip") as writer:
            while data := tar.read(_CHUNK):
                writer.write(data)
        written = writer.close()
        blob.commit(written.digest, written.size)
    return layout.layer(Descriptor(layer_type("gzip"), written.digest, written.size), written.diff_id)


@contextlib.contextmanager
def _opened(source: str, environment: Environment) -> Iterator[IO[bytes]]:
    """Open what is to be imported.

    Raises:
        BuildError: it cannot be read or downloaded.
    """
    if source == "-":
        if sys.stdin.isatty():
            raise BuildError("nothing to import on standard input", hint="name a file, or pipe a tar into this")
        yield sys.stdin.buffer
        return
    with contextlib.ExitStack() as stack:
        path = Path(source)
        if source.startswith(("http://", "https://")):
            path = _downloaded(source, environment, stack)
        try:
            file = stack.enter_context(path.open("rb"))
        except OSError as error:
            raise BuildError(f"cannot read {source}: {error.strerror}") from error
        yield file


def _downloaded(url: str, environment: Environment, stack: contextlib.ExitStack) -> Path:
    import functools  # noqa: PLC0415 - seldom

    from builder.cli.fetch import requester  # noqa: PLC0415 - only where something is downloaded
    from layers.registry.settings import proxy_for  # noqa: PLC0415 - likewise
    from layers.store.scratch import scratch_directory  # noqa: PLC0415 - likewise

    settings = environment.registry_settings()
    scratch = stack.enter_context(scratch_directory(environment.store / "tmp"))
    found = requester(scratch, functools.partial(proxy_for, settings), settings.ca_file)(url, {})
    assert found is not None  # nothing was asked of the server that it could answer with "unchanged"
    return found.path
