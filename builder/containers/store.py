"""The containers of a store: files beside its images.

A container is a file in ``containers/`` of the store, and an image like any other: each process that ran has added a
layer. So nothing is mounted between two commands, and what is asked of a container is asked of an image.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import time
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from builder.containers.record import Container, read
from builder.errors import BuildError
from builder.execute.times import rfc3339
from layers.config import chain_ids
from layers.digest import Digest
from layers.errors import BusyError, InvalidError, NotFoundError
from layers.model import Descriptor
from layers.store.files import disk_errors, replace_file, sealed, unsealed
from layers.store.lock import Lock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from layers.image import Image
    from layers.store.layout import Layout

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")
_MOODS = ("brave", "brisk", "calm", "clever", "eager", "gentle", "happy", "keen", "kind", "proud", "quick", "witty")
_ANIMALS = (
    *("badger", "beaver", "crane", "falcon", "heron", "lynx"),
    *("marten", "otter", "raven", "robin", "stoat", "wren"),
)
_PATIENCE = 60.0
_LOOKS = 5.0
"""Seconds to wait for who only looks whether a container runs."""


class Containers:
    """The containers of a store; several processes may use them at once."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.directory = layout.root / "containers"
        self._lock = Lock(layout.root / "locks" / "containers")

    def all(self) -> list[Container]:
        """Give every container, the newest first; what cannot be read is passed over."""
        found = []
        for path in self.directory.glob("*.json") if self.directory.is_dir() else ():
            with contextlib.suppress(InvalidError, FileNotFoundError):
                found.append(_read(path))
        return sorted(found, key=lambda each: (each.created, each.id), reverse=True)

    def find(self, text: str) -> Container:
        """Give the container of this name, or whose id begins so.

        Raises:
            NotFoundError: there is none.
            InvalidError: there are several.
        """
        everything = self.all()
        exact = [each for each in everything if text in {each.name, each.id}]
        found = exact or [each for each in everything if text and each.id.startswith(text)]
        if len(found) > 1:
            raise InvalidError(f"several containers' ids begin with {text}", hint="write more digits")
        if not found:
            raise NotFoundError(f"no container {text}", hint="list them with: pybuild ps -a")
        return found[0]

    def add(self, container: Container) -> Container:
        """Write down a new container; without a name it gets one.

        Raises:
            BuildError: the name is taken, or is none.
        """
        with self._lock.exclusive(wait=_PATIENCE):
            taken = {each.name for each in self.all()}
            if container.name:
                _check_name(container.name, taken)
            made = replace(container, name=container.name or _new_name(taken))
            self._save(made)
        return made

    def rename(self, container: Container, name: str) -> None:
        """Call a container something else.

        Raises:
            BuildError: the name is taken, or is none.
        """
        with self._lock.exclusive(wait=_PATIENCE):
            _check_name(name, {each.name for each in self.all()})
            self._save(replace(self.find(container.id), name=name))

    def update(self, container: Container, **changes: Any) -> Container:
        """Write down what has become of a container, and give it.

        Raises:
            NotFoundError: it was removed.
        """
        with self._lock.exclusive(wait=_PATIENCE):
            changed = replace(self.find(container.id), **changes)
            self._save(changed)
        return changed

    def _save(self, container: Container) -> None:
        with disk_errors("make", self.directory):
            self.directory.mkdir(parents=True, exist_ok=True)
        content = sealed(json.dumps(asdict(container)).encode(), _purpose(container.id))
        replace_file(self.directory / f"{container.id}.json", content, self.layout.blobs.temporary())

    def remove(self, container: Container) -> None:
        """Forget a container; its content goes with the next collection.

        Raises:
            BuildError: a process of it is running.
        """
        try:
            alone = stack_of(self.alone(container))
        except BusyError as error:
            raise BuildError(f"container {container.name} is running", hint="stop it first, or use -f") from error
        with alone, self._lock.exclusive(wait=_PATIENCE):
            for suffix in ("json", "log", "sock", "lock"):
                (self.directory / f"{container.id}.{suffix}").unlink(missing_ok=True)

    def log(self, container: Container) -> Path:
        """Give the file of what the container's processes wrote."""
        return self.directory / f"{container.id}.log"

    def socket(self, container: Container) -> Path:
        """Give the socket of the process that looks after a container."""
        return self.directory / f"{container.id}.sock"

    def alone(self, container: Container) -> AbstractContextManager[None]:
        """Hold a container, as whoever runs its process does; the kernel lets go when the holder ends.

        Raises:
            BusyError: somebody holds it.
        """
        return Lock(self.directory / f"{container.id}.lock").exclusive(wait=_LOOKS)

    def is_running(self, container: Container) -> bool:
        """Tell whether a process of the container runs."""
        path = self.directory / f"{container.id}.lock"
        if not path.exists():
            return False
        try:
            with Lock(path).shared(wait=0):  # together with others who look
                return False
        except BusyError:
            return True

    def image(self, container: Container) -> Image:
        """Give the image that the container is now."""
        return self.layout.image(Digest.parse(container.current))

    def blobs(self) -> set[Digest]:
        """Give every blob that a container needs."""
        from layers.store import gc  # noqa: PLC0415 - only where something is deleted

        return set(gc.reachable(self.layout, list(self._descriptors())))

    def stacks(self) -> set[Digest]:
        """Give the chain ids of the layers on which a process runs: what is unpacked of them is mounted."""
        found: set[Digest] = set()
        for each in self.all():
            if self.is_running(each):
                found.update(chain_ids(self.image(each).config.diff_ids))
        return found

    def users(self, image: Digest) -> list[Container]:
        """Give the containers that were made of an image."""
        return [each for each in self.all() if each.base == str(image)]

    def _descriptors(self) -> Iterator[Descriptor]:
        for each in self.all():
            for text in {each.base, each.current}:
                digest = Digest.parse(text)
                if self.layout.blobs.has(digest):
                    yield Descriptor("", digest, self.layout.blobs.size(digest))


def _purpose(id_: str) -> str:
    return f"container {id_}"


def _read(path: Path) -> Container:
    """Read a record; one that was sealed and is another now is no JSON, and one of an earlier version has no seal."""
    data = path.read_bytes()
    content = unsealed(data, _purpose(path.stem))
    return read(data if content is None else content, str(path))


def stack_of(held: AbstractContextManager[None]) -> contextlib.ExitStack:
    """Enter a context, and give what leaves it."""
    stack = contextlib.ExitStack()
    stack.enter_context(held)
    return stack


def now() -> str:
    """Give the time as records have it."""
    return rfc3339(time.time())


def new_id() -> str:
    """Give an id that no other container has."""
    return secrets.token_hex(32)


def _check_name(name: str, taken: set[str]) -> None:
    if name in taken:
        raise BuildError(f"the name {name!r} is in use by another container")
    if not _NAME.fullmatch(name):
        raise BuildError(f"invalid container name {name!r}", hint="letters, digits, _ . and -")


def _new_name(taken: set[str]) -> str:
    while True:
        name = f"{secrets.choice(_MOODS)}_{secrets.choice(_ANIMALS)}"
        if name not in taken:
            return name
        if len(taken) > len(_MOODS) * len(_ANIMALS) // 2:
            return f"{name}_{os.urandom(3).hex()}"
