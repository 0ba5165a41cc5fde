"""Working containers: an image, what was done on top of it, and how its process is started.

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
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from builder.cli.environment import Environment
from builder.errors import BuildError
from builder.execute.times import rfc3339
from layers.digest import Digest
from layers.errors import BusyError, InvalidError, NotFoundError
from layers.jsonread import get, parse_object, require, string_map, strings
from layers.model import Descriptor
from layers.store.files import disk_errors, replace_file
from layers.store.lock import Lock

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from contextlib import AbstractContextManager

    from layers.image import Image
    from layers.store.layout import Layout

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")
_MOODS = ("brave", "brisk", "calm", "clever", "eager", "gentle", "happy", "keen", "kind", "proud", "quick", "witty")
_ANIMALS = (
    "badger",
    "beaver",
    "crane",
    "falcon",
    "heron",
    "lynx",
    "marten",
    "otter",
    "raven",
    "robin",
    "stoat",
    "wren",
)


@dataclass(frozen=True, slots=True)
class Container:
    """One container, as it is written down."""

    id: str
    """64 hexadecimal digits."""
    name: str
    image: str
    """What the image was called when the container was made."""
    base: str
    """The digest of the image's manifest."""
    current: str
    """The digest of the manifest of the image that it is now."""
    command: tuple[str, ...]
    env: tuple[str, ...] = ()
    cwd: str = "/"
    user: str = ""
    hostname: str = ""
    network: str = "default"
    mounts: tuple[str, ...] = ()
    """Binds: ``/host/path:/path[:ro]``."""
    isolation: str = "auto"
    labels: Mapping[str, str] | None = None
    created: str = ""
    started: str = ""
    """RFC 3339; empty before the first start."""
    finished: str = ""
    exit_code: int = 0
    pid: int = 0
    """The process that looks after the container's, while that runs."""

    @property
    def short(self) -> str:
        """The beginning of the id, as lists show it."""
        return self.id[:12]

    def state(self, *, running: bool) -> str:
        """Give what Docker calls this: created, running or exited."""
        return "running" if running else "exited" if self.started else "created"


class Containers:
    """The containers of a store."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.directory = layout.root / "containers"

    def all(self) -> list[Container]:
        """Give every container, the newest first; what cannot be read is passed over."""
        found = []
        for path in self.directory.glob("*.json") if self.directory.is_dir() else ():
            with contextlib.suppress(InvalidError, FileNotFoundError):
                found.append(_read(path.read_bytes(), str(path)))
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
        with Lock(self.layout.root / "locks" / "containers").exclusive(wait=60):
            taken = {each.name for each in self.all()}
            if container.name in taken:
                raise BuildError(f"the name {container.name!r} is in use by another container")
            if container.name and not _NAME.fullmatch(container.name):
                raise BuildError(f"invalid container name {container.name!r}", hint="letters, digits, _ . and -")
            made = replace(container, name=container.name or _new_name(taken))
            self.save(made)
        return made

    def save(self, container: Container) -> None:
        """Write down what has become of a container."""
        with disk_errors("make", self.directory):
            self.directory.mkdir(parents=True, exist_ok=True)
        content = json.dumps(asdict(container)).encode()
        replace_file(self.directory / f"{container.id}.json", content, self.layout.blobs.temporary())

    def remove(self, container: Container) -> None:
        """Forget a container; its content goes with the next collection."""
        for suffix in ("json", "log", "lock"):
            (self.directory / f"{container.id}.{suffix}").unlink(missing_ok=True)

    def log(self, container: Container) -> Path:
        """Give the file of what the container's processes wrote."""
        return self.directory / f"{container.id}.log"

    def alone(self, container: Container) -> AbstractContextManager[None]:
        """Hold a container, as whoever runs its process does; the kernel lets go when the holder ends.

        Raises:
            BusyError: somebody holds it.
        """
        return Lock(self.directory / f"{container.id}.lock").exclusive(wait=0)

    def is_running(self, container: Container) -> bool:
        """Tell whether a process of the container runs."""
        try:
            with self.alone(container):
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

    def users(self, image: Digest) -> list[Container]:
        """Give the containers that were made of an image."""
        return [each for each in self.all() if each.base == str(image)]

    def _descriptors(self) -> Iterator[Descriptor]:
        for each in self.all():
            for text in {each.base, each.current}:
                digest = Digest.parse(text)
                if self.layout.blobs.has(digest):
                    yield Descriptor("", digest, self.layout.blobs.size(digest))


def described_container(containers: Containers, container: Container) -> dict[str, Any]:
    """Give what Docker shows of a container, as far as there is such a thing here."""
    running = containers.is_running(container)
    binds = [each.split(":") for each in container.mounts]
    return {
        "Id": container.id,
        "Created": container.created,
        "Path": container.command[0],
        "Args": list(container.command[1:]),
        "State": {
            "Status": container.state(running=running),
            "Running": running,
            "Pid": container.pid if running else 0,
            "ExitCode": container.exit_code,
            "StartedAt": container.started or "0001-01-01T00:00:00Z",
            "FinishedAt": container.finished or "0001-01-01T00:00:00Z",
        },
        "Image": container.base,
        "Name": f"/{container.name}",
        "LogPath": str(containers.log(container)),
        "HostConfig": {"NetworkMode": container.network, "Binds": list(container.mounts)},
        "Mounts": [
            {"Type": "bind", "Source": source, "Destination": target, "RW": rest != ["ro"]}
            for source, target, *rest in binds
        ],
        "Config": {
            "Hostname": container.hostname or container.short,
            "User": container.user,
            "Env": list(container.env),
            "Cmd": list(container.command),
            "Image": container.image,
            "WorkingDir": container.cwd,
        },
    }


def opened(root: str) -> tuple[Environment, Containers]:
    """Give the surroundings and the containers of ``--root``, or else of the environment."""
    environment = Environment(root=Path(root) if root else None)
    return environment, Containers(environment.layout())


def now() -> str:
    """Give the time as records have it."""
    return rfc3339(time.time())


def new_id() -> str:
    """Give an id that no other container has."""
    return secrets.token_hex(32)


def _new_name(taken: set[str]) -> str:
    while True:
        name = f"{secrets.choice(_MOODS)}_{secrets.choice(_ANIMALS)}"
        if name not in taken:
            return name
        if len(taken) > len(_MOODS) * len(_ANIMALS) // 2:
            return f"{name}_{os.urandom(3).hex()}"


def _read(content: bytes, where: str) -> Container:
    source: dict[str, Any] = parse_object(content, where)
    words = {name: strings(source, name, where) or () for name in ("command", "env", "mounts")}
    names = ("image", "cwd", "user", "hostname", "network", "isolation", "created", "started", "finished")
    texts = {name: get(source, str, name, where) or "" for name in names}
    numbers = {name: get(source, int, name, where) or 0 for name in ("exit_code", "pid")}
    required = {name: require(source, str, name, where) for name in ("id", "name", "base", "current")}
    return Container(**required, **texts, **words, **numbers, labels=string_map(source, "labels", where))  # type: ignore[arg-type] # the names say which is of which type
