"""open_images: archives of images, whoever wrote them, and what hostile ones do not achieve."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import subprocess
import tarfile
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import zstandard

from layers.archive import docker, oci
from layers.archive.members import Members
from layers.archive.read import open_images
from layers.errors import (
    ChangesetError,
    InvalidError,
    LayersError,
    LimitError,
    NotFoundError,
    StoreError,
    VerificationError,
)
from layers.image import Image, Index
from layers.mediatype import OCI_LAYER
from layers.model import IndexManifest
from layers.reference import Reference
from layers.validate import validate_image, validate_index
from tests.support.archives import old_docker_save, tar_with
from tests.support.images import ARM64, MemoryLayer, content_of, image, index, layer, layer_of_tar, tar_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

APP = Reference.parse("app:dev")
OTHER = Reference.parse("ghcr.io/a/b:1")
FILES = {"etc/": b"", "etc/motd": b"hello"}


def saved(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "archive.tar"
    path.write_bytes(content)
    return path


def written(write: Callable[..., None], *images: tuple[Image | Index, list[Reference]]) -> bytes:
    sink = io.BytesIO()
    write(images, sink)
    return sink.getvalue()


@pytest.mark.parametrize("write", [docker.write, oci.write])
def test_what_we_write_comes_back(tmp_path: Path, write: Callable[..., None]) -> None:
    one, two = image(layer({"a": b"1"}), layer({"b": b"2"}, "zstd")), image(layer({"c": b"3"}, "none"))

    with open_images(saved(tmp_path, written(write, (one, [APP, OTHER]), (two, []))), tmp_path) as found:
        assert [(APP, OTHER), ()] == [each.names for each in found]
        assert [one.digest, two.digest] == [each.source.digest for each in found]
        for each in found:
            assert isinstance(each.source, Image)
            validate_image(each.source)


def test_an_index_comes_back_whole(tmp_path: Path) -> None:
    source = index(image(layer()), image(layer({"a": b"1"}), platform=ARM64))

    with open_images(saved(tmp_path, written(oci.write, (source, [APP]))), tmp_path) as [found]:
        assert isinstance(found.source, Index)
        assert source.raw == found.source.raw
        validate_index(found.source)


def test_an_archive_of_an_old_docker_is_read(tmp_path: Path) -> None:
    """Its layers are not compressed, so that the digest of each is the diff_id in the config."""
    tars = [tar_of(FILES), tar_of({"a": b"1"}), tar_of(FILES)]
    source = image(*(layer_of_tar(each) for each in tars))
    archive = tar_with(old_docker_save(source, tars, ["app:dev", "ghcr.io/a/b:1"]))

    with open_images(saved(tmp_path, archive), tmp_path) as [found]:
        assert isinstance(found.source, Image)
        validate_image(found.source)
        assert (APP, OTHER) == found.names
        assert source.config_bytes == found.source.config_bytes
        assert tars == content_of(found.source)
        assert {OCI_LAYER} == {each.descriptor.media_type for each in found.source.layers}


def test_an_image_saved_by_its_id_has_no_name(tmp_path: Path) -> None:
    tar = tar_of(FILES)

    with open_images(saved(tmp_path, tar_with(old_docker_save(image(layer(FILES)), [tar], None))), tmp_path) as found:
        assert [()] == [each.names for each in found]


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_compressed_layers_beside_a_manifest_json_keep_their_bytes(tmp_path: Path, compression: str) -> None:
    """kaniko, jib and crane write such archives."""
    part = layer(FILES, "gzip" if compression == "gzip" else "zstd")
    source = image(part)

    with open_images(saved(tmp_path, tar_with(old_docker_save(source, [part.content], ["app:dev"]))), tmp_path) as [
        found
    ]:
        assert isinstance(found.source, Image)
        assert source.layers[0].descriptor == found.source.layers[0].descriptor
        validate_image(found.source)


def test_a_compressed_layer_with_another_diff_id_is_noticed(tmp_path: Path) -> None:
    archive = tar_with(old_docker_save(image(layer(FILES)), [layer({"a": b"evil"}).content], None))

    with pytest.raises(VerificationError), open_images(saved(tmp_path, archive), tmp_path):
        pass


def test_an_uncompressed_layer_with_another_diff_id_is_noticed_when_it_is_read(tmp_path: Path) -> None:
    archive = tar_with(old_docker_save(image(layer(FILES)), [tar_of({"etc/": b"", "etc/motd": b"HELLO"})], None))

    with open_images(saved(tmp_path, archive), tmp_path) as [found]:
        assert isinstance(found.source, Image)
        with pytest.raises(VerificationError):
            content_of(found.source)


def test_a_config_under_the_name_of_another_digest_is_refused(tmp_path: Path) -> None:
    files = old_docker_save(image(layer(FILES)), [tar_of(FILES)], None)
    config = next(name for name in files if name.endswith(".json") and name != "manifest.json")
    files[config] = image(layer(FILES), platform=ARM64).config_bytes

    with pytest.raises(VerificationError, match="config"), open_images(saved(tmp_path, tar_with(files)), tmp_path):
        pass


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress, zstandard.compress])
def test_compressed_archives_are_read_and_leave_nothing_behind(
    tmp_path: Path, compress: Callable[[bytes], bytes]
) -> None:
    source = image(layer())
    workdir = tmp_path / "work"
    path = saved(tmp_path, compress(written(docker.write, (source, [APP]))))

    with open_images(path, workdir) as [found]:
        assert isinstance(found.source, Image)
        validate_image(found.source)
    assert [] == list(workdir.iterdir())


def test_a_stream_is_read(tmp_path: Path) -> None:
    source = image(layer())

    with open_images(io.BytesIO(written(docker.write, (source, [APP]))), tmp_path) as [found]:
        assert isinstance(found.source, Image)
        assert content_of(source) == content_of(found.source)


def test_a_directory_with_a_layout_is_read(tmp_path: Path) -> None:
    source = image(layer())
    with open_images(saved(tmp_path, written(oci.write, (source, [APP]))), tmp_path) as found:
        assert found
    unpack(tmp_path / "archive.tar", tmp_path / "layout")

    with open_images(tmp_path / "layout", tmp_path) as [entry]:
        assert (APP,) == entry.names
        assert isinstance(entry.source, Image)
        validate_image(entry.source)


def unpack(archive: Path, directory: Path) -> None:
    directory.mkdir()
    subprocess.run(["tar", "-xf", archive, "-C", directory], check=True)


def test_names_are_read_as_buildkit_and_skopeo_write_them(tmp_path: Path) -> None:
    """BuildKit's ref.name is a tag alone, skopeo's is whatever came after the path."""
    source = image(layer())
    blobs = blobs_of(source)

    def index_with(*annotations: dict[str, str]) -> bytes:
        entries = [{**source.descriptor.to_json(), "annotations": each} for each in annotations]
        return json.dumps({"schemaVersion": 2, "manifests": entries}).encode()

    raw = index_with(
        {"io.containerd.image.name": "docker.io/library/app:dev", "org.opencontainers.image.ref.name": "dev"},
        {"org.opencontainers.image.ref.name": "ghcr.io/a/b:1"},
        {"org.opencontainers.image.ref.name": "Latest"},
    )
    with open_images(saved(tmp_path, tar_with({**blobs, "index.json": raw})), tmp_path) as [found]:
        assert (APP, OTHER) == found.names
        assert ("dev", "docker.io/library/app:dev", "ghcr.io/a/b:1", "Latest") == found.labels


def blobs_of(source: Image) -> dict[str, bytes | str]:
    documents = {source.digest: source.manifest_bytes, source.manifest.config.digest: source.config_bytes}
    parts = zip((each.descriptor.digest for each in source.layers), content_of(source), strict=True)
    contents = {**documents, **dict(parts)}
    return {
        "oci-layout": b'{"imageLayoutVersion":"1.0.0"}',
        **{f"blobs/sha256/{digest.encoded}": content for digest, content in contents.items()},
    }


def test_a_path_in_front_of_the_names_does_not_matter(tmp_path: Path) -> None:
    """``tar -cf archive.tar .`` writes ``./index.json``."""
    source = image(layer())
    raw = json.dumps({"schemaVersion": 2, "manifests": [source.descriptor.to_json()]}).encode()
    files = {f"./{name}": content for name, content in {**blobs_of(source), "index.json": raw}.items()}

    with open_images(saved(tmp_path, tar_with(files)), tmp_path) as [found]:
        assert source.digest == found.source.digest


def test_a_missing_file_is_an_error_that_names_the_archive(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"cannot read .*nothing\.tar: No such file"):  # noqa: SIM117 - one raises
        with open_images(tmp_path / "nothing.tar", tmp_path):
            pass


BAD: dict[str, tuple[bytes, str]] = {
    "no tar": (b"hello" * 1000, "cannot read .*not a tar"),
    "a root file system": (tar_of(FILES), "it holds no images"),
    "older than 1.10": (tar_with({"repositories": b"{}"}), "older than 1.10"),
    "no JSON": (tar_with({"manifest.json": b"["}), "is not JSON"),
    "no list": (tar_with({"manifest.json": b"{}"}), "not a list"),
    "no objects": (tar_with({"manifest.json": b"[1]"}), "not an object"),
    "no config": (tar_with({"manifest.json": b'[{"Layers":[]}]'}), "Config is missing"),
    "config is gone": (tar_with({"manifest.json": b'[{"Config":"x.json","Layers":[]}]'}), "no file 'x.json'"),
    "config outside": (tar_with({"manifest.json": b'[{"Config":"../../etc/passwd"}]'}), "no file"),
    "config by symlink outside": (
        tar_with({"manifest.json": b'[{"Config":"x"}]', "x": "../../../etc/passwd"}),
        "no file 'x'",
    ),
    "links in a circle": (tar_with({"manifest.json": b'[{"Config":"x"}]', "x": "y", "y": "x"}), "in a circle"),
    "a broken name": (
        tar_with(old_docker_save(image(layer(FILES)), [tar_of(FILES)], ["App"])),
        "invalid repository",
    ),
    "two of a name": (
        tar_with({"manifest.json": b"[]"})[:1024] + tar_with({"manifest.json": b"[{}]"}),
        "two files 'manifest.json'",
    ),
    "cut short": (tar_with({"x": bytes(4096), "y": b""})[:2048], "cut short"),
    "a size beyond all measure": (tar_with({"manifest.json": bytes(9 << 20)}), "more than the"),
    "missing blobs": (
        tar_with(
            {
                "oci-layout": b"{}",
                "index.json": json.dumps({"manifests": [image().descriptor.to_json()]}).encode(),
            }
        ),
        "no file 'blobs/sha256/",
    ),
    "an unknown compression within": (
        tar_with(old_docker_save(image(layer(FILES)), [bz2.compress(tar_of(FILES))], None)),
        "compressed with bzip2",
    ),
    "fewer layers": (
        tar_with(old_docker_save(image(layer(FILES)), [], None)),
        "0 layers and its config 1 diff_ids",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_good_archive_is_an_error_that_says_why(tmp_path: Path, case: str) -> None:
    content, message = BAD[case]

    with pytest.raises(LayersError, match=message), open_images(saved(tmp_path, content), tmp_path):
        pass


def test_a_bomb_is_stopped(tmp_path: Path) -> None:
    bomb = zstandard.compress(bytes(256 << 20))

    with pytest.raises(LayersError, match=r"(?i)more"), open_images(saved(tmp_path, bomb), tmp_path):
        pass


def test_what_is_cut_short_while_compressed_is_an_error(tmp_path: Path) -> None:
    whole = gzip.compress(written(docker.write, (image(layer()), [APP])))

    with pytest.raises(ChangesetError), open_images(saved(tmp_path, whole[:-100]), tmp_path):
        pass


def test_a_blob_that_is_not_its_name_is_noticed(tmp_path: Path) -> None:
    good = image(layer({}, "none"))
    files = blobs_of(good)
    name = f"blobs/sha256/{good.digest.encoded}"
    raw = json.dumps({"schemaVersion": 2, "manifests": [good.descriptor.to_json()]}).encode()
    assert isinstance(files[name], bytes)
    files[name] = bytes(reversed(good.manifest_bytes))

    with (
        pytest.raises(VerificationError),
        open_images(saved(tmp_path, tar_with({**files, "index.json": raw})), tmp_path),
    ):
        pass


def test_a_layer_without_content_that_lies_is_refused_on_writing() -> None:
    part = layer()
    lying = MemoryLayer(part.content, replace(part.descriptor, size=part.descriptor.size + 1), part.diff_id)

    with pytest.raises(VerificationError):
        written(docker.write, (image(lying), [APP]))


def test_indexes_nested_beyond_reason_are_refused(tmp_path: Path) -> None:
    """An index in an index in an index ..., as no tool writes it."""
    files: dict[str, bytes | str] = {"oci-layout": b"{}"}
    source = index(image())
    for _ in range(10):
        files[f"blobs/sha256/{source.digest.encoded}"] = source.raw
        entry = json.dumps({"schemaVersion": 2, "manifests": [source.descriptor.to_json()]}).encode()
        source = Index(entry, source.load)
    files["index.json"] = source.raw

    with open_images(saved(tmp_path, tar_with(files)), tmp_path) as [found]:
        assert isinstance(found.source, Index)
        with pytest.raises(InvalidError, match="nested"):
            found.source.image(ARM64)


def test_hard_links_and_long_names_among_the_members_are_followed(tmp_path: Path) -> None:
    tar = tar_of(FILES)
    source = image(layer(FILES))
    long = "x" * 200 + "/layer.tar"
    manifest = [{"Config": "config.json", "RepoTags": None, "Layers": ["link/layer.tar"]}]
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in {
            long: tar,
            "config.json": source.config_bytes,
            "manifest.json": json.dumps(manifest).encode(),
        }.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        link = tarfile.TarInfo("link/layer.tar")
        link.type, link.linkname = tarfile.LNKTYPE, long
        archive.addfile(link)

    with open_images(saved(tmp_path, buffer.getvalue()), tmp_path) as [found]:
        assert isinstance(found.source, Image)
        assert [tar] == content_of(found.source)


def test_more_files_than_any_image_has_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("layers.archive.members._MAX_MEMBERS", 10)
    archive = tar_with({str(i): b"" for i in range(11)})

    with pytest.raises(LimitError, match="more than 10 files"), open_images(saved(tmp_path, archive), tmp_path):
        pass


def test_a_blob_of_another_size_than_promised_is_noticed(tmp_path: Path) -> None:
    source = image(layer())
    files = blobs_of(source)
    files[f"blobs/sha256/{source.digest.encoded}"] = source.manifest_bytes + b" "
    raw = json.dumps({"schemaVersion": 2, "manifests": [source.descriptor.to_json()]}).encode()
    path = saved(tmp_path, tar_with({**files, "index.json": raw}))

    with pytest.raises(VerificationError, match="another size: expected"), open_images(path, tmp_path):
        pass


def test_without_room_to_unpack_a_compressed_archive_the_error_names_the_place(tmp_path: Path) -> None:
    path = saved(tmp_path, gzip.compress(written(docker.write, (image(layer()), [APP]))))
    (tmp_path / "work").write_text("a file in the way")

    with pytest.raises(StoreError, match=r"cannot write to .*work"), open_images(path, tmp_path / "work"):
        pass


def test_of_an_index_without_an_image_for_this_machine_manifest_json_has_none(tmp_path: Path) -> None:
    source = index(image(layer(), platform=replace(ARM64, architecture="s390x")))
    path = saved(tmp_path, written(docker.write, (source, [APP])))

    with Members(path, "x") as members:
        assert b"[]" == members.document("manifest.json")


def test_a_document_that_is_not_what_the_index_lists_is_not_written() -> None:
    good = image(layer())
    lying = Index(IndexManifest((good.descriptor,)).to_bytes(), lambda _: image(layer(), platform=ARM64))

    with pytest.raises(VerificationError, match="a document has other content"):
        written(oci.write, (lying, [APP]))
