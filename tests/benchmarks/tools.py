"""The builders: how each is asked for each kind of work, with a store of its own."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import struct
import subprocess
from typing import TYPE_CHECKING

from tests.benchmarks.installed import installed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.benchmarks.workloads import Workload

Commands = list[list[str]]


class Tool:
    """One builder; the commands that it gives are timed, what it does itself is not."""

    name: str
    program: str
    peer = True

    def __init__(self, work: Path) -> None:
        """Keep everything below ``work``."""
        self.work = work
        self.environment = dict(os.environ)

    def present(self) -> bool:
        """Tell whether it can be run here."""
        return shutil.which(self.program) is not None

    def version(self) -> str:
        """Give its version in its own words."""
        return self.quiet([self.program, "--version"]).splitlines()[0]

    def does(self, workload: Workload) -> bool:
        """Tell whether it is measured with this; not where it would do the same as under another name."""
        return bool(workload.key)

    def daemons(self) -> list[int]:
        """Give the processes that work for it."""
        return []

    def start_up(self) -> Commands:
        """Give the commands that do nothing."""
        return [[self.program, "--version"]] * 20

    def empty(self) -> None:
        """Empty its store."""
        raise NotImplementedError

    def pull(self, name: str) -> Commands:
        """Give the commands that pull an image."""
        raise NotImplementedError

    def build(self, workload: Workload, tag: str, context: Path, dockerfile: Path, archive: Path) -> Commands:
        """Give the commands that build."""
        raise NotImplementedError

    def push(self, name: str) -> Commands:
        """Give the commands that push what was built under this name."""
        raise NotImplementedError

    def quiet(self, command: Sequence[str], *, check: bool = True) -> str:
        """Run a command that is not measured, and give what it prints."""
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)
        if check and done.returncode:
            raise RuntimeError(f"{' '.join(command[:4])}: {done.stderr[-800:] or done.stdout[-800:]}")
        return done.stdout


class Pybuild(Tool):
    """This project, as people install it."""

    name, program, peer = "pybuild", "pybuild", False
    output: tuple[str, ...] = ()
    user = ""
    """Who runs it, where that is not who runs the peers."""

    def __init__(self, work: Path) -> None:
        super().__init__(work)
        self.program = str(installed(work))
        self._store = work / self.name
        self.environment["PYBUILD_ROOT"] = str(self._store)
        self._command = [self.program]
        if self.user:
            became = pwd.getpwnam(self.user)
            self.environment |= {"HOME": became.pw_dir, "USER": self.user, "LOGNAME": self.user}
            ids = (f"--reuid={became.pw_uid}", f"--regid={became.pw_gid}", "--init-groups")
            self._command = ["setpriv", *ids, self.program]

    def empty(self) -> None:
        shutil.rmtree(self._store, ignore_errors=True)
        if self.user:
            self._store.mkdir()
            shutil.chown(self._store, self.user)

    def pull(self, name: str) -> Commands:
        return [[*self._command, "pull", name]]

    def build(self, workload: Workload, tag: str, context: Path, dockerfile: Path, archive: Path) -> Commands:
        options = [] if workload.cached else ["--no-cache"]
        options += ["-o", f"type=docker,dest={archive}"] if workload.archive else self.output
        options += ["--network=host"]
        return [[*self._command, "build", "-t", tag, "-f", str(dockerfile), *options, str(context)]]

    def push(self, name: str) -> Commands:
        return [[*self._command, "push", name]]


class PybuildPlain(Pybuild):
    """With layers as the peers' stores keep them: uncompressed."""

    name = "pybuild-plain"
    output = ("-o", "type=image,compression=uncompressed")

    def does(self, workload: Workload) -> bool:
        return workload.act == "build" and not workload.archive and workload.before != "empty"


class Buildah(Tool):
    """Native overlay and runc. It makes one layer of all steps, which is its default, unless the cache is measured."""

    name, program = "buildah", "buildah"
    layers = "false"

    def __init__(self, work: Path) -> None:
        super().__init__(work)
        top = work / self.name
        self._command = [
            self.program,
            "--root",
            f"{top}/root",
            "--runroot",
            f"{top}/run",
            "--storage-driver",
            "overlay",
        ]

    def empty(self) -> None:
        self.quiet([*self._command, "rmi", "--all", "--force"], check=False)

    def pull(self, name: str) -> Commands:
        return [[*self._command, "pull", "--quiet", "--tls-verify=false", name]]

    def build(self, workload: Workload, tag: str, context: Path, dockerfile: Path, archive: Path) -> Commands:
        pulling = ["--pull-always", "--tls-verify=false"] if workload.before == "empty" else ["--pull-never"]
        caching = ["--layers=true"] if workload.cached else ["--no-cache", f"--layers={self.layers}"]
        options = [*pulling, *caching, "--isolation", "oci", "--network", "host", "--jobs", "2"]
        build = [*self._command, "build", *options, "-t", tag, "-f", str(dockerfile), str(context)]
        save = [*self._command, "push", "--quiet", tag, f"docker-archive:{archive}"]
        return [build, save] if workload.archive else [build]

    def push(self, name: str) -> Commands:
        return [[*self._command, "push", "--quiet", "--tls-verify=false", name, f"docker://{name}"]]


class BuildahLayers(Buildah):
    """One layer for each step, as all others do."""

    name = "buildah-layers"
    layers = "true"

    def does(self, workload: Workload) -> bool:
        return workload.key in {"W5", "W12", "W14", "M127"}


class Docker(Tool):
    """The engine at DOCKER_HOST: what it does with images that BuildKit has built."""

    name, program = "docker", "docker"
    buildkit = "1"

    def __init__(self, work: Path) -> None:
        super().__init__(work)
        self.environment |= {"DOCKER_BUILDKIT": self.buildkit, "BUILDKIT_PROGRESS": "plain"}
        # Debian's own client, where there is another before it on PATH: that one needs plugins to build
        beside = shutil.which("docker", path="/usr/bin")
        self.program = beside or self.program

    def present(self) -> bool:
        return super().present() and "DOCKER_HOST" in os.environ

    def version(self) -> str:
        return "docker " + self.quiet([self.program, "version", "-f", "{{.Server.Version}}"]).strip()

    def daemons(self) -> list[int]:
        address = self.environment["DOCKER_HOST"].removeprefix("unix://")
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(address)
            credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        pid: int = struct.unpack("3i", credentials)[0]
        return [pid]

    def empty(self) -> None:
        while images := self.quiet([self.program, "images", "-aq"]).split():
            self.quiet([self.program, "rmi", "-f", *dict.fromkeys(images)], check=False)
        self.quiet([self.program, "builder", "prune", "-af"], check=False)

    def pull(self, name: str) -> Commands:
        return [[self.program, "pull", "-q", name]]

    def build(self, workload: Workload, tag: str, context: Path, dockerfile: Path, archive: Path) -> Commands:
        options = [] if workload.cached else ["--no-cache"]
        build = [self.program, "build", "-t", tag, "--network=host", "-f", str(dockerfile), *options, str(context)]
        return [build, [self.program, "save", "-o", str(archive), tag]] if workload.archive else [build]

    def push(self, name: str) -> Commands:
        return [[self.program, "push", "-q", name]]

    def does(self, workload: Workload) -> bool:
        return workload.act != "build"


class BuildKit(Docker):
    """The BuildKit in the engine at DOCKER_HOST; it keeps layers uncompressed."""

    name = "buildkit"

    def does(self, workload: Workload) -> bool:
        return workload.act == "build"


class Classic(Docker):
    """The engine's builder of old."""

    name, buildkit = "docker-classic", "0"

    def does(self, workload: Workload) -> bool:
        return workload.act == "build"


TOOLS: dict[str, type[Tool]] = {
    each.name: each for each in (Pybuild, PybuildPlain, BuildKit, Buildah, BuildahLayers, Docker, Classic)
}
DEFAULT = ("pybuild", "pybuild-plain", "buildkit", "buildah", "docker")
"""What is measured when nothing is said: the others are slower ways to use the same programs, and take long."""
