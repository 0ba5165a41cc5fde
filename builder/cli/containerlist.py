"""``pybuild ps`` and ``logs``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from builder.cli import common as opt
from builder.cli import table
from builder.cli.containers import now, opened
from builder.cli.human import ago, created_at, duration, parse_time
from builder.errors import BuildError

if TYPE_CHECKING:
    from collections.abc import Callable

    from builder.cli.containers import Container

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
}
_FILTERS = ("name", "id", "ancestor", "status", "exited")
_WIDTH = 20
_One = Annotated[str, typer.Argument(metavar="CONTAINER", help="Name or id.")]


def logs(name: _One, root: opt.Root = "") -> None:
    """Show what the processes of a container wrote.

    Example: pybuild logs work
    """
    _, containers = opened(root)
    path = containers.log(containers.find(name))
    if not path.exists():
        return
    with path.open("rb") as log:
        while data := log.read(1 << 20):
            sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def ps(
    everything: Annotated[bool, typer.Option("-a", "--all", help="Also those that do not run.")] = False,
    quiet: opt.QuietIds = False,
    no_trunc: opt.NoTrunc = False,
    filters: opt.Filter = None,
    form: opt.Format = "",
    root: opt.Root = "",
) -> None:
    """List containers, the newest first.

    Example: pybuild ps -a --filter name=work
    """
    for each in filters or []:
        key, equals, _ = each.partition("=")
        if key not in _FILTERS or not equals:
            raise BuildError(f"invalid filter {each!r}", hint=f"the filters are {', '.join(_FILTERS)}")
    _, containers = opened(root)
    rows = []
    for container in containers.all():
        running = containers.is_running(container)
        if (running or everything) and _passes(container, filters or [], running=running):
            rows.append(_row(container, running=running, no_trunc=no_trunc))
    if quiet and not form:
        for row in rows:
            print(row["ID"])
        return
    columns = [name if name != "CreatedAt" else "RunningFor" for name in _COLUMNS]
    table.print_rows(rows, columns, _HEADS, form)


def _passes(container: Container, filters: list[str], *, running: bool) -> bool:
    tests: dict[str, Callable[[str], bool]] = {
        "name": lambda value: value in container.name,
        "id": container.id.startswith,
        "ancestor": lambda value: value in {container.image, container.base},
        "status": lambda value: value == container.state(running=running),
        "exited": lambda value: bool(container.finished) and value == str(container.exit_code),
    }
    return all(tests[key](value) for key, _, value in (each.partition("=") for each in filters))


def _row(container: Container, *, running: bool, no_trunc: bool) -> dict[str, str]:
    command = " ".join(container.command)
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
        "Names": container.name,
    }
