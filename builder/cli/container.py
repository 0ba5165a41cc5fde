"""``pybuild run``, ``create``, ``start``, ``exec``, ``stop``, ``wait`` and ``rm``."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from builder.cli import common as opt
from builder.cli.containerrun import Task, command_of, in_background, read_mount, run
from builder.cli.containers import Container, Containers, new_id, now, opened
from builder.cli.stored import find
from builder.errors import BuildError
from layers.errors import LayersError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable

    from builder.cli.environment import Environment
    from builder.cli.stored import Kept

ID = re.compile(r"sha256:[0-9a-f]{64}|[0-9a-f]{12,64}")
"""What is an id and no name, where nothing of that name is found."""
_NETWORKS = ("default", "none", "host")
_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_ImageName = Annotated[str, typer.Argument(metavar="IMAGE", help="Name or id.")]
_Arguments = Annotated[list[str] | None, typer.Argument(metavar="[COMMAND] [ARG...]", help="In place of its command.")]
_Name = Annotated[str, typer.Option("--name", help="What to call the container.")]
_Env = Annotated[list[str] | None, typer.Option("-e", "--env", metavar="NAME[=VALUE]", help="Set a variable.")]
_Cwd = Annotated[str, typer.Option("-w", "--workdir", metavar="DIR", help="Where to run.")]
_User = Annotated[str, typer.Option("-u", "--user", metavar="USER[:GROUP]", help="Who runs it.")]
_Volumes = Annotated[
    list[str] | None, typer.Option("-v", "--volume", metavar="/HOST:/PATH[:ro]", help="Show a file or directory.")
]
_Network = Annotated[str, typer.Option("--network", help="default, none or host.")]
_Entrypoint = Annotated[str | None, typer.Option("--entrypoint", metavar="PROGRAM", help="In place of the image's.")]
_Hostname = Annotated[str, typer.Option("--hostname", metavar="NAME", help="What the container calls itself.")]
_Several = Annotated[list[str], typer.Argument(metavar="CONTAINER...", help="Names or ids.")]
_One = Annotated[str, typer.Argument(metavar="CONTAINER", help="Name or id.")]


def create(
    image: _ImageName,
    arguments: _Arguments = None,
    name: _Name = "",
    env: _Env = None,
    workdir: _Cwd = "",
    user: _User = "",
    volumes: _Volumes = None,
    network: _Network = "default",
    entrypoint: _Entrypoint = None,
    hostname: _Hostname = "",
    isolation: opt.IsolationMode = "auto",
    runtime: opt.OciRuntime = "",
    root: opt.Root = "",
) -> None:
    """Make a container of an image, and do not start it.

    Example: pybuild create --name work debian:12
    """
    environment, containers = opened(root)
    kept = _found(environment, containers, image)
    wanted = Container(
        new_id(), name, image, "", "", (), tuple(env or ()), workdir, user, hostname, network,
        tuple(volumes or ()), opt.way(isolation, runtime),
    )  # fmt: skip
    print(_made(environment, containers, kept, wanted, entrypoint, arguments or []).id)


def run_(
    image: _ImageName,
    arguments: _Arguments = None,
    name: _Name = "",
    detach: Annotated[bool, typer.Option("-d", "--detach", help="Run in the background, and print the id.")] = False,
    remove: Annotated[bool, typer.Option("--rm", help="Remove the container when it ends.")] = False,
    env: _Env = None,
    workdir: _Cwd = "",
    user: _User = "",
    volumes: _Volumes = None,
    network: _Network = "default",
    entrypoint: _Entrypoint = None,
    hostname: _Hostname = "",
    isolation: opt.IsolationMode = "auto",
    runtime: opt.OciRuntime = "",
    root: opt.Root = "",
) -> None:
    """Make a container of an image and run its command; output and errors come as one stream, input is empty.

    Example: pybuild run --rm -v $PWD:/src:ro -w /src debian:12 ls -l
    """
    environment, containers = opened(root)
    kept = _found(environment, containers, image)
    wanted = Container(
        new_id(), name, image, "", "", (), tuple(env or ()), workdir, user, hostname, network,
        tuple(volumes or ()), opt.way(isolation, runtime),
    )  # fmt: skip
    container = _made(environment, containers, kept, wanted, entrypoint, arguments or [])

    def work(*, shown: bool) -> int:
        try:
            return run(environment, containers, container, Task(container.command), shown=shown)
        finally:
            if remove:
                _removed(containers, container)

    if detach:
        _started(containers, container, lambda: work(shown=False))
        print(container.id)
    else:
        raise typer.Exit(work(shown=True))


def _found(environment: Environment, containers: Containers, text: str) -> Kept:
    """Give an image of the store; one that is not there is pulled."""
    try:
        return find(containers.layout, text)
    except NotFoundError as missing:
        if ID.fullmatch(text):
            raise
        from builder.cli.registry import pull_missing  # noqa: PLC0415 - most are there

        print(f"Unable to find image '{text}' locally", file=sys.stderr)
        try:
            pull_missing(environment, containers.layout, text)
        except LayersError as error:
            raise NotFoundError(missing.message, hint=f"it cannot be pulled either: {error}") from error
        return find(containers.layout, text)


def _made(
    environment: Environment,
    containers: Containers,
    kept: Kept,
    wanted: Container,
    entrypoint: str | None,
    arguments: list[str],
) -> Container:
    """Write down a new container of an image: what is not asked for is the image's.

    Raises:
        BuildError: an option that makes no sense, or nothing to run.
    """
    opt.one_of("--network", wanted.network, _NETWORKS)
    for volume in wanted.mounts:
        read_mount(volume)
    config = kept.image.config.config
    own = config.env if any(each.startswith("PATH=") for each in config.env) else (_PATH, *config.env)
    outside = environment.variables
    given = tuple(
        each if "=" in each else f"{each}={outside[each]}" for each in wanted.env if "=" in each or each in outside
    )
    container = replace(
        wanted,
        base=str(kept.digest),
        current=str(kept.image.digest),
        command=command_of(kept.image, entrypoint, arguments),
        env=own + given,
        cwd=wanted.cwd or config.working_dir or "/",
        user=wanted.user or config.user,
        created=now(),
    )
    with containers.layout.using():
        return containers.add(container)


def _started(containers: Containers, container: Container, work: Callable[[], int]) -> None:
    """Start work in the background, and wait until the container is held, or the work has ended."""
    in_background(work)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            found = containers.find(container.id)
        except NotFoundError:  # it has ended and was removed
            return
        if found.started != container.started:
            return
        time.sleep(0.01)
    raise BuildError("the process was not started in time", hint=f"see: pybuild logs {container.name}")


def start(
    names: _Several,
    attach: Annotated[bool, typer.Option("-a", "--attach", help="Wait for it, and show what it writes.")] = False,
    root: opt.Root = "",
) -> None:
    """Run the command of containers again, on what they have become.

    Example: pybuild start -a work
    """
    environment, containers = opened(root)
    code = 0
    for name in names:
        container = containers.find(name)
        task = Task(container.command)
        if containers.is_running(container):
            print(name)
        elif attach:
            code = run(environment, containers, container, task, shown=True)
        else:
            _started(containers, container, lambda c=container, t=task: run(environment, containers, c, t, shown=False))  # type: ignore[misc] # mypy does not infer lambdas with defaults
            print(name)
    raise typer.Exit(code)


def exec_(
    name: _One,
    arguments: Annotated[list[str], typer.Argument(metavar="COMMAND [ARG...]")],
    env: _Env = None,
    workdir: _Cwd = "",
    user: _User = "",
    root: opt.Root = "",
) -> None:
    """Run one more command in a container whose own does not run; what it changes stays there.

    Example: pybuild exec work apt-get update
    """
    environment, containers = opened(root)
    container = containers.find(name)
    task = Task(tuple(arguments), tuple(env or ()), workdir, user, main=False)
    raise typer.Exit(run(environment, containers, container, task, shown=True))


def stop(names: _Several, root: opt.Root = "") -> None:
    """End the processes of containers; what they did until then stays.

    Example: pybuild stop work
    """
    _, containers = opened(root)
    for name in names:
        _stop(containers, containers.find(name))
        print(name)


def _stop(containers: Containers, container: Container) -> None:
    deadline = time.monotonic() + 60
    while containers.is_running(container):
        pid = containers.find(container.id).pid
        if pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        if time.monotonic() > deadline:
            raise BuildError(f"container {container.name} does not end")
        time.sleep(0.05)


def wait(names: _Several, root: opt.Root = "") -> None:
    """Wait until containers end, and print their exit codes.

    Example: pybuild wait work
    """
    _, containers = opened(root)
    for name in names:
        container = containers.find(name)
        while containers.is_running(container):
            time.sleep(0.05)
        print(containers.find(container.id).exit_code)


def remove(
    names: _Several,
    force: Annotated[bool, typer.Option("-f", "--force", help="Stop those that run.")] = False,
    root: opt.Root = "",
) -> None:
    """Remove containers.

    Example: pybuild rm work
    """
    _, containers = opened(root)
    errors: list[Exception] = []
    for name in names:
        try:
            container = containers.find(name)
            if containers.is_running(container):
                if not force:
                    hint = "stop it first, or use -f"
                    raise BuildError(f"container {name} is running", hint=hint)  # noqa: TRY301 - told with the others
                _stop(containers, container)
            _removed(containers, container)
            print(name)
        except (LayersError, BuildError) as error:
            errors.append(error)
    opt.raise_last(errors)


def _removed(containers: Containers, container: Container) -> None:
    from builder.cli.naming import sweep  # noqa: PLC0415 - only where something is deleted

    containers.remove(container)
    sweep(containers.layout)
