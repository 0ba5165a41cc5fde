"""``pybuild commit``: an image of what a container has become, with one layer on top of what it was made of."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from builder.cli import common as opt
from builder.cli.changes import changed
from builder.cli.containercommon import One, opened
from builder.containers.live import latest
from builder.containers.store import now
from builder.errors import BuildError
from layers import mutate
from layers.config import History
from layers.digest import Digest
from layers.reference import Reference
from layers.store.scratch import scratch_directory

if TYPE_CHECKING:
    from pathlib import Path

    from builder.containers.record import Container
    from builder.containers.store import Containers
    from layers.config import ContainerConfig
    from layers.image import Image, Layer


def commit(
    name: One,
    target: Annotated[str, typer.Argument(metavar="[REPOSITORY[:TAG]]", help="What to call the image.")] = "",
    author: Annotated[str, typer.Option("-a", "--author", help="Who made it.")] = "",
    changes: Annotated[
        list[str] | None, typer.Option("-c", "--change", metavar="INSTRUCTION", help="CMD, ENV, LABEL ...: repeatable.")
    ] = None,
    message: Annotated[str, typer.Option("-m", "--message", help="The comment in the image's history.")] = "",
    pause: Annotated[bool, typer.Option("-p", "--pause/--no-pause", help="Stop its processes meanwhile.")] = True,
    root: opt.Root = "",
) -> None:
    """Make an image of what a container has become.

    Example: pybuild commit -c 'CMD ["serve"]' work app:1.0
    """
    environment, containers = opened(root)
    container = containers.find(name)
    reference = Reference.parse(target) if target else None
    if reference is not None and reference.digest is not None:
        raise BuildError(f"an image cannot be called {target}", hint="give it a tag, not a digest")
    layout = containers.layout
    with layout.using(), scratch_directory(environment.store / "tmp") as scratch:
        container = latest(containers, container, pause=pause)
        history = History(created=now(), created_by=" ".join(container.command), comment=message, author=author)
        made = _image(containers, container, history, scratch)
        config = changed(changes or [], _config(container, made.config.config))
        made = mutate.with_config(
            made, replace(made.config, config=config, created=history.created, author=author or made.config.author)
        )
        descriptor = layout.put(made)
        if reference is None:
            layout.keep(descriptor)
        else:
            layout.tag(reference, descriptor)
    print(made.id)


def _config(container: Container, config: ContainerConfig) -> ContainerConfig:
    """Give the config of the image with what the container was made with."""
    return replace(
        config,
        env=container.env,
        entrypoint=container.entrypoint or None,
        cmd=container.arguments or None,
        user=container.user,
        working_dir=container.cwd,
        labels=container.labels,
        stop_signal=container.stop_signal,
    )


def _image(containers: Containers, container: Container, history: History, scratch: Path) -> Image:
    """Give the image that the container was made of, with all that was done since as one layer."""
    from builder.containers.work import write  # noqa: PLC0415 - what --help does not need
    from layers.store.squash import squashed  # noqa: PLC0415 - likewise
    from layers.store.trees import Trees  # noqa: PLC0415 - likewise

    base, image = containers.layout.image(Digest.parse(container.base)), containers.image(container)
    added = image.layers[len(base.layers) :]
    layer: Layer | None = added[0] if added else None
    if len(added) > 1:
        trees = Trees(containers.layout)
        layer = write(containers, trees, squashed(trees, image.layers, len(base.layers), scratch))
    return mutate.append(base, layer, history)
