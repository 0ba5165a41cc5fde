"""Open an archive of images, whoever wrote it: Docker, BuildKit, podman, skopeo, kaniko or this project."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from layers.archive import docker, oci
from layers.archive.members import Members
from layers.compression import open_reader, sniff
from layers.errors import ChangesetError, InvalidError, LayersError, NotFoundError, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_CHUNK = 1 << 20
_MAX_RATIO = 2000


@contextmanager
def open_images(source: Path | IO[bytes], workdir: Path) -> Iterator[Sequence[oci.Archived]]:
    """Give the images in a tar, in a compressed tar, or in the directory of an OCI layout.

    Layers are read from where they lie, as long as the ``with`` block lasts. A tar that is compressed, or comes as a
    stream, is first written to a file in ``workdir`` that vanishes with the block.

    Raises:
        NotFoundError: there is no such file, or a part of the archive is missing.
        InvalidError: this is no archive of images, or a document in it breaks its schema.
        ChangesetError: this is no tar, or it is corrupt.
        LimitError: it has more files, or decompresses to more, than any archive of images does.
        VerificationError: a document is not what it is called.
        StoreError: ``workdir`` has no room.
    """
    if isinstance(source, Path) and source.is_dir():
        yield oci.read_layout(source)
        return
    with _plain(source, workdir) as path:
        name = str(source) if isinstance(source, Path) else "the archive"
        try:
            members = Members(path, name)
        except ChangesetError as error:
            hint = "what can be read is what docker save, podman save or skopeo copy write"
            raise type(error)(f"cannot read {name}: {error.message}", hint=error.hint or hint) from error
        with members:
            yield _read(members)


def _read(members: Members) -> list[oci.Archived]:
    # a layout has the digests that the images have in a registry; manifest.json has none
    if "index.json" in members and "oci-layout" in members:
        return oci.read_index(members, members.document("index.json"))
    if "manifest.json" in members:
        return docker.read(members)
    if "repositories" in members:
        raise InvalidError(
            f"{members.name} was written by a Docker older than 1.10 and has no manifest.json",
            hint="load it with that Docker, and save it with a newer one",
        )
    hint = "a root file system is made an image by import, not by load"
    raise InvalidError(f"{members.name} has neither index.json nor manifest.json: it holds no images", hint=hint)


@contextmanager
def _plain(source: Path | IO[bytes], workdir: Path) -> Iterator[Path]:
    """Give the path of the uncompressed tar."""
    if not isinstance(source, Path):
        with _unpacked(source, workdir) as path:
            yield path
        return
    try:
        file = source.open("rb")
    except OSError as error:
        raise NotFoundError(f"cannot read {source}: {error.strerror}") from None
    with file:
        if sniff(file.read(16)) == "none":
            yield source
            return
        file.seek(0)
        with _unpacked(file, workdir) as path:
            yield path


@contextmanager
def _unpacked(stream: IO[bytes], workdir: Path) -> Iterator[Path]:
    """Write the stream, decompressed, to a file that vanishes in the end."""
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        target = tempfile.NamedTemporaryFile(dir=workdir, prefix="archive-")  # noqa: SIM115 - closed below
    except OSError as error:
        raise StoreError(f"cannot write to {workdir}: {error.strerror}") from error
    with target:
        with open_reader(stream, max_ratio=_MAX_RATIO) as reader:
            try:
                while data := reader.read(_CHUNK):
                    target.write(data)
                target.flush()
            except LayersError:
                raise
            except OSError as error:
                raise StoreError(f"cannot unpack the archive in {workdir}: {error.strerror}") from error
        yield Path(target.name)
