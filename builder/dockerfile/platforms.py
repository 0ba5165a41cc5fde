"""Arguments that every Dockerfile has without declaring them: platforms, and proxies.

Reference: Dockerfile reference, "Automatic platform ARGs in the global scope" and "Predefined ARGs".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from layers.platform import Platform

_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY")
"""Names that ``--build-arg`` may set without an ARG; they are matched in any case."""


def platform_arguments(platform: Platform, build_platform: Platform, stage_name: str) -> dict[str, str]:
    """Give the arguments of the global scope; a stage has one only after ``ARG name``.

    ``stage_name`` is the target's name, or "" where it has none.
    """
    return {
        "BUILDPLATFORM": str(build_platform),
        "BUILDOS": build_platform.os,
        "BUILDOSVERSION": build_platform.os_version,
        "BUILDARCH": build_platform.architecture,
        "BUILDVARIANT": build_platform.variant,
        "TARGETPLATFORM": platform.full,
        "TARGETOS": platform.os,
        "TARGETOSVERSION": platform.os_version,
        "TARGETARCH": platform.architecture,
        "TARGETVARIANT": platform.variant,
        "TARGETSTAGE": stage_name or "default",
    }


def proxy_environment(build_args: Mapping[str, str]) -> dict[str, str]:
    """Give what a RUN sees of the proxies among the build arguments: each in upper and in lower case.

    Where one is given in several cases, the last in order of name counts, so lower case. An empty one is not set.
    """
    names = [name for name in sorted(build_args) if name.upper() in _PROXIES]
    given = {name.upper(): build_args[name] for name in names}
    return {shown: value for name, value in given.items() if value for shown in (name, name.lower())}
