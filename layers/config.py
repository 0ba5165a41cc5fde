"""The config of an image: what it runs, on what, and how it came to be.

Spec: image-spec/config.md; ``Healthcheck``, ``OnBuild`` and ``Shell`` are Docker's additions.
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Any, ClassVar, Self

from layers.digest import Digest
from layers.errors import InvalidError
from layers.frozen import frozen
from layers.jsonread import dump, get, parse_object, string_map, strings, without
from layers.platform import Platform, normalise

if TYPE_CHECKING:
    from collections.abc import Mapping

    from layers.model import JsonObject


@frozen
class Healthcheck:
    """How to see that a container works; times are nanoseconds, and 0 leaves the choice to the runtime."""

    test: tuple[str, ...]
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0
    extra: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_json(cls, source: JsonObject) -> Self:
        """Read the value of ``config.Healthcheck``.

        Raises:
            InvalidError: a field of another type.
        """
        where = "config.config.Healthcheck"
        names = ("Interval", "Timeout", "StartPeriod", "StartInterval", "Retries")
        numbers = [get(source, int, name, where) or 0 for name in names]
        test = strings(source, "Test", where) or ()
        return cls(test, numbers[0], numbers[1], numbers[2], numbers[3], numbers[4], without(source, {"Test", *names}))

    def to_json(self) -> JsonObject:
        """Give the JSON object; zeros are left out."""
        values = {
            "Test": list(self.test),
            "Interval": self.interval,
            "Timeout": self.timeout,
            "StartPeriod": self.start_period,
            "StartInterval": self.start_interval,
            "Retries": self.retries,
        }
        return {key: value for key, value in values.items() if value} | dict(self.extra)


@frozen
class ContainerConfig:
    """The ``config`` object: what a container of this image starts with."""

    user: str = ""
    exposed_ports: tuple[str, ...] = ()
    """``8080/tcp``, sorted."""
    env: tuple[str, ...] = ()
    """``KEY=value``, in order."""
    entrypoint: tuple[str, ...] | None = None
    cmd: tuple[str, ...] | None = None
    volumes: tuple[str, ...] = ()
    working_dir: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    stop_signal: str = ""
    args_escaped: bool = False
    healthcheck: Healthcheck | None = None
    on_build: tuple[str, ...] = ()
    shell: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)

    _KNOWN: ClassVar = frozenset(
        [
            *("User", "ExposedPorts", "Env", "Entrypoint", "Cmd", "Volumes", "WorkingDir", "Labels", "StopSignal"),
            *("ArgsEscaped", "Healthcheck", "OnBuild", "Shell"),
        ]
    )

    @classmethod
    def from_json(cls, source: JsonObject) -> Self:
        """Read the value of ``config``.

        Raises:
            InvalidError: a field of another type; a NUL in a path or variable, which ends it for the kernel.
        """
        where = "config.config"
        if "\0" in (get(source, str, "WorkingDir", where) or ""):
            raise InvalidError(f"{where}.WorkingDir has a NUL")
        if any("\0" in each for each in strings(source, "Env", where) or ()):
            raise InvalidError(f"{where}.Env has a NUL")
        healthcheck = get(source, dict, "Healthcheck", where)
        return cls(
            get(source, str, "User", where) or "",
            tuple(sorted(get(source, dict, "ExposedPorts", where) or ())),
            strings(source, "Env", where) or (),
            strings(source, "Entrypoint", where),
            strings(source, "Cmd", where),
            tuple(sorted(get(source, dict, "Volumes", where) or ())),
            get(source, str, "WorkingDir", where) or "",
            string_map(source, "Labels", where) or {},
            get(source, str, "StopSignal", where) or "",
            get(source, bool, "ArgsEscaped", where) or False,
            Healthcheck.from_json(healthcheck) if healthcheck else None,
            strings(source, "OnBuild", where) or (),
            strings(source, "Shell", where) or (),
            without(source, cls._KNOWN),
        )

    def to_json(self) -> JsonObject:
        """Give the JSON object, keys in the order of Docker's Go structure; what is empty is left out."""
        values = {
            "User": self.user,
            "ExposedPorts": {port: {} for port in sorted(self.exposed_ports)},
            "Env": list(self.env),
            "Entrypoint": list(self.entrypoint or ()),
            "Cmd": list(self.cmd or ()),
            "Volumes": {path: {} for path in sorted(self.volumes)},
            "WorkingDir": self.working_dir,
            "Labels": dict(sorted(self.labels.items())),
            "StopSignal": self.stop_signal,
            "ArgsEscaped": self.args_escaped,
            "Healthcheck": self.healthcheck.to_json() if self.healthcheck else None,
            "OnBuild": list(self.on_build),
            "Shell": list(self.shell),
        }
        return {key: value for key, value in values.items() if value} | dict(self.extra)


@frozen
class History:
    """How one layer, or one change of the config, came to be."""

    created: str | None = None
    """RFC 3339; None where nobody knows."""
    created_by: str = ""
    author: str = ""
    comment: str = ""
    empty_layer: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict)

    _KNOWN: ClassVar = frozenset({"created", "created_by", "author", "comment", "empty_layer"})

    @classmethod
    def from_json(cls, source: object, where: str) -> Self:
        """Read one entry of ``history``.

        Raises:
            InvalidError: no object, or a field of another type.
        """
        if not isinstance(source, dict):
            raise InvalidError(f"{where} is a {type(source).__name__}, not an object")
        return cls(
            get(source, str, "created", where),
            get(source, str, "created_by", where) or "",
            get(source, str, "author", where) or "",
            get(source, str, "comment", where) or "",
            get(source, bool, "empty_layer", where) or False,
            without(source, cls._KNOWN),
        )

    def to_json(self) -> JsonObject:
        """Give the JSON object; what is empty is left out."""
        values = {
            "created": self.created,
            "created_by": self.created_by,
            "author": self.author,
            "comment": self.comment,
            "empty_layer": self.empty_layer,
        }
        return {key: value for key, value in values.items() if value} | dict(self.extra)


@frozen
class ImageConfig:
    """The config document of an image; its digest is Docker's image id. Spec: config.md."""

    platform: Platform
    config: ContainerConfig = field(default_factory=ContainerConfig)
    diff_ids: tuple[Digest, ...] = ()
    """Digests of the uncompressed layers, oldest first."""
    history: tuple[History, ...] = ()
    created: str | None = None
    author: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)

    _KNOWN: ClassVar = frozenset(
        [
            *("architecture", "os", "variant", "os.version", "os.features"),
            *("config", "rootfs", "history", "created", "author"),
        ]
    )

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        """Read a config of OCI or Docker.

        Raises:
            InvalidError: no JSON, or a field of another type.
        """
        source = parse_object(content, "config")
        rootfs = get(source, dict, "rootfs", "config") or {}
        history = get(source, list, "history", "config") or ()
        return cls(
            normalise(
                get(source, str, "os", "config") or "linux",
                get(source, str, "architecture", "config") or Platform.host().architecture,
                get(source, str, "variant", "config") or "",
                get(source, str, "os.version", "config") or "",
                strings(source, "os.features", "config") or (),
            ),
            ContainerConfig.from_json(get(source, dict, "config", "config") or {}),
            tuple(Digest.parse(each) for each in strings(rootfs, "diff_ids", "config.rootfs") or ()),
            tuple(History.from_json(each, f"config.history[{i}]") for i, each in enumerate(history)),
            get(source, str, "created", "config"),
            get(source, str, "author", "config") or "",
            without(source, cls._KNOWN),
        )

    def to_bytes(self) -> bytes:
        """Give the document: compact, its own keys sorted, as BuildKit writes it."""
        values: JsonObject = {
            **self.extra,
            "architecture": self.platform.architecture,
            "config": self.config.to_json(),
            "os": self.platform.os,
            "rootfs": {"type": "layers", "diff_ids": [str(each) for each in self.diff_ids]},
        }
        optional = {
            "author": self.author,
            "created": self.created,
            "history": [each.to_json() for each in self.history],
            "os.features": list(self.platform.os_features),
            "os.version": self.platform.os_version,
            "variant": self.platform.variant,
        }
        values |= {key: value for key, value in optional.items() if value}
        return dump(dict(sorted(values.items())))


def chain_ids(diff_ids: tuple[Digest, ...]) -> tuple[Digest, ...]:
    """Give the name of each stack of layers, from the lowest alone to all. Spec: config.md, "Layer ChainID"."""
    result: list[Digest] = []
    for diff_id in diff_ids:
        result.append(Digest.of(f"{result[-1]} {diff_id}".encode()) if result else diff_id)
    return tuple(result)
