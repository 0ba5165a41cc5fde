"""Base images: looked up in the store, else pulled into it, each once a build."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from builder.errors import BuildError
from builder.events import Noted, Progress, Step, reported
from layers.errors import InvalidError, LayersError, NotFoundError, RegistryError
from layers.image import Image, Index
from layers.reference import Reference

if TYPE_CHECKING:
    from collections.abc import Callable

    from builder.events import Listener
    from layers.model import Descriptor
    from layers.platform import Platform
    from layers.registry.client import Client
    from layers.store.layout import Layout

    Arriving = Callable[[Image], None]


@dataclass(frozen=True)
class Bases:
    """Finds images by the names written in a Dockerfile; for several threads."""

    layout: Layout
    client: Callable[[], Client]
    """Gives the registry client; asked for only when something is to be pulled."""
    always_pull: bool
    listener: Listener
    number: Callable[[], int]
    _known: dict[tuple[str, Platform], Image] = field(default_factory=dict)
    _locks: dict[tuple[str, Platform], threading.Lock] = field(default_factory=dict)

    def image(self, name: str, platform: Platform, arriving: Arriving | None = None) -> Image:
        """Give an image for a platform; all its layers are in the store.

        ``arriving`` is told of an image before its layers are fetched, if it has some that are not in the store.

        Raises:
            BuildError: no such image, or it cannot be pulled.
        """
        key = (name, platform)
        with self._locks.setdefault(key, threading.Lock()):
            if key not in self._known:
                self._known[key] = self._find(name, platform, arriving)
            return self._known[key]

    def _find(self, name: str, platform: Platform, arriving: Arriving | None) -> Image:
        try:
            reference = Reference.parse(name)
        except InvalidError as error:
            raise BuildError(f"invalid image name {name!r}: {error.message}", hint=error.hint) from None
        stored = None if self.always_pull else self._stored(reference, platform)
        if stored is not None and platform.runs(stored.platform):
            return stored
        step = Step(self.number(), f"[internal] pull {reference}")
        try:
            with reported(self.listener, step):
                return self._pull(reference, platform, step, arriving)
        except RegistryError as error:
            if stored is not None:  # of another platform, and there is no better one
                return stored
            raise BuildError(f"{name}: {error.message}", hint=error.hint) from error
        except LayersError as error:
            raise BuildError(f"{name}: {error.message}", hint=error.hint) from error

    def _stored(self, reference: Reference, platform: Platform) -> Image | None:
        """Give the image in the store, complete, of any platform where it is alone."""
        try:
            found = self.layout.get(reference)
            image = found.image(platform) if isinstance(found, Index) else found
        except NotFoundError:
            return None
        return image if self._is_complete(image) else None

    def _is_complete(self, image: Image) -> bool:
        blobs = self.layout.blobs
        return all(blobs.has(each.descriptor.digest, each.descriptor.size) for each in image.layers)

    def _pull(self, reference: Reference, platform: Platform, step: Step, arriving: Arriving | None) -> Image:
        from layers.registry.transfer import name_of, watched  # noqa: PLC0415 - a build that has its base needs no network

        def progress(digest: str, done: int, total: int) -> None:
            self.listener(Progress(step, digest[:19], done, total))

        def begun(image: Image) -> Image:
            if arriving is not None and not self._is_complete(image):
                arriving(image)
            return watched(image, progress)

        def load(descriptor: Descriptor) -> Image | Index:
            child = found.load(descriptor) if isinstance(found, Index) else found
            return begun(child) if isinstance(child, Image) else child

        found = self.client().repository(reference).get(name_of(reference))
        source = replace(found, load=load) if isinstance(found, Index) else begun(found)
        descriptor = self.layout.put(source, platforms=[platform])
        self.layout.tag(reference, descriptor)
        self.listener(Noted(step, f"{reference.name}@{found.digest}"))
        stored = self.layout.get(found.digest)
        # Of another platform too, where there is no better one: the build checks tell of that.
        return stored.image(platform) if isinstance(stored, Index) else stored
