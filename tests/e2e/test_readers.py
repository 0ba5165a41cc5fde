"""Layers in several blocks, some of them stored and some copied, are read by every program that reads layers."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from layers.reference import Reference
from tests.support.programs import need, run, skopeo

if TYPE_CHECKING:
    from pathlib import Path

    from layers.image import Layer
    from tests.e2e.conftest import Write
    from tests.support.dockerd import Docker
    from tests.support.programs import Pybuild

pytestmark = pytest.mark.e2e

STORED = random.Random(11).randbytes(3_500_000)
TEXT = b"".join(b"%d times %d is %d\n" % (i, i, i * i) for i in range(200_000))
FILES = {"stored.bin": STORED, "text.txt": TEXT, "small.txt": b"small\n"}
SUMS = {name: hashlib.sha256(content).hexdigest() for name, content in FILES.items()}
BOTH = ["gzip", "zstd"]
_UNPACK = "import sys, zstandard as z; z.ZstdDecompressor().copy_stream(sys.stdin.buffer, sys.stdout.buffer)"


@pytest.fixture
def build(based: Pybuild, write: Write, place: Path) -> Built:
    context = write("FROM busybox\nCOPY files /files/\n")
    (context / "files").mkdir()
    for name, content in FILES.items():
        (context / "files" / name).write_bytes(content)
    (context / "files" / "small.txt").write_text("not yet\n")
    return Built(based, context, place)


class Built:
    """Builds the image with all of the layer's large blocks copied from the layer of an earlier build."""

    def __init__(self, pybuild: Pybuild, context: Path, place: Path) -> None:
        self.pybuild = pybuild
        self.place = place
        self._context = context

    def __call__(self, compression: str, *options: str | Path) -> Layer:
        """Give the layer of the image ``app``."""
        small = self._context / "files" / "small.txt"
        kept = f"type=image,compression={compression},force-compression=true"
        small.write_text("not yet\n")
        self.pybuild("-t", "before", "-o", kept, self._context)
        small.write_bytes(FILES["small.txt"])
        self.pybuild("-t", "app", "-o", kept, self._context)
        if options:
            self.pybuild(*options, self._context)
        layout = self.pybuild.layout
        layer = layout.image(Reference.parse("app")).layers[-1]
        with layer.open() as blob:
            (self.place / "blob").write_bytes(blob.read())
        return layer


def test_gzip_and_tar_read_it(build: Built) -> None:
    layer = build("gzip")
    plain = subprocess.run(["gzip", "-dc", build.place / "blob"], capture_output=True, check=True).stdout

    assert layer.diff_id.encoded == hashlib.sha256(plain).hexdigest()
    assert len(STORED) < (build.place / "blob").stat().st_size < len(STORED) + len(TEXT) // 2
    run("tar", "-xzf", build.place / "blob", "-C", build.place, "--no-same-owner")
    assert SUMS == sums_below(build.place / "files")


def test_zstd_reads_it(build: Built) -> None:
    layer = build("zstd")
    # The library that comes with pybuild, in its own way of reading, where the program is not installed.
    command = ["zstd", "-dc"] if shutil.which("zstd") else [sys.executable, "-c", _UNPACK]
    with (build.place / "blob").open("rb") as blob:
        plain = subprocess.run(command, stdin=blob, capture_output=True, check=True).stdout

    assert layer.diff_id.encoded == hashlib.sha256(plain).hexdigest()


@pytest.mark.parametrize("compression", BOTH)
def test_skopeo_takes_it(build: Built, compression: str) -> None:
    """And makes its own compression of it, for which it reads all of it."""
    need("skopeo")
    layer = build(compression)
    source = f"oci:{build.pybuild.store}:docker.io/library/app:latest"
    skopeo("copy", "-q", "--dest-decompress", source, f"dir:{build.place}/plain")

    manifest = json.loads((build.place / "plain" / "manifest.json").read_text())
    assert str(layer.diff_id) == manifest["layers"][-1]["digest"]


def test_umoci_unpacks_it(build: Built) -> None:
    """Debian's takes gzip alone."""
    need("umoci")
    build("gzip")
    name = f"{build.pybuild.store}:docker.io/library/app:latest"
    run("umoci", "unpack", "--rootless", "--image", name, build.place / "bundle")

    assert SUMS == sums_below(build.place / "bundle" / "rootfs" / "files")


@pytest.mark.root
def test_docker_loads_and_pulls_it(build: Built, docker: Docker, registry: str) -> None:
    remote = f"{registry}/readers:1"
    build("gzip", "-t", remote, "-o", f"type=docker,dest={build.place}/app.tar", "--push")
    for command in (("load", "-i", f"{build.place}/app.tar"), ("pull", remote)):
        docker(*command)
        shown = docker("run", "--rm", "--network=none", remote, "sha256sum", *(f"/files/{file}" for file in FILES))
        docker("rmi", remote)

        assert [f"{SUMS[file]}  /files/{file}" for file in FILES] == shown.splitlines()


def sums_below(directory: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in directory.iterdir()}
