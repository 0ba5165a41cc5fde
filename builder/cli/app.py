"""The commands, and which of them a command line means."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from builder.cli import build, images, registry

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

app = typer.Typer(
    help="Build OCI images from Dockerfiles, and keep them: no daemon, no root.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_COMMANDS: dict[str, Callable[..., None]] = {
    "build": build.build,
    "images": images.images,
    "inspect": images.inspect,
    "history": images.history,
    "tag": images.tag,
    "rmi": images.rmi,
    "pull": registry.pull,
    "push": registry.push,
}
for _name, _function in _COMMANDS.items():
    app.command(_name)(_function)

_ALONE = frozenset({"-h", "--help", "--install-completion", "--show-completion"})


def with_command(arguments: Sequence[str]) -> list[str]:
    """Give the arguments with their command: what begins with none builds."""
    given = list(arguments)
    if not given or given[0] in _COMMANDS or given[0] in _ALONE:
        return given
    # A global --root may stand before the command, as Docker's global options do.
    if given[0] == "--root" and len(given) > 2 and given[2] in _COMMANDS:
        return [given[2], *given[:2], *given[3:]]
    if given[0].startswith("--root=") and len(given) > 1 and given[1] in _COMMANDS:
        return [given[1], given[0], *given[2:]]
    return ["build", *given]
