"""``pybuild images``, ``inspect``, ``history``, ``tag`` and ``rmi``."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from builder.cli import options as opt
from builder.cli.environment import Environment
from builder.cli.render import size
from layers.errors import NotFoundError
from layers.image import Image, Index
from layers.platform import Platform
from layers.reference import Reference

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from layers.store.layout import Layout, Stored

_Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Show ids only.")]
_NoTrunc = Annotated[bool, typer.Option("--no-trunc", help="Show everything in full length.")]


def _layout(root: str) -> Layout:
    return Environment(root=Path(root) if root else None).layout()


def images(
    repository: Annotated[str, typer.Argument(metavar="[REPOSITORY[:TAG]]", help="Only images of this name.")] = "",
    quiet: _Quiet = False,
    no_trunc: _NoTrunc = False,
    root: opt.Root = "",
) -> None:
    """List images, the newest first.

    Example: pybuild images app
    """
    layout = _layout(root)
    rows = [row for stored in layout.images() for row in _rows(layout, stored, repository, no_trunc=no_trunc)]
    rows.sort(key=lambda row: row[0], reverse=True)
    if quiet:
        for id_ in dict.fromkeys(row[1][2] for row in rows):
            print(id_)
        return
    _table(("REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"), [row[1] for row in rows])


def _rows(
    layout: Layout, stored: Stored, wanted: str, *, no_trunc: bool
) -> Iterator[tuple[str, tuple[str, str, str, str, str]]]:
    image = _image(layout, stored)
    if image is None:
        return
    id_ = str(image.id) if no_trunc else image.id.short
    created = image.config.created or ""
    total = size(sum(_layer_sizes(layout, image)))
    names = [(each.familiar_name, each.tag or "<none>") for each in stored.names] or [("<none>", "<none>")]
    for name, tag in names:
        if wanted and wanted not in {name, f"{name}:{tag}"}:
            continue
        yield created, (name, tag, id_, ago(created), total)


def _image(layout: Layout, stored: Stored) -> Image | None:
    """Give the image that a line is about: of an index, this machine's or else the first that is here."""
    try:
        found = layout.get(stored.descriptor.digest)
        return found.image(Platform.host()) if isinstance(found, Index) else found
    except NotFoundError:
        return None


def _layer_sizes(layout: Layout, image: Image) -> list[int]:
    """Give the bytes of files in each layer, uncompressed, as far as they are known; else of its blob."""
    from layers.store.trees import Trees  # noqa: PLC0415

    trees = Trees(layout)
    return [sum(entry.size for entry in trees.index(layer).entries) for layer in image.layers]


def inspect(
    names: Annotated[list[str], typer.Argument(metavar="IMAGE...", help="Names or ids.")],
    root: opt.Root = "",
) -> None:
    """Show all about images, as JSON.

    Example: pybuild inspect app:dev
    """
    layout = _layout(root)
    print(json.dumps([_described(layout, name) for name in names], indent=4, ensure_ascii=False))


def _described(layout: Layout, name: str) -> dict[str, Any]:
    match = layout.resolve(name)
    found = layout.get(match.descriptor.digest)
    image = found.image(Platform.host()) if isinstance(found, Index) else found
    config = json.loads(image.config_bytes)
    names = [each for stored in layout.images() if stored.descriptor.digest == found.digest for each in stored.names]
    history = image.config.history
    return {
        "Id": str(image.id),
        "RepoTags": [each.familiar for each in names if each.tag],
        "RepoDigests": sorted({f"{each.familiar_name}@{found.digest}" for each in names}),
        "Comment": history[-1].comment if history else "",
        "Created": image.config.created or "",
        "Author": image.config.author,
        "Config": config.get("config") or {},
        "Architecture": image.platform.architecture,
        "Variant": image.platform.variant,
        "Os": image.platform.os,
        "Size": sum(_layer_sizes(layout, image)),
        "RootFS": {"Type": "layers", "Layers": [str(each) for each in image.config.diff_ids]},
        "Descriptor": found.descriptor.to_json(),
    }


def history(
    name: Annotated[str, typer.Argument(metavar="IMAGE", help="Name or id.")],
    quiet: _Quiet = False,
    no_trunc: _NoTrunc = False,
    root: opt.Root = "",
) -> None:
    """Show how an image came to be, the newest step first.

    Example: pybuild history app:dev
    """
    layout = _layout(root)
    found = layout.get(layout.resolve(name).descriptor.digest)
    image = found.image(Platform.host()) if isinstance(found, Index) else found
    sizes = iter(_layer_sizes(layout, image))
    rows = []
    for entry in image.config.history:
        created_by = entry.created_by if no_trunc or len(entry.created_by) <= 45 else entry.created_by[:44] + "…"
        bytes_ = 0 if entry.empty_layer else next(sizes, 0)
        rows.append(("<missing>", ago(entry.created or ""), created_by, size(bytes_), entry.comment))
    rows.reverse()
    if rows:
        rows[0] = (str(image.id) if no_trunc else image.id.short, *rows[0][1:])
    if quiet:
        for row in rows:
            print(row[0])
        return
    _table(("IMAGE", "CREATED", "CREATED BY", "SIZE", "COMMENT"), rows)


def tag(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="Name or id.")],
    target: Annotated[str, typer.Argument(metavar="TARGET", help="The name to give: name[:tag].")],
    root: opt.Root = "",
) -> None:
    """Give an image one more name.

    Example: pybuild tag app:dev registry.example.com/app:1.0
    """
    layout = _layout(root)
    layout.tag(Reference.parse(target), layout.resolve(source).descriptor)


def rmi(
    names: Annotated[list[str], typer.Argument(metavar="IMAGE...", help="Names or ids.")],
    force: Annotated[bool, typer.Option("-f", "--force", help="Remove an image with all of its names.")] = False,
    root: opt.Root = "",
) -> None:
    """Take names away, and remove images that have none left.

    Example: pybuild rmi app:dev
    """
    layout = _layout(root)
    for name in names:
        _remove(layout, name, force=force)


def _remove(layout: Layout, name: str, *, force: bool) -> None:
    from layers.errors import StoreError  # noqa: PLC0415

    match = layout.resolve(name)
    others = next((s.names for s in layout.images() if s.descriptor.digest == match.descriptor.digest), ())
    if match.reference is not None:
        layout.untag(match.reference)
        print(f"Untagged: {match.reference.familiar}")
        if len(others) <= 1:
            print(f"Deleted: {match.descriptor.digest}")
        return
    if len(others) > 1 and not force:
        hint = "use -f to remove all of them"
        raise StoreError(f"image {name} has several names: {', '.join(each.familiar for each in others)}", hint=hint)
    for each in layout.forget(match.descriptor.digest):
        print(f"Untagged: {each.familiar}")
    print(f"Deleted: {match.descriptor.digest}")


def ago(created: str) -> str:
    """Give how long ago a time was, as Docker says it: ``About an hour ago``, ``3 weeks ago``."""
    try:
        moment = dt.datetime.fromisoformat(created)
    except ValueError:
        return "N/A"
    seconds = int((dt.datetime.now(tz=dt.UTC) - moment).total_seconds())
    minutes, hours = seconds // 60, (seconds + 1800) // 3600
    if seconds < 1:
        return "Less than a second ago"
    if seconds < 60:
        return f"{seconds} second{'s' * (seconds > 1)} ago"
    if minutes < 2:
        return "About a minute ago"
    if minutes < 60:
        return f"{minutes} minutes ago"
    if hours < 2:
        return "About an hour ago"
    days = hours // 24
    for limit, count, unit in ((48, hours, "hours"), (336, days, "days"), (1440, days // 7, "weeks")):
        if hours < limit:
            return f"{count} {unit} ago"
    return f"{days // 30} months ago" if days < 730 else f"{days // 365} years ago"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print columns, three blanks apart, the last one as it is."""
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head) - 1)]
    for row in (head, *rows):
        print("".join(f"{cell:<{width + 3}}" for cell, width in zip(row, widths, strict=False)) + row[-1])
