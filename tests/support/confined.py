"""Users and containers that may do less than who runs the suite: pybuild as it runs there.

Needs the machine's root, who can become anybody and start containers. The interpreter is this machine's own; pybuild
and the packages it needs are copied to where everybody can read them.
"""

from __future__ import annotations

import io
import os
import pwd
import shutil
import sys
import tarfile
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.requirements import Requirement

from tests.support.dockerd import client
from tests.support.programs import Pybuild, remove

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.support.dockerd import Docker

_REPOSITORY = Path(__file__).resolve().parents[2]
_LINKS = {"bin": "usr/bin", "sbin": "usr/sbin", "lib": "usr/lib", "lib64": "usr/lib64"}
_IMAGE = "default:latest"


def python() -> str:
    """Give the interpreter without a virtual environment around it."""
    return os.path.realpath(sys.executable)


def copy_of_pybuild(directory: Path) -> Path:
    """Copy pybuild and all packages that it imports; give the directory for PYTHONPATH."""
    for name in ("builder", "layers"):
        shutil.copytree(_REPOSITORY / name, directory / name, ignore=shutil.ignore_patterns("__pycache__"))
    wanted, known = ["dockerfile-parse", "isal", "pyyaml", "typer", "urllib3", "zstandard"], set[str]()
    while wanted:
        name = wanted.pop()
        if name in known:
            continue
        known.add(name)
        found = metadata.distribution(name)
        for file in found.files or ():
            if ".." not in file.parts and "__pycache__" not in file.parts:
                target = directory / file
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file.locate(), target)
        needed = [Requirement(text) for text in found.requires or ()]
        wanted += [each.name for each in needed if each.marker is None or each.marker.evaluate({"extra": ""})]
    return directory


@dataclass
class Confined(Pybuild):
    """pybuild's command line for somebody else, or somewhere else."""

    library: Path = Path()
    """What :func:`copy_of_pybuild` made."""

    def command(self, *arguments: str | Path) -> list[str]:
        """Give the command line: before it, what changes user or surroundings."""
        given = [str(each) for each in arguments]
        return [*self.prefix, python(), "-m", "builder", "--root", str(self.store), *given]

    def environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """Give all of the environment."""
        return super().environment(more) | {"PYTHONPATH": str(self.library)}


@contextmanager
def place_of(uid: int) -> Iterator[Path]:
    """Give a directory on a disk that belongs to a user; it goes, whoever owns what is in it."""
    path = Path(tempfile.mkdtemp(prefix="pybuild-e2e-", dir="/var/tmp"))
    path.chmod(0o755)
    (path / "home").mkdir()
    for each in (path, path / "home"):
        os.chown(each, uid, uid)
    try:
        yield path
    finally:
        remove(path)


def give(path: Path, uid: int) -> None:
    """Let all of a directory belong to a user."""
    for directory, folders, files in os.walk(path):
        for name in (directory, *(os.path.join(directory, each) for each in [*folders, *files])):
            os.chown(name, uid, uid, follow_symlinks=False)


def nobody() -> int:
    """Give the number of a user who has no line in /etc/subuid."""
    return pwd.getpwnam("nobody").pw_uid


def as_nobody(place: Path, *, subordinate: bool) -> tuple[str, ...]:
    """Give what runs a command as that user, with ``subordinate`` ids or without any.

    They are mounted over /etc/subuid in a mount namespace of the command; nothing on the machine changes.
    """
    uid = nobody()
    ids = place / "ids"
    ids.write_text(f"{pwd.getpwuid(uid).pw_name}:200000:65536\n" if subordinate else "")
    mounts = f"mount --bind {ids} /etc/subuid && mount --bind {ids} /etc/subgid"
    become = f"exec setpriv --reuid={uid} --regid={uid} --clear-groups --inh-caps=-all"
    return ("unshare", "--mount", "sh", "-c", f'{mounts} && {become} "$@"', "sh")


def in_container(
    docker: Docker, place: Path, library: Path, *, uid: int, network: str = "none", options: tuple[str, ...] = ()
) -> tuple[str, ...]:
    """Give what runs a command in a container as ``docker run`` makes it by default, but for the network.

    The engine of these tests has none of its own. The container has this machine's programs,
    read-only, and ``place``; ``options`` of ``docker run`` take more away, or less.
    """
    if _IMAGE not in docker("images", "--format", "{{.Repository}}:{{.Tag}}").split():
        docker("import", "-", _IMAGE, input=_image())
    seen = {f"{path}:{path}:ro" for path in ("/usr", str(library), sys.base_prefix) if path.startswith("/")}
    volumes = [word for each in sorted(seen) for word in ("--volume", each)]
    variables = ("PATH", "HOME", "LANG", "PYTHONPATH", "http_proxy", "https_proxy", "no_proxy")
    return (
        *(
            client(),
            "--host",
            docker.host,
            "run",
            "--rm",
            "--interactive",
            f"--network={network}",
            f"--user={uid}:{uid}",
            *options,
        ),
        *(word for name in variables for word in ("--env", name)),
        *(*volumes, "--volume", f"{place}:{place}", "--workdir", str(place), _IMAGE),
    )


def _image() -> bytes:
    """Give the tar of a file system for this machine's /usr."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name in ("usr", "etc", "root", "var", "tmp", "var/tmp"):
            info = tarfile.TarInfo(name)
            info.type, info.mode = tarfile.DIRTYPE, 0o1777 if name.endswith("tmp") else 0o755
            tar.addfile(info)
        for name, target in _LINKS.items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            tar.addfile(info)
        for name, text in {"passwd": "root:x:0:0::/root:/bin/sh\n", "group": "root:x:0:\n"}.items():
            info = tarfile.TarInfo(f"etc/{name}")
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
    return buffer.getvalue()
