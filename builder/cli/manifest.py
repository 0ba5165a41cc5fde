"""``pybuild manifest``: images of several platforms under one name, kept in the store like any image."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from builder.cli import common as opt
from builder.cli.environment import Environment
from builder.cli.layerlines import LayerLines
from builder.cli.stored import open_layout
from builder.errors import BuildError
from layers.errors import LayersError, NotFoundError
from layers.image import Image, Index
from layers.model import IndexManifest
from layers.platform import normalise
from layers.reference import Reference

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from layers.model import Descriptor
    from layers.registry.client import Client
    from layers.store.layout import Layout

_List = Annotated[str, typer.Argument(metavar="MANIFEST_LIST", help="The name of the list.")]


def create(
    name: _List,
    images: Annotated[list[str], typer.Argument(metavar="MANIFEST...", help="Images, here or in a registry.")],
    amend: Annotated[bool, typer.Option("-a", "--amend", help="Add to a list that is there.")] = False,
    insecure: opt.Insecure = False,
    root: opt.Root = "",
) -> None:
    """Make a list of images of several platforms.

    Example: pybuild manifest create app:1.0 app:1.0-amd64 app:1.0-arm64
    """
    environment = Environment(root=Path(root) if root else None)
    layout = environment.layout()
    reference = Reference.parse(name)
    before = _list_or_none(layout, reference)
    if before is not None and not amend:
        raise BuildError(f"refusing to amend an existing manifest list {name} with no --amend flag")
    kept = list(before.manifest.manifests) if before is not None else []
    _store(environment, layout, reference, kept, images, insecure=insecure)
    print(f"Created manifest list {reference}")


def add(
    name: _List,
    images: Annotated[list[str], typer.Argument(metavar="MANIFEST...", help="Images, here or in a registry.")],
    insecure: opt.Insecure = False,
    root: opt.Root = "",
) -> None:
    """Add images to a list.

    Example: pybuild manifest add app:1.0 app:1.0-riscv64
    """
    environment = Environment(root=Path(root) if root else None)
    layout = environment.layout()
    reference = Reference.parse(name)
    found = _list(layout, reference)
    _store(environment, layout, reference, list(found.manifest.manifests), images, insecure=insecure)


def annotate(
    name: _List,
    image: Annotated[str, typer.Argument(metavar="MANIFEST", help="One of its images: name or digest.")],
    os: Annotated[str, typer.Option("--os", help="The operating system.")] = "",
    arch: Annotated[str, typer.Option("--arch", help="The architecture.")] = "",
    variant: Annotated[str, typer.Option("--variant", help="The architecture's variant.")] = "",
    os_version: Annotated[str, typer.Option("--os-version", help="The version of the operating system.")] = "",
    os_features: Annotated[list[str] | None, typer.Option("--os-features", help="Features of the system.")] = None,
    root: opt.Root = "",
) -> None:
    """Say otherwise what an image in a list runs on.

    Example: pybuild manifest annotate --arch arm --variant v6 app:1.0 app:1.0-armv6
    """
    layout = open_layout(root)
    reference = Reference.parse(name)
    with layout.using():
        found = _list(layout, reference)
        wanted = _member(layout, found, image)
        old = wanted.platform or layout.image(wanted.digest).platform
        features = tuple(os_features or old.os_features)
        kept_variant = variant or ("" if arch else old.variant)
        platform = normalise(
            os or old.os, arch or old.architecture, kept_variant, os_version or old.os_version, features
        )
        changed = [
            replace(each, platform=platform) if each.digest == wanted.digest else each
            for each in found.manifest.manifests
        ]
        _keep(layout, reference, changed)


def inspect(
    name: Annotated[str, typer.Argument(metavar="MANIFEST_LIST", help="A list or an image, here or in a registry.")],
    member: Annotated[str, typer.Argument(metavar="[MANIFEST]", help="One of its images.")] = "",
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Show the manifests of its images as well.")] = False,
    insecure: opt.Insecure = False,
    root: opt.Root = "",
) -> None:
    """Show a list, or the manifest of an image.

    Example: pybuild manifest inspect debian:12
    """
    environment = Environment(root=Path(root) if root else None)
    layout = environment.layout()
    reference = Reference.parse(name)
    with environment.client([reference.registry] if insecure else []) as client:
        found = _here_or_remote(layout, client, name)
        if member:
            if not isinstance(found, Index):
                raise NotFoundError(f"{name} is no manifest list")
            found = found.load(_member(layout, found, member))
        if not verbose:
            document = json.loads(found.raw if isinstance(found, Index) else found.manifest_bytes)
            print(json.dumps(document, indent=3, ensure_ascii=False))
            return
        print(json.dumps(_verbose(reference, found), indent="\t", ensure_ascii=False))


def _verbose(reference: Reference, found: Image | Index) -> Any:
    if isinstance(found, Image):
        document = {"Ref": str(reference), "Descriptor": found.descriptor.to_json()}
        return document | {"Manifest": json.loads(found.manifest_bytes)}
    result = []
    for each in found.manifest.manifests:
        name = replace(reference, tag="", digest=each.digest)
        try:
            child: Any = found.load(each)
        except NotFoundError:
            result.append({"Ref": str(name), "Descriptor": each.to_json()})
        else:
            raw = child.raw if isinstance(child, Index) else child.manifest_bytes
            result.append({"Ref": str(name), "Descriptor": each.to_json(), "Manifest": json.loads(raw)})
    return result


def push(
    name: _List,
    purge: Annotated[bool, typer.Option("-p", "--purge", help="Remove the list from here after.")] = False,
    insecure: opt.Insecure = False,
    root: opt.Root = "",
) -> None:
    """Push a list and all of its images.

    Example: pybuild manifest push registry.example.com/app:1.0
    """
    from builder.cli.registry import send  # noqa: PLC0415 - the others need none of it

    environment = Environment(root=Path(root) if root else None)
    layout = environment.layout()
    reference = Reference.parse(name)
    with environment.client([reference.registry] if insecure else []) as client, layout.using():
        found = _list(layout, reference)
        descriptor = send(found, reference, client, LayerLines("Pushing", sys.stderr))
    print(descriptor.digest)
    if purge:
        layout.untag(reference)


def remove(
    names: Annotated[list[str], typer.Argument(metavar="MANIFEST_LIST...", help="The names of lists.")],
    root: opt.Root = "",
) -> None:
    """Remove lists; images that have other names stay.

    Example: pybuild manifest rm app:1.0
    """
    from builder.cli.naming import sweep  # noqa: PLC0415 - the others need none of it

    layout = open_layout(root)
    errors: list[Exception] = []
    for name in names:
        try:
            _list(layout, Reference.parse(name))
            layout.untag(Reference.parse(name))
        except LayersError as error:
            errors.append(error)
    sweep(layout)
    opt.raise_last(errors)


def _list_or_none(layout: Layout, reference: Reference) -> Index | None:
    try:
        found = layout.get(reference)
    except NotFoundError:
        return None
    if not isinstance(found, Index):
        raise BuildError(f"{reference.familiar} is an image, and no manifest list", hint="choose another name")
    return found


def _list(layout: Layout, reference: Reference) -> Index:
    found = _list_or_none(layout, reference)
    if found is None:
        raise NotFoundError(f"no manifest list {reference.familiar}", hint="make it with: pybuild manifest create")
    return found


def _member(layout: Layout, found: Index, text: str) -> Descriptor:
    """Give the descriptor in a list that a name or a digest stands for."""
    beginning = text.rpartition("@")[2].removeprefix("sha256:")
    for each in found.manifest.manifests:
        if len(beginning) >= 6 and each.digest.encoded.startswith(beginning):
            return each
    named = layout.descriptor(Reference.parse(text)).digest
    for each in found.manifest.manifests:
        if each.digest == named:
            return each
    raise NotFoundError(f"the manifest list has no image {text}", hint="add it with: pybuild manifest add")


def _store(
    environment: Environment,
    layout: Layout,
    reference: Reference,
    kept: list[Descriptor],
    images: Sequence[str],
    *,
    insecure: bool,
) -> None:
    """Bring images here where they are not, and keep the list with them; an image added again is there once."""
    hosts = {Reference.parse(each).registry for each in images} if insecure else set()
    with environment.client(hosts) as client, layout.using():
        for image in images:
            for found in _images(_here_or_remote(layout, client, image)):
                layout.put(found)
                if found.digest not in {each.digest for each in kept}:
                    kept.append(found.descriptor)
        _keep(layout, reference, kept)


def _here_or_remote(layout: Layout, client: Client, text: str) -> Image | Index:
    from layers.registry.transfer import name_of  # noqa: PLC0415 - what --help does not need

    try:
        return layout.get(layout.resolve(text).descriptor.digest)
    except NotFoundError:
        reference = Reference.parse(text)
        return client.repository(reference).get(name_of(reference))


def _images(found: Image | Index) -> Iterator[Image]:
    if isinstance(found, Image):
        yield found
        return
    for each in found.manifest.manifests:
        if each.platform is None or each.platform.os != "unknown":
            yield from _images(found.load(each))


def _keep(layout: Layout, reference: Reference, descriptors: Sequence[Descriptor]) -> None:
    """Let the name lead to a list of these images; the one that it led to before is kept no longer."""
    before = dict(layout.names()).get(reference)
    content = IndexManifest(tuple(descriptors)).to_bytes()
    index = Index(content, lambda child: layout.get(child.digest))
    layout.put(index)
    layout.tag(reference, index.descriptor)
    if before is not None and before.digest != index.digest:
        names = next((each.names for each in layout.images() if each.descriptor.digest == before.digest), None)
        if names == ():
            layout.forget(before.digest)
