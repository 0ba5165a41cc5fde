"""Option values as people write them."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING

from builder.errors import BuildError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_ANNOTATION_LEVEL = re.compile(r"(manifest|index|manifest-descriptor|index-descriptor)(?:\[[^\]]*\])?:(.*)", re.DOTALL)


def pairs(values: Sequence[str], option: str) -> dict[str, str]:
    """Read ``key=value`` each; a key alone has an empty value.

    Raises:
        BuildError: an empty key.
    """
    found = {}
    for value in values:
        key, _, rest = value.partition("=")
        if not key:
            raise BuildError(f"invalid {option} {value!r}", hint=f"write {option} KEY=VALUE")
        found[key] = rest
    return found


def build_arguments(values: Sequence[str], environment: Mapping[str, str]) -> dict[str, str]:
    """Read ``--build-arg``: ``K=V``, or ``K`` with the environment's value, which is left out where there is none.

    Raises:
        BuildError: an empty name.
    """
    found = {}
    for value in values:
        name, equals, text = value.partition("=")
        if not name:
            raise BuildError(f"invalid --build-arg {value!r}", hint="write --build-arg NAME=VALUE")
        if equals:
            found[name] = text
        elif name in environment:
            found[name] = environment[name]
    if "SOURCE_DATE_EPOCH" in environment:
        found.setdefault("SOURCE_DATE_EPOCH", environment["SOURCE_DATE_EPOCH"])
    return found


def annotation_pairs(values: Sequence[str]) -> dict[str, str]:
    """Read ``--annotation``: ``key=value``, with ``manifest:`` before it or not.

    Raises:
        BuildError: no pair, or an annotation of something that a single image does not have.
    """
    found = {}
    for value in values:
        level = _ANNOTATION_LEVEL.fullmatch(value)
        if level is not None and level[1] != "manifest":
            raise BuildError(f"invalid --annotation {value!r}: an image of one platform has no {level[1]}")
        key, equals, text = (level[2] if level else value).partition("=")
        if not key or not equals:
            raise BuildError(f"invalid --annotation {value!r}", hint="write --annotation KEY=VALUE")
        found[key] = text
    return found


def extra_hosts(values: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Read ``--add-host``: ``name:address``, ``name=address``, an IPv6 address in brackets or not; ``host-gateway``.

    Raises:
        BuildError: no name, or no address.
    """
    found = []
    for value in values:
        name, separator, address = value.partition("=" if "=" in value else ":")
        address = address.removeprefix("[").removesuffix("]")
        if address == "host-gateway":
            address = "127.0.0.1"  # steps share the machine's network
        try:
            ipaddress.ip_address(address)
        except ValueError:
            hint = "write --add-host NAME:ADDRESS"
            raise BuildError(f"invalid --add-host {value!r}: {address!r} is no IP address", hint=hint) from None
        if not name or not separator:
            raise BuildError(f"invalid --add-host {value!r}", hint="write --add-host NAME:ADDRESS")
        found.append((name, address))
    return tuple(found)
