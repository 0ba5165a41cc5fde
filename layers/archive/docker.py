"""Images in the tar that ``docker load`` takes and ``docker save`` gives.

What is written is an OCI image layout with Docker's ``manifest.json`` beside it, as BuildKit and Docker since 25 write
it: old and new engines, containerd and podman each find what they look for.

Spec: moby/docker-image-spec v1.1, "Combined Image JSON + Filesystem Changeset Format".
"""

from __future__ import annotations

import hashlib
import re
from typing import IO, TYPE_CHECKING, Any, cast

from layers import mediatype
from layers.archive import oci
from layers.archive.contents import blob_path
from layers.compression import open_reader, sniff
from layers.config import ImageConfig
from layers.digest import Digest, HashingReader
from layers.errors import InvalidError, NotFoundError, VerificationError
from layers.frozen import frozen
from layers.image import Image, Index
from layers.jsonread import dump, parse_objects, require, strings
from layers.model import Descriptor, Manifest
from layers.platform import Platform
from layers.reference import Reference

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import BinaryIO

    from layers.archive.members import Members, Place
    from layers.digest import VerifyingReader


def write(images: Sequence[tuple[Image | Index, Sequence[Reference]]], sink: IO[bytes]) -> None:
    """Write images and their names, each blob once.

    Of an index, ``manifest.json`` has the image for this machine, since an engine that reads that file knows no
    others. Layers are written as they are: Docker before 23 cannot read those compressed with zstd.

    Raises:
        InvalidError: a name has the digest of something else.
        NotFoundError: an index lists an image that is not at hand, or a layer's content is gone.
        VerificationError: content is not what was promised.
    """
    entries: list[dict[str, Any]] = []
    for source, names in images:
        image = _for_this_machine(source)
        if image is not None:
            entries.append(
                {
                    "Config": blob_path(image.manifest.config.digest),
                    "RepoTags": [name.familiar for name in names if name.tag and not name.digest] or None,
                    "Layers": [blob_path(layer.descriptor.digest) for layer in image.layers],
                }
            )
    oci.write(images, sink, beside={"manifest.json": dump(entries)})


def _for_this_machine(source: Image | Index) -> Image | None:
    if not isinstance(source, Index):
        return source
    try:
        return source.image(Platform.host())
    except NotFoundError:
        return None


@frozen
class _MemberLayer:
    """A layer that lies in an archive under a name of its own."""

    members: Members
    place: Place
    descriptor: Descriptor
    diff_id: Digest

    def open(self) -> VerifyingReader:
        return self.members.open_at(self.place, self.descriptor.digest)


def read(members: Members) -> list[oci.Archived]:
    """Give the images that ``manifest.json`` lists; the manifest of each is made anew, with OCI's media types.

    Raises:
        InvalidError: a document breaks its schema, or a layer is compressed in a way that no image may have.
        NotFoundError: a file is not there.
        VerificationError: the config or a compressed layer is not what it is called; a layer that is not compressed
            is verified when it is read.
    """
    where = f"manifest.json in {members.name}"
    found: dict[Digest, oci.Archived] = {}
    for i, entry in enumerate(parse_objects(members.document("manifest.json"), where)):
        image = _read_image(members, entry, f"{where}[{i}]")
        names = tuple(Reference.parse(each) for each in strings(entry, "RepoTags", f"{where}[{i}]") or ())
        before = found[image.id].names if image.id in found else ()
        names = tuple(dict.fromkeys(before + names))
        found[image.id] = oci.Archived(image, names, tuple(map(str, names)))
    return list(found.values())


def _read_image(members: Members, entry: dict[str, Any], where: str) -> Image:
    name = require(entry, str, "Config", where)
    content = members.document(name)
    if (named := re.search(r"([0-9a-f]{64})(?:\.json)?$", name)) and named[1] != Digest.of(content).encoded:
        raise VerificationError(f"config {name} has other content", expected=named[1], actual=Digest.of(content))
    config = ImageConfig.from_bytes(content)
    files = strings(entry, "Layers", where) or ()
    if len(files) != len(config.diff_ids):
        raise InvalidError(f"{where} has {len(files)} layers and its config {len(config.diff_ids)} diff_ids")
    layers = tuple(_read_layer(members, file, diff_id) for file, diff_id in zip(files, config.diff_ids, strict=True))
    descriptor = Descriptor(mediatype.OCI_CONFIG, Digest.of(content), len(content))
    manifest = Manifest(descriptor, tuple(layer.descriptor for layer in layers))
    return Image(manifest.to_bytes(), content, layers)


def _read_layer(members: Members, name: str, diff_id: Digest) -> _MemberLayer:
    """Give a layer; one that is compressed has to be read for its digest, and its diff_id is checked on the way."""
    place = members.place(name)
    compression = sniff(members.section(place).read(16))
    if compression == "none":
        return _MemberLayer(members, place, Descriptor(mediatype.OCI_LAYER, diff_id, place.size), diff_id)
    if compression not in {"gzip", "zstd"}:
        raise InvalidError(f"layer {name} in {members.name} is compressed with {compression}, which no image may be")
    media_type = mediatype.layer_type(cast("mediatype.Compression", compression))
    compressed = HashingReader(cast("BinaryIO", members.section(place)))
    content = hashlib.new(diff_id.algorithm)
    with open_reader(cast("IO[bytes]", compressed)) as reader:
        while data := reader.read(1 << 20):
            content.update(data)
    while compressed.read(1 << 20):
        pass
    if content.hexdigest() != diff_id.encoded:
        raise VerificationError(f"layer {name} in {members.name}", expected=diff_id, actual=content.hexdigest())
    return _MemberLayer(members, place, Descriptor(media_type, compressed.digest, place.size), diff_id)
