"""Docker's structures, for templates: all their fields in their order, with what Go has where nothing was said.

Types: github.com/docker/docker/api/types (ImageInspect, RootFS, ContainerState), .../container (Config, HealthConfig),
as of 20.10.
"""

from __future__ import annotations

from typing import Any

from builder.cli.template_functions import Duration, Empty, NoList, NoMap, NoPointer, Struct, Time

_CONFIG: dict[str, Any] = {
    "Hostname": "",
    "Domainname": "",
    "User": "",
    "AttachStdin": False,
    "AttachStdout": False,
    "AttachStderr": False,
    "ExposedPorts": NoMap(),
    "Tty": False,
    "OpenStdin": False,
    "StdinOnce": False,
    "Env": NoList(),
    "Cmd": NoList(),
    "Healthcheck": NoPointer(),
    "ArgsEscaped": False,
    "Image": "",
    "Volumes": NoMap(),
    "WorkingDir": "",
    "Entrypoint": NoList(),
    "NetworkDisabled": False,
    "MacAddress": "",
    "OnBuild": NoList(),
    "Labels": NoMap(),
    "StopSignal": "",
    "StopTimeout": NoPointer(),
    "Shell": NoList(),
}
_CONFIG_OPTIONAL = frozenset(
    {
        "ExposedPorts",
        "Healthcheck",
        "ArgsEscaped",
        "NetworkDisabled",
        "MacAddress",
        "StopSignal",
        "StopTimeout",
        "Shell",
    }
)
_HEALTHCHECK: dict[str, Any] = {
    "Test": NoList(),
    "Interval": Duration(0),
    "Timeout": Duration(0),
    "StartPeriod": Duration(0),
    "Retries": 0,
}
_STATE: dict[str, Any] = {
    "Status": "",
    "Running": False,
    "Paused": False,
    "Restarting": False,
    "OOMKilled": False,
    "Dead": False,
    "Pid": 0,
    "ExitCode": 0,
    "Error": "",
    "StartedAt": "",
    "FinishedAt": "",
    "Health": NoPointer(),
}
_IMAGE = (
    *("Id", "RepoTags", "RepoDigests", "Parent", "Comment", "Created", "DockerVersion", "Author", "Config"),
    *("Architecture", "Variant", "Os", "OsVersion", "Size", "RootFS", "Metadata"),
)


def image(document: dict[str, Any]) -> Struct:
    """Give what ``inspect`` says of an image as Docker's structure."""
    fields = {"Variant": "", "OsVersion": "", **document, "Config": config(document["Config"])}
    fields["RootFS"] = _struct({"Type": "", "Layers": NoList(), "BaseLayer": ""}, document["RootFS"], {"BaseLayer"})
    fields["Metadata"] = _struct({"LastTagTime": Time(document["Metadata"]["LastTagTime"])}, {})
    return Struct(fields, _IMAGE, frozenset({"Variant", "OsVersion"}))


def container(document: dict[str, Any]) -> dict[str, Any]:
    """Give what ``inspect`` says of a container, with Docker's structures in it."""
    state = _struct(_STATE, document["State"], {"Health"})
    return {**document, "State": state, "Config": config(document["Config"])}


def config(source: dict[str, Any]) -> Struct:
    """Give the configuration of an image or a container as Docker's structure."""
    found = _struct(_CONFIG, source, _CONFIG_OPTIONAL)
    for name in ("Volumes", "ExposedPorts"):
        found[name] = {key: Empty() for key in found[name]} or NoMap()
    if found["Healthcheck"]:
        check = {
            key: Duration(value) if isinstance(value, int) else value for key, value in found["Healthcheck"].items()
        }
        check["Retries"] = int(check.get("Retries", 0))
        found["Healthcheck"] = _struct(_HEALTHCHECK, check, set(_HEALTHCHECK))
    return found


def _struct(empty: dict[str, Any], source: dict[str, Any], optional: frozenset[str] | set[str] = frozenset()) -> Struct:
    """Give a structure of these fields; what else the source has can be asked for, but is not printed."""
    given = {key: value for key, value in source.items() if value is not None}
    return Struct(empty | given, tuple(empty), frozenset(optional))
