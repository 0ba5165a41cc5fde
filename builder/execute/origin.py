"""Where steps take files from besides what their own stage holds: contexts, images and other stages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layers.errors import InvalidError
from layers.frozen import frozen
from layers.platform import Platform
from layers.reference import Reference
from layers.store.merged import MergedFiles

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from builder.context.select import Files
    from builder.execute.site import Site
    from layers.image import Image, Layer


@frozen
class Origin:
    """Something to copy or to mount from."""

    files: Files
    title: str
    """What messages call it."""
    layers: Sequence[Layer] | None = None
    """The layers that the files are those of; None for a context."""

    @property
    def explain(self) -> Callable[[bytes], str] | None:
        """What may say why a path is hidden."""
        found: Callable[[bytes], str] | None = getattr(self.files, "explain", None)
        return found


def context_origin(site: Site) -> Origin:
    """Give the build context."""
    return Origin(site.context, "the build context")


def layers_origin(site: Site, layers: Sequence[Layer], name: str) -> Origin:
    """Give the files of a stage or image that the Dockerfile calls ``name``."""
    return Origin(MergedFiles(site.trees, layers, site.scratch), f'"{name}"', layers)


@frozen
class NamedContext:
    """What ``--build-context`` puts in the place of a stage or an image: files or an image, got when first needed."""

    files: Callable[[], Files] | None = None
    image: Callable[[Platform], Image] | None = None


class NamedContexts:
    """The contexts of ``--build-context``, by name; one may be for a single platform: ``name::os/architecture``."""

    def __init__(self, contexts: Mapping[str, NamedContext]) -> None:
        self._contexts = {_key(name): context for name, context in contexts.items()}

    def find(self, name: str, platform: Platform) -> NamedContext | None:
        """Give the context for a stage's or image's name as it is written in the Dockerfile; None where none is."""
        if not self._contexts:
            return None
        familiar = _familiar(name)
        return self._contexts.get(f"{familiar}::{platform}") or self._contexts.get(familiar)


def _key(name: str) -> str:
    """Give the key of what the user called a context.

    Raises:
        InvalidError: what follows ``::`` is no platform.
    """
    familiar, separator, platform = name.partition("::")
    return _familiar(familiar) + (f"::{Platform.parse(platform)}" if separator else "")


def _familiar(name: str) -> str:
    """Give an image's name in its shortest form, so that ``docker.io/library/alpine:latest`` finds ``alpine``."""
    try:
        return Reference.parse(name.lower()).familiar.removesuffix(":latest")
    except InvalidError:
        return name.lower()
