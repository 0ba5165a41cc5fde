"""What a caller decides about registries: trust, mirrors, time, proxies; and what a host's name alone says.

Nothing here reads the environment: the caller does, and hands over one frozen value.
"""

from __future__ import annotations

import ipaddress
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from layers.errors import RegistryError
from layers.reference import DOCKER_HUB

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from urllib.parse import SplitResult

_HUB_HOST = "registry-1.docker.io"


@dataclass(frozen=True, slots=True)
class Settings:
    """How to talk to registries."""

    insecure: frozenset[str] = frozenset()
    """Registries, as ``host[:port]``, whose certificate is not checked and which may use plain HTTP."""
    mirrors: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """For each registry the ``host[:port][/prefix]`` to pull from first, in order."""
    ca_file: str = ""
    """A PEM file of certificate authorities to trust beside the system's."""
    connect_timeout: float = 15.0
    read_timeout: float = 60.0
    """Seconds in which all headers of an answer, and then each piece of its body, have to come."""
    min_rate: float = 100.0
    """Bytes a second below which a body counts as stalled; looked at each ``read_timeout`` seconds."""
    retries: int = 4
    """Attempts after the first one."""
    backoff: float = 0.5
    """Seconds before the first retry; doubled for each further one."""
    max_wait: float = 120.0
    """The longest ``Retry-After``, in seconds, that is waited for."""
    proxies: Mapping[str, str] = field(default_factory=dict)
    """The proxy's URL for ``http`` and for ``https`` requests."""
    no_proxy: tuple[str, ...] = ()
    """Hosts, ``.domains``, networks or ``*`` that are reached without a proxy; loopback always is."""
    user_agent: str = "pybuild"
    sleep: Callable[[float], None] = time.sleep
    """Waits for so many seconds before a retry."""


def api_host(registry: str) -> str:
    """Give the host that serves a registry's API: Docker Hub's is not the one in its images' names."""
    return _HUB_HOST if registry == DOCKER_HUB else registry


def split(url: str) -> SplitResult:
    """Give the parts of a URL, whose port may be asked for.

    Raises:
        RegistryError: it has none: a bracket is not closed, or the port is no number of 16 bits.
    """
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        shown = url.partition("?")[0].rpartition("@")[2].rpartition("//")[2]
        raise RegistryError(f"no address: {shown[:160]!r}: {error}") from None
    return parts


def host_of(netloc: str) -> str:
    """Give the host in ``host[:port]``, without the brackets of an IPv6 address."""
    return (split(f"//{netloc}").hostname or "").rstrip(".")


def is_loopback(netloc: str) -> bool:
    """Tell whether ``host[:port]`` is this machine, by its name alone."""
    host = host_of(netloc)
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def allows_plain_http(settings: Settings, netloc: str) -> bool:
    """Tell whether requests to ``host[:port]`` may go without TLS."""
    return is_loopback(netloc) or netloc in settings.insecure


def proxy_for(settings: Settings, url: str) -> str:
    """Give the URL of the proxy for a request; ``""`` for none."""
    parts = split(url)
    if is_loopback(parts.netloc) or any(_excepts(rule.strip(), parts.netloc) for rule in settings.no_proxy):
        return ""
    return settings.proxies.get(parts.scheme, "")


def _excepts(rule: str, netloc: str) -> bool:
    host = host_of(netloc)
    if not rule:
        return False
    if rule in {"*", netloc, host}:
        return True
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(rule, strict=False)
    except ValueError:
        return host.endswith("." + rule.lstrip("*").lstrip("."))
