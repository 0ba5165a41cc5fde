"""``save``, ``load`` and ``import``."""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import zstandard

from layers.archive import oci
from layers.digest import Digest
from layers.reference import Reference
from tests.support.archives import old_docker_save, tar_with
from tests.support.images import AMD64, ARM64, MemoryLayer, content_of, image, index, layer, tar_of

if TYPE_CHECKING:
    from pathlib import Path

    from layers.image import Image, Index
    from layers.mediatype import Compression
    from layers.mutate import Family
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


def archive_of(*images: Image | Index) -> bytes:
    """Give an OCI archive of images called ``lying:0``, ``lying:1`` ..."""
    sink = io.BytesIO()
    oci.write([(each, [Reference.parse(f"lying:{i}")]) for i, each in enumerate(images)], sink)
    return sink.getvalue()


def lying(compression: Compression = "gzip") -> MemoryLayer:
    """Give a layer of files that is not the one that its config names."""
    return replace(layer({"lie": b"lie"}, compression), diff_id=Digest.of(b"another layer"))


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
def test_an_archive_whose_layer_is_not_its_configs_is_refused(
    cli: Cli, app: Image, other: Image, compression: Compression
) -> None:
    """Nothing of it is stored: neither what is whole of that image, nor the images beside it."""
    cli.put(app, "app:1")
    whole = layer({"whole": bytes(100_000)})

    error = cli.fails("load", input=archive_of(other, image(whole, lying(compression), whole)))

    assert f"layer {lying(compression).descriptor.digest} does not unpack to what its image's config says" in error
    assert "hint: " in error


def test_an_index_whose_image_lies_is_refused(cli: Cli) -> None:
    assert "does not unpack" in cli.fails(
        "load", input=archive_of(index(image(layer()), image(lying(), platform=ARM64)))
    )


@pytest.mark.parametrize("seen", [True, False])
def test_a_layer_that_is_here_already_is_held_against_the_config_too(cli: Cli, seen: bool) -> None:  # noqa: FBT001
    """Also where it was looked through before, and is not read again."""
    true = layer({"lie": b"lie"})
    cli.put(image(true), "true:1")
    if seen:
        cli("images")

    assert f"expected {lying().diff_id}" in cli.fails("load", input=archive_of(image(lying())))
    assert "Loaded image: lying:0\n" == cli("load", input=archive_of(image(true, layer()))).out


def test_one_blob_cannot_be_two_layers(cli: Cli) -> None:
    assert "does not unpack" in cli.fails("load", input=archive_of(image(layer({"lie": b"lie"}), lying())))
    assert "does not unpack" in cli.fails("load", input=archive_of(image(layer({"lie": b"lie"})), image(lying())))


@pytest.mark.parametrize("family", ["oci", "docker"])
def test_layers_of_zstd_are_saved_for_engines_that_cannot_read_them(cli: Cli, family: Family) -> None:
    """The image is the same, by its id; the store is as it was."""
    app = image(layer({"a": bytes(50_000)}, "zstd"), layer(), layer({"c": b""}, "none"), media_types=family)
    cli.put(app, "app:1")
    before = cli.snapshot()

    done = cli("save", "app:1")

    assert "layers of zstd are saved as gzip, which every docker load can read; --format oci keeps them\n" == done.err
    assert before == cli.snapshot()
    found = members(done.raw)
    files = json.loads(found["manifest.json"])[0]["Layers"]
    assert [b"\x1f\x8b", b"\x1f\x8b", b"c\0"] == [found[each][:2] for each in files]
    cli("rmi", "app:1")
    cli("load", input=done.raw)
    again = cli.image("app:1")
    assert (app.id, app.manifest.media_type) == (again.id, again.manifest.media_type)
    assert all("zstd" not in each.media_type for each in again.manifest.layers)
    assert [] == list((cli.store / "tmp").iterdir())


def test_of_an_index_the_images_with_zstd_are_saved_otherwise(cli: Cli) -> None:
    packed, plain = image(layer(compression="zstd")), image(layer({"arm": b"64"}), platform=ARM64)
    cli.put(index(packed, plain), "app:1")
    content = cli("save", "app:1").raw
    cli("rmi", "app:1")
    cli("load", input=content)

    assert (packed.id, plain.digest) == (cli.image("app:1", AMD64).id, cli.image("app:1", ARM64).digest)
    assert packed.digest != cli.image("app:1", AMD64).digest


def test_an_oci_archive_keeps_zstd(cli: Cli) -> None:
    app = image(layer(compression="zstd"))
    cli.put(app, "app:1")

    done = cli("save", "--format", "oci", "app:1")

    assert ("", True) == (done.err, f"blobs/sha256/{app.digest.encoded}" in members(done.raw))


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
