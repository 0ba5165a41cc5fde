"""``pybuild ps`` and ``logs``."""

from __future__ import annotations

import collections
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from builder.cli import common as opt
from builder.cli import table
from builder.cli.containercommon import One, container_sizes, opened
from builder.cli.containerfilters import Filters
from builder.cli.human import ago, created_at, duration, parse_time, point_in_time, size
from builder.containers.store import now
from builder.errors import BuildError

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterator

    from builder.containers.logs import Line
    from builder.containers.record import Container
    from builder.containers.store import Containers

_COLUMNS = ("ID", "Image", "Command", "CreatedAt", "Status", "Ports", "Names")
_HEADS = {
    "ID": "CONTAINER ID",
    "Image": "IMAGE",
    "Command": "COMMAND",
    "RunningFor": "CREATED",
    "CreatedAt": "CREATED AT",
    "State": "STATE",
    "Status": "STATUS",
    "Ports": "PORTS",
    "Names": "NAMES",
    "Labels": "LABELS",
    "Mounts": "MOUNTS",
    "LocalVolumes": "LOCAL VOLUMES",
    "Networks": "NETWORKS",
    "Size": "SIZE",
}
_WIDTH, _MOUNT_WIDTH = 20, 15


def logs(
    name: One,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Show what is added, until it ends.")] = False,
    tail: Annotated[str, typer.Option("-n", "--tail", metavar="LINES", help="Only the last; or all.")] = "all",
    since: Annotated[str, typer.Option("--since", metavar="TIME", help="Only what is younger: a time, or 10m.")] = "",
    until: Annotated[str, typer.Option("--until", metavar="TIME", help="Only what is older.")] = "",
    timestamps: Annotated[bool, typer.Option("-t", "--timestamps", help="Show when each line was written.")] = False,
    details: Annotated[
        bool, typer.Option("--details", help="Keep room for what loggers add; there is nothing.")
    ] = False,
    root: opt.Root = "",
) -> None:
    """Show what the process of a container wrote.

    Example: pybuild logs -f --tail 10 work
    """
    from builder.containers import logs as written  # noqa: PLC0415 - ps needs none of it

    count = int(tail) if tail.isdecimal() else None
    limits = [point_in_time(each) if each else None for each in (since, until)]
    for option, text, moment in zip(("since", "until"), (since, until), limits, strict=True):
        if text and moment is None:
            raise BuildError(f"invalid --{option} {text!r}", hint="write a time (2026-01-31T12:00:00), or 10m for ago")
    _, containers = opened(root)
    container = containers.find(name)
    path = containers.log(container)
    wanted = None if any(limits) else count
    if follow:
        found = written.follow(path, wanted, lambda: containers.is_running(container))
    else:
        found = written.lines(path, wanted)
    if any(limits):
        found = _between(found, *limits)
        if count is not None and not follow:
            found = iter(collections.deque(found, maxlen=count))
    for line in found:
        stream = sys.stderr.buffer if line.stream == "stderr" else sys.stdout.buffer
        stream.write((f"{_padded(line.time)} ".encode() if timestamps else b"") + b" " * details + line.text)
        stream.flush()


def _between(found: Iterator[Line], since: dt.datetime | None, until: dt.datetime | None) -> Iterator[Line]:
    for line in found:
        moment = parse_time(line.time)
        if moment is None or (since is not None and moment < since):
            continue
        if until is not None and moment > until:
            return
        yield line


def _padded(moment: str) -> str:
    """Give a time with all of its nine digits, as Docker shows it."""
    seconds, _, fraction = moment.removesuffix("Z").partition(".")
    return f"{seconds}.{fraction:0<9}Z"


def ps(
    everything: Annotated[bool, typer.Option("-a", "--all", help="Also those that do not run.")] = False,
    latest: Annotated[bool, typer.Option("-l", "--latest", help="The one that was made last.")] = False,
    last: Annotated[int, typer.Option("-n", "--last", metavar="COUNT", help="The last ones that were made.")] = -1,
    quiet: opt.QuietIds = False,
    no_trunc: opt.NoTrunc = False,
    sized: Annotated[bool, typer.Option("-s", "--size", help="Also how large their files are.")] = False,
    filters: opt.ShortFilter = None,
    form: opt.Format = "",
    root: opt.Root = "",
) -> None:
    """List containers, the newest first.

    Example: pybuild ps -a --filter name=work
    """
    _, containers = opened(root)
    wanted = Filters(containers, filters or ())
    rows = []
    found = containers.all()
    if latest or last >= 0:
        found, everything = found[: 1 if latest else last], True
    for container in found:
        running = containers.is_running(container)
        if (running or everything or wanted.of_any_state) and wanted.take(container):
            row = _row(container, running=running, no_trunc=no_trunc)
            rows.append(row | {"Size": _size(containers, container)} if sized or ".Size" in form else row)
    if quiet and not form:
        for row in rows:
            print(row["ID"])
        return
    columns = [name if name != "CreatedAt" else "RunningFor" for name in _COLUMNS] + ["Size"] * sized
    table.print_rows(rows, columns, _HEADS, form)


def _size(containers: Containers, container: Container) -> str:
    """Give the bytes of what the container changed, and of all its files."""
    changed, everything = container_sizes(containers, container)
    return f"{size(changed, 3)} (virtual {size(everything, 3)})"


def _row(container: Container, *, running: bool, no_trunc: bool) -> dict[str, str]:
    command = " ".join(
        [container.command[0], *(f"'{word}'" if " " in word else word for word in container.command[1:])]
    )
    if not no_trunc and len(command) > _WIDTH:
        command = command[: _WIDTH - 1] + "…"
    state = container.state(running=running)
    began, current = parse_time(container.started), parse_time(now())
    status = {"created": "Created", "exited": f"Exited ({container.exit_code}) {ago(container.finished)}"}.get(
        state, "Up"
    )
    if state == "running" and began and current:
        status = f"Up {duration(current - began)}"
    return {
        "ID": container.id if no_trunc else container.short,
        "Image": container.image,
        "Command": f'"{command}"',
        "RunningFor": ago(container.created),
        "CreatedAt": created_at(container.created),
        "State": state,
        "Status": status,
        "Ports": "",
        "Labels": ",".join(f"{key}={value}" for key, value in container.labels.items()),
        "Names": container.name,
        "Mounts": ",".join(_source(each, no_trunc=no_trunc) for each in container.mounts),
        "LocalVolumes": "0",
        "Networks": container.network,
        "Size": "0B",
    }


def _source(mount: str, *, no_trunc: bool) -> str:
    source = mount.partition(":")[0]
    return source if no_trunc or len(source) <= _MOUNT_WIDTH else source[: _MOUNT_WIDTH - 1] + "…"
