"""``pybuild save`` and ``load``: images in one tarball."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, cast

import typer

from builder.cli import common as opt
from builder.cli.environment import Environment
from builder.cli.stored import complete, open_layout, present, rename
from builder.errors import BuildError
from layers.errors import BusyError, InvalidError, LayersError, NotFoundError
from layers.image import Image, Index, check_layers
from layers.platform import Platform
from layers.reference import Reference

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from layers.archive.checked import CheckedLayer
    from layers.archive.oci import Archived
    from layers.digest import Digest
    from layers.image import Layer
    from layers.mediatype import Compression
    from layers.store.layout import Layout

_FORMATS = ("docker", "oci")
_COMPRESSIONS = ("none", "gzip", "zstd")
_SUFFIXES: dict[str, Compression] = {".gz": "gzip", ".tgz": "gzip", ".zst": "zstd", ".tzst": "zstd"}

_RECOMPRESSED = "layers of zstd are saved as gzip, which every docker load can read; --format oci keeps them"


def save(
    names: Annotated[list[str], typer.Argument(metavar="IMAGE...", help="Names or ids.")],
    output: Annotated[str, typer.Option("-o", "--output", metavar="FILE", help="Not to standard output.")] = "",
    form: Annotated[
        str, typer.Option("--format", help="docker: for every docker load, and an OCI layout as well; oci: that alone.")
    ] = "docker",
    compress: Annotated[
        str, typer.Option("--compress", help="none, gzip or zstd; otherwise as the file's name says.")
    ] = "",
    platform: opt.PlatformName = "",
    root: opt.Root = "",
) -> None:
    """Write images to a tar archive.

    Example: pybuild save -o app.tar app:1.0 app:dev
    """
    from builder.cli.engines import loadable  # noqa: PLC0415 - load needs other parts
    from layers.archive import docker, oci  # noqa: PLC0415 - likewise
    from layers.store.layout import Layout  # noqa: PLC0415 - likewise
    from layers.store.scratch import scratch_directory  # noqa: PLC0415 - likewise

    opt.one_of("--format", form, _FORMATS)
    compression = opt.one_of("--compress", compress or _SUFFIXES.get(Path(output).suffix, "none"), _COMPRESSIONS)
    if output in {"", "-"} and sys.stdout.isatty():
        raise BuildError("will not write an archive to a terminal", hint="name a file with -o, or redirect the output")
    layout = open_layout(root)
    with layout.using(), scratch_directory(layout.root / "tmp") as scratch:
        found = _chosen(layout, names, Platform.parse(platform) if platform else None)
        write = docker.write if form == "docker" else oci.write
        if form == "docker":
            ready = [(loadable(each, Layout(scratch)), known) for each, known in found]
            if any(new.digest != old.digest for (new, _), (old, _) in zip(ready, found, strict=True)):
                print(_RECOMPRESSED, file=sys.stderr)
            found = ready
        with _sink(output, cast("Compression", compression)) as sink:
            write(found, sink)


def _chosen(
    layout: Layout, texts: Sequence[str], platform: Platform | None
) -> list[tuple[Image | Index, list[Reference]]]:
    """Give what these names and ids mean, each image once, with the names that it is saved under."""
    found: dict[Digest, tuple[Image | Index, list[Reference]]] = {}
    for text in texts:
        for digest, name in _meant(layout, text):
            if digest not in found:
                source = layout.image(digest, platform) if platform else whole(layout, layout.get(digest), text)
                found[digest] = (source, [])
            if name is not None and name not in found[digest][1]:
                found[digest][1].append(name)
    return list(found.values())


def _meant(layout: Layout, text: str) -> list[tuple[Digest, Reference | None]]:
    """Give the images that a text means: a name without a tag means all tags of it, as Docker's does."""
    with contextlib.suppress(InvalidError):
        name = Reference.parse_name(text)
        if not name.tag and name.digest is None:
            tags = [(each.digest, known) for known, each in layout.names() if known.name == name.name and known.tag]
            if tags:
                return [(digest, known) for digest, known in tags]
    match = layout.resolve(text)
    tagged = match.reference is not None and bool(match.reference.tag)
    return [(match.descriptor.digest, match.reference if tagged else None)]


def whole(layout: Layout, found: Image | Index, text: str) -> Image | Index:
    """Give an image with all that belongs to it; of an index that was pulled in part, what is here.

    Raises:
        NotFoundError: a layer is not here.
    """
    if isinstance(found, Image):
        if not complete(layout, found):
            raise NotFoundError(
                f"{text} is not complete: a layer is not in the store", hint=f"pull it: pybuild pull {text}"
            )
        return found
    here = [image for image in present(found, Platform.host()) if complete(layout, image)]
    if not here:
        raise NotFoundError(f"no image of {text} is complete", hint="pull it: pybuild pull")
    digests = {image.digest for image in here}
    if digests >= {each.digest for each in found.manifest.manifests}:
        return found
    return here[0] if len(here) == 1 else reduced(found, digests)


def reduced(index: Index, digests: set[Digest]) -> Index:
    """Give the index with only these of its images."""
    from dataclasses import replace  # noqa: PLC0415 - seldom

    kept = tuple(each for each in index.manifest.manifests if each.digest in digests)
    return Index(replace(index.manifest, manifests=kept).to_bytes(), index.load)


@contextlib.contextmanager
def _sink(output: str, compression: Compression) -> Iterator[IO[bytes]]:
    """Give where the archive goes; a file appears whole, or not at all."""
    from builder.export.archive import whole_file  # noqa: PLC0415 - load needs other parts
    from layers.compression import BlockWriter  # noqa: PLC0415 - likewise

    with contextlib.ExitStack() as stack:
        sink = sys.stdout.buffer if output in {"", "-"} else stack.enter_context(whole_file(Path(output)))
        if compression == "none":
            yield sink
        else:
            with BlockWriter(sink, compression) as writer:
                yield cast("IO[bytes]", writer)
        sink.flush()


def load(
    source: Annotated[str, typer.Option("-i", "--input", metavar="FILE", help="Not from standard input.")] = "",
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Print nothing but the names.")] = False,
    platform: opt.PlatformName = "",
    root: opt.Root = "",
) -> None:
    """Load images from a tar archive, as docker save, podman save, skopeo or BuildKit wrote it.

    Example: pybuild load -i app.tar.gz
    """
    from layers.archive.read import open_images  # noqa: PLC0415 - save needs other parts

    del quiet  # there is no more to print
    if source in {"", "-"} and sys.stdin.isatty():
        raise BuildError("nothing to load on standard input", hint="name the archive with -i")
    environment = Environment(root=Path(root) if root else None)
    layout = environment.layout()
    wanted = [Platform.parse(platform)] if platform else None
    archive = sys.stdin.buffer if source in {"", "-"} else Path(source)
    with _all_or_nothing(layout), layout.using(), open_images(archive, environment.store / "tmp") as archived:
        if not archived:
            raise InvalidError(f"{source or 'the archive'} holds no image")
        check = _Check(layout)
        stored = [(each, layout.put(check.image(each), platforms=wanted)) for each in archived]
        for each, descriptor in stored:
            for name in each.names:
                rename(layout, name, descriptor)
                print(f"Loaded image: {name.familiar}")
            if not each.names:
                layout.keep(descriptor)
                id_ = each.source.id if isinstance(each.source, Image) else descriptor.digest
                print(f"Loaded image ID: {id_}")


@contextlib.contextmanager
def _all_or_nothing(layout: Layout) -> Iterator[None]:
    """Delete what was stored where the block fails; beside others who use the store, leave that to the next prune."""
    before = set(layout.blobs.list())
    try:
        yield
    except LayersError:
        from builder.cli.prune import collect  # noqa: PLC0415 - seldom

        with contextlib.suppress(BusyError):
            collect(layout, keep=before)
        raise


class _Check:
    """Holds the layers of an archive against the diff_ids of their images."""

    def __init__(self, layout: Layout) -> None:
        from layers.store.trees import Trees  # noqa: PLC0415 - save needs other parts

        self._blobs = layout.blobs
        self._trees = Trees(layout)
        self._seen: set[tuple[Digest, Digest]] = set()

    def image(self, archived: Archived) -> Image | Index:
        """Give an image whose layers check themselves as they are stored; those that need not be, now.

        Raises:
            InvalidError: the manifest and the config do not name the same layers.
            VerificationError: a layer is not what the config says.
        """
        from layers.archive.checked import checked  # noqa: PLC0415 - save needs other parts

        if isinstance(archived.source, Image):
            check_layers(archived.source.manifest, archived.source.config)
        return checked(archived.source, self._layer)

    def _layer(self, layer: CheckedLayer) -> Layer:
        digest = layer.descriptor.digest
        stands_for = (digest, layer.diff_id)
        known = any(digest == each for each, _ in self._seen)
        if stands_for not in self._seen and (known or self._blobs.has(digest, layer.descriptor.size)):
            if self._trees.has(layer):
                self._trees.index(layer)  # it was looked through before: that is compared
            else:
                layer.verify()
        self._seen.add(stands_for)
        return layer
