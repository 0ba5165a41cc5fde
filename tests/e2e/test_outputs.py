"""Every ``--output``, and what other programs make of it."""

from __future__ import annotations

import io
import json
import os
import stat
import tarfile
from typing import TYPE_CHECKING, Any

import pytest

from layers.reference import Reference
from layers.store.layout import Layout
from layers.validate import validate_image
from tests.support.programs import Pybuild, run, schema, skopeo

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.conftest import Write

pytestmark = pytest.mark.e2e

DOCKERFILE = """
FROM busybox AS all
RUN echo run > /run-made && chown 33:44 /run-made && ln /run-made /linked && ln -s run-made /link && rm /etc/second
COPY --chmod=4711 tool /tool
RUN mkdir /made && cp /tool /made && cp /run-made /made && ln /made/run-made /made/linked && ln -s linked /made/link
FROM scratch AS files
COPY --from=all /made /files/
COPY --chown=7:8 tool /
FROM all
"""


@pytest.fixture
def context(write: Write) -> Path:
    return write(DOCKERFILE, {"tool": "#!/bin/sh\n"})


def manifest(source: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(skopeo("inspect", "--raw", source))
    return found


def test_a_docker_tarball_is_read_as_docker_and_as_oci_archive(based: Pybuild, context: Path, place: Path) -> None:
    based("-t", "app:1", "-o", f"type=docker,dest={place}/a.tar", context)
    image = based.image("app:1")

    skopeo("copy", "-q", f"docker-archive:{place}/a.tar:app:1", f"dir:{place}/docker")
    skopeo("copy", "-q", f"oci-archive:{place}/a.tar:docker.io/library/app:1", f"dir:{place}/oci")

    assert image.config_bytes == (place / "docker" / image.id.encoded).read_bytes()
    assert image.manifest_bytes == (place / "oci" / "manifest.json").read_bytes()


def test_an_oci_tarball_is_an_oci_archive(based: Pybuild, context: Path, place: Path) -> None:
    based("-t", "app:1", "-o", f"type=oci,dest={place}/a.tar", context)

    skopeo("copy", "-q", f"oci-archive:{place}/a.tar", f"dir:{place}/oci")

    assert based.image("app:1").manifest_bytes == (place / "oci" / "manifest.json").read_bytes()
    with tarfile.open(place / "a.tar") as tar:
        layout, index = (tar.extractfile(name) for name in ("oci-layout", "index.json"))
        assert layout is not None
        assert index is not None
        schema("image-layout-schema.json").validate(json.load(layout))
        schema("image-index-schema.json").validate(json.load(index))


def test_without_tar_an_oci_layout_is_a_directory(based: Pybuild, context: Path, place: Path) -> None:
    """A second image comes beside the first."""
    based("-t", "app:1", "-o", f"type=oci,tar=false,dest={place}/layout", context)
    based("-t", "app:2", "-o", f"type=oci,tar=false,dest={place}/layout", "--target", "files", context)

    layout = Layout.open(place / "layout", create=False)
    for name in ("app:1", "app:2"):
        image = layout.image(Reference.parse(name))
        validate_image(image)
        assert based.image(name).digest == image.digest
        run("umoci", "stat", "--image", f"{place}/layout:docker.io/library/{name}")


def test_an_archive_goes_to_standard_output(based: Pybuild, context: Path) -> None:
    for kind in ("docker", "oci", "tar"):
        for spec in (f"type={kind}", f"type={kind},dest=-"):
            done = based("-t", "app:1", "-o", spec, context)
            with tarfile.open(fileobj=io.BytesIO(done.out)) as tar:
                assert ("run-made" in tar.getnames()) == (kind == "tar")


def test_a_tar_has_the_files_with_their_owners(based: Pybuild, context: Path, place: Path) -> None:
    """As ``-o -`` writes it too."""
    based("-o", f"type=tar,dest={place}/a.tar", context)
    done = based("-o", "-", context)

    assert (place / "a.tar").read_bytes() == done.out
    with tarfile.open(place / "a.tar") as tar:
        made, tool, linked, link = (tar.getmember(name) for name in ("run-made", "tool", "linked", "link"))
        assert "etc/second" not in tar.getnames()
        assert "etc/passwd" in tar.getnames()
        assert (33, 44) == (made.uid, made.gid)
        assert 0o4711 == tool.mode
        assert {True, False} == {made.islnk(), linked.islnk()}
        assert ("run-made", True) == (link.linkname, link.issym())


@pytest.mark.parametrize("spec", ["{place}/out", "type=local,dest={place}/out"])
def test_a_directory_has_the_files(based: Pybuild, context: Path, place: Path, spec: str) -> None:
    """They belong to whoever builds; what lies there already stays."""
    (place / "out").mkdir()
    (place / "out" / "before").write_text("stays")

    based("-o", spec.format(place=place), "--target", "files", context)

    out = place / "out"
    assert {"before", "files", "tool"} == set(os.listdir(out))
    assert "run\n" == (out / "files/run-made").read_text()
    assert (out / "files/run-made").stat().st_ino == (out / "files/linked").stat().st_ino
    assert os.geteuid() == (out / "tool").stat().st_uid
    assert os.access(out / "files" / "tool", os.X_OK)
    assert not stat.S_IMODE((out / "files/tool").stat().st_mode) & 0o022


def test_a_registry_gets_all_names(based: Pybuild, context: Path, registry: str) -> None:
    names = [f"{registry}/team/{name}" for name in ("one:1", "one:2", "two:1")]
    based(*(f"--tag={name}" for name in names), "-o", "type=registry", context)

    image = based.image(names[0])
    for name in names:
        found = json.loads(skopeo("inspect", "--tls-verify=false", f"docker://{name}"))
        assert str(image.digest) == found["Digest"]


def test_an_image_is_pushed_with_push(based: Pybuild, context: Path, registry: str) -> None:
    based("-o", f"type=image,name={registry}/team/named:1,push=true", context)

    assert manifest_of(registry, "team/named:1")["layers"]


def manifest_of(registry: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{registry}/{name}"))
    return found


def test_a_password_opens_a_registry(based: Pybuild, context: Path, private_registry: str) -> None:
    (based.home / ".docker").mkdir()
    config = {"auths": {private_registry: {"auth": "dXNlcjpzZWNyZXQ="}}}
    (based.home / ".docker" / "config.json").write_text(json.dumps(config))

    based("-t", f"{private_registry}/mine:1", "--push", context)

    skopeo("inspect", "--tls-verify=false", "--creds=user:secret", f"docker://{private_registry}/mine:1")


def test_several_outputs_at_once(based: Pybuild, context: Path, place: Path, registry: str) -> None:
    name = f"{registry}/several:1"
    outputs = [f"type=docker,dest={place}/a.tar", f"type=oci,dest={place}/b.tar", f"{place}/c", "type=registry"]
    based("-t", name, *(f"--output={each}" for each in outputs), context)

    assert {"a.tar", "b.tar", "c"} <= set(os.listdir(place))
    assert (
        str(based.image(name).digest)
        == json.loads(skopeo("inspect", "--tls-verify=false", f"docker://{name}"))["Digest"]
    )


@pytest.mark.parametrize(
    ("compression", "media_type"),
    [
        ("gzip", "application/vnd.oci.image.layer.v1.tar+gzip"),
        ("zstd", "application/vnd.oci.image.layer.v1.tar+zstd"),
        ("uncompressed", "application/vnd.oci.image.layer.v1.tar"),
    ],
)
def test_layers_are_compressed_as_asked(
    based: Pybuild, context: Path, place: Path, compression: str, media_type: str
) -> None:
    """Those of the base stay as they are, unless by force; the files are the same, and so is the image's id."""
    plain = based("-q", context).out
    spec = f"type=oci,tar=false,dest={place}/out,compression={compression}"

    assert plain == based("-q", "-t", "app:1", "-o", spec, context).out
    types = [layer["mediaType"] for layer in manifest(f"oci:{place}/out:docker.io/library/app:1")["layers"]]
    assert plain == based("-q", "-t", "app:1", "-o", f"{spec},force-compression=true", context).out
    forced = [layer["mediaType"] for layer in manifest(f"oci:{place}/out:docker.io/library/app:1")["layers"]]

    assert ["application/vnd.oci.image.layer.v1.tar+gzip"] * 2 == types[:2]
    assert {media_type} == set(types[2:])
    assert {media_type} == set(forced)
    validate_image(Layout.open(place / "out").image(Reference.parse("app:1")))


def test_a_level_makes_layers_smaller(based: Pybuild, write: Write, place: Path) -> None:
    text = "\n".join(str(number * number) for number in range(30_000))
    sizes = []
    for kind, levels in (("gzip", (1, 9)), ("zstd", (1, 19))):
        for level in levels:
            context = write("FROM scratch\nCOPY text /\n", {"text": text})
            spec = f"type=oci,dest={place}/a.tar,compression={kind},compression-level={level}"
            based("--no-cache", "-t", "app:1", "-o", spec, context)
            sizes.append((place / "a.tar").stat().st_size)

    assert sizes[1] < sizes[0]
    assert sizes[3] < sizes[2]


def test_docker_media_types(based: Pybuild, context: Path, place: Path, registry: str) -> None:
    based("-t", f"{registry}/old:1", "-o", "type=registry,oci-mediatypes=false", context)

    found = manifest_of(registry, "old:1")

    assert "application/vnd.docker.distribution.manifest.v2+json" == found["mediaType"]
    assert "application/vnd.docker.container.image.v1+json" == found["config"]["mediaType"]
    assert {"application/vnd.docker.image.rootfs.diff.tar.gzip"} == {layer["mediaType"] for layer in found["layers"]}


def test_files_get_the_epochs_time_where_that_is_asked_for(based: Pybuild, context: Path, place: Path) -> None:
    """New files at most; those of the base are left alone."""
    epoch = {"SOURCE_DATE_EPOCH": "1700000000"}
    based("-t", "app:1", "-o", f"type=tar,dest={place}/plain.tar", context, env=epoch)
    rewritten = f"type=oci,tar=false,dest={place}/out,rewrite-timestamp=true"
    based("-t", "app:2", "-o", rewritten, context, env=epoch)

    run("umoci", "unpack", "--rootless", "--image", f"{place}/out:docker.io/library/app:2", place / "bundle")

    root = place / "bundle" / "rootfs"
    assert 1_700_000_000 == (root / "run-made").stat().st_mtime
    assert 1_600_000_000 == (root / "etc/passwd").stat().st_mtime


def test_names_of_an_output_take_the_place_of_tags(based: Pybuild, context: Path, place: Path) -> None:
    based("-t", "app:1", "-o", f"type=docker,dest={place}/a.tar,name=other:2", context)

    skopeo("inspect", f"docker-archive:{place}/a.tar:other:2")


def test_an_archive_without_names_can_be_loaded(based: Pybuild, context: Path, place: Path) -> None:
    based("-o", f"type=docker,dest={place}/a.tar", context)

    skopeo("inspect", f"docker-archive:{place}/a.tar")


def test_a_pipe_and_a_device_are_written_to_as_they_are(based: Pybuild, context: Path) -> None:
    based("-t", "app:1", "-o", "type=docker,dest=/dev/null", context)

    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_an_archive_that_is_there_is_replaced_as_a_whole(based: Pybuild, context: Path, place: Path) -> None:
    target = place / "a.tar"
    target.write_text("old")
    based("-t", "app:1", "-o", f"type=docker,dest={target}", context)

    assert tarfile.is_tarfile(target)
    assert {"a.tar", "store", "home"} <= set(os.listdir(place))
    assert not [name for name in os.listdir(place) if name.endswith(".tmp")]
