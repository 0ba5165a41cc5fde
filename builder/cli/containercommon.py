"""What the commands about containers share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from builder.cli.environment import Environment
from builder.containers.store import Containers

One = Annotated[str, typer.Argument(metavar="CONTAINER", help="Name or id.")]
Several = Annotated[list[str], typer.Argument(metavar="CONTAINER...", help="Names or ids.")]
DetachKeys = Annotated[
    str, typer.Option("--detach-keys", metavar="KEYS", help="What leaves a terminal; default: ctrl-p,ctrl-q.")
]


def opened(root: str) -> tuple[Environment, Containers]:
    """Give the surroundings and the containers of ``--root``, or else of the environment."""
    environment = Environment(root=Path(root) if root else None)
    return environment, Containers(environment.layout())
