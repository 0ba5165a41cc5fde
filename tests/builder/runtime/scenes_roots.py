"""Scenes of steps in roots made of layers, in every way there is to run them."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import tarfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from builder.runtime import ladder
from builder.runtime.runtime import Mount, Process, ResolvedUser
from layers.changeset.tree import Tree, index_layer
from layers.changeset.write import write_layer
from layers.config import chain_ids
from tests.builder.runtime.scenes import BUSYBOX, alive, machine, shell
from tests.support.images import MemoryLayer, layer_of_tar

if TYPE_CHECKING:
    from builder.runtime.ladder import Isolation
    from builder.runtime.roots import Roots
    from layers.changeset.entry import Change


def busybox_layer() -> MemoryLayer:
    """Give a layer of a busybox, of files of several owners, and of times long ago."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:

        def add(name: str, content: bytes = b"", mode: int = 0o644, uid: int = 0, link: str = "") -> None:
            info = tarfile.TarInfo(name.rstrip("/"))
            info.mode, info.uid, info.gid, info.mtime, info.size = mode, uid, uid, 1_000_000_000, len(content)
            info.type = tarfile.DIRTYPE if name.endswith("/") else tarfile.SYMTYPE if link else tarfile.REGTYPE
            info.linkname = link
            tar.addfile(info, io.BytesIO(content))

        add("bin/", mode=0o755)
        add("bin/busybox", BUSYBOX.read_bytes(), 0o755)
        for applet in ("sh", "ls", "cat", "id", "touch", "chown", "chmod", "rm", "mkdir", "mv", "sleep", "env"):
            add(f"bin/{applet}", link="busybox")
        add("etc/", mode=0o755)
        add("etc/hosts", b"the image's own\n")
        add("data/", mode=0o750, uid=33)
        add("data/of33", b"33", uid=33)
        add("data/gone", b"")
    return layer_of_tar(buffer.getvalue(), "none")


def shown(change: Change) -> str:
    """Give a change as a line."""
    if change.entry is None:
        return f"{change.path.decode()} gone"
    entry = change.entry
    return f"{entry.path.decode()} {entry.kind} {entry.mode:o} {entry.uid}:{entry.gid}"


class Stage:
    """Steps one after the other, each on what the others did."""

    def __init__(self, isolation: Isolation, roots: Roots) -> None:
        self.isolation = isolation
        self.roots = roots
        self.layers: list[MemoryLayer] = []
        self.tree = Tree.empty()
        self.add(busybox_layer())

    def add(self, layer: MemoryLayer) -> None:
        """Put a layer on top, as COPY does."""
        self.layers.append(layer)
        self.tree = self.tree.apply(index_layer(io.BytesIO(layer.content)).entries)

    def run(self, process: Process) -> dict[str, Any]:
        """Run a step, and put what it did on top where it ended well."""
        output = bytearray()
        chains = chain_ids(tuple(each.diff_id for each in self.layers))
        with self.roots.open(self.layers, chains, self.tree, process.mounts) as root:
            ended = self.isolation.runtime.run(process, root.path, output.extend)
            changes = list(root.changes())
            result = {"code": ended.code, "output": output.decode(), "changes": [shown(each) for each in changes]}
            if ended.code == 0:
                tar = io.BytesIO()
                write_layer(changes, tar, "none")
                self.add(layer_of_tar(tar.getvalue(), "none"))
                root.keep(chain_ids(tuple(each.diff_id for each in self.layers))[-1])
        return result


@contextlib.contextmanager
def stage(directory: Path, isolation: str) -> Any:
    with ladder.choose(isolation, directory / "tmp") as chosen:
        yield Stage(chosen, chosen.roots(directory / "unpacked"))


def steps(directory: Path, isolation: str) -> Any:
    """Run steps on each other; one fails; a layer comes between."""
    with stage(directory, isolation) as box:
        first = box.run(shell("echo a >/new; chmod 4755 /new; rm /data/gone; mkdir /made; echo x >/etc/hosts; id -u"))
        failed = box.run(shell("echo b >/bad; exit 3"))
        box.add(copied())
        second = box.run(shell("cat /new /copied /etc/hosts; ls / /data; echo more >>/data/of33; touch /made/f"))
        third = box.run(shell("cat /data/of33; ls /made"))
        nothing = box.run(shell("ls / >/dev/null"))
        again = Stage(box.isolation, box.roots).run(shell("ls /new"))
        return {
            "name": box.isolation.runtime.name,
            "first": first,
            "failed": failed,
            "second": second,
            "third": third,
            "nothing": nothing,
            "again": again,
        }


def copied() -> MemoryLayer:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        info = tarfile.TarInfo("copied")
        info.size = 5
        tar.addfile(info, io.BytesIO(b"copy\n"))
    return layer_of_tar(buffer.getvalue(), "none")


def mounts(directory: Path, isolation: str) -> Any:
    """Mount files and directories; give what the step said and did, and what became of the sources."""
    source = directory / "source"
    source.mkdir()
    (source / "file").write_text("content\n")
    cache = directory / "cache"
    cache.mkdir()
    (cache / "kept").write_text("kept\n")
    with stage(directory, isolation) as box:
        result = box.run(
            shell(
                "cat /run/secrets/key /in/file /var/cache/kept; echo new >/var/cache/added; rm /var/cache/kept; "
                "echo t >/memory/t; ls /memory; echo done >/result; cat /etc/hosts",
                mounts=(
                    Mount("/run/secrets/key", source=source / "file", readonly=True, directory=False),
                    Mount("/in", source=source, readonly=True),
                    Mount("/var/cache", source=cache),
                    Mount("/memory", "tmpfs"),
                ),
                hosts=(("db", "10.1.2.3"),),
            )
        )
    return result | {"source": sorted(os.listdir(source)), "cache": sorted(os.listdir(cache))}


def endings(directory: Path, isolation: str, marker: str) -> Any:
    """Give how commands end, and whether a daemon stays."""
    with stage(directory, isolation) as box:
        wanted = [
            Process(("sh", "-c", "exit 7"), {"PATH": "/bin"}),
            Process(("nothing-here",), {"PATH": "/bin"}),
            Process(("/etc",), {"PATH": "/bin"}),
            shell("pwd; env", cwd="/data/new"),
        ]
        results = [box.run(each) for each in wanted]
        start = time.monotonic()
        if box.isolation.runtime.name != "proot":
            results.append(box.run(shell(f"(sleep {marker} >/dev/null 2>&1 &); exit 0")))
        return {"results": results, "left": alive(marker), "quick": time.monotonic() - start < 10}


def as_user(directory: Path, isolation: str) -> Any:
    with stage(directory, isolation) as box:
        return box.run(shell("id -u; id -g; touch /no", user=ResolvedUser(5, 6, ())))


def no_network(directory: Path, isolation: str) -> Any:
    with stage(directory, isolation) as box:
        try:
            box.run(shell("true", network="none"))
        except Exception as error:  # noqa: BLE001 - whatever it is
            return str(error)
    return None


def inside_container(directory: Path, uid: int, code: str) -> Any:
    """Run Python in a container that allows what Docker's default allows: no mount, no namespaces."""
    with machine(directory) as box, box.isolation.root([Path("/")]) as root:
        output = bytearray()
        process = Process(
            (sys.executable, "-c", code), {"PATH": os.defpath, "HOME": "/"}, user=ResolvedUser(uid, uid, ())
        )
        ended = box.isolation.runtime.run(process, root.root, output.extend)
        return [ended.code, output.decode()]
