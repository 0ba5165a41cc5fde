"""What the commands about containers share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from builder.cli.environment import Environment
from builder.cli.stored import layer_sizes
from builder.containers.live import latest
from builder.containers.store import Containers
from layers.digest import Digest

if TYPE_CHECKING:
    from builder.containers.record import Container

One = Annotated[str, typer.Argument(metavar="CONTAINER", help="Name or id.")]
Several = Annotated[list[str], typer.Argument(metavar="CONTAINER...", help="Names or ids.")]
DetachKeys = Annotated[
    str, typer.Option("--detach-keys", metavar="KEYS", help="What leaves a terminal; default: ctrl-p,ctrl-q.")
]


def opened(root: str) -> tuple[Environment, Containers]:
    """Give the surroundings and the containers of ``--root``, or else of the environment."""
    environment = Environment(root=Path(root) if root else None)
    return environment, Containers(environment.layout())


def container_sizes(containers: Containers, container: Container) -> tuple[int, int]:
    """Give the bytes of files in what a container changed, and in all of it.

    Raises:
        BuildError: what has changed in one that runs cannot be seen.
    """
    layout = containers.layout
    with layout.using():
        sizes = layer_sizes(layout, containers.image(latest(containers, container)))
        return sum(sizes[len(layout.image(Digest.parse(container.base)).layers) :]), sum(sizes)
