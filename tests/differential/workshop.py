"""Both builders with the same base images, in one place for all cases."""

from __future__ import annotations

import base64
import io
import json
import shutil
import subprocess
import tarfile
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from layers.archive.read import open_images
from layers.store.layout import Layout
from tests.support.material import make, tar_of
from tests.support.merging import Merged, read_archive
from tests.support.programs import Pybuild

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.differential.case import Case
    from tests.support.dockerd import Docker

_BASES = Path(__file__).parent / "bases.json"
_CREATED = "2001-09-09T01:46:40Z"


class Built(NamedTuple):
    """What a builder made: an image, or none and what it said."""

    image: Merged | None
    said: str


class Workshop:
    """A Docker engine and a pybuild store, both with the bases of ``bases.json``."""

    def __init__(self, docker: Docker, root: Path) -> None:
        self._docker = docker
        self.pybuild = Pybuild(root / "store", root)
        archive = root / "bases.tar"
        archive.write_bytes(_bases())
        docker("load", "--input", str(archive))
        layout = Layout.open(self.pybuild.store)
        with layout.using(), open_images(archive, root) as images:
            for each in images:
                for name in each.names:
                    layout.tag(name, layout.put(each.source))

    def build(self, case: Case, scratch: Path) -> tuple[Built, Built]:
        """Build a case with pybuild and with Docker, at the same time."""
        context, older = scratch / "context", scratch / "Dockerfile"
        context.mkdir()
        (context / "Dockerfile").write_bytes(case.dockerfile)
        make(context, case.context)
        older.write_bytes(case.dockerfile if case.older is None else case.older)
        output = f"--output=type=docker,dest={scratch}/ours.tar"
        command = self.pybuild.command("build", "--progress=plain", *case.options, output, context)
        with subprocess.Popen(
            command, env=self.pybuild.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        ) as ours:
            theirs = self._by_docker(case, context, older, scratch / "theirs.tar")
            said = ours.communicate()[1].decode(errors="replace")
        assert "Traceback" not in said, said
        return Built(None if ours.returncode else read_archive(scratch / "ours.tar"), said), theirs

    def _by_docker(self, case: Case, context: Path, dockerfile: Path, archive: Path) -> Built:
        name = f"case-{case.name}"
        try:
            self._docker("build", *case.options, f"--tag={name}", f"--file={dockerfile}", str(context))
        except AssertionError as error:
            return Built(None, str(error))
        self._docker("save", f"--output={archive}", name)
        return Built(read_archive(archive), "")


def _bases() -> bytes:
    """Give an archive, as ``docker save`` writes them, of images that share one layer and differ by their configs."""
    described = json.loads(_BASES.read_text())
    layer = tar_of([*_busybox(), *described["files"]])
    documents: list[dict[str, Any]] = []
    contents = {"layer.tar": layer}
    for name, container in described["configs"].items():
        config = {
            "architecture": "amd64",
            "os": "linux",
            "created": _CREATED,
            "config": container,
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{sha256(layer).hexdigest()}"]},
            "history": [{"created": _CREATED, "created_by": f"made for {name}"}],
        }
        contents[f"{name}.json"] = json.dumps(config).encode()
        documents.append({"Config": f"{name}.json", "RepoTags": [f"{name}:latest"], "Layers": ["layer.tar"]})
    contents["manifest.json"] = json.dumps(documents).encode()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in contents.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def _busybox() -> Iterator[dict[str, Any]]:
    """Describe /bin: the machine's static busybox, and a link for each of its commands."""
    program = shutil.which("busybox")
    assert program is not None, "busybox-static is not installed"
    commands = subprocess.run([program, "--list"], capture_output=True, check=True, text=True).stdout.split()
    yield {"path": "bin/"}
    yield {"path": "bin/busybox", "mode": "755", "base64": base64.b64encode(Path(program).read_bytes()).decode()}
    yield from ({"path": f"bin/{name}", "symlink": "busybox"} for name in commands if name != "busybox")
