"""What is written down of a container, and what Docker shows of it."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from layers.jsonread import get, parse_object, require, string_map, strings

if TYPE_CHECKING:
    from collections.abc import Mapping

_NEVER = "0001-01-01T00:00:00Z"


@dataclass(frozen=True, slots=True)
class Container:
    """One container, as it is written down."""

    id: str
    """64 hexadecimal digits."""
    name: str = ""
    image: str = ""
    """What the image was called when the container was made."""
    base: str = ""
    """The digest of the image's manifest."""
    current: str = ""
    """The digest of the manifest of the image that it is now."""
    entrypoint: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    """The image's variables, and those that were given."""
    cwd: str = "/"
    user: str = ""
    hostname: str = ""
    network: str = "default"
    mounts: tuple[str, ...] = ()
    """Binds: ``/host/path:/path[:ro]``."""
    tmpfs: tuple[str, ...] = ()
    """Directories in memory: ``/path[:size=BYTES,mode=OCTAL,ro]``."""
    hosts: tuple[str, ...] = ()
    """Lines of /etc/hosts: ``name:address``."""
    cgroup_parent: str = ""
    """This and what follows is as in :class:`builder.runtime.cgroups.Resources`."""
    memory: int = 0
    memory_swap: int = 0
    cpu_shares: int = 0
    cpu_quota: int = 0
    cpu_period: int = 0
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    isolation: str = "auto"
    stop_signal: str = ""
    stop_timeout: int = 10
    """Seconds between that signal and SIGKILL."""
    tty: bool = False
    open_stdin: bool = False
    stdin_once: bool = False
    """Whether input ends when the first who is attached ends his."""
    auto_remove: bool = False
    readonly: bool = False
    init: bool = False
    """Whether a small init is process 1."""
    labels: Mapping[str, str] = field(default_factory=dict)
    created: str = ""
    started: str = ""
    """RFC 3339; empty before the first start."""
    finished: str = ""
    exit_code: int = 0
    error: str = ""
    """Why its process could not be started."""
    pid: int = 0
    """The container's process, while that runs."""
    monitor: int = 0
    """The process that looks after it."""

    @property
    def command(self) -> tuple[str, ...]:
        """The words of its process."""
        return self.entrypoint + self.arguments

    @property
    def short(self) -> str:
        """The beginning of the id, as lists show it."""
        return self.id[:12]

    def state(self, *, running: bool) -> str:
        """Give what Docker calls this: created, running or exited."""
        return "running" if running else "exited" if self.started else "created"


@functools.cache
def _kinds() -> Mapping[str, str]:
    return {each.name: str(each.type) for each in fields(Container)}


def read(content: bytes, where: str) -> Container:
    """Read what is written down.

    Raises:
        InvalidError: it is something else.
    """
    source: dict[str, Any] = parse_object(content, where)
    found: dict[str, Any] = {"id": require(source, str, "id", where)}
    for name in ("name", "base", "current"):
        found[name] = require(source, str, name, where)
    for name, kind in _kinds().items():
        if name in found or source.get(name) is None:
            continue
        if kind.startswith("tuple"):
            found[name] = strings(source, name, where) or ()
        elif kind.startswith("Mapping"):
            found[name] = string_map(source, name, where) or {}
        else:
            found[name] = get(source, {"int": int, "bool": bool}.get(kind, str), name, where)
    return Container(**found)


def described(container: Container, log: str, *, running: bool) -> dict[str, Any]:
    """Give what Docker shows of a container, as far as there is such a thing here."""
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
            "Error": container.error,
            "StartedAt": container.started or _NEVER,
            "FinishedAt": container.finished or _NEVER,
        },
        "Image": container.base,
        "Name": f"/{container.name}",
        "RestartCount": 0,
        "Driver": "overlay",
        "Platform": "linux",
        "LogPath": log,
        "HostConfig": {
            "NetworkMode": container.network,
            "Binds": list(container.mounts),
            "AutoRemove": container.auto_remove,
            "ReadonlyRootfs": container.readonly,
            "Init": container.init,
        },
        "Mounts": [
            {"Type": "bind", "Source": source, "Destination": target, "RW": rest != ["ro"]}
            for source, target, *rest in binds
        ],
        "Config": {
            "Hostname": container.hostname or container.short,
            "User": container.user,
            "Tty": container.tty,
            "OpenStdin": container.open_stdin,
            "StdinOnce": container.stdin_once,
            "Env": list(container.env),
            "Cmd": list(container.arguments) or None,
            "Image": container.image,
            "WorkingDir": container.cwd,
            "Entrypoint": list(container.entrypoint) or None,
            "Labels": dict(container.labels),
        },
    }
