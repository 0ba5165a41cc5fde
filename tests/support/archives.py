"""Archives of images as others write them."""

from __future__ import annotations

import io
import json
import tarfile
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from layers.image import Image


def tar_with(files: Mapping[str, bytes | str]) -> bytes:
    """Give a tar of these files; a value that is a str is the target of a symlink."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            if isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content
                tar.addfile(info)
            else:
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def old_docker_save(image: Image, layers: Sequence[bytes], tags: Sequence[str] | None) -> dict[str, bytes | str]:
    """Give the files that ``docker save`` before version 25 writes; a layer that was there before is a symlink.

    Args:
        image: its config is what is saved; its manifest is not.
        layers: what goes into the files ``layer.tar``, oldest first.
        tags: the names; None for an image saved by its id.
    """
    files: dict[str, bytes | str] = {}
    written: dict[bytes, str] = {}
    paths = []
    for i, layer in enumerate(layers):
        path = f"{i:064x}/layer.tar"
        files[f"{i:064x}/VERSION"] = b"1.0"
        files[f"{i:064x}/json"] = json.dumps({"id": f"{i:064x}"}).encode()
        files[path] = f"../{written[layer]}" if layer in written else layer
        written.setdefault(layer, path)
        paths.append(path)
    config = f"{image.id.encoded}.json"
    manifest: list[dict[str, Any]] = [{"Config": config, "RepoTags": tags, "Layers": paths}]
    return {**files, config: image.config_bytes, "manifest.json": json.dumps(manifest).encode()}
