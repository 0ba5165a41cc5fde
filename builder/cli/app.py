"""The commands, and which of them a command line means; a command's module is loaded when it is called."""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any, NamedTuple

from click import NoSuchOption, UsageError
from click.exceptions import NoArgsIsHelpError
from typer import Typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from builder.errors import BuildError

if TYPE_CHECKING:
    from collections.abc import Sequence


class Target(NamedTuple):
    """Where a command's function is."""

    module: str
    function: str


_SETTINGS: dict[str, Any] = {"help_option_names": ["-h", "--help"]}
_HELP = "Build OCI images from Dockerfiles, and keep them: no daemon, no root."

COMMANDS: dict[str, Target] = {
    "build": Target("build", "build"),
    "images": Target("images", "images"),
    "inspect": Target("inspect", "inspect"),
    "history": Target("history", "history"),
    "tag": Target("naming", "tag"),
    "rmi": Target("naming", "rmi"),
    "prune": Target("prune", "image_prune"),
    "save": Target("saveload", "save"),
    "load": Target("saveload", "load"),
    "import": Target("importing", "import_"),
    "pull": Target("registry", "pull"),
    "push": Target("registry", "push"),
    "login": Target("login", "login"),
    "logout": Target("login", "logout"),
    "search": Target("search", "search"),
    "run": Target("container", "run_"),
    "create": Target("container", "create"),
    "start": Target("container", "start"),
    "exec": Target("container", "exec_"),
    "attach": Target("container", "attach"),
    "stop": Target("containerlife", "stop"),
    "kill": Target("containerlife", "kill"),
    "restart": Target("containerlife", "restart"),
    "wait": Target("containerlife", "wait"),
    "rm": Target("containerlife", "remove"),
    "rename": Target("containerlife", "rename"),
    "ps": Target("containerlist", "ps"),
    "logs": Target("containerlist", "logs"),
    "cp": Target("containerfiles", "cp"),
    "diff": Target("containerfiles", "diff"),
    "commit": Target("containercommit", "commit"),
    "export": Target("containerfiles", "export"),
    "info": Target("info", "info"),
    "version": Target("info", "version"),
    "fsck": Target("fsck", "fsck"),
}
_RUNNING = frozenset({"run_", "create", "exec_"})
"""Functions whose arguments end with a command of its own, options and all."""
_MADE = frozenset({"run", "create"})
"""Commands that have Docker's many options of containers."""
_OF_CONTAINERS = (
    *("attach", "commit", "cp", "create", "diff", "exec", "export", "inspect", "kill", "logs", "ps", "rename"),
    *("restart", "rm", "run", "start", "stop", "wait"),
)
GROUPS: dict[str, tuple[str, dict[str, Target]]] = {
    "image": (
        "Manage images.",
        {
            "build": COMMANDS["build"],
            "history": COMMANDS["history"],
            "import": COMMANDS["import"],
            "inspect": COMMANDS["inspect"],
            "load": COMMANDS["load"],
            "ls": COMMANDS["images"],
            "prune": COMMANDS["prune"],
            "pull": COMMANDS["pull"],
            "push": COMMANDS["push"],
            "rm": COMMANDS["rmi"],
            "save": COMMANDS["save"],
            "tag": COMMANDS["tag"],
        },
    ),
    "builder": ("Manage the build cache.", {"build": COMMANDS["build"], "prune": Target("prune", "builder_prune")}),
    "container": (
        "Work in containers.",
        {name if name != "ps" else "ls": COMMANDS[name] for name in _OF_CONTAINERS}
        | {"prune": Target("containerlife", "prune")},
    ),
    "manifest": (
        "Join images of several platforms under one name.",
        {
            name: Target("manifest", name.replace("rm", "remove"))
            for name in ("create", "add", "annotate", "inspect", "push", "rm")
        },
    ),
    "registry": ("Serve the store to other programs.", {"serve": Target("serve", "serve")}),
    "system": (
        "Manage the store.",
        {
            "df": Target("diskusage", "df"),
            "fsck": COMMANDS["fsck"],
            "info": COMMANDS["info"],
            "prune": Target("prune", "system_prune"),
        },
    ),
}
_ALIASES = {"list": "ls", "remove": "rm", "ps": "ls"}
_WITHOUT_STORE = frozenset({"login", "logout", "search", "version"})
_NOT_HERE = frozenset(
    {
        *("buildx", "compose", "config", "context", "events", "network", "node", "pause", "plugin", "port", "scout"),
        *("secret", "service", "stack", "stats", "swarm", "top", "trust", "unpause", "update", "volume"),
    }
)
"""Commands of Docker that are for its daemon, and would seem to be directories."""
_ALONE = frozenset({"-h", "--help", "--install-completion", "--show-completion"})


class _Command(TyperCommand):
    """A command whose switches also take Go's ``--switch=true`` and ``--switch=false``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, _without_booleans(self, args) if ctx.allow_interspersed_args else args)
        except UsageError as error:
            name = ctx.info_name or ""
            raise _with_exit_code(_explained(self, error, name), error, name) from None


def _explained(command: TyperCommand, error: UsageError, name: str) -> UsageError:
    """Give the error that also says what to write for an option that a command has not."""
    if name in _MADE:
        from builder.cli.unsupported import explained  # noqa: PLC0415 - seldom

        return explained(error)
    if isinstance(error, NoSuchOption):
        from builder.cli.mistyped import corrected  # noqa: PLC0415 - seldom

        return corrected(error, (opt for each in command.params for opt in each.opts), name)
    return error


def _with_exit_code(said: UsageError, error: UsageError, name: str) -> UsageError:
    """Let wrong usage end with 2; of ``run``, whose other codes are the container's, with 125; a bare group with 0."""
    code = 125 if name == "run" else 2
    said.exit_code = 0 if isinstance(error, NoArgsIsHelpError) else code  # type: ignore[misc] # as click asks for it
    return said


def _without_booleans(command: TyperCommand, arguments: Sequence[str]) -> list[str]:
    switches = {name: each for each in command.params if getattr(each, "is_flag", False) for name in each.opts}
    found: list[str] = []
    for i, argument in enumerate(arguments):
        if argument == "--":
            return [*found, *arguments[i:]]
        name, equals, value = argument.partition("=")
        if not equals or name not in switches or value.lower() not in {"true", "false", "1", "0", "t", "f"}:
            found.append(argument)
        elif value.lower() in {"true", "1", "t"}:
            found.append(name)
        else:
            found += switches[name].secondary_opts[:1]  # without one, it is off unless it is named
    return found


class _Group(TyperGroup):
    """Commands that are loaded when they are asked for."""

    targets: dict[str, Target]
    groups: dict[str, tuple[str, dict[str, Target]]]

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except UsageError as error:
            raise _with_exit_code(error, error, "") from None

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - the library's
        """Give the names, sorted by nothing but their place in the table."""
        return [*self.targets, *self.groups]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 - the library's
        """Load a command; None where there is none of that name."""
        name = cmd_name if cmd_name in self.targets else _ALIASES.get(cmd_name, cmd_name)
        if name in self.targets:
            return _load(cmd_name, self.targets[name])
        if name in self.groups:
            help_, targets = self.groups[name]
            return _group(name, help_, targets, {}, completion=False)
        return None


def _load(name: str, target: Target) -> Any:
    function = getattr(importlib.import_module(f"builder.cli.{target.module}"), target.function)
    alone = Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    settings = {**_SETTINGS, "allow_interspersed_args": target.function not in _RUNNING}
    if name in _MADE and target.module == "container":
        settings["help_option_names"] = ["--help"]  # -h is --hostname there, as Docker's is
    alone.command(name, cls=_Command, context_settings=settings, no_args_is_help=False)(function)
    return get_command(alone)


def _group(
    name: str,
    help_: str,
    targets: dict[str, Target],
    groups: dict[str, tuple[str, dict[str, Target]]],
    *,
    completion: bool,
) -> Any:
    typer = Typer(
        name=name,
        cls=_Group,
        help=help_,
        no_args_is_help=True,
        add_completion=completion,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings=_SETTINGS,
    )
    typer.callback()(_nothing)
    group = get_command(typer)
    group.targets, group.groups = targets, groups  # type: ignore[attr-defined] # it is the class that was asked for
    return group


def _nothing() -> None:
    """Do nothing before a command."""


def app() -> Any:
    """Give the program, to be called with ``args`` and ``prog_name``."""
    return _group("pybuild", _HELP, COMMANDS, GROUPS, completion=True)


def with_command(arguments: Sequence[str]) -> list[str]:
    """Give the arguments with their command: what begins with none builds."""
    given = list(arguments)
    if given[:1] == ["help"]:
        return [*given[1:], "--help"]
    if not given or _is_command(given[0]) or given[0] in _ALONE:
        return given
    # A global --root may stand before the command, as Docker's global options do.
    if given[0] == "--root" and len(given) > 2 and _is_command(given[2]):
        return _behind_command(given[2:], given[:2])
    if given[0].startswith("--root=") and len(given) > 1 and _is_command(given[1]):
        return _behind_command(given[1:], given[:1])
    _refuse_mistyped(given[0])
    return ["build", *given]


def _refuse_mistyped(word: str) -> None:
    """Refuse what looks like a command with a typing error, and is no build context either.

    Raises:
        BuildError: with the command that was probably meant.
    """
    if word.startswith("-") or not word.isalpha() or os.path.exists(word):
        return
    if word in _NOT_HERE:
        raise BuildError(f"{word!r} is a command of Docker that is not supported, and no directory to build from")
    import difflib  # noqa: PLC0415 - seldom

    close = difflib.get_close_matches(word, [*COMMANDS, *GROUPS], cutoff=0.75)
    if close:
        hint = f"did you mean {' or '.join(close)}?"
        raise BuildError(f"{word!r} is no command, and no directory to build from", hint=hint)


def _is_command(word: str) -> bool:
    return word in COMMANDS or word in GROUPS


def _behind_command(arguments: list[str], options: list[str]) -> list[str]:
    if arguments[0] in _WITHOUT_STORE:
        return arguments
    words = 2 if arguments[0] in GROUPS else 1
    return [*arguments[:words], *options, *arguments[words:]]
