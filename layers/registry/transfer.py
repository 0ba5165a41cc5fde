"""Whole images to and from a registry, blobs side by side.

Spec: distribution-spec/spec.md, "Push": blobs first, then the manifests that name them, the outermost last.
"""

from __future__ import annotations

import threading
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING

from layers import mediatype
from layers.errors import InvalidError
from layers.frozen import frozen
from layers.image import Image, Index
from layers.registry.assemble import RemoteLayer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from layers.digest import Digest
    from layers.image import Layer, Reader
    from layers.model import Descriptor
    from layers.platform import Platform
    from layers.reference import Reference
    from layers.registry.client import Client
    from layers.registry.repository import Name, Repository

    Progress = Callable[[str, int, int], None]

_MAX_DEPTH = 8
_MAX_IMAGES = 1000


def pull(
    reference: Reference, *, client: Client, platform: Platform | None = None, progress: Progress | None = None
) -> Image:
    """Give an image whose layers are fetched as they are opened, each by itself, so several at a time.

    ``progress`` is told a layer's digest, its bytes so far and all of them, by the thread that reads.

    Raises:
        NotFoundError: no such image, or none for the platform.
        InvalidError, VerificationError: the registry's documents are not sound.
        AuthenticationError, RegistryError: the registry refuses or cannot be reached.
    """
    image = client.repository(reference).image(name_of(reference), platform)
    return watched(image, progress) if progress else image


def watched(image: Image, progress: Progress) -> Image:
    """Give the image with layers that tell ``progress`` how far they are read."""
    return replace(image, layers=tuple(_watched(layer, progress) for layer in image.layers))


def _watched(layer: Layer, progress: Progress) -> Layer:
    if not isinstance(layer, RemoteLayer):
        return layer
    digest, size = str(layer.descriptor.digest), layer.descriptor.size
    return replace(layer, report=lambda done: progress(digest, done, size))


def name_of(reference: Reference) -> Name:
    """Give what to ask a repository for: the digest where the reference has one, else its tag."""
    return reference.digest or reference.tag or "latest"


@frozen
class _Blob:
    descriptor: Descriptor
    open: Callable[[], AbstractContextManager[Reader]]
    mount_from: str = ""


def push(
    content: Image | Index,
    reference: Reference,
    *,
    client: Client,
    concurrency: int = 4,
    progress: Progress | None = None,
    mount_from: Reference | None = None,
) -> Descriptor:
    """Bring an image, or an index with all of its images, to a registry, and give its descriptor there.

    Blobs go ``concurrency`` at a time, configs after the layers, manifests last; what is there already, or can be
    mounted from another repository of that registry, is not sent. ``mount_from`` names a repository that may have
    the layers: the base image's. ``progress`` is told a blob's digest, its bytes so far and all of them, by the
    thread that sends.

    Raises:
        InvalidError: ``reference`` has another digest than the content; indexes are nested too deeply.
        AuthenticationError, RegistryError: the registry refuses or cannot be reached.
        NotFoundError, VerificationError: a layer cannot be read.
    """
    descriptor = content.descriptor
    if reference.digest is not None and reference.digest != descriptor.digest:
        raise InvalidError(f"cannot push {descriptor.digest} as {reference}")
    repository = client.repository(reference)
    manifests = list(_manifests(content))
    images = [each for each in manifests if isinstance(each, Image)]
    base = mount_from.repository if mount_from and mount_from.registry == reference.registry else ""
    blobs = [_layer_blob(layer, repository, base) for image in images for layer in image.layers if _is_sent(layer)]
    configs = [_Blob(image.manifest.config, partial(_opened, image.config_bytes)) for image in images]
    for group in (blobs, configs):
        _upload(repository, {each.descriptor.digest: each for each in group}, concurrency, progress)
    for each in manifests[:-1]:
        repository.put_manifest(_raw(each), each.manifest.media_type, each.digest)
    name = reference.tag or descriptor.digest
    repository.put_manifest(_raw(content), content.manifest.media_type, name)
    return descriptor


def _manifests(content: Image | Index, depth: int = 0) -> Iterator[Image | Index]:
    """Give all that an index leads to, children before parents, each once, and itself last."""
    seen: set[Digest] = set()

    def walk(each: Image | Index, depth: int) -> Iterator[Image | Index]:
        if isinstance(each, Index):
            if depth >= _MAX_DEPTH:
                raise InvalidError(f"indexes are nested more than {_MAX_DEPTH} deep")
            for descriptor in each.manifest.manifests:
                if descriptor.digest not in seen:
                    yield from walk(each.load(descriptor), depth + 1)
        if each.digest not in seen:
            seen.add(each.digest)
            if len(seen) > _MAX_IMAGES:
                raise InvalidError(f"the index leads to more than {_MAX_IMAGES} manifests")
            yield each

    return walk(content, depth)


def _raw(content: Image | Index) -> bytes:
    return content.raw if isinstance(content, Index) else content.manifest_bytes


def _is_sent(layer: Layer) -> bool:
    """Tell whether a layer belongs in a registry: some of Windows's may not be given on, and say where they are."""
    return not (layer.descriptor.urls and mediatype.is_elsewhere(layer.descriptor.media_type))


def _layer_blob(layer: Layer, repository: Repository, base: str) -> _Blob:
    source = base
    if isinstance(layer, RemoteLayer) and layer.repository.registry == repository.registry:
        source = layer.repository.repository
    return _Blob(layer.descriptor, layer.open, "" if source == repository.repository else source)


@contextmanager
def _opened(content: bytes) -> Iterator[Reader]:
    yield BytesIO(content)


class _Stopped(Exception):  # noqa: N818 - no error: another upload's is the one to be told
    """Ends an upload whose siblings failed."""


def _upload(repository: Repository, blobs: dict[Digest, _Blob], concurrency: int, progress: Progress | None) -> None:
    """Upload blobs side by side; the first failure stops the others."""
    stopped = threading.Event()

    def upload(blob: _Blob) -> None:
        digest, size = str(blob.descriptor.digest), blob.descriptor.size

        def report(done: int) -> None:
            if stopped.is_set():
                raise _Stopped
            if progress:
                progress(digest, done, size)

        try:
            report(0)
            if not repository.upload_blob(blob.descriptor, blob.open, mount_from=blob.mount_from, report=report):
                report(size)
        except BaseException:
            stopped.set()
            raise

    with ThreadPoolExecutor(max(1, concurrency), thread_name_prefix="push") as pool:
        futures = [pool.submit(upload, blob) for blob in blobs.values()]
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
        finally:
            stopped.set()
            pool.shutdown(wait=False, cancel_futures=True)
    errors = [future.exception() for future in futures if not future.cancelled()]
    for error in errors:
        if error is not None and not isinstance(error, _Stopped):
            raise error
