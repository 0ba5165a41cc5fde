"""``pybuild stop``, ``kill``, ``restart``, ``wait``, ``rm``, ``rename`` and ``container prune``."""

from __future__ import annotations

import signal
import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from builder.cli import common as opt
from builder.cli.containercommon import One, Several, opened
from builder.cli.containeroptions import signal_number
from builder.containers import control
from builder.errors import BuildError
from layers.errors import LayersError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable

    from builder.containers.record import Container
    from builder.containers.store import Containers

_PAUSE = 0.02
_FORCED = 60.0
"""Seconds in which a killed process has to be gone, and its layer made."""
_Seconds = Annotated[
    int | None,
    typer.Option(
        "-t",
        "--time",
        "--timeout",
        metavar="SECONDS",
        min=-1,
        help="How long to wait before killing it; -1: until it ends.",
    ),
]
_Signal = Annotated[str, typer.Option("-s", "--signal", metavar="SIGNAL", help="What to send first: INT, 15 ...")]


def stop(names: Several, seconds: _Seconds = None, signal_: _Signal = "", root: opt.Root = "") -> None:
    """Ask the processes of containers to end, and kill those that do not; what they did until then stays.

    Example: pybuild stop -t 3 work
    """
    _, containers = opened(root)
    first = signal_number(signal_) if signal_ else None
    _each(containers, names, lambda container: end(containers, container, seconds, first))


def kill(
    names: Several,
    signal_: Annotated[str, typer.Option("-s", "--signal", metavar="SIGNAL", help="Which one: KILL, TERM, 15 ...")] = (
        "KILL"
    ),
    root: opt.Root = "",
) -> None:
    """Send a signal to the processes of containers.

    Example: pybuild kill -s HUP work
    """
    _, containers = opened(root)
    number = signal_number(signal_)

    def send(container: Container) -> None:
        if not control.signal(containers, container, number):
            raise BuildError(f"cannot kill container {container.name}: it is not running")
        if number == signal.SIGKILL:
            _await_end(containers, container, _FORCED)

    _each(containers, names, send)


def restart(names: Several, seconds: _Seconds = None, signal_: _Signal = "", root: opt.Root = "") -> None:
    """Stop containers, and start them again.

    Example: pybuild restart work
    """
    from builder.cli.container import start_in_background  # noqa: PLC0415 - the others need none of it

    _, containers = opened(root)
    first = signal_number(signal_) if signal_ else None

    def again(container: Container) -> None:
        end(containers, container, seconds, first)
        start_in_background(containers, containers.find(container.id))

    _each(containers, names, again)


def _each(containers: Containers, names: list[str], action: Callable[[Container], None]) -> None:
    """Do something with each container and print its name; what goes wrong is told when all have had their turn."""
    failed: list[Exception] = []
    for name in names:
        try:
            action(containers.find(name))
            print(name, flush=True)
        except (LayersError, BuildError) as error:
            failed.append(error)
    opt.raise_last(failed)


def end(containers: Containers, container: Container, seconds: int | None = None, first: int | None = None) -> None:
    """End the process of a container, by a signal, else its own, and after so many seconds by force; -1 is never.

    Raises:
        BuildError: it does not end.
    """
    asked = control.signal(containers, container, first or signal_number(container.stop_signal or "TERM"))
    patience = container.stop_timeout if seconds is None else float("inf") if seconds < 0 else seconds
    if asked and _await_end(containers, container, patience):
        return
    deadline = time.monotonic() + _FORCED
    while containers.is_running(container):  # also one that has just begun, and does not listen yet
        control.signal(containers, container, signal.SIGKILL)
        if _await_end(containers, container, 1):
            return
        if time.monotonic() > deadline:
            raise BuildError(f"container {container.name} does not end")


def _await_end(containers: Containers, container: Container, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while containers.is_running(container):
        if time.monotonic() > deadline:
            return False
        time.sleep(_PAUSE)
    return True


def wait(names: Several, root: opt.Root = "") -> None:
    """Wait until containers end, and print their exit codes.

    Example: pybuild wait work
    """
    _, containers = opened(root)
    failed: list[Exception] = []
    for name in names:
        try:
            container = containers.find(name)
            while containers.is_running(container):
                time.sleep(_PAUSE)
            print(containers.find(container.id).exit_code, flush=True)
        except (LayersError, BuildError) as error:
            failed.append(error)
    opt.raise_last(failed)


def remove(
    names: Several,
    force: Annotated[bool, typer.Option("-f", "--force", help="Kill those that run.")] = False,
    volumes: Annotated[bool, typer.Option("-v", "--volumes", help="Taken for Docker's sake; there are none.")] = False,  # noqa: ARG001 - see its help
    root: opt.Root = "",
) -> None:
    """Remove containers.

    Example: pybuild rm work
    """
    _, containers = opened(root)

    def gone(container: Container) -> None:
        if containers.is_running(container):
            if not force:
                raise BuildError(f"container {container.name} is running", hint="stop it first, or use -f")
            end(containers, container, 0)
        forget(containers, container)

    if force:  # nothing is what is wanted
        names, missing = _there(containers, names)
        for name in missing:
            print(f"ERROR: no container {name}", file=sys.stderr)
    _each(containers, names, gone)


def _there(containers: Containers, names: list[str]) -> tuple[list[str], list[str]]:
    """Give the names of containers that there are, and the others."""
    missing = []
    for name in names:
        try:
            containers.find(name)
        except NotFoundError:
            missing.append(name)
    return [name for name in names if name not in missing], missing


def forget(containers: Containers, container: Container) -> None:
    """Remove a container, and what no image needs of it."""
    from builder.cli.naming import sweep  # noqa: PLC0415 - only where something is deleted

    containers.remove(container)
    sweep(containers.layout)


def rename(
    name: One, target: Annotated[str, typer.Argument(metavar="NEW_NAME", help="The new one.")], root: opt.Root = ""
) -> None:
    """Call a container something else.

    Example: pybuild rename brave_lynx work
    """
    _, containers = opened(root)
    containers.rename(containers.find(name), target)


def prune(filters: opt.Filter = None, force: opt.Yes = False, root: opt.Root = "") -> None:
    """Remove all containers that do not run.

    Example: pybuild container prune -f --filter until=24h
    """
    from builder.cli.human import size  # noqa: PLC0415 - the others need none of it
    from builder.cli.naming import sweep  # noqa: PLC0415 - likewise

    wanted = [_test(each) for each in filters or ()]
    _, containers = opened(root)
    if not force:
        opt.confirm("This will remove all stopped containers.")
    removed = []
    for container in containers.all():
        if all(test(container) for test in wanted) and not containers.is_running(container):
            containers.remove(container)
            removed.append(container.id)
    if removed:
        print("Deleted Containers:\n" + "\n".join(removed) + "\n")
    print(f"Total reclaimed space: {size(sweep(containers.layout).size)}")


def _test(text: str) -> Callable[[Container], bool]:
    """Read one ``--filter`` of prune.

    Raises:
        BuildError: it is none.
    """
    from builder.cli.human import parse_time, point_in_time  # noqa: PLC0415 - the others need none of it

    key, equals, value = text.partition("=")
    if key == "until" and (limit := point_in_time(value)) is not None:
        return lambda container: (parse_time(container.created) or limit) < limit
    if key in {"label", "label!"} and equals:
        name, valued, wanted = value.partition("=")

        def has(container: Container) -> bool:
            return name in container.labels and (not valued or container.labels[name] == wanted)

        return has if key == "label" else lambda container: not has(container)
    hint = "the filters are until=24h, label=KEY[=VALUE] and label!=KEY[=VALUE]"
    raise BuildError(f"invalid filter {text!r}", hint=hint)
