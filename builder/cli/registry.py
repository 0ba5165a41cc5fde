"""``pybuild pull`` and ``push``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from builder.cli import options as opt
from builder.cli.environment import Environment
from layers.reference import Reference

_Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Print only the name.")]


def pull(
    name: Annotated[str, typer.Argument(metavar="NAME[:TAG|@DIGEST]")],
    quiet: _Quiet = False,
    platform: opt.PlatformName = "",
    root: opt.Root = "",
) -> None:
    """Fetch an image from a registry into the store.

    Example: pybuild pull debian:12
    """
    from builder.bases import Bases  # noqa: PLC0415
    from builder.cli.render import Plain, Quiet  # noqa: PLC0415
    from builder.pipeline import counter  # noqa: PLC0415

    environment = Environment(root=Path(root) if root else None)
    layout = environment.layout()
    reference = Reference.parse(name)
    renderer = Quiet() if quiet else Plain(sys.stderr)
    with environment.client() as client, layout.using():
        bases = Bases(layout, lambda: client, True, renderer, counter())
        image = bases.image(name, environment.platform(platform))
    if not quiet:
        print(f"Digest: {image.digest}")
    print(reference if quiet else f"Status: Downloaded image for {reference.familiar}")


def push(
    name: Annotated[str, typer.Argument(metavar="NAME[:TAG]")],
    quiet: _Quiet = False,
    root: opt.Root = "",
) -> None:
    """Bring an image from the store to the registry in its name.

    Example: pybuild push registry.example.com/app:1.0
    """
    from layers.registry import transfer  # noqa: PLC0415

    environment = Environment(root=Path(root) if root else None)
    layout = environment.layout()
    reference = Reference.parse(name)
    with environment.client() as client, layout.using():
        found = layout.get(reference)
        descriptor = transfer.push(found, reference, client=client)
    if quiet:
        print(reference)
    else:
        print(f"{reference.tag or reference.digest}: digest: {descriptor.digest} size: {descriptor.size}")
