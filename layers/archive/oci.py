"""Images in an OCI image layout, which is a tar or a directory: written and read.

Spec: image-spec/image-layout.md.
"""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO
from typing import IO, TYPE_CHECKING, NamedTuple, cast

from layers.archive.container import TarWriter
from layers.archive.contents import CONTAINERD_NAME, LAYOUT, REF_NAME, blob_path, blobs, index_of
from layers.digest import VerifyingReader
from layers.errors import InvalidError, NotFoundError, StoreError, VerificationError
from layers.image import Image, Index, load
from layers.jsonread import MAX_DOCUMENT
from layers.model import IndexManifest
from layers.reference import Reference

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path
    from typing import BinaryIO

    from layers.digest import Digest
    from layers.image import Content


class Archived(NamedTuple):
    """One image or index of an archive, and what it is called there."""

    source: Image | Index
    names: tuple[Reference, ...]
    labels: tuple[str, ...]
    """The names as they are written; ``latest`` alone is no name of an image and only stands here."""


def write(
    images: Sequence[tuple[Image | Index, Sequence[Reference]]],
    sink: IO[bytes],
    *,
    beside: Mapping[str, bytes] | None = None,
) -> None:
    """Write images and their names, each blob once; ``beside`` are small files to add at the top.

    The same images give the same bytes. Nothing is held in memory but documents, and the sink need not be seekable.

    Raises:
        InvalidError: a name has the digest of something else.
        NotFoundError: an index lists an image that is not at hand, or a layer's content is gone.
        VerificationError: content is not what was promised.
    """
    content = blobs([source for source, _ in images])
    writer = TarWriter(sink)
    top = {"oci-layout": LAYOUT, "index.json": index_of(images).to_bytes(), **(beside or {})}
    for name, document in top.items():
        writer.file(name, document)
    writer.directory("blobs")
    for algorithm in sorted({blob.digest.algorithm for blob in content}):
        writer.directory(f"blobs/{algorithm}")
    for blob in content:
        writer.blob(blob)
    writer.close()


def write_layout(images: Sequence[tuple[Image | Index, Sequence[Reference]]], directory: Path) -> None:
    """Write images and their names into the layout in a directory, which is made where there is none.

    Entries of the same names are replaced, and images without a name take the place of those without one; all others
    stay, and no blob is deleted. Blobs come first and ``index.json`` last, each whole or not at all.

    Raises:
        InvalidError: a name has the digest of something else, or the ``index.json`` that is there is none.
        NotFoundError: an index lists an image that is not at hand, or a layer's content is gone.
        VerificationError: content is not what was promised.
        StoreError: the disk refuses.
    """
    try:
        for blob in blobs([source for source, _ in images]):
            path = directory / blob.path
            if not (path.is_file() and path.stat().st_size == blob.size):
                path.parent.mkdir(parents=True, exist_ok=True)
                with _replacing(path) as file:
                    blob.copy(file.write)
        new = index_of(images).manifests
        names = {each.annotations.get(REF_NAME, "") for each in new}
        index = IndexManifest(())
        if (directory / "index.json").exists():
            index = IndexManifest.from_bytes(_read_file(directory / "index.json"))
        kept = tuple(each for each in index.manifests if each.annotations.get(REF_NAME, "") not in names)
        for name, content in {
            "oci-layout": LAYOUT,
            "index.json": replace(index, manifests=kept + new).to_bytes(),
        }.items():
            with _replacing(directory / name) as file:
                file.write(content)
    except OSError as error:
        raise StoreError(f"cannot write the layout in {directory}: {error.strerror}") from error


@contextmanager
def _replacing(path: Path) -> Iterator[IO[bytes]]:
    """Write a file that takes the place of another at the end of the block."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            yield file
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def read_index(content: Content, index: bytes) -> list[Archived]:
    """Give what an ``index.json`` lists, each image once, in its order.

    Raises:
        InvalidError: a document breaks its schema.
        NotFoundError: a document is not there.
        VerificationError: a document is not what its descriptor promised.
    """
    found: dict[Digest, Archived] = {}
    for descriptor in IndexManifest.from_bytes(index).manifests:
        if descriptor.digest not in found:
            found[descriptor.digest] = Archived(load(content, descriptor), (), ())
        source, names, labels = found[descriptor.digest]
        full, label = (descriptor.annotations.get(key, "") for key in (CONTAINERD_NAME, REF_NAME))
        name = _name(full or label)
        names += (name,) if name and name not in names else ()
        labels += tuple(dict.fromkeys(each for each in (label, full) if each and each not in labels))
        found[descriptor.digest] = Archived(source, names, labels)
    return list(found.values())


def _name(text: str) -> Reference | None:
    """Read a name as Docker does; a word alone is a tag, as BuildKit writes it, and names no image."""
    if not any(each in text for each in "/:@"):
        return None
    try:
        return Reference.parse(text)
    except InvalidError:
        return None


def read_layout(directory: Path) -> list[Archived]:
    """Give the images of a layout in a directory; layers are read from there when they are opened.

    Raises:
        NotFoundError: this is no layout, or a document is not there.
        InvalidError: a document breaks its schema.
        VerificationError: a document is not what its descriptor promised.
    """
    if not (directory / "oci-layout").is_file():
        raise NotFoundError(f"{directory} is no OCI image layout: it has no file oci-layout")
    if not (directory / "index.json").is_file():
        raise NotFoundError(f"{directory} is no OCI image layout: it has no file index.json")
    try:
        index = _read_file(directory / "index.json")
    except OSError as error:
        raise NotFoundError(f"cannot read {directory / 'index.json'}: {error.strerror}") from None
    return read_index(DirectoryContent(directory), index)


def _read_file(path: Path) -> bytes:
    """Read a document, and of one that is too large no more than shows it.

    No more is read than its size either: a pipe would never end, and nor would some files of /proc, which have none.
    """
    size = _size(path)
    with path.open("rb") as file:
        return file.read(min(size, MAX_DOCUMENT + 1))


def _size(path: Path) -> int:
    """Give the size of a file, or of what a link leads to.

    Raises:
        NotFoundError: it is a pipe, a device or a directory.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise NotFoundError(f"{path} is no file")
    return status.st_size


class DirectoryContent:
    """The blobs of a layout in a directory that is somebody else's; it is only read."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def open(self, digest: Digest, size: int | None = None) -> VerifyingReader:
        """Open a blob, as :meth:`layers.image.Content.open` does."""
        path = self._directory / blob_path(digest)
        try:
            actual = _size(path)
            file = path.open("rb", buffering=0) if actual else BytesIO()  # see _read_file
        except OSError as error:
            raise NotFoundError(f"cannot read blob {path}: {error.strerror}") from None
        if size is not None and size != actual:
            file.close()
            raise VerificationError(f"blob {path} has another size", expected=size, actual=actual)
        return VerifyingReader(cast("BinaryIO", file), digest, actual, what=f"blob in {self._directory}")
