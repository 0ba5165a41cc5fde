"""Option values as people write them."""

from __future__ import annotations

import csv
import ipaddress
import re
from pathlib import Path
from typing import TYPE_CHECKING

from builder.errors import BuildError
from builder.execute.secrets import Secret
from builder.runtime.cgroups import Resources
from builder.runtime.runtime import Limit
from builder.runtime.spec import HOST_GATEWAY

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from collections.abc import Set as AbstractSet

_ANNOTATION_LEVEL = re.compile(r"(manifest|index|manifest-descriptor|index-descriptor)(?:\[[^\]]*\])?:(.*)", re.DOTALL)
_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,6})?) ?([kmgtp]?)(?:i?b)?", re.IGNORECASE)
_CPUSET = re.compile(r"\d{1,5}(-\d{1,5})?(,\d{1,5}(-\d{1,5})?)*")
_LEAST_MEMORY = 6 << 20
_LIMITS = frozenset(
    {
        "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc", "rss", "rtprio",
        "rttime", "sigpending", "stack",
    }
)  # fmt: skip


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
        try:
            ipaddress.ip_address("127.0.0.1" if address == HOST_GATEWAY else address)
        except ValueError:
            hint = "write --add-host NAME:ADDRESS"
            raise BuildError(f"invalid --add-host {value!r}: {address!r} is no IP address", hint=hint) from None
        if not name or not separator:
            raise BuildError(f"invalid --add-host {value!r}", hint="write --add-host NAME:ADDRESS")
        found.append((name, address))
    return tuple(found)


def secrets(values: Sequence[str], environment: Mapping[str, str]) -> dict[str, Secret]:
    """Read ``--secret``: ``id=NAME,src=FILE`` or ``id=NAME,env=VARIABLE``; with an id alone, it names one of both.

    Raises:
        BuildError: an unknown key, no id, no such file or variable.
    """
    found = {}
    for value in values:
        keys = _keys(value, "--secret", {"type", "id", "src", "env"}, {"source": "src"})
        name, path, variable = keys.get("id", ""), keys.get("src", ""), keys.get("env", "")
        kind = keys.get("type", "")
        if kind not in {"", "file", "env"}:
            raise BuildError(f"invalid --secret {value!r}: type is file or env, not {kind!r}")
        if not name:
            raise BuildError(f"invalid --secret {value!r}: no id", hint="write --secret id=NAME,src=FILE")
        if kind == "env" and not variable:
            path, variable = "", path
        if not path and not variable:
            path, variable = ("", name) if name in environment and kind != "file" else (name, "")
        if variable:
            if variable not in environment:
                raise BuildError(f"secret {name}: there is no environment variable {variable}")
            found[name] = Secret(value=environment[variable].encode("utf-8", "surrogateescape"))
        elif not Path(path).is_file():
            raise BuildError(f"secret {name}: there is no file {path}")
        else:
            found[name] = Secret(Path(path).absolute())
    return found


def size(text: str, option: str) -> int:
    """Read a number of bytes: ``64m``, ``1.5g``, ``1024``; units of 1024. An empty text is 0.

    Raises:
        BuildError: this is none.
    """
    found = _SIZE.fullmatch(text.strip())
    if found is None and text:
        raise BuildError(f"invalid {option} {text!r}", hint="write a number with b, k, m, g or t")
    return int(float(found[1]) * 1024 ** " kmgtp".index(found[2].lower() or " ")) if found else 0


def limits(values: Sequence[str]) -> tuple[Limit, ...]:
    """Read ``--ulimit``: ``nofile=1024:2048``; a single number is both limits, -1 is none.

    Raises:
        BuildError: an unknown limit, no number, a soft limit above the hard one.
    """
    found = {}
    for value in values:
        name, _, rest = value.partition("=")
        numbers = rest.split(":")
        if name not in _LIMITS or len(numbers) > 2 or not all(re.fullmatch(r"-1|\d{1,19}", each) for each in numbers):
            hint = f"write --ulimit TYPE=SOFT[:HARD]; types are {', '.join(sorted(_LIMITS))}"
            raise BuildError(f"invalid --ulimit {value!r}", hint=hint)
        soft, hard = int(numbers[0]), int(numbers[-1])
        if hard != -1 and (soft > hard or soft == -1):
            raise BuildError(f"invalid --ulimit {value!r}: the soft limit is above the hard one")
        found[name] = Limit(name, soft, hard)
    return tuple(found.values())


def resources(
    parent: str, memory: str, swap: str, shares: int, quota: int, period: int, cpus: str, mems: str
) -> Resources:
    """Read what all processes of a step together may take, option by option as Docker has them.

    Raises:
        BuildError: a value that no control group can have, or swap without memory.
    """
    bytes_, total = size(memory, "--memory"), -1 if swap == "-1" else size(swap, "--memory-swap")
    if 0 < bytes_ < _LEAST_MEMORY:
        raise BuildError(f"invalid --memory {memory!r}: the minimum is 6m")
    if total and not bytes_:
        raise BuildError("--memory-swap is the limit of memory and swap together", hint="set --memory as well")
    if 0 < total < bytes_:
        raise BuildError(f"invalid --memory-swap {swap!r}: it is below --memory {memory}")
    if period and not 1000 <= period <= 1_000_000:
        raise BuildError(f"invalid --cpu-period {period}", hint="write microseconds, from 1000 to 1000000")
    if quota and quota < 1000:
        raise BuildError(f"invalid --cpu-quota {quota}", hint="write microseconds, 1000 or more")
    if shares and shares < 2:
        raise BuildError(f"invalid --cpu-shares {shares}", hint="2 is the least, 1024 the usual")
    for option, text in (("--cpuset-cpus", cpus), ("--cpuset-mems", mems)):
        if text and not _CPUSET.fullmatch(text):
            raise BuildError(f"invalid {option} {text!r}", hint="write numbers and ranges, as in 0-2,7")
    if ".." in parent.split("/"):
        raise BuildError(f"invalid --cgroup-parent {parent!r}")
    return Resources(parent, bytes_, total, shares, quota, period, cpus, mems)


def allowed(values: Sequence[str]) -> frozenset[str]:
    """Read ``--allow``: ``security.insecure``, ``network.host``; devices are known and have no effect.

    Raises:
        BuildError: something else.
    """
    names = [name.strip() for value in values for name in value.split(",")]
    for name in names:
        if name.partition("=")[0] not in {"security.insecure", "network.host", "device"}:
            raise BuildError(f"unknown --allow {name!r}", hint="there are security.insecure and network.host")
    return frozenset(names)


def stage_names(values: Sequence[str]) -> frozenset[str]:
    """Read ``--no-cache-filter``: names of stages, also several with commas."""
    return frozenset(name.strip().lower() for value in values for name in value.split(",") if name.strip())


def _keys(value: str, option: str, known: AbstractSet[str], same: Mapping[str, str]) -> dict[str, str]:
    """Read ``key=value,key=value`` with double quotes as in CSV files."""
    try:
        (fields,) = csv.reader([value], strict=True)
    except (csv.Error, ValueError):
        raise BuildError(f"invalid {option}: its quotes do not match") from None
    found = {}
    for field in fields:
        key, equals, text = field.partition("=")
        name = same.get(key.strip().lower(), key.strip().lower())
        if not equals or name not in known:
            raise BuildError(
                f"invalid {option} {value!r}: unexpected {key!r}", hint=f"keys are {', '.join(sorted(known))}"
            )
        found[name] = text
    return found
