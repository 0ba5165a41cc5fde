"""The options of ``run`` and ``create``, and the container that they describe."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from builder.cli import common as opt
from builder.containers.record import Container
from builder.containers.store import new_id, now
from builder.containers.work import command_of, read_mount, read_tmpfs
from builder.errors import BuildError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from builder.cli.stored import Kept

_NETWORKS = ("default", "none", "host")
_PULLS = ("missing", "always", "never")

Env = Annotated[opt.Several, typer.Option("-e", "--env", metavar="NAME[=VALUE]", help="Set a variable.")]
EnvFiles = Annotated[opt.Several, typer.Option("--env-file", metavar="FILE", help="Set the variables in a file.")]
Workdir = Annotated[str, typer.Option("-w", "--workdir", metavar="DIR", help="Where to run.")]
User = Annotated[str, typer.Option("-u", "--user", metavar="USER[:GROUP]", help="Who runs it.")]
Interactive = Annotated[bool, typer.Option("-i", "--interactive", help="Hand on standard input.")]
Tty = Annotated[bool, typer.Option("-t", "--tty", help="Give it a terminal.")]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What ``run`` and ``create`` may ask for; each field is an option."""

    name: Annotated[str, typer.Option("--name", help="What to call the container.")] = ""
    interactive: Interactive = False
    tty: Tty = False
    env: Env = None
    env_files: EnvFiles = None
    workdir: Workdir = ""
    user: User = ""
    volumes: Annotated[
        opt.Several, typer.Option("-v", "--volume", metavar="/HOST:/PATH[:ro]", help="Show a file or directory.")
    ] = None
    tmpfs: Annotated[opt.Several, typer.Option("--tmpfs", metavar="/PATH[:OPTIONS]", help="A directory in memory.")] = (
        None
    )
    network: Annotated[str, typer.Option("--network", "--net", help="default and host: the machine's; or none.")] = (
        "default"
    )
    hosts: Annotated[
        opt.Several, typer.Option("--add-host", metavar="NAME:ADDRESS", help="Add a line to /etc/hosts.")
    ] = None
    entrypoint: Annotated[
        str | None, typer.Option("--entrypoint", metavar="PROGRAM", help="In place of the image's.")
    ] = None
    hostname: Annotated[
        str, typer.Option("-h", "--hostname", metavar="NAME", help="What the container calls itself.")
    ] = ""
    labels: Annotated[opt.Several, typer.Option("-l", "--label", metavar="KEY=VALUE", help="Set a label.")] = None
    remove: Annotated[bool, typer.Option("--rm", help="Remove the container when it ends.")] = False
    readonly: Annotated[bool, typer.Option("--read-only", help="Let nothing be written to its files.")] = False
    init: Annotated[bool, typer.Option("--init", help="Have docker-init, tini or catatonit reap processes.")] = False
    memory: Annotated[str, typer.Option("-m", "--memory", metavar="BYTES", help="Memory it may take, as in 512m.")] = ""
    memory_swap: Annotated[
        str, typer.Option("--memory-swap", metavar="BYTES", help="Memory and swap together; -1 for any amount of swap.")
    ] = ""
    cpu_shares: Annotated[int, typer.Option("-c", "--cpu-shares", help="Its weight; 1024 is the usual.")] = 0
    cpu_quota: Annotated[
        int, typer.Option("--cpu-quota", help="Microseconds of processor time in each --cpu-period.")
    ] = 0
    cpu_period: Annotated[int, typer.Option("--cpu-period", help="Microseconds, from 1000 to 1000000.")] = 0
    cpuset_cpus: Annotated[
        str, typer.Option("--cpuset-cpus", metavar="LIST", help="Processors it may use, as in 0-2,7.")
    ] = ""
    cpuset_mems: Annotated[str, typer.Option("--cpuset-mems", metavar="LIST", help="Nodes of memory, likewise.")] = ""
    cgroup_parent: Annotated[
        str, typer.Option("--cgroup-parent", metavar="PATH", help="The control group in which it gets its own.")
    ] = ""
    stop_signal: Annotated[str, typer.Option("--stop-signal", metavar="SIGNAL", help="What asks it to end.")] = ""
    stop_timeout: Annotated[
        int, typer.Option("--stop-timeout", metavar="SECONDS", min=0, help="From that signal to the killing one.")
    ] = 10
    platform: opt.PlatformName = ""
    pull: Annotated[str, typer.Option("--pull", help="always, missing or never.")] = "missing"
    isolation: opt.IsolationMode = "auto"
    runtime: opt.OciRuntime = ""
    root: opt.Root = ""


def takes_wanted(command: Callable[..., None]) -> Callable[..., None]:
    """Let a command whose last parameter is a Wanted have its fields as options in its place."""
    hints, options = (get_type_hints(each, include_extras=True) for each in (command, Wanted))
    parameters = [
        each.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hints[name])
        for name, each in inspect.signature(command).parameters.items()
        if name != "wanted"
    ]
    parameters += [
        inspect.Parameter(
            each.name, inspect.Parameter.KEYWORD_ONLY, default=each.default, annotation=options[each.name]
        )
        for each in fields(Wanted)
    ]

    def called(**given: Any) -> None:
        command(wanted=Wanted(**{name: given.pop(name) for name in options}), **given)

    called.__doc__ = command.__doc__
    called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined] # as inspect documents it
    called.__annotations__ = {each.name: each.annotation for each in parameters}
    return called


def described(
    kept: Kept, wanted: Wanted, image: str, arguments: Sequence[str], variables: Mapping[str, str], *, detached: bool
) -> Container:
    """Give the container of an image that is asked for: what is not asked for is the image's.

    Raises:
        BuildError: an option that makes no sense, or nothing to run.
    """
    opt.one_of("--network", wanted.network, _NETWORKS)
    opt.one_of("--pull", wanted.pull, _PULLS)
    check_directory(wanted.workdir)
    for volume in wanted.volumes or ():
        read_mount(volume)
    for each in wanted.tmpfs or ():
        read_tmpfs(each)
    from builder.cli.inputs import extra_hosts, pairs  # noqa: PLC0415 - what --help does not need

    config = kept.image.config.config
    entrypoint, words = command_of(kept.image, wanted.entrypoint, arguments)
    given = environment_of(wanted.env, wanted.env_files, variables)
    names = {each.partition("=")[0] for each in given}
    stop = wanted.stop_signal or config.stop_signal or ""
    if stop:
        signal_number(stop)
    return Container(
        id=new_id(),
        name=wanted.name,
        image=image,
        base=str(kept.digest),
        current=str(kept.image.digest),
        entrypoint=entrypoint,
        arguments=words,
        env=(*given, *(each for each in config.env if each.partition("=")[0] not in names)),
        cwd=wanted.workdir or config.working_dir or "",
        user=wanted.user or config.user,
        hostname=wanted.hostname,
        network=wanted.network,
        mounts=tuple(wanted.volumes or ()),
        tmpfs=tuple(wanted.tmpfs or ()),
        hosts=tuple(f"{name}:{address}" for name, address in extra_hosts(wanted.hosts or ())),
        **_limits(wanted),
        isolation=opt.way(wanted.isolation, wanted.runtime),
        stop_signal=stop,
        stop_timeout=wanted.stop_timeout,
        tty=wanted.tty,
        open_stdin=wanted.interactive,
        stdin_once=wanted.interactive and not detached,
        auto_remove=wanted.remove,
        readonly=wanted.readonly,
        init=wanted.init,
        labels={**config.labels, **pairs(wanted.labels or (), "--label")},
        created=now(),
    )


def _limits(wanted: Wanted) -> dict[str, Any]:
    """Give what a container's control group is to keep, by the fields of a Container."""
    from builder.cli.inputs import resources  # noqa: PLC0415 - what --help does not need

    parent, memory, swap = wanted.cgroup_parent, wanted.memory, wanted.memory_swap
    shares, quota, period = wanted.cpu_shares, wanted.cpu_quota, wanted.cpu_period
    found = resources(parent, memory, swap, shares, quota, period, wanted.cpuset_cpus, wanted.cpuset_mems)
    return {
        "cgroup_parent": found.parent,
        "memory": found.memory,
        "memory_swap": found.memory_swap,
        "cpu_shares": found.cpu_shares,
        "cpu_quota": found.cpu_quota,
        "cpu_period": found.cpu_period,
        "cpuset_cpus": found.cpuset_cpus,
        "cpuset_mems": found.cpuset_mems,
    }


def check_directory(path: str) -> None:
    """Refuse a ``--workdir`` that is relative: nobody can tell to what.

    Raises:
        BuildError: it is.
    """
    if path and not path.startswith("/"):
        raise BuildError(f"invalid --workdir {path[:160]!r}", hint="write an absolute path")


def environment_of(
    given: Sequence[str] | None, files: Sequence[str] | None, outside: Mapping[str, str]
) -> tuple[str, ...]:
    """Give the variables of ``--env-file`` and ``-e``; one without a value has that of ``outside``, or is left out.

    Raises:
        BuildError: a file cannot be read, or has a line that is no variable; or one has no name.
    """
    entries = [each for path in files or () for each in _read_variables(path)]
    entries += given or ()
    for each in entries:
        if each.startswith("=") or not each:
            raise BuildError(f"invalid environment variable {each[:160]!r}", hint="write NAME=VALUE")
    return tuple(
        each if "=" in each else f"{each}={outside[each]}" for each in entries if "=" in each or each in outside
    )


def _read_variables(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8-sig", errors="surrogateescape") as file:
            lines = [line.rstrip("\n").lstrip() for line in file]
    except OSError as error:
        raise BuildError(f"cannot read --env-file {path}: {error.strerror}") from error
    found = [line for line in lines if line and not line.startswith("#")]
    for line in found:
        name = line.partition("=")[0]
        if not name or any(each.isspace() for each in name):
            raise BuildError(f"{path}: variable {name[:80]!r} contains whitespace, or has no name")
    return found


def signal_number(text: str) -> int:
    """Read a signal: ``SIGTERM``, ``TERM`` or 15.

    Raises:
        BuildError: it is none.
    """
    import signal  # noqa: PLC0415 - what --help does not need

    if text.isdecimal() and 0 < int(text) < signal.NSIG:
        return int(text)
    name = text.upper() if text.upper().startswith("SIG") else f"SIG{text.upper()}"
    if name not in signal.Signals.__members__:
        raise BuildError(f"Invalid signal: {text}")
    return int(signal.Signals[name])


def detach_keys(text: str) -> bytes:
    """Read ``--detach-keys``: ``ctrl-p,ctrl-q``, single characters among them.

    Raises:
        BuildError: it is something else.
    """
    if not text:
        from builder.containers.session import DETACH_KEYS  # noqa: PLC0415 - what --help does not need

        return DETACH_KEYS
    found = bytearray()
    for key in text.split(","):
        word = key.lower().removeprefix("ctrl-")
        if len(word) == 1 and word != key and (word.isalpha() or word in "@[\\]^_"):
            found.append(ord(word.upper()) & 0x1F)
        elif len(key) == 1:
            found += key.encode()
        else:
            raise BuildError(f"invalid detach keys {text!r}", hint="write for example ctrl-p,ctrl-q or ctrl-x,d")
    return bytes(found)
