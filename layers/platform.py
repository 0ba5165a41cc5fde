"""Platforms: ``os/architecture[/variant]``.

Spec: image-spec/image-index.md, "platform"; the normal forms are those of containerd's platforms package.
"""

from __future__ import annotations

import platform as host_platform
import re

from layers.errors import InvalidError
from layers.frozen import frozen

_PART = re.compile(r"[A-Za-z0-9_.-]+")
_OS_AND_VERSION = re.compile(r"([A-Za-z0-9_-]+)(?:\(([A-Za-z0-9_.-]*)\))?")
_ARCHITECTURES = {
    "i386": "386",
    "i486": "386",
    "i586": "386",
    "i686": "386",
    "x86_64": "amd64",
    "x86-64": "amd64",
    "aarch64": "arm64",
    "armhf": "arm",
    "armel": "arm",
    "armv6l": "arm",
    "armv7l": "arm",
    "armv8l": "arm",
}
_HINT = "a platform is os/architecture[/variant]"
_VARIANT_OF_NAME = {"armhf": "v7", "armel": "v6", "armv6l": "v6", "armv7l": "v7", "armv8l": "v7"}
_KNOWN = frozenset(
    "386 amd64 arm arm64 loong64 mips mips64 mips64le mipsle ppc64 ppc64le riscv64 s390x sparc64 wasm".split()  # noqa: SIM905 - a list of words
)
"""Architectures that are known without a system before them."""
_KNOWN_OS = frozenset({"android", "darwin", "freebsd", "illumos", "linux", "netbsd", "openbsd", "solaris", "windows"})


@frozen(order=True)
class Platform:
    """What an image runs on; always in normal form."""

    os: str
    architecture: str
    variant: str = ""
    os_version: str = ""
    os_features: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Platform:
        """Read ``os``, ``architecture`` or ``os[(version)]/architecture[/variant]``; ``local`` is the host.

        Raises:
            InvalidError: other characters, other count of parts, or one part that is neither.
        """
        if text == "local":
            return cls.host()
        parts = text.split("/")
        found = _OS_AND_VERSION.fullmatch(parts[0])
        if found is None or len(parts) > 3 or not all(_PART.fullmatch(part) for part in parts[1:]):
            raise InvalidError(f"not a platform: {text[:160]!r}", hint=_HINT)
        os, version = found[1].lower(), found[2] or ""
        if len(parts) == 1:
            if os in _KNOWN_OS or os == "macos":
                return normalise(os, cls.host().architecture, cls.host().variant, version)
            found_here = normalise(cls.host().os, os, "", version)
            if found_here.architecture not in _KNOWN:
                raise InvalidError(f"not a platform: {text[:160]!r}: no known system or architecture", hint=_HINT)
            return found_here
        return normalise(os, parts[1], parts[2] if len(parts) == 3 else "", version)

    @classmethod
    def host(cls) -> Platform:
        """Give the platform of this machine; images are Linux ones whatever the host's system is."""
        return normalise("linux", host_platform.machine(), "")

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)

    @property
    def full(self) -> str:
        """The text with the system's version: ``windows(10.0.17763)/amd64``."""
        version = f"({self.os_version})" if self.os_version else ""
        return "/".join(part for part in (self.os + version, self.architecture, self.variant) if part)

    def runs(self, image: Platform) -> bool:
        """Tell whether this platform runs an image of that one: same system and architecture, variant not newer."""
        if (self.os, self.architecture) != (image.os, image.architecture):
            return False
        if self.os_version and image.os_version and self.os_version != image.os_version:
            return False
        return _level(image) <= _level(self)

    def preference(self, image: Platform) -> tuple[bool, int]:
        """Give a sort key of images for this platform: the best one has the greatest."""
        return (self.runs(image), _level(image))


def normalise(
    os: str, architecture: str, variant: str, os_version: str = "", os_features: tuple[str, ...] = ()
) -> Platform:
    """Give the platform in normal form: ``x86_64`` is ``amd64``, ``arm64/v8`` is ``arm64``, ``arm`` is ``arm/v7``."""
    os = {"macos": "darwin"}.get(os.lower(), os.lower())
    name = architecture.lower()
    architecture = _ARCHITECTURES.get(name, name)
    variant = variant.lower() or _VARIANT_OF_NAME.get(name, "")
    if architecture == "arm64" and variant in {"8", "v8"}:
        variant = ""
    elif architecture == "arm":
        variant = {"": "v7", "5": "v5", "6": "v6", "7": "v7", "8": "v8"}.get(variant, variant)
    elif architecture == "amd64" and variant == "v1":
        variant = ""
    return Platform(os, architecture, variant, os_version, os_features)


def _level(platform: Platform) -> int:
    """Give the number in the variant; without one, the architecture's first."""
    if found := re.fullmatch(r"v(\d+)(?:\.\d+)?", platform.variant):
        return int(found[1])
    return {"arm64": 8, "amd64": 1, "arm": 7}.get(platform.architecture, 0)
