"""What a manifest must be before it gets a name: readable to all that reads the store, and complete."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from layers import mediatype
from layers.config import ImageConfig
from layers.errors import InvalidError, NotFoundError, VerificationError
from layers.frozen import frozen
from layers.image import read_document
from layers.jsonread import get, parse_object
from layers.model import Descriptor, IndexManifest, Manifest
from layers.serving.catalogue import subject_of
from layers.serving.refusal import RefusalError, bad_manifest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from layers.digest import Digest
    from layers.platform import Platform
    from layers.store.layout import Layout

_MAX_LISTED = 1000
"""Images that an index may lead to, each counted as often as it is listed."""
_MAX_NESTING = 3
"""Indexes in indexes; who reads the store goes one deeper."""


@frozen
class Pushed:
    """A manifest that was found good."""

    media_type: str
    platform: Platform | None
    subject: Digest | None
    needs: frozenset[Digest]
    """The blobs and manifests that it names."""
    lists: frozenset[Digest]
    """Of an index, the manifests, also those of its indexes."""


def check(layout: Layout, content: bytes, content_type: str) -> Pushed:
    """Find a manifest or index good: of a known type, and with all that it names here.

    Raises:
        RefusalError: it is not.
    """
    try:
        source = parse_object(content, "the manifest")
        media_type = _media_type(get(source, str, "mediaType", "manifest") or "", content_type, "manifests" in source)
        if source.get("schemaVersion") != 2:
            raise bad_manifest("the manifest's schemaVersion is not 2")
        subject = subject_of(source)
        digest = subject.digest if subject else None
        if "manifests" in source:
            lists: dict[Digest, _Tree] = {}
            _check_index(layout, IndexManifest.from_bytes(content), lists)
            return Pushed(media_type, None, digest, frozenset(lists), frozenset(lists))
        manifest = Manifest.from_bytes(content)
        platform = _check_manifest(layout, manifest)
        needs = frozenset(each.digest for each in (manifest.config, *manifest.layers))
        return Pushed(media_type, platform, digest, needs, frozenset())
    except (InvalidError, VerificationError) as error:
        raise bad_manifest(str(error)) from None


def _media_type(said: str, header: str, is_index: bool) -> str:  # noqa: FBT001 - one of three facts
    header = header.partition(";")[0].strip()
    if said and header and said != header:
        raise bad_manifest(f"the manifest is of type {said[:160]!r}, and the request says {header[:160]!r}")
    given = said or header or (mediatype.OCI_INDEX if is_index else mediatype.OCI_MANIFEST)
    if given not in (mediatype.INDEXES if is_index else mediatype.MANIFESTS):
        raise bad_manifest(f"type {given[:160]!r} is not one of {'an index' if is_index else 'a manifest'}")
    return given


def _check_manifest(layout: Layout, manifest: Manifest) -> Platform | None:
    """Find everything of a manifest here, and give the platform of an image; None of an artifact."""
    layers = [each for each in manifest.layers if not (each.urls and mediatype.is_elsewhere(each.media_type))]
    _check_present(layout, (manifest.config, *layers))
    content = read_document(layout.blobs, manifest.config)
    if manifest.config.media_type not in mediatype.CONFIGS:
        return None
    config = ImageConfig.from_bytes(content)
    if len(config.diff_ids) != len(manifest.layers):
        message = f"the manifest has {len(manifest.layers)} layers and the config {len(config.diff_ids)} diff_ids"
        raise bad_manifest(message)
    return config.platform


class _Tree(NamedTuple):
    """What an index leads to."""

    images: int
    """Each counted as often as it is listed."""
    height: int


def _check_index(layout: Layout, index: IndexManifest, known: dict[Digest, _Tree], depth: int = 0) -> _Tree:
    """Find everything that an index leads to here; ``known`` is what has been looked at, and grows."""
    if depth > _MAX_NESTING:
        raise bad_manifest(f"indexes are nested more than {_MAX_NESTING} deep")
    _check_present(layout, index.manifests)
    images, height = 0, 0
    for each in index.manifests:
        if each.digest not in known:
            known[each.digest] = _check_listed(layout, each, known, depth)
        images += known[each.digest].images
        height = max(height, known[each.digest].height + 1)
        if images > _MAX_LISTED:
            raise bad_manifest(f"the index leads to more than {_MAX_LISTED} images")
    if depth + height > _MAX_NESTING + 1:
        raise bad_manifest(f"indexes are nested more than {_MAX_NESTING} deep")
    return _Tree(images, height)


def _check_listed(layout: Layout, descriptor: Descriptor, known: dict[Digest, _Tree], depth: int) -> _Tree:
    content = read_document(layout.blobs, descriptor)
    if "manifests" in parse_object(content, f"manifest {descriptor.digest}"):
        return _check_index(layout, IndexManifest.from_bytes(content), known, depth + 1)
    _check_manifest(layout, Manifest.from_bytes(content))
    return _Tree(1, 0)


def _check_present(layout: Layout, descriptors: Iterable[Descriptor]) -> None:
    for each in descriptors:
        if layout.blobs.has(each.digest, each.size):
            continue
        try:
            size = layout.blobs.size(each.digest)
        except NotFoundError:
            raise RefusalError(404, "MANIFEST_BLOB_UNKNOWN", f"{each.digest} has not been pushed") from None
        raise bad_manifest(f"{each.digest} has {size} bytes, and not the {each.size} that the manifest says")
