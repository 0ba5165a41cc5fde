"""``save``, ``load`` and ``import``."""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
from typing import TYPE_CHECKING

import pytest
import zstandard

from tests.support.archives import old_docker_save, tar_with
from tests.support.images import ARM64, content_of, image, layer, tar_of

if TYPE_CHECKING:
    from pathlib import Path

    from layers.image import Image, Index
    from tests.builder.cli.conftest import Cli


def members(content: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        return {each.name: read.read() for each in tar if (read := tar.extractfile(each)) is not None}


def test_what_is_saved_is_loaded_again(cli: Cli, app: Image, other: Image, tmp_path: Path) -> None:
    cli.put(app, "app:1", "app:2")
    cli.put(other, "other:1")
    archive = tmp_path / "both.tar"

    cli("save", "-o", archive, "app:1", "other:1", app.id.short)
    cli("rmi", "-f", app.id.short, "other:1")
    lines = cli("load", "-i", archive).lines

    assert ["Loaded image: app:1", "Loaded image: other:1"] == lines
    assert ["app:1", "other:1"] == cli.names()
    assert (app.digest, other.digest) == (cli.image("app:1").digest, cli.image("other:1").digest)
    assert ["app:1"] == json.loads(members(archive.read_bytes())["manifest.json"])[0]["RepoTags"]


def test_a_name_without_a_tag_saves_all_tags(cli: Cli, app: Image) -> None:
    cli.put(app, "app:1", "app:2", "team/app:1")
    assert ["app:1", "app:2"] == json.loads(members(cli("save", "app").raw)["manifest.json"])[0]["RepoTags"]


def test_an_id_saves_without_names(cli: Cli, app: Image) -> None:
    cli.put(app, "app:1")
    content = cli("save", app.id.short).raw
    cli("rmi", "app:1")

    assert [f"Loaded image ID: {app.id}"] == cli("load", input=content).lines

    assert [app.id.short] == cli("images", "-q").lines


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz", "a.tgz", "a.tar.zst"])
def test_the_files_name_says_how_to_compress(cli: Cli, app: Image, tmp_path: Path, name: str) -> None:
    cli.put(app, "app:1")

    cli("save", "-o", tmp_path / name, "app:1")
    head = (tmp_path / name).read_bytes()[:4]
    cli("rmi", "app:1")
    cli("load", "-i", tmp_path / name)

    gzipped, zstd = head.startswith(b"\x1f\x8b"), head == b"\x28\xb5\x2f\xfd"
    assert (name.endswith("gz"), name.endswith("zst")) == (gzipped, zstd)
    assert content_of(app) == content_of(cli.image("app:1"))


def test_an_option_says_how_to_compress(cli: Cli, app: Image) -> None:
    cli.put(app, "app:1")
    content = cli("save", "--compress", "gzip", "app:1").raw
    assert "manifest.json" in members(gzip.decompress(content))
    assert "manifest.json" not in members(cli("save", "--format", "oci", "app:1").raw)


def test_an_index_is_saved_with_all_of_its_images(cli: Cli, both: Index) -> None:
    cli.put(both, "app:1")
    content = cli("save", "app:1").raw
    cli("rmi", "app:1")

    cli("load", input=content)

    assert both.digest == cli.layout.descriptor(cli.layout.names()[0][0]).digest
    assert ARM64 == cli.image("app:1", ARM64).platform


def test_one_platform_of_an_index(cli: Cli, both: Index) -> None:
    cli.put(both, "app:1")
    arm = both.image(ARM64)

    content = cli("save", "--platform", "linux/arm64", "app:1").raw
    cli("load", "--platform", "linux/arm64", input=cli("save", "app:1").raw)
    cli("rmi", "app:1")
    cli("load", input=content)

    assert arm.digest == cli.image("app:1").digest


def test_of_an_index_that_is_here_in_part_the_part_is_saved(cli: Cli, both: Index) -> None:
    descriptor = cli.layout.put(both, platforms=[ARM64])
    cli.layout.keep(descriptor)
    cli("tag", str(both.digest), "app:1")

    content = cli("save", "app:1").raw
    cli("rmi", "-f", str(both.digest))
    cli("load", input=content)

    assert both.image(ARM64).digest == cli.image("app:1").digest


def test_saving_what_is_not_here_writes_nothing(cli: Cli, app: Image, tmp_path: Path) -> None:
    cli.put(app, "app:1")
    target = tmp_path / "a.tar"

    cli.fails("save", "-o", target, "app:1", "nope")
    cli.fails("save", "-o", tmp_path / "no" / "where", "app:1")
    cli.fails("save", "--format", "zip", "app:1")
    cli.fails("save", "--compress", "lzma", "app:1")
    cli.layout.blobs.delete(app.layers[0].descriptor.digest)
    assert b"" == cli("save", "app:1", code=1).raw
    cli.fails("save", "-o", target, "app:1")

    assert not target.exists()
    assert [] == [each for each in os.listdir(tmp_path) if "a.tar" in each]


@pytest.mark.parametrize("compress", [bytes, gzip.compress, zstandard.compress], ids=["none", "gzip", "zstd"])
def test_the_tar_of_an_old_docker_is_loaded(cli: Cli, compress: object) -> None:
    files = {"etc/motd": b"hello"}
    found = image(layer(files, "none"))
    content = tar_with(old_docker_save(found, [tar_of(files)], ["app:1"]))
    assert callable(compress)

    assert ["Loaded image: app:1"] == cli("load", "-q", input=compress(content)).lines
    assert found.id == cli.image("app:1").id


def test_loading_the_same_image_packed_otherwise_leaves_no_nameless_one(cli: Cli) -> None:
    files = {"etc/motd": b"hello"}
    packed = image(layer(files, "gzip"))
    cli.put(packed, "app:1")

    cli("load", input=tar_with(old_docker_save(packed, [tar_of(files)], ["app:1"])))

    assert [packed.id.short] == cli("images", "-q").lines


def test_loading_another_image_leaves_the_old_one_without_its_name(cli: Cli, app: Image, other: Image) -> None:
    cli.put(app, "app:1")
    content = cli("save", "app:1").raw
    cli("rmi", "app:1")
    cli.put(other, "app:1")

    cli("load", input=content)

    assert app.digest == cli.image("app:1").digest
    assert f"{other.id.short}\n" == cli("images", "-q", "--filter", "dangling=true").out


@pytest.mark.parametrize(
    "content",
    [b"", b"x", os.urandom(100_000), b"\x1f\x8b" + os.urandom(1000), tar_of({"a": b"b"}), bytes(10240)],
    ids=["empty", "byte", "random", "gzip", "rootfs", "zeros"],
)
def test_what_is_no_archive_of_images_changes_nothing(cli: Cli, tmp_path: Path, content: bytes) -> None:
    cli("images")
    cli.fails("load", input=content)
    (tmp_path / "file").write_bytes(content)
    cli.fails("load", "-i", tmp_path / "file")
    cli.fails("load", "-i", tmp_path / "nope")


def test_an_archive_that_is_cut_short_names_nothing(cli: Cli, app: Image) -> None:
    cli.put(app, "app:1")
    content = cli("save", "app:1").raw
    cli("rmi", "app:1")

    cli.fails("load", input=content[: len(content) // 2])

    assert [] == cli.names()


def test_an_archive_that_lies_names_nothing(cli: Cli, app: Image) -> None:
    """One byte of a layer is another."""
    cli.put(app, "app:1")
    content = bytearray(cli("save", "app:1").raw)
    cli("rmi", "app:1")
    with app.layers[0].open() as reader:
        blob = reader.read()
    content[content.index(blob) + 20] ^= 1

    cli("load", input=bytes(content), code=1)

    assert [] == cli.layout.images()


def test_a_root_file_system_is_imported(cli: Cli, tmp_path: Path) -> None:
    tar = tar_of({"bin/": b"", "bin/sh": b"#!"})
    (tmp_path / "rootfs.tar").write_bytes(tar)
    changes = ['CMD ["/bin/sh"]', "ENV A=b C=d", "EXPOSE 80", "LABEL x=$A", "USER me", "VOLUME /data", "WORKDIR /w"]
    changes += ["ENTRYPOINT top", "STOPSIGNAL INT", "ONBUILD RUN x"]
    options = [part for each in changes for part in ("-c", each)]

    printed = cli("import", *options, "-m", "by hand", tmp_path / "rootfs.tar", "app:1").out.strip()

    found = cli.image("app:1")
    config = found.config.config
    assert str(found.id) == printed
    assert (("/bin/sh", "-c", "top"), ("/bin/sh",)) == (config.entrypoint, config.cmd)
    assert (("A=b", "C=d"), ("80/tcp",), {"x": "b"}) == (config.env, config.exposed_ports, config.labels)
    assert ("me", ("/data",), "/w", "INT") == (config.user, config.volumes, config.working_dir, config.stop_signal)
    assert ["by hand"] == [each.comment for each in found.config.history]


@pytest.mark.parametrize("compress", [bytes, gzip.compress, zstandard.compress], ids=["none", "gzip", "zstd"])
def test_what_is_imported_may_be_compressed_and_has_one_layer(cli: Cli, compress: object) -> None:
    assert callable(compress)
    id_ = cli("image", "import", "--platform", "linux/arm64", "-", input=compress(tar_of({"a": b"b"}))).out.strip()

    found = cli.layout.image(cli.layout.resolve(id_).descriptor.digest, ARM64)

    assert [layer({"a": b"b"}).diff_id] == list(found.config.diff_ids)
    assert "Imported from -" == found.config.history[0].comment


@pytest.mark.parametrize(
    "arguments",
    [
        ["-c", "RUN x", "-"],
        ["-c", "COPY a b", "-"],
        ["-c", "FROM x", "-"],
        ["-c", "", "-"],
        ["-c", "CMD [", "-c", "NOPE", "-"],
        ["-", "A:B"],
        ["-", "app@sha256:" + "0" * 64],
        ["--platform", "a/b/c/d", "-"],
        ["/nowhere/at/all"],
        ["http://127.0.0.1:1/x.tar"],
    ],
)
def test_what_cannot_be_imported_changes_nothing(cli: Cli, arguments: list[str]) -> None:
    cli("images")
    cli.fails("import", *arguments, input=tar_of({"a": b"b"}))


@pytest.mark.parametrize(
    "content", [b"x" * 2000, os.urandom(5000), gzip.compress(b"y" * 5000)], ids=["text", "noise", "gzip"]
)
def test_what_is_no_tar_is_not_imported(cli: Cli, content: bytes) -> None:
    cli("images")
    cli.fails("import", "-", input=content)
