"""Documents into images: which kind a document is, and an Image or Index that fetches the rest when asked.

Spec: image-spec/manifest.md, image-index.md; distribution-spec/spec.md, "Pulling manifests".
"""

from __future__ import annotations

from dataclasses import field, replace
from typing import TYPE_CHECKING, Self

from layers import mediatype
from layers.digest import Digest
from layers.errors import InvalidError, VerificationError
from layers.frozen import frozen
from layers.image import Image, Index, check_layers
from layers.jsonread import MAX_DOCUMENT, get, parse_object
from layers.model import Descriptor
from layers.registry.response import clean

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from layers.image import Held, Reader
    from layers.registry.repository import Repository

_MAX_DEPTH = 8
_SCHEMA_1 = frozenset({mediatype.DOCKER_MANIFEST_V1, mediatype.DOCKER_MANIFEST_V1_SIGNED})


@frozen
class Document:
    """A manifest or an index as a registry stores it."""

    content: bytes
    media_type: str

    @classmethod
    def read(cls, content: bytes, content_type: str, where: str) -> Self:
        """Tell what a document is, by what it says of itself and by its ``Content-Type``.

        Raises:
            InvalidError: no JSON, Docker's schema 1, or the two contradict each other: a document that is read as
                an index by one and as a manifest by another is an attack (CVE-2021-41190).
        """
        source = parse_object(content, where)
        said = content_type.partition(";")[0].strip().lower()
        inside = get(source, str, "mediaType", where) or ""
        if source.get("schemaVersion") == 1 or said in _SCHEMA_1:
            hint = "push the image again with a builder of this decade"
            raise InvalidError(f"{where} has Docker's schema 1, which is read no more", hint=hint)
        is_index, is_manifest = "manifests" in source, "layers" in source or "config" in source
        known = mediatype.INDEXES | mediatype.MANIFESTS
        if inside and said in known and inside != said:
            raise InvalidError(f"{where} is {clean(inside, 120)!r} and was sent as {said!r}")
        media_type = inside or (said if said in known else "")
        media_type = media_type or (mediatype.OCI_INDEX if is_index else mediatype.OCI_MANIFEST)
        if is_index == is_manifest or media_type not in known or is_index != (media_type in mediatype.INDEXES):
            raise InvalidError(f"{where} is no image manifest and no index ({clean(media_type, 120)!r})")
        return cls(content, media_type)

    @property
    def descriptor(self) -> Descriptor:
        return Descriptor(self.media_type, Digest.of(self.content), len(self.content))


@frozen
class RemoteLayer:
    """A layer in a registry; each ``open`` fetches it."""

    repository: Repository
    descriptor: Descriptor
    diff_id: Digest
    report: Callable[[int], None] | None = field(default=None, compare=False)
    """Told the bytes read so far."""

    def open(self) -> AbstractContextManager[Reader]:
        """Open the compressed bytes; see :meth:`Repository.open_blob`."""
        return self.repository.open_blob(self.descriptor, self.report)

    def open_after(self, held: Held) -> AbstractContextManager[Reader]:
        """Open the bytes that follow those held; see :meth:`Repository.open_blob`."""
        return self.repository.open_blob(self.descriptor, self.report, held)


def assemble(repository: Repository, document: Document, depth: int = 0, *, runnable: bool = True) -> Image | Index:
    """Give the Image or the Index of a document.

    ``runnable`` asks for layers that are file systems; attestations in an index have others, and are only carried.
    """
    if document.media_type not in mediatype.INDEXES:
        return _image(repository, document, runnable=runnable)
    if depth >= _MAX_DEPTH:
        raise InvalidError(f"indexes are nested more than {_MAX_DEPTH} deep")

    def load(descriptor: Descriptor) -> Image | Index:
        found = repository.document(descriptor.digest)
        if len(found.content) != descriptor.size:
            what = f"manifest {descriptor.digest} has another size"
            raise VerificationError(what, expected=descriptor.size, actual=len(found.content))
        unknown = descriptor.platform is not None and descriptor.platform.os == "unknown"
        return assemble(repository, found, depth + 1, runnable=not unknown)

    return Index(document.content, load)


def _image(repository: Repository, document: Document, *, runnable: bool) -> Image:
    bare = Image(document.content, b"", ())
    config = bare.manifest.config
    if config.size > MAX_DOCUMENT:
        raise InvalidError(f"the config {config.digest} has {config.size} bytes, more than the {MAX_DOCUMENT} allowed")
    with repository.open_blob(config) as source:
        image = replace(bare, config_bytes=source.read())
    if runnable:
        check_layers(image.manifest, image.config)
    descriptors, diff_ids = image.manifest.layers, image.config.diff_ids
    if len(descriptors) != len(diff_ids):
        diff_ids = tuple(each.digest for each in descriptors)  # no layers but files: nothing to uncompress
    layers = (RemoteLayer(repository, each, diff_id) for each, diff_id in zip(descriptors, diff_ids, strict=True))
    return replace(image, layers=tuple(layers))
