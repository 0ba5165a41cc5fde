"""``pybuild inspect``: all about images, as JSON or through a template."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from builder.cli import common as opt
from builder.cli.stored import find, layer_sizes, open_layout
from layers.errors import InvalidError, LayersError, NotFoundError
from layers.image import Image, Index
from layers.platform import Platform

if TYPE_CHECKING:
    from builder.cli.stored import Kept
    from builder.containers.record import Container
    from builder.containers.store import Containers
    from layers.model import Descriptor
    from layers.store.layout import Layout


def inspect(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Names or ids of images and containers.")],
    form: Annotated[
        str, typer.Option("-f", "--format", metavar="TEMPLATE", help="A Go template, or json for one line.")
    ] = "",
    platform: opt.PlatformName = "",
    kind: Annotated[str, typer.Option("--type", metavar="TYPE", help="What to look for: image or container.")] = "",
    sized: Annotated[bool, typer.Option("-s", "--size", help="Also how large a container's files are.")] = False,
    root: opt.Root = "",
) -> None:
    """Show all about images and containers.

    Example: pybuild inspect -f '{{json .Config.Env}}' app:dev
    """
    opt.one_of("--type", kind or "image", ("image", "container"))
    layout = open_layout(root)
    wanted = Platform.parse(platform) if platform else None
    found: list[dict[str, Any]] = []
    missing: list[Exception] = []
    for name in names:
        try:
            found.append(_described(layout, name, kind, wanted, sized=sized))
        except (NotFoundError, InvalidError) as error:
            missing.append(error)
    _print(found, form)
    opt.raise_last(missing)


def _described(layout: Layout, name: str, kind: str, platform: Platform | None, *, sized: bool) -> dict[str, Any]:
    """Give all about a container, or else an image, of this name."""
    if kind != "image" and (layout.root / "containers").is_dir():
        from builder.containers.record import described as described_container  # noqa: PLC0415 - most have none
        from builder.containers.store import Containers  # noqa: PLC0415 - likewise

        containers = Containers(layout)
        try:
            container = containers.find(name)
            log = str(containers.log(container))
            found = described_container(container, log, running=containers.is_running(container))
            return found | _sizes(containers, container) if sized else found
        except LayersError:
            if kind:
                raise
    elif kind == "container":
        raise NotFoundError(f"no container {name}")
    return described(find(layout, name, platform))


def _sizes(containers: Containers, container: Container) -> dict[str, int]:
    from builder.cli.containercommon import container_sizes  # noqa: PLC0415 - seldom

    changed, everything = container_sizes(containers, container)
    return {"SizeRw": changed, "SizeRootFs": everything}


def _print(documents: list[dict[str, Any]], form: str) -> None:
    if not form:
        print(json.dumps(documents, indent=4, ensure_ascii=False))
        return
    from builder.cli import gostructs  # noqa: PLC0415 - plain JSON needs none
    from builder.cli.template import Template  # noqa: PLC0415 - likewise
    from builder.cli.template_functions import to_json  # noqa: PLC0415

    if form == "json":
        print(to_json(documents))
        return
    template = Template.parse(form)
    for document in documents:
        print(template.render((gostructs.container if "State" in document else gostructs.image)(document)))


def described(kept: Kept) -> dict[str, Any]:
    """Give what Docker shows of an image, and for an index what is in it."""
    image = kept.image
    config = json.loads(image.config_bytes).get("config") or {}
    history = image.config.history
    document: dict[str, Any] = {
        "Id": str(image.id),
        "RepoTags": [each.familiar for each in kept.names if each.tag],
        "RepoDigests": sorted({f"{each.familiar_name}@{kept.digest}" for each in kept.names}),
        "Parent": "",
        "Comment": history[-1].comment if history else "",
        "Created": image.config.created or "",
        "DockerVersion": "",
        "Author": image.config.author,
        "Config": {"Env": None, "Cmd": None, "Volumes": None, "Entrypoint": None, "Labels": None, "User": ""} | config,
        "Architecture": image.platform.architecture,
    }
    if image.platform.variant:
        document["Variant"] = image.platform.variant
    document["Os"] = image.platform.os
    if image.platform.os_version:
        document["OsVersion"] = image.platform.os_version
    document |= {
        "Size": kept.size,
        "RootFS": {"Type": "layers", "Layers": [str(each) for each in image.config.diff_ids]},
        "Metadata": {"LastTagTime": "0001-01-01T00:00:00Z"},
        "Descriptor": kept.found.descriptor.to_json(),
    }
    if isinstance(kept.found, Index):
        document["Manifests"] = [_manifest(kept.layout, each) for each in kept.found.manifest.manifests]
    return document


def _manifest(layout: Layout, descriptor: Descriptor) -> dict[str, Any]:
    """Give what an index lists, in the form of Docker's ``Manifests``."""
    attestation = descriptor.annotations.get("vnd.docker.reference.type") == "attestation-manifest"
    result: dict[str, Any] = {
        "ID": str(descriptor.digest),
        "Descriptor": descriptor.to_json(),
        "Available": False,
        "Size": {"Content": descriptor.size, "Total": descriptor.size},
        "Kind": "attestation" if attestation else "image",
    }
    try:
        found = layout.get(descriptor.digest)
    except NotFoundError:
        return result
    if not isinstance(found, Image) or attestation:
        return result | {"Available": True}
    blobs = {layer.descriptor.digest: layer.descriptor.size for layer in found.layers}
    here = all(layout.blobs.has(digest, size) for digest, size in blobs.items())
    content = descriptor.size + len(found.config_bytes) + sum(blobs.values())
    data = {"Platform": descriptor.to_json().get("platform"), "Size": {"Unpacked": sum(layer_sizes(layout, found))}}
    return result | {"Available": here, "Size": {"Content": content, "Total": content}, "ImageData": data}
