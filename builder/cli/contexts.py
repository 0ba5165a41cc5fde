"""``--build-context``: directories, archives, repositories and images in the place of stages and images."""

from __future__ import annotations

import functools
import io
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from builder.context.context import LocalContext
from builder.context.ignore import Ignore
from builder.context.remote import open_context
from builder.errors import BuildError, ContextError
from builder.execute.origin import NamedContext
from layers.errors import InvalidError, LayersError, NotFoundError
from layers.frozen import frozen
from layers.image import Index

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Callable, Mapping, Sequence

    from builder.bases import Bases
    from builder.context.remote import Fetch
    from builder.context.select import Files
    from layers.archive.oci import Archived
    from layers.image import Image
    from layers.platform import Platform
    from layers.store.layout import Layout

_REGISTRIES = ("docker-image://", "container-image://", "docker://")
_ARCHIVES = ("docker-archive:", "oci-archive:", "oci-layout:")


@frozen
class Opener:
    """What contexts are opened with."""

    bases: Bases
    layout: Layout
    scratch: Path
    fetch: Fetch
    environment: Callable[[str], Mapping[str, str]]
    """What git sees when it works with a remote."""
    stack: contextlib.ExitStack


def named_contexts(values: Sequence[str], opener: Opener) -> dict[str, NamedContext]:
    """Read ``--build-context NAME=SOURCE``; nothing is fetched before it is needed.

    Raises:
        BuildError: no name or no source, or a directory that is not there.
    """
    found = {}
    for value in values:
        name, equals, source = value.partition("=")
        if not name or not equals or not source:
            hint = "write --build-context NAME=DIRECTORY"
            raise BuildError(f"invalid --build-context {value!r}", hint=hint)
        found[name] = _context(name, source, opener)
    return found


def _context(name: str, source: str, opener: Opener) -> NamedContext:
    for prefix in _REGISTRIES:
        if source.startswith(prefix):
            return NamedContext(image=functools.partial(opener.bases.image, source.removeprefix(prefix)))
    for prefix in _ARCHIVES:
        if source.startswith(prefix):
            return NamedContext(image=_Archive(name, source.removeprefix(prefix).removeprefix("//"), opener))
    path = Path(source)
    if path.is_file() and _holds_images(path, opener):
        return NamedContext(image=_Archive(name, source, opener))
    if source.startswith("target:"):
        raise BuildError(f"--build-context {name}={source}: there are no other targets here")
    if "://" not in source and "@" not in source and not source.startswith("github.com/") and not path.exists():
        raise BuildError(f"--build-context {name}={source}: there is no such file or directory")
    return NamedContext(files=_Directory(name, source, opener))


def _holds_images(path: Path, opener: Opener) -> bool:
    from layers.archive.read import open_images  # noqa: PLC0415 - only for a file

    try:
        with open_images(path, opener.scratch):
            return True
    except LayersError:
        return False


@dataclass(slots=True)
class _Directory:
    """Files of a directory, archive, URL or repository; opened once."""

    name: str
    source: str
    opener: Opener
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _found: LocalContext | None = None

    def __call__(self) -> Files:
        with self._lock:
            if self._found is None:
                self._found = self.opener.stack.enter_context(self._open())
            return self._found

    def _open(self) -> LocalContext:
        workdir = self.opener.scratch / f"context-{id(self)}"
        workdir.mkdir()
        environment = self.opener.environment(self.source)
        try:
            opened = open_context(
                self.source, stdin=io.BytesIO(), fetch=self.opener.fetch, workdir=workdir, environment=environment
            )
        except ContextError as error:
            raise ContextError(f"context {self.name}: {error.message}", hint=error.hint) from error
        if opened.dockerfile is not None:
            raise ContextError(f"context {self.name}: {self.source} is no archive")
        ignore = opened.root / ".dockerignore"
        rules = Ignore.parse(ignore.read_bytes(), ignore.name) if opened.local and ignore.is_file() else None
        return LocalContext(opened.root, rules)


@dataclass(slots=True)
class _Archive:
    """An image of an OCI layout or of an archive; stored once for each platform."""

    name: str
    source: str
    opener: Opener
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _found: dict[Platform, Image] = field(default_factory=dict)

    def __call__(self, platform: Platform) -> Image:
        with self._lock:
            if platform not in self._found:
                try:
                    self._found[platform] = self._store(platform)
                except LayersError as error:
                    raise BuildError(f"context {self.name}: {error.message}", hint=error.hint) from error
            return self._found[platform]

    def _store(self, platform: Platform) -> Image:
        from layers.archive.read import open_images  # noqa: PLC0415 - only where there is one

        path, wanted = self._parts()
        with open_images(path, self.opener.scratch) as images:
            source = _chosen(images, wanted).source
            descriptor = self.opener.layout.put(source, platforms=[platform] if isinstance(source, Index) else None)
        stored = self.opener.layout.get(descriptor.digest)
        return stored.image(platform) if isinstance(stored, Index) else stored

    def _parts(self) -> tuple[Path, str]:
        """Give the archive's path and what follows it: a tag or name after ``:``, a digest after ``@``, or nothing."""
        source = self.source
        for end in [len(source), *(i for i in range(len(source) - 1, 0, -1) if source[i] in ":@")]:
            if Path(source[:end]).exists():
                wanted = source[end + 1 :]
                return Path(source[:end]), wanted.rpartition("@")[2]  # a digest says more than a tag before it
        raise NotFoundError(f"there is no {self.source}")


def _chosen(images: Sequence[Archived], wanted: str) -> Archived:
    """Give the image of a tag, name or digest; without any, the only one or that of ``latest``.

    Raises:
        InvalidError: there are several.
        NotFoundError: there is none.
    """

    def is_called(image: Archived) -> bool:
        tags = {reference.tag for reference in image.names}
        names = {name for reference in image.names for name in (reference.familiar, str(reference))}
        return (wanted or "latest") in {str(image.source.digest), *image.labels, *tags, *names}

    if not wanted and len(images) == 1:
        return images[0]
    matching = [image for image in images if is_called(image)]
    if len(matching) == 1:
        return matching[0]
    labels = sorted({label for image in images for label in image.labels})
    known = f"there are {', '.join(labels)}" if labels else "nothing in it has a name"
    if matching or not wanted:
        raise InvalidError("it holds several images", hint=f"name one after a colon; {known}"[:300])
    raise NotFoundError(f"it holds no image {wanted}", hint=known[:300])
