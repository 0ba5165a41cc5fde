"""``pybuild tag`` and ``rmi``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from builder.cli import common as opt
from builder.cli.stored import open_layout, owners
from layers.errors import BusyError, InvalidError, LayersError, NotFoundError
from layers.image import Image
from layers.reference import Reference

if TYPE_CHECKING:
    from collections.abc import Collection

    from layers.digest import Digest
    from layers.store.gc import Collected
    from layers.store.layout import Layout


def tag(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="Name or id.")],
    target: Annotated[str, typer.Argument(metavar="TARGET", help="The name to give: name[:tag].")],
    root: opt.Root = "",
) -> None:
    """Give an image one more name.

    Example: pybuild tag app:dev registry.example.com/app:1.0
    """
    layout = open_layout(root)
    name = Reference.parse(target)
    if name.digest is not None:
        raise InvalidError(f"{target} has a digest, and what is tagged has its own already", hint="leave out the @")
    with layout.using():
        layout.tag(name, layout.resolve(source).descriptor)


def rmi(
    names: Annotated[list[str], typer.Argument(metavar="IMAGE...", help="Names or ids.")],
    force: Annotated[bool, typer.Option("-f", "--force", help="Remove an image with all of its names.")] = False,
    no_prune: Annotated[bool, typer.Option("--no-prune", help="Take the name, and leave the content.")] = False,
    root: opt.Root = "",
) -> None:
    """Take names away, and delete images that have none left.

    Example: pybuild rmi app:dev
    """
    layout = open_layout(root)
    failed: list[LayersError] = []
    for name in names:
        try:
            remove(layout, name, force=force, prune=not no_prune)
        except (NotFoundError, InvalidError) as error:
            if isinstance(error, NotFoundError) and force:
                print(f"ERROR: {error}", file=sys.stderr)
            else:
                failed.append(error)
    opt.raise_last(failed)


def remove(layout: Layout, text: str, *, force: bool, prune: bool) -> None:
    """Take a name or an image away and say so as Docker does.

    Raises:
        NotFoundError: nothing is called that.
        InvalidError: several ids begin so; or, unless this is forced, the image has several names or is in use.
    """
    from layers.store import gc  # noqa: PLC0415 - tag needs none of it

    digest = _whole(layout, text, force=force)
    found = layout.get(digest)
    by_name = layout.resolve(text).reference is not None
    if not force:
        _check_unused(layout, digest, text, by_name=by_name)
    removed = gc.remove(layout, text if by_name else str(digest), force=force)
    for each in removed.untagged:
        print(f"Untagged: {each.familiar}")
    if removed.forgotten is None:
        return
    print(f"Deleted: {found.id if isinstance(found, Image) else found.digest}")
    if not prune:
        return
    gone = sweep(layout).digests
    if isinstance(found, Image):
        for line in _deleted_layers(found, gone):
            print(f"Deleted: {line}")


def _whole(layout: Layout, text: str, *, force: bool) -> Digest:
    """Give the manifest that is meant: of an id that lists show for an index, the index.

    Raises:
        InvalidError: several indexes have the image, and this is not forced.
    """
    digest = layout.resolve(text).descriptor.digest
    if any(each.descriptor.digest == digest for each in layout.images()):
        return digest
    indexes = owners(layout, digest)
    if len(indexes) > 1 and not force:
        raise InvalidError(f"{text} is in several images: {', '.join(each.short for each in indexes)}")
    return indexes[0] if indexes else digest


def _check_unused(layout: Layout, digest: Digest, text: str, *, by_name: bool) -> None:
    """Refuse to delete what a container was made of; to take one of several names is no deletion."""
    from builder.containers.store import Containers  # noqa: PLC0415 - tag needs none of it

    names = next((each.names for each in layout.images() if each.descriptor.digest == digest), ())
    users = Containers(layout).users(digest)
    if users and not (by_name and len(names) > 1):
        hint = f"remove it first: pybuild rm {users[0].name}; or use -f"
        raise InvalidError(f"unable to remove {text}: container {users[0].name} was made of it", hint=hint)


def sweep(layout: Layout) -> Collected:
    """Delete the blobs that no image and no cache record needs, and tell which.

    While a build is going on nothing is deleted: its blobs have no name yet. They go the next time.
    """
    from builder.cli.prune import collect  # noqa: PLC0415 - only where something is deleted
    from layers.store.gc import Collected  # noqa: PLC0415 - likewise

    try:
        return collect(layout)
    except BusyError:
        print("The content is deleted later: a build is using the store.", file=sys.stderr)
        return Collected((), 0)


def _deleted_layers(image: Image, gone: Collection[Digest]) -> list[str]:
    """Give the names of the stacks of layers that went with an image, the top one first."""
    from layers.config import chain_ids  # noqa: PLC0415 - only where something is deleted

    chains = chain_ids(tuple(layer.diff_id for layer in image.layers))
    pairs = zip(image.layers, chains, strict=True)
    return [str(chain) for layer, chain in pairs if layer.descriptor.digest in gone][::-1]
