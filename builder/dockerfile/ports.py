"""``EXPOSE``'s ports: ``80``, ``8000-8010/udp``, and what Docker once let stand in front of them."""

from __future__ import annotations

import ipaddress

from builder.errors import DockerfileError

PROTOCOLS = ("tcp", "udp", "sctp")
_HINT = "write port[-port][/tcp|udp|sctp]"


def single_ports(specification: str) -> list[str]:
    """Give each port as ``port/protocol``: a range has many, and an address and a host's port in front are dropped.

    Raises:
        DockerfileError: no port, another protocol, a number above 65535.
    """
    *front, container = specification.split(":")
    _check_address(":".join(front[:-1]))
    ports, _, protocol = container.partition("/")
    protocol = protocol.lower() or "tcp"
    if protocol not in PROTOCOLS:
        raise DockerfileError(f"invalid protocol {protocol[:40]!r} in port {specification[:160]!r}", hint=_HINT)
    first, last = _range(ports, specification)
    if front and front[-1]:
        host_first, host_last = _range(front[-1], specification)
        if first != last and last - first != host_last - host_first:
            raise DockerfileError(f"ranges of different length in port {specification[:160]!r}", hint=_HINT)
    return [f"{port}/{protocol}" for port in range(first, last + 1)]


def is_mapping(specification: str) -> bool:
    """Tell whether something stands in front of the container's port that EXPOSE does not need."""
    return any(specification.split(":")[:-1])


def protocol_of(specification: str) -> str:
    """Give the protocol as written, or "" where there is none."""
    return specification.rsplit(":", 1)[-1].partition("/")[2]


def _check_address(address: str) -> None:
    if not address:
        return
    try:
        ipaddress.ip_address(address.removeprefix("[").removesuffix("]"))
    except ValueError:
        raise DockerfileError(f"invalid IP address: {address[:160]}", hint=_HINT) from None


def _range(text: str, specification: str) -> tuple[int, int]:
    first, dash, last = text.partition("-")
    start = _port(first, specification)
    end = _port(last, specification) if dash else start
    if end < start:
        raise DockerfileError(f"invalid port range in {specification[:160]!r}", hint=_HINT)
    return start, end


def _port(text: str, specification: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 20) or int(text) > 65535:
        raise DockerfileError(f"invalid port: {specification[:160]!r}", hint=_HINT)
    return int(text)
