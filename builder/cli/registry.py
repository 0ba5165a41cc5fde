"""``pybuild pull`` and ``push``."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from builder.cli import common as opt
from builder.cli.environment import Environment
from builder.cli.layerlines import LayerLines, stdout_lines
from builder.cli.stored import rename
from builder.errors import BuildError
from layers.errors import NotFoundError
from layers.frozen import frozen
from layers.image import Image, Index, check_layers
from layers.platform import Platform
from layers.reference import Reference

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from layers.digest import Digest
    from layers.image import Layer, Reader
    from layers.model import Descriptor
    from layers.registry.client import Client
    from layers.store.layout import Layout

_Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Print only the name.")]


def pull(
    name: Annotated[str, typer.Argument(metavar="NAME[:TAG|@DIGEST]")],
    all_tags: Annotated[bool, typer.Option("-a", "--all-tags", help="Fetch every tag of the repository.")] = False,
    quiet: _Quiet = False,
    platform: opt.PlatformName = "",
    insecure: opt.Insecure = False,
    root: opt.Root = "",
) -> None:
    """Fetch an image from a registry into the store.

    Example: pybuild pull --platform linux/arm64 debian:12
    """
    environment = Environment(root=Path(root) if root else None)
    layout = environment.layout()
    parsed = Reference.parse_name(name)
    if all_tags and (parsed.tag or parsed.digest):
        raise BuildError("tag can't be used with --all-tags/-a", hint=f"write {parsed.familiar_name}")
    reference = Reference.parse(name)
    if not all_tags and not quiet and not parsed.tag and parsed.digest is None:
        print("Using default tag: latest")
    wanted, asked = environment.platform(platform), bool(platform)
    with environment.client([reference.registry] if insecure else []) as client, layout.using():
        tags = list(client.repository(reference).tags()) if all_tags else [reference.tag]
        if not tags:
            raise NotFoundError(f"{reference.familiar_name} has no tags")
        for tag in tags:
            _pull(client, layout, replace(reference, tag=tag), wanted, asked=asked, quiet=quiet)


def _pull(
    client: Client, layout: Layout, reference: Reference, platform: Platform, *, asked: bool, quiet: bool
) -> None:
    from layers.registry.transfer import name_of  # noqa: PLC0415 - what --help does not need

    found = client.repository(reference).get(name_of(reference))
    if not quiet:
        print(f"{reference.tag or reference.digest}: Pulling from {reference.repository}")
    before = dict(layout.names()).get(reference)
    fresh = fetch(layout, found, platform, stdout_lines("Downloading", quiet=quiet), asked=asked)
    rename(layout, reference, found.descriptor)
    if quiet:
        print(reference)
        return
    print(f"Digest: {found.digest}")
    same = before is not None and before.digest == found.digest and not fresh
    print(f"Status: {'Image is up to date' if same else 'Downloaded newer image'} for {reference.familiar}")
    print(reference)


def pull_missing(environment: Environment, layout: Layout, name: str, platform: str = "") -> None:
    """Pull what a container is to be made of; what is told of it goes to standard error.

    Raises:
        NotFoundError: there is no such image.
        LayersError: the registry refuses or cannot be reached.
    """
    from layers.registry.transfer import name_of  # noqa: PLC0415 - what --help does not need

    reference = Reference.parse(name)
    with environment.client() as client, layout.using():
        found = client.repository(reference).get(name_of(reference))
        fetch(layout, found, environment.platform(platform), LayerLines("Downloading", sys.stderr), asked=False)
        rename(layout, reference, found.descriptor)


def fetch(layout: Layout, found: Image | Index, platform: Platform, lines: LayerLines, *, asked: bool = True) -> bool:
    """Store an image of a registry, or of an index the one for a platform, and tell whether anything was missing.

    Raises:
        NotFoundError: there is none for the platform, and one was asked for.
        InvalidError: it is no image.
    """
    from layers.registry.transfer import watched  # noqa: PLC0415 - what --help does not need

    image = found.image(platform) if isinstance(found, Index) else found
    check_layers(image.manifest, image.config)
    if isinstance(found, Image) and not platform.runs(image.platform):
        text = f"image with reference {image.digest} is for {image.platform}, not for {platform}"
        if asked:
            raise NotFoundError(text)
        print(f"WARNING: {text}", file=sys.stderr)
    missing: set[Digest] = set()
    for layer in image.layers:
        digest, here = layer.descriptor.digest, layout.blobs.has(layer.descriptor.digest, layer.descriptor.size)
        lines.state(digest.short, "Already exists" if here else "Pulling fs layer")
        if not here:
            missing.add(digest)

    def progress(digest: str, done: int, total: int) -> None:
        id_ = digest.partition(":")[2][:12]
        lines.progress(id_, done, total)
        if done >= total:
            lines.state(id_, "Download complete")

    shown = watched(image, progress)

    def load(descriptor: Descriptor) -> Image | Index:
        assert isinstance(found, Index)
        return shown if descriptor.digest == image.digest else found.load(descriptor)

    source = replace(found, load=load) if isinstance(found, Index) else shown
    layout.put(source, platforms=[platform])
    for each in missing:
        lines.state(each.short, "Pull complete")
    return bool(missing)


@frozen
class _Sent:
    """A layer that notes when its content is asked for: one that is there already is not."""

    layer: Layer
    sent: set[Digest]

    @property
    def descriptor(self) -> Descriptor:
        return self.layer.descriptor

    @property
    def diff_id(self) -> Digest:
        return self.layer.diff_id

    def open(self) -> AbstractContextManager[Reader]:
        self.sent.add(self.layer.descriptor.digest)
        return self.layer.open()


def push(
    name: Annotated[str, typer.Argument(metavar="NAME[:TAG]")],
    all_tags: Annotated[bool, typer.Option("-a", "--all-tags", help="Push every tag that is here.")] = False,
    quiet: _Quiet = False,
    platform: Annotated[str, typer.Option("--platform", help="Of an index, push this platform's image alone.")] = "",
    insecure: opt.Insecure = False,
    root: opt.Root = "",
) -> None:
    """Bring an image from the store to the registry in its name.

    Example: pybuild push registry.example.com/app:1.0
    """
    environment = Environment(root=Path(root) if root else None)
    layout = environment.layout()
    parsed = Reference.parse_name(name)
    if all_tags and (parsed.tag or parsed.digest):
        raise BuildError("tag can't be used with --all-tags/-a", hint=f"write {parsed.familiar_name}")
    references = [Reference.parse(name)]
    if all_tags:
        references = [each for each, _ in layout.names() if each.name == parsed.name and each.tag]
        if not references:
            raise NotFoundError(f"no image {parsed.familiar_name} in the store")
    elif not quiet and not parsed.tag and parsed.digest is None:
        print("Using default tag: latest")
    contents = [(each, _content(layout, each, platform)) for each in references]
    if not quiet:
        print(f"The push refers to repository [{parsed.name}]")
    with environment.client([parsed.registry] if insecure else []) as client, layout.using():
        for reference, content in contents:
            descriptor = send(content, reference, client, stdout_lines("Pushing", quiet=quiet))
            if quiet:
                print(reference)
            else:
                print(f"{reference.tag or reference.digest}: digest: {descriptor.digest} size: {descriptor.size}")


def _content(layout: Layout, reference: Reference, platform: str) -> Image | Index:
    """Give what is to be pushed; of an index that was pulled in part, what is here."""
    from builder.cli.saveload import whole  # noqa: PLC0415 - what --help does not need

    if platform:
        return layout.image(reference, Platform.parse(platform))
    found = layout.get(reference)
    content = whole(layout, found, reference.familiar)
    if content.digest != found.digest:
        print(f"WARNING: not all images of {reference.familiar} are here; pushing what is", file=sys.stderr)
    return content


def send(content: Image | Index, reference: Reference, client: Client, lines: LayerLines) -> Descriptor:
    """Push an image or index, a line for each layer, and give its descriptor in the registry."""
    from layers.registry import transfer  # noqa: PLC0415 - what --help does not need

    sent: set[Digest] = set()
    ids: dict[str, str] = {}

    def noted(found: Image | Index) -> Image | Index:
        if isinstance(found, Index):
            load = found.load
            return replace(found, load=lambda descriptor: noted(load(descriptor)))
        for layer in found.layers:
            ids.setdefault(str(layer.descriptor.digest), layer.diff_id.short)
            lines.state(layer.diff_id.short, "Preparing")
        return replace(found, layers=tuple(_Sent(layer, sent) for layer in found.layers))

    def progress(digest: str, done: int, total: int) -> None:
        if digest in ids:
            lines.progress(ids[digest], done, total)

    descriptor = transfer.push(noted(content), reference, client=client, progress=progress)
    uploaded = {str(digest) for digest in sent}
    for digest, id_ in ids.items():
        lines.state(id_, "Pushed" if digest in uploaded else "Layer already exists")
    return descriptor
