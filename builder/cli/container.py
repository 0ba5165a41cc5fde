"""``pybuild run``, ``create``, ``start``, ``attach`` and ``exec``."""

from __future__ import annotations

import re
import socket
import sys
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from builder.cli import common as opt
from builder.cli.containercommon import DetachKeys, One, Several, opened
from builder.cli.containeroptions import (
    Env,
    EnvFiles,
    Interactive,
    Tty,
    User,
    Wanted,
    Workdir,
    described,
    detach_keys,
    environment_of,
    takes_wanted,
)
from builder.containers import control
from builder.containers.monitor import launch
from builder.containers.session import NotRunningError, NotStartedError, Session, watch
from builder.containers.work import Task, main_task
from builder.errors import BuildError
from layers.errors import LayersError, NotFoundError

if TYPE_CHECKING:
    from builder.cli.environment import Environment
    from builder.cli.stored import Kept
    from builder.containers.record import Container
    from builder.containers.session import Ended
    from builder.containers.store import Containers

ID = re.compile(r"sha256:[0-9a-f]{64}|[0-9a-f]{12,64}")
"""What is an id and no name, where nothing of that name is found."""
_PAUSE = 0.02

_ImageName = Annotated[str, typer.Argument(metavar="IMAGE", help="Name or id.")]
_Arguments = Annotated[list[str] | None, typer.Argument(metavar="[COMMAND] [ARG...]", help="In place of its command.")]
_Proxy = Annotated[bool, typer.Option("--sig-proxy/--no-sig-proxy", help="Hand on signals to its process.")]


@takes_wanted
def create(image: _ImageName, arguments: _Arguments = None, *, wanted: Wanted) -> None:
    """Make a container of an image, and do not start it.

    Example: pybuild create --name work debian:12
    """
    environment, containers = opened(wanted.root)
    print(_made(environment, containers, image, wanted, arguments or [], detached=False).id)


@takes_wanted
def run_(
    image: _ImageName,
    arguments: _Arguments = None,
    detach: Annotated[bool, typer.Option("-d", "--detach", help="Run in the background, and print the id.")] = False,
    keys: DetachKeys = "",
    proxy: _Proxy = True,
    *,
    wanted: Wanted,
) -> None:
    """Make a container of an image and run its command.

    Example: pybuild run --rm -it -v $PWD:/src:ro -w /src debian:12 bash
    """
    escape = detach_keys(keys)
    if not detach:
        _check_terminal(stdin=wanted.interactive, tty=wanted.tty)
    environment, containers = opened(wanted.root)
    container = _made(environment, containers, image, wanted, arguments or [], detached=detach)
    if detach:
        print(container.id, flush=True)
        try:
            start_in_background(containers, container)
        except NotStartedError as error:
            print(f"ERROR: {error}", file=sys.stderr)
            raise typer.Exit(error.code) from None
        return
    task = main_task(container)
    raise typer.Exit(_attached(containers, container, task, stdin=task.open_stdin, proxy=proxy, keys=escape))


def _made(
    environment: Environment,
    containers: Containers,
    image: str,
    wanted: Wanted,
    arguments: list[str],
    *,
    detached: bool,
) -> Container:
    """Write down a new container of an image, which is pulled where it is missing."""
    with containers.layout.using():
        kept = _found(environment, containers, image, wanted)
        return containers.add(described(kept, wanted, image, arguments, environment.variables, detached=detached))


def _found(environment: Environment, containers: Containers, text: str, wanted: Wanted) -> Kept:
    """Give an image of the store; one that is not there is pulled."""
    from builder.cli.stored import find  # noqa: PLC0415 - what --help does not need
    from layers.platform import Platform  # noqa: PLC0415 - likewise

    platform = Platform.parse(wanted.platform) if wanted.platform else None
    if wanted.pull == "always" and not ID.fullmatch(text):
        _pulled(environment, containers, text, wanted.platform)
    try:
        return find(containers.layout, text, platform)
    except NotFoundError as missing:
        if ID.fullmatch(text) or wanted.pull == "never":
            raise
        print(f"Unable to find image '{text}' locally", file=sys.stderr)
        try:
            _pulled(environment, containers, text, wanted.platform)
        except LayersError as error:
            raise NotFoundError(missing.message, hint=f"it cannot be pulled either: {error}") from error
        return find(containers.layout, text, platform)


def _pulled(environment: Environment, containers: Containers, text: str, platform: str) -> None:
    from builder.cli.registry import pull_missing  # noqa: PLC0415 - most are there

    pull_missing(environment, containers.layout, text, platform)


def _check_terminal(*, stdin: bool, tty: bool) -> None:
    if stdin and tty and not sys.stdin.isatty():
        print("ERROR: the input device is not a TTY", file=sys.stderr)
        raise typer.Exit(1)  # of run as well, where other errors are 125


def _attached(
    containers: Containers, container: Container, task: Task, *, stdin: bool, proxy: bool, keys: bytes
) -> int:
    """Run a task in the foreground, and give its exit code."""
    finish = (lambda: _forgotten(containers, container)) if task.main and container.auto_remove else None
    with launch(containers, container, task, finish) as connection:
        session = Session(connection, stdin=stdin, tty=task.tty, proxy=proxy, keys=keys)
        return _told(session.run({"attach": session.wanted}))


def _told(ended: Ended) -> int:
    if ended.error:
        print(f"ERROR: the process could not be started: {ended.error}", file=sys.stderr)
    return ended.code


def start_in_background(containers: Containers, container: Container) -> None:
    """Run a container's own process in the background; return once it has started."""
    finish = (lambda: _forgotten(containers, container)) if container.auto_remove else None
    with launch(containers, container, main_task(container), finish) as connection:
        watch(connection)


def _forgotten(containers: Containers, container: Container) -> None:
    from builder.cli.containerlife import forget  # noqa: PLC0415 - only where it removes itself

    forget(containers, container)


def start(
    names: Several,
    attach: Annotated[bool, typer.Option("-a", "--attach", help="Show what it writes, until it ends.")] = False,
    interactive: Interactive = False,
    keys: DetachKeys = "",
    root: opt.Root = "",
) -> None:
    """Run the command of containers again, on what they have become.

    Example: pybuild start -a work
    """
    _, containers = opened(root)
    attach, escape = attach or interactive, detach_keys(keys)
    if attach and len(names) > 1:
        raise BuildError("you cannot start and attach multiple containers at once")
    failed: list[Exception] = []
    for name in names:
        try:
            container = containers.find(name)
            if attach:
                _check_terminal(stdin=interactive and container.open_stdin, tty=container.tty)
                raise typer.Exit(_start_attached(containers, container, stdin=interactive, keys=escape))
            if not containers.is_running(container):
                start_in_background(containers, container)
            print(name)
        except (BuildError, LayersError) as error:
            failed.append(error)
    opt.raise_last(failed)


def _start_attached(containers: Containers, container: Container, *, stdin: bool, keys: bytes) -> int:
    if containers.is_running(container):
        return _attach(containers, container, stdin=stdin, proxy=True, keys=keys)
    stdin = stdin and container.open_stdin
    return _attached(containers, container, main_task(container), stdin=stdin, proxy=True, keys=keys)


def attach(
    name: One,
    no_stdin: Annotated[bool, typer.Option("--no-stdin", help="Hand on no input.")] = False,
    proxy: _Proxy = True,
    keys: DetachKeys = "",
    root: opt.Root = "",
) -> None:
    """Show what the process of a running container writes, and hand it what is typed.

    Example: pybuild attach work
    """
    _, containers = opened(root)
    container = containers.find(name)
    stdin = container.open_stdin and not no_stdin
    if not containers.is_running(container):
        raise BuildError("you cannot attach to a stopped container, start it first", hint=f"pybuild start -a {name}")
    _check_terminal(stdin=stdin, tty=container.tty)
    raise typer.Exit(_attach(containers, container, stdin=stdin, proxy=proxy, keys=detach_keys(keys)))


def _attach(containers: Containers, container: Container, *, stdin: bool, proxy: bool, keys: bytes) -> int:
    with control.connect(containers, container) as connection:
        session = Session(connection, stdin=stdin, tty=container.tty, proxy=proxy, keys=keys)
        return _told(session.run({"attach": session.wanted}))


def exec_(
    name: One,
    arguments: Annotated[list[str], typer.Argument(metavar="COMMAND [ARG...]")],
    interactive: Interactive = False,
    tty: Tty = False,
    detach: Annotated[bool, typer.Option("-d", "--detach", help="Do not wait for it.")] = False,
    env: Env = None,
    env_files: EnvFiles = None,
    workdir: Workdir = "",
    user: User = "",
    keys: DetachKeys = "",
    root: opt.Root = "",
) -> None:
    """Run one more command in a container: beside its process, or, where that does not run, alone.

    Example: pybuild exec -it work sh
    """
    environment, containers = opened(root)
    container, escape = containers.find(name), detach_keys(keys)
    if not detach:
        _check_terminal(stdin=interactive, tty=tty)
    variables = environment_of(env, env_files, environment.variables)
    task = Task(tuple(arguments), variables, workdir, user, tty=tty, open_stdin=interactive and not detach, main=False)
    raise typer.Exit(_executed(containers, container, task, detach=detach, keys=escape))


def _executed(containers: Containers, container: Container, task: Task, *, detach: bool, keys: bytes) -> int:
    """Join the process of a container, or run alone in one that is not running."""
    while containers.is_running(container):
        try:
            with control.connect(containers, container) as connection:
                return _joined(connection, task, detach=detach, keys=keys)
        except NotRunningError as error:
            if "another command" in error.message:
                raise
        except NotFoundError:
            pass
        time.sleep(_PAUSE)  # it is about to start, or has just ended
    if detach:
        with launch(containers, container, task) as connection:
            watch(connection)
        return 0
    return _attached(containers, container, task, stdin=task.open_stdin, proxy=False, keys=keys)


def _joined(connection: socket.socket, task: Task, *, detach: bool, keys: bytes) -> int:
    request = {"join": asdict(task), "wanted": {"detach": detach}}
    if detach:
        watch(connection, request)
        return 0
    session = Session(connection, stdin=task.open_stdin, tty=task.tty, proxy=False, keys=keys)
    return _told(session.run({**request, "wanted": session.wanted}))
