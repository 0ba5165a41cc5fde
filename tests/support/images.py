"""Small layers and images, made in memory: ``image(layer({"etc/motd": b"hello"}))``."""

from __future__ import annotations

import gzip
import io
import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

import zstandard

from layers import mediatype, mutate
from layers.config import ContainerConfig, History, ImageConfig
from layers.digest import Digest, VerifyingReader
from layers.image import Image, Index, load
from layers.model import Descriptor, IndexManifest
from layers.platform import Platform
from layers.store.blobs import MemoryBlobs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from layers.mediatype import Compression

AMD64 = Platform("linux", "amd64")
ARM64 = Platform("linux", "arm64")


@dataclass(frozen=True)
class MemoryLayer:
    """A layer whose compressed bytes are in memory; ``descriptor`` and ``diff_id`` may lie, for tests of the checks."""

    content: bytes
    descriptor: Descriptor
    diff_id: Digest

    def open(self) -> VerifyingReader:
        return VerifyingReader(io.BytesIO(self.content), self.descriptor.digest, self.descriptor.size)


def tar_of(files: Mapping[str, bytes]) -> bytes:
    """Give a tar of these files; a name that ends in a slash is a directory."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name.rstrip("/"))
            info.size = len(content)
            info.type = tarfile.DIRTYPE if name.endswith("/") else tarfile.REGTYPE
            info.mode = 0o755 if name.endswith("/") else 0o644
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def layer_of_tar(tar: bytes, compression: Compression = "gzip") -> MemoryLayer:
    """Give the layer of an uncompressed tar."""
    if compression == "gzip":
        content = gzip.compress(tar, mtime=0)
    elif compression == "zstd":
        content = zstandard.compress(tar)
    else:
        content = tar
    descriptor = Descriptor(mediatype.layer_type(compression), Digest.of(content), len(content))
    return MemoryLayer(content, descriptor, Digest.of(tar))


def layer(files: Mapping[str, bytes] | None = None, compression: Compression = "gzip") -> MemoryLayer:
    """Give a layer of these files."""
    return layer_of_tar(tar_of({"etc/": b"", "etc/motd": b"hello\n"} if files is None else files), compression)


def image(
    *layers: MemoryLayer,
    platform: Platform = AMD64,
    config: ContainerConfig | None = None,
    media_types: mutate.Family = "oci",
    annotations: Mapping[str, str] | None = None,
) -> Image:
    """Give an image of these layers, oldest first."""
    history = tuple(History(created_by=f"COPY {i} /") for i, _ in enumerate(layers))
    document = ImageConfig(platform, config or ContainerConfig(cmd=("/bin/sh",)), history=history)
    return mutate.assemble(document, layers, media_types=media_types, annotations=annotations)


def index(*images: Image) -> Index:
    """Give an index of these images, kept in memory."""
    blobs = MemoryBlobs()
    for each in images:
        blobs.put(each.manifest_bytes)
        blobs.put(each.config_bytes)
        for part in each.layers:
            with part.open() as reader:
                blobs.put(reader.read())
    manifest = IndexManifest(tuple(each.descriptor for each in images))
    return Index(manifest.to_bytes(), lambda child: load(blobs, child))


def content_of(part: Image) -> list[bytes]:
    """Give the compressed bytes of every layer, verified."""
    result = []
    for each in part.layers:
        with each.open() as reader:
            result.append(reader.read())
    return result
