"""Layouts and archives whose files are links, pipes, devices, directories or far too large: no way out, no waiting."""

from __future__ import annotations

import io
import json
import os
import tarfile
from typing import TYPE_CHECKING

import pytest

from layers.archive import docker, oci
from layers.archive.read import open_images
from layers.digest import Digest
from layers.errors import InvalidError, LayersError, NotFoundError
from layers.image import Image
from layers.reference import Reference
from layers.validate import validate_image
from tests.support.images import image, layer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Spoil = Callable[[Path, Path], None]
    """Changes a layout, or a file of it; the second path lies outside and holds what had been there."""

_APP = Reference.parse("app:1")
_IMAGE = image(layer({"a": b"1"}))
_BLOBS = {
    "manifest": f"blobs/sha256/{_IMAGE.digest.encoded}",
    "config": f"blobs/sha256/{_IMAGE.id.encoded}",
    "layer": f"blobs/sha256/{_IMAGE.layers[0].descriptor.digest.encoded}",
}
_GIB = 1 << 30


def _link(path: Path, outside: Path) -> None:
    path.symlink_to(outside)


def _link_to(target: str) -> Spoil:
    return lambda path, _outside: path.symlink_to(target)


def _sparse(path: Path, _outside: Path) -> None:
    path.touch()
    os.truncate(path, _GIB)


_IN_PLACE: dict[str, Spoil] = {
    "device": _link_to("/dev/zero"),
    "terminal": _link_to("/dev/tty"),
    "circle": _link_to("index.json"),
    "memory": _link_to("/proc/self/mem"),
    "nothing": _link_to("/nonexistent"),
    "pipe": lambda path, _outside: os.mkfifo(path),
    "directory": lambda path, _outside: path.mkdir(),
    "sparse": _sparse,
    "locked file of the kernel": _link_to("/proc/kmsg"),
}
"""What stands where a file is looked for."""


def _ended(source: Path, scratch: Path) -> LayersError | None:
    """Read all of a layout or archive; give the error."""
    try:
        with open_images(source, scratch) as images:
            for each in images:
                assert isinstance(each.source, Image)
                validate_image(each.source)
    except LayersError as error:
        return error
    return None


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    oci.write_layout([(_IMAGE, [_APP])], tmp_path / "layout")
    return tmp_path / "layout"


@pytest.mark.parametrize("name", ["index.json", "oci-layout", *_BLOBS])
@pytest.mark.parametrize("what", _IN_PLACE)
def test_what_is_no_file_of_the_layout_is_an_error_in_words(tmp_path: Path, layout: Path, name: str, what: str) -> None:
    path = layout / _BLOBS.get(name, name)
    path.rename(tmp_path / "outside")
    _IN_PLACE[what](path, tmp_path / "outside")

    error = _ended(layout, tmp_path)

    if name != "oci-layout":  # what is in that file does not matter
        assert error is not None
        assert len(error.message) > 20


@pytest.mark.parametrize("name", ["index.json", "oci-layout", "blobs", "blobs/sha256", *_BLOBS])
def test_a_layout_may_be_made_of_links(tmp_path: Path, layout: Path, name: str) -> None:
    """As Bazel makes them; wherever they lead, what is read there is what its digest says."""
    path = layout / _BLOBS.get(name, name)
    path.rename(tmp_path / "outside")
    path.symlink_to(tmp_path / "outside")

    assert _ended(layout, tmp_path) is None


@pytest.mark.parametrize("name", _BLOBS)
def test_a_link_to_something_else_gives_nothing_of_it(tmp_path: Path, layout: Path, name: str) -> None:
    path = layout / _BLOBS[name]
    secret = "a secret of this machine".ljust(path.stat().st_size, "!")
    (tmp_path / "secret").write_text(secret)
    path.unlink()
    path.symlink_to(tmp_path / "secret")

    error = _ended(layout, tmp_path)

    assert error is not None
    assert "a secret" not in f"{error} {error.hint}"


_DIGESTS = (
    "sha256:../../../../../../../../etc/passwd",
    "sha256:" + "/" * 64,
    "sha256:" + "../" * 21 + "a",
    "../sha256:" + "a" * 64,
    "sha256/../x:" + "a" * 64,
    "sha256:" + "A" * 64,
    "sha256:" + "a" * 64 + "\n",
    "sha256:" + "a" * 63 + "\0",
    "sha256:" + "a" * 65,
    "sha256:" + "٤" * 64,
    "..",
    "",
)


@pytest.mark.parametrize("digest", _DIGESTS, ids=range(len(_DIGESTS)))
@pytest.mark.parametrize("where", ["index", "config", "layer"])
def test_a_digest_that_leads_elsewhere_is_none(tmp_path: Path, layout: Path, where: str, digest: str) -> None:
    index = json.loads((layout / "index.json").read_bytes())
    if where == "index":
        index["manifests"][0]["digest"] = digest
    else:
        manifest = json.loads(_IMAGE.manifest_bytes)
        changed = manifest["config"] if where == "config" else manifest["layers"][0]
        changed["digest"] = digest
        content = json.dumps(manifest).encode()
        found = Digest.of(content)
        (layout / "blobs" / "sha256" / found.encoded).write_bytes(content)
        index["manifests"][0] |= {"digest": str(found), "size": len(content)}
    (layout / "index.json").write_text(json.dumps(index))

    assert isinstance(_ended(layout, tmp_path), InvalidError)


def test_a_pipe_in_a_layout_to_be_added_to_is_not_waited_for(tmp_path: Path, layout: Path) -> None:
    (layout / "index.json").unlink()
    os.mkfifo(layout / "index.json")

    with pytest.raises(NotFoundError, match=r"index\.json is no file"):
        oci.write_layout([(_IMAGE, [_APP])], layout)
    assert tmp_path.is_dir()


_MEMBERS: dict[str, tuple[bytes, str]] = {
    "link out": (tarfile.SYMTYPE, "/etc/passwd"),
    "link above": (tarfile.SYMTYPE, "../" * 20 + "etc/passwd"),
    "hard link out": (tarfile.LNKTYPE, "/etc/passwd"),
    "circle": (tarfile.SYMTYPE, "index.json"),
    "pipe": (tarfile.FIFOTYPE, ""),
    "device": (tarfile.CHRTYPE, ""),
    "directory": (tarfile.DIRTYPE, ""),
}


def _archive(path: Path, change: Callable[[tarfile.TarInfo], tarfile.TarInfo | None]) -> Path:
    """Write an archive of both forms, with one member changed."""
    buffer = io.BytesIO()
    docker.write([(_IMAGE, [_APP])], buffer)
    buffer.seek(0)
    with tarfile.open(fileobj=buffer) as source, tarfile.open(path, "w") as target:
        for each in source:
            content = source.extractfile(each) if each.isfile() else None
            changed = change(each)
            if changed is not None:
                target.addfile(changed, content)
    return path


@pytest.mark.parametrize("name", ["index.json", *_BLOBS])
@pytest.mark.parametrize("what", _MEMBERS)
@pytest.mark.parametrize("form", ["oci", "docker"])
def test_a_member_that_is_no_file_is_an_error_in_words(tmp_path: Path, form: str, name: str, what: str) -> None:
    """Links among the members are followed among the members; none leads to a file of the machine."""
    list_ = "index.json" if form == "oci" else "manifest.json"
    spoilt = list_ if name == "index.json" else _BLOBS[name]

    def change(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
        if member.name in ({"index.json", "oci-layout"} if form == "docker" else {"manifest.json"}):
            return None
        if member.name == spoilt:
            member.type, member.linkname = _MEMBERS[what]
            member.size = 0
        return member

    error = _ended(_archive(tmp_path / "a.tar", change), tmp_path)

    if (form, name) == ("docker", "manifest"):  # that form has no use for it
        assert error is None
    else:
        assert error is not None
        assert "root:" not in f"{error} {error.hint}"
        assert len(error.message) > 20


_NAMES = ("../../../../etc/passwd", "/etc/passwd", "blobs/sha256/..", "", ".", "/", "a\0b", "blobs/sha256", "/dev/zero")


@pytest.mark.parametrize("name", _NAMES)
@pytest.mark.parametrize("key", ["Config", "Layers"])
def test_a_name_in_manifest_json_leads_to_members_alone(tmp_path: Path, key: str, name: str) -> None:
    files = {
        "manifest.json": json.dumps(
            [{"Config": "config.json", "Layers": ["l.tar"], "RepoTags": None, key: name if key == "Config" else [name]}]
        ).encode(),
        "config.json": _IMAGE.config_bytes,
    }
    with tarfile.open(tmp_path / "a.tar", "w") as target:
        for each, content in files.items():
            info = tarfile.TarInfo(each)
            info.size = len(content)
            target.addfile(info, io.BytesIO(content))

    assert isinstance(_ended(tmp_path / "a.tar", tmp_path), NotFoundError)


@pytest.mark.parametrize("name", ["index.json", "manifest.json"])
def test_a_document_of_a_gibibyte_is_refused_by_its_size(tmp_path: Path, name: str) -> None:
    """Before any of it is read: the archive is a hole."""
    with (tmp_path / "a.tar").open("wb") as file:
        for each, size in {"oci-layout": 0, name: _GIB}.items():
            info = tarfile.TarInfo(each)
            info.size = size
            file.write(info.tobuf())
        file.truncate(file.tell() + _GIB + 1024)

    error = _ended(tmp_path / "a.tar", tmp_path)

    assert isinstance(error, InvalidError)
    assert f"{name} in {tmp_path / 'a.tar'} has {_GIB} bytes, more than the 8388608 allowed" == error.message
