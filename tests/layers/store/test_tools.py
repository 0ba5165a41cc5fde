"""What other people's programs make of the store and of the archives, and we of theirs."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import referencing
from referencing.jsonschema import DRAFT4

from layers.archive import docker, oci
from layers.archive.read import open_images
from layers.config import ContainerConfig, Healthcheck
from layers.image import Image
from layers.platform import Platform
from layers.reference import Reference
from layers.store.layout import Layout
from layers.validate import validate_image
from tests.support.dockerd import dockerd
from tests.support.images import ARM64, content_of, image, index, layer

APP = Reference.parse("app:dev")
OTHER = Reference.parse("ghcr.io/a/b:1")
SCHEMAS = Path(__file__).parents[2] / "data" / "oci-schemas"
CONFIG = ContainerConfig(
    user="1000:1000",
    exposed_ports=("80/tcp",),
    env=("A=1",),
    entrypoint=("/bin/sh",),
    cmd=("-c", "true"),
    volumes=("/data",),
    working_dir="/data",
    labels={"a": "<b>"},
    stop_signal="SIGINT",
    healthcheck=Healthcheck(("CMD", "true"), interval=10**9),
    on_build=("RUN true",),
    shell=("/bin/sh", "-c"),
)

pytestmark = pytest.mark.e2e


def sample() -> Image:
    base = layer({"etc/": b"", "etc/motd": b"hello"})
    return image(base, layer({"b": b"2"}, "none"), base, config=CONFIG, platform=Platform.host())


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout.open(tmp_path / "store")
    layout.tag(APP, layout.put(sample()))
    return layout


def run(*command: str | Path) -> str:
    done = subprocess.run([str(each) for each in command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def skopeo(*arguments: str) -> str:
    return run("skopeo", "--insecure-policy", *arguments)


def schema(name: str) -> jsonschema.Draft4Validator:
    resources = []
    for path in SCHEMAS.iterdir():
        content = json.loads(path.read_text())
        resource = DRAFT4.create_resource(content)
        resources += [(path.name, resource), (content.get("id", ""), resource)]
        resources.append((f"https://opencontainers.org/schema/image/{path.name}", resource))
        resources.append((f"https://opencontainers.org/schema/{path.name}", resource))
        resources.append((f"https://opencontainers.org/schema/image/descriptor/{path.name}", resource))
    registry = referencing.Registry[Any]().with_resources(resources)
    return jsonschema.Draft4Validator(json.loads((SCHEMAS / name).read_text()), registry=registry)


def test_the_documents_follow_the_standards_schemas(layout: Layout) -> None:
    found = layout.image(APP)
    many = index(found, image(layer(), platform=ARM64, annotations={"a": "b"}))

    schema("image-layout-schema.json").validate(json.loads((layout.root / "oci-layout").read_text()))
    schema("image-index-schema.json").validate(json.loads((layout.root / "index.json").read_text()))
    schema("image-index-schema.json").validate(json.loads(many.raw))
    schema("image-manifest-schema.json").validate(json.loads(found.manifest_bytes))
    schema("config-schema.json").validate(json.loads(found.config_bytes))


def test_skopeo_reads_the_store(layout: Layout) -> None:
    found = json.loads(skopeo("inspect", f"oci:{layout.root}:docker.io/library/app:dev"))

    assert str(sample().digest) == found["Digest"]
    assert [str(each.descriptor.digest) for each in sample().layers] == found["Layers"]


def test_skopeo_writes_into_the_store(layout: Layout, tmp_path: Path) -> None:
    skopeo("copy", "-q", f"oci:{layout.root}:docker.io/library/app:dev", f"oci:{tmp_path}/other:x")
    skopeo("copy", "-q", f"oci:{tmp_path}/other:x", f"oci:{layout.root}:ghcr.io/a/b:1")

    assert {APP, OTHER} == {name for name, _ in layout.names()}
    validate_image(layout.image(OTHER))


def test_umoci_unpacks_the_store(layout: Layout, tmp_path: Path) -> None:
    name = f"{layout.root}:docker.io/library/app:dev"
    run("umoci", "unpack", "--rootless", "--image", name, tmp_path / "bundle")

    assert "hello" == (tmp_path / "bundle" / "rootfs" / "etc" / "motd").read_text()


def test_umoci_gc_finds_nothing_to_collect(layout: Layout) -> None:
    before = set(layout.blobs.list())

    run("umoci", "gc", "--layout", layout.root)

    assert before == set(layout.blobs.list())


def test_skopeo_reads_what_is_written_as_docker_archive(tmp_path: Path) -> None:
    with (tmp_path / "a.tar").open("wb") as sink:
        docker.write([(sample(), [APP])], sink)

    skopeo("copy", "-q", f"docker-archive:{tmp_path}/a.tar:app:dev", f"dir:{tmp_path}/out")
    assert sample().config_bytes == (tmp_path / "out" / sample().id.encoded).read_bytes()

    run("skopeo", "inspect", f"oci-archive:{tmp_path}/a.tar:docker.io/library/app:dev")


def test_an_oci_archive_goes_through_skopeo_and_back(tmp_path: Path) -> None:
    with (tmp_path / "a.tar").open("wb") as sink:
        oci.write([(sample(), [APP])], sink)

    to = f"oci-archive:{tmp_path}/b.tar:app:dev"
    skopeo("copy", "-q", "--preserve-digests", f"oci-archive:{tmp_path}/a.tar", to)

    with open_images(tmp_path / "b.tar", tmp_path) as [found]:
        assert ((APP,), sample().digest) == (found.names, found.source.digest)


def test_what_skopeo_writes_as_docker_archive_is_read(layout: Layout, tmp_path: Path) -> None:
    source = f"oci:{layout.root}:docker.io/library/app:dev"
    skopeo("copy", "-q", source, f"docker-archive:{tmp_path}/a.tar:ghcr.io/a/b:1")

    with open_images(tmp_path / "a.tar", tmp_path) as [found]:
        assert (OTHER,) == found.names
        assert isinstance(found.source, Image)
        assert sample().id == found.source.id
        validate_image(found.source)


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="a Docker engine needs root")
def test_docker_loads_what_we_write_and_we_read_what_it_saves(tmp_path: Path) -> None:
    base = layer({"etc/": b"", "etc/motd": b"hello"})
    plain, many = sample(), index(image(base, platform=Platform.host()), image(base, platform=ARM64))
    with (tmp_path / "a.tar").open("wb") as sink:
        docker.write([(plain, [APP, OTHER]), (many, [Reference.parse("many:1")])], sink)

    with dockerd() as engine:
        engine("load", "-i", str(tmp_path / "a.tar"))
        ids = {name: json.loads(engine("inspect", name))[0]["Id"] for name in ("app:dev", "ghcr.io/a/b:1", "many:1")}
        engine("save", "-o", str(tmp_path / "b.tar"), "app:dev", "ghcr.io/a/b:1")

    here = many.image(Platform.host())
    assert {"app:dev": str(plain.id), "ghcr.io/a/b:1": str(plain.id), "many:1": str(here.id)} == ids
    with open_images(tmp_path / "b.tar", tmp_path) as [found]:
        assert {APP, OTHER} == set(found.names)
        assert isinstance(found.source, Image)
        assert plain.config_bytes == found.source.config_bytes
        assert plain.config.diff_ids == tuple(each.diff_id for each in found.source.layers)
        assert content_of(found.source)
        validate_image(found.source)
