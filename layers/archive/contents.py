"""What an archive of images has to hold: their blobs, each once, and an index of their names."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from layers.compression import read_ahead
from layers.digest import Digest
from layers.errors import InvalidError, VerificationError
from layers.image import Image
from layers.model import Descriptor, IndexManifest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from layers.image import Index, Layer
    from layers.reference import Reference

REF_NAME = "org.opencontainers.image.ref.name"
CONTAINERD_NAME = "io.containerd.image.name"
_CHUNK = 1 << 20
LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'


class Blob(NamedTuple):
    """One blob to be written."""

    digest: Digest
    size: int
    content: bytes | Layer

    @property
    def path(self) -> str:
        """Where the blob is in a layout."""
        return blob_path(self.digest)

    def copy(self, write: Callable[[bytes], object]) -> None:
        """Write the content, verified as it is read.

        Raises:
            NotFoundError: a layer's content is gone.
            VerificationError: it is not what was promised; what was written so far is spoilt.
        """
        if isinstance(self.content, bytes):
            write(self.content)
            return
        copied = 0
        # what is read is hashed as well: both go on beside the writing
        with (
            self.content.open() as reader,
            closing(read_ahead(iter(lambda: reader.read(_CHUNK), b""))) as chunks,
        ):
            for data in chunks:
                write(data)
                copied += len(data)
        if copied != self.size:
            raise VerificationError(f"layer {self.digest} has another size", expected=self.size, actual=copied)


def blob_path(digest: Digest) -> str:
    """Give the path of a blob in a layout. Spec: image-layout.md, "Blobs"."""
    return f"blobs/{digest.algorithm}/{digest.encoded}"


def blobs(sources: Sequence[Image | Index]) -> list[Blob]:
    """Give the blobs of images and indexes, each once, in the order in which they are first needed.

    Raises:
        NotFoundError: an index lists an image that is not at hand.
        VerificationError: a document is not what it is listed as.
    """
    found: dict[Digest, Blob] = {}
    for source in sources:
        for blob in _blobs(source, source.digest):
            found.setdefault(blob.digest, blob)
    return list(found.values())


def _blobs(source: Image | Index, digest: Digest) -> Iterator[Blob]:
    if isinstance(source, Image):
        yield _document(source.manifest_bytes, digest)
        yield _document(source.config_bytes, source.manifest.config.digest)
        for layer in source.layers:
            yield Blob(layer.descriptor.digest, layer.descriptor.size, layer)
        return
    yield _document(source.raw, digest)
    for child in source.manifest.manifests:
        yield from _blobs(source.load(child), child.digest)


def _document(content: bytes, digest: Digest) -> Blob:
    actual = Digest.of(content, digest.algorithm)
    if actual != digest:
        raise VerificationError("a document has other content", expected=digest, actual=actual)
    return Blob(digest, len(content), content)


def index_of(images: Sequence[tuple[Image | Index, Sequence[Reference]]]) -> IndexManifest:
    """Give the ``index.json`` of images and their names; one without a name is listed once.

    Raises:
        InvalidError: a name has the digest of something else.
    """
    descriptors: list[Descriptor] = []
    for source, names in images:
        for name in names:
            if name.digest not in {None, source.digest}:
                raise InvalidError(f"{name} cannot be the name of {source.digest}")
        annotations: list[Mapping[str, str]] = [{CONTAINERD_NAME: str(name), REF_NAME: str(name)} for name in names]
        descriptors += [replace(source.descriptor, annotations=each) for each in annotations or [{}]]
    return IndexManifest(tuple(descriptors))
