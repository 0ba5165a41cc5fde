"""``pybuild info`` and ``version``."""

from __future__ import annotations

import os
import platform as host_platform
import shutil
import sys
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import typer

from builder import __version__
from builder.cli import common as opt
from builder.cli.environment import Environment
from layers.platform import Platform

_Template = Annotated[str, typer.Option("-f", "--format", metavar="TEMPLATE", help="json, or a Go template.")]
_PACKAGES = ("dockerfile-parse", "isal", "pyyaml", "typer", "urllib3", "zstandard")
_PROGRAMS = ("runc", "crun", "newuidmap", "newgidmap", "proot", "slirp4netns", "git", "docker")


def version(form: _Template = "") -> None:
    """Show the version, and those of what is used.

    Example: pybuild version --format '{{.Version}}'
    """
    document: dict[str, Any] = {
        "Version": __version__,
        "Python": host_platform.python_version(),
        "Os": sys.platform,
        "Arch": Platform.host().architecture,
        "Packages": {name: _version(name) for name in _PACKAGES},
    }
    document["Client"] = {name: document[name] for name in ("Version", "Os", "Arch")}  # where Docker has them
    if form:
        _print(document, form)
        return
    print(f"pybuild version {__version__}")
    print(f" Python:     {document['Python']}\n OS/Arch:    {sys.platform}/{document['Arch']}")
    for name, found in document["Packages"].items():
        print(f" {name + ':':<19}{found or 'not installed'}")


def info(form: _Template = "", root: opt.Root = "") -> None:
    """Show where the store is, what it holds, and what this machine has for RUN steps.

    Example: pybuild info
    """
    from builder.runtime.survey import survey  # noqa: PLC0415 - version needs none

    environment = Environment(root=Path(root) if root else None)
    layout = environment.layout()
    programs = {name: shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin") or "" for name in _PROGRAMS}
    settings = environment.registry_settings()
    ways = survey(environment.store / "run")
    network = next((each.network for each in ways if each.works), "")
    document: dict[str, Any] = {
        "ServerVersion": __version__,
        "Root": str(environment.store),
        "Images": len(layout.images()),
        "Configuration": str(environment.configuration_file),
        "ConfigurationExists": environment.configuration_file.is_file(),
        "OSType": "linux",
        "Architecture": host_platform.machine(),
        "KernelVersion": host_platform.release(),
        "NCPU": os.cpu_count() or 1,
        "Rootless": os.geteuid() != 0,
        "Platform": str(environment.platform("")),
        "Programs": programs,
        "Isolation": [{"Name": each.isolation, "Works": each.works, "Answer": each.answer} for each in ways],
        "Network": network,
        "InsecureRegistries": sorted(settings.insecure),
        "Mirrors": {host: list(mirrors) for host, mirrors in settings.mirrors.items() if mirrors},
        "HttpProxy": settings.proxies.get("http", ""),
        "HttpsProxy": settings.proxies.get("https", ""),
    }
    if form:
        _print(document, form)
        return
    names = {
        "Version": __version__,
        "Store": document["Root"],
        "Images": document["Images"],
        "Configuration file": document["Configuration"] + ("" if document["ConfigurationExists"] else " (none)"),
        "Platform": document["Platform"],
        "Kernel version": document["KernelVersion"],
        "CPUs": document["NCPU"],
        "Rootless": str(document["Rootless"]).lower(),
        "Insecure registries": ", ".join(document["InsecureRegistries"]) or "none but this machine's own",
    }
    for name, value in names.items():
        print(f"{name}: {value}")
    print("Programs:")
    for name, path in programs.items():
        print(f" {name}: {path or 'not installed'}")
    print("Ways to run steps, the first that works is taken:")
    for way in ways:
        print(f" {way.isolation}: {'works' if way.works else 'does not work'}: {way.answer}")
    if network:
        print(f"Network of steps by default: {network}")
    for host, mirrors in document["Mirrors"].items():
        print(f"Mirrors of {host}: {', '.join(mirrors)}")


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _print(document: dict[str, Any], form: str) -> None:
    from builder.cli.template import Template  # noqa: PLC0415 - plain output needs none

    print(Template.parse("{{json .}}" if form == "json" else form).render(document))
