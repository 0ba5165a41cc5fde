"""Base images for real builds: busybox of this machine, and a Debian made by mmdebstrap."""

from __future__ import annotations

import functools
import hashlib
import io
import os
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

from layers.config import ContainerConfig
from layers.platform import Platform
from layers.reference import Reference
from tests.support.images import image, layer_of_tar
from tests.support.programs import PATH, need, run

if TYPE_CHECKING:
    from layers.image import Image
    from layers.mediatype import Compression
    from layers.mutate import Family
    from layers.store.layout import Layout

BUSYBOX = "busybox:latest"
DEBIAN = "debian:base"
DEBIAN_SUITE = "bookworm"

_FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nweb:x:33:33::/srv:/bin/sh\n",
    "etc/group": "root:x:0:\nweb:x:33:\nextra:x:44:web\n",
    "etc/motd": "hello\n",
}
_DIRECTORIES = {"bin": 0o755, "etc": 0o755, "root": 0o700, "srv": 0o755, "tmp": 0o1777, "usr/share/doc": 0o755}


@functools.cache
def busybox_tar() -> bytes:
    """Give the tar of a root file system: a static busybox, links for its commands, users, two directories deep."""
    need("busybox")
    program = shutil.which("busybox", path=PATH)
    assert program is not None
    commands = subprocess.run([program, "--list"], check=True, capture_output=True, text=True).stdout.split()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, mode in _DIRECTORIES.items():
            _add(tar, name, mode=mode, kind=tarfile.DIRTYPE)
        _add(tar, "bin/busybox", Path(program).read_bytes(), mode=0o755)
        for command in commands:
            if command != "busybox":
                _add(tar, f"bin/{command}", kind=tarfile.SYMTYPE, link="busybox")
        for name, text in _FILES.items():
            _add(tar, name, text.encode())
    return buffer.getvalue()


def _add(
    tar: tarfile.TarFile,
    name: str,
    content: bytes = b"",
    *,
    mode: int = 0o644,
    kind: bytes = tarfile.REGTYPE,
    link: str = "",
) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.type, info.linkname, info.mtime = len(content), mode, kind, link, 1_600_000_000
    tar.addfile(info, io.BytesIO(content))


@functools.cache
def busybox(compression: Compression = "gzip", media_types: Family = "oci") -> Image:
    """Give the image of :func:`busybox_tar` in one layer, with a second, small one on top."""
    config = ContainerConfig(env=(f"PATH={PATH}", "BASE=busybox"), cmd=("sh",), labels={"base": "busybox"})
    second = io.BytesIO()
    with tarfile.open(fileobj=second, mode="w", format=tarfile.PAX_FORMAT) as tar:
        _add(tar, "etc", mode=0o755, kind=tarfile.DIRTYPE)
        _add(tar, "etc/second", b"second layer\n")
    layers = [layer_of_tar(each, compression) for each in (busybox_tar(), second.getvalue())]
    return image(*layers, platform=Platform.host(), config=config, media_types=media_types)


def put(layout: Layout, found: Image, name: str) -> None:
    """Store an image under a name."""
    layout.tag(Reference.parse(name), layout.put(found))


def make_debian(directory: Path) -> Image:
    """Give a small Debian, made by mmdebstrap in ``directory`` from the archive that apt uses by default.

    About 8,700 entries; 20 seconds.
    """
    need("mmdebstrap")
    mode = "root" if os.geteuid() == 0 else "unshare"
    archive = directory / "debian.tar"
    options = [f"--mode={mode}", "--variant=minbase", "--quiet", "--include=libcap2-bin"]
    # A directory that subordinate ids may enter, which those of a test run are not.
    with_room = {"TMPDIR": "/var/tmp"}
    run("mmdebstrap", *options, DEBIAN_SUITE, archive, env=with_room, seconds=500)
    config = ContainerConfig(env=(f"PATH={PATH}",), cmd=("bash",))
    return image(layer_of_tar(archive.read_bytes(), "zstd"), platform=Platform.host(), config=config)


def make_archive(directory: Path) -> None:
    """Make what apt reads of the packages in a directory."""
    need("dpkg-deb")
    index = []
    for path in sorted(directory.glob("*.deb")):
        content = path.read_bytes()
        about = f"Filename: ./{path.name}\nSize: {len(content)}\nSHA256: {hashlib.sha256(content).hexdigest()}\n"
        index.append(run("dpkg-deb", "--field", path) + about)
    (directory / "Packages").write_text("\n".join(index))
