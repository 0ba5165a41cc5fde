"""What the machine itself takes for a workload's least: no builder can be much faster.

``python -m tests.benchmarks.floors list|stat|pack DIRECTORY`` is what some of them are timed with.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tests.benchmarks import contexts
from tests.benchmarks.measure import timed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.benchmarks.measure import Run
    from tests.benchmarks.workloads import Workload

_ROOT = Path(__file__).parent.parent.parent
_BLOCK = 1 << 20
_SELF = f"{sys.executable} -m tests.benchmarks.floors"


class Floor(NamedTuple):
    """What is timed in place of a builder."""

    title: str
    script: str
    """For ``sh``: ``{top}`` is the context, ``{packed}`` the same as .tar.gz, ``{base}`` the base's, ``{root}`` it
    unpacked, ``{out}`` an empty directory."""


_PACK = Floor("read, hash, gzip and hash it all, in one thread", f"{_SELF} pack {{top}}")
FLOORS: dict[str, Floor] = {
    "W1": _PACK,
    "W1b": _PACK,
    "W2": _PACK,
    "W2b": _PACK,
    "W3": Floor("scandir and lstat, in Python", f"{_SELF} stat {{top}}"),
    "W4": _PACK,
    "W5": Floor(
        "20 x chroot and sh", 'for i in $(seq 20); do chroot {root} /bin/sh -c "echo $i > /tmp/f$i" || exit 1; done'
    ),
    "W6": Floor("cp -a, then read, hash, gzip and hash it", f"cp -a {{root}}/usr {{out}}/usr2 && {_SELF} pack {{out}}"),
    "W7": Floor("tar -xz of the base", "tar -C {out} -xzf {base}"),
    "W8": Floor("sleep 2", "sleep 2"),
    "W9": Floor("scandir, in Python", f"{_SELF} list {{top}}"),
    "W10": Floor("copy and hash the layer", "cp {packed} {out}/x && sha256sum {out}/x"),
    "W10b": Floor("copy and hash the layers", "cat {packed} {base} > {out}/x && sha256sum {out}/x"),
    "W11": Floor("20 x python -c pass", f"for i in $(seq 20); do {sys.executable} -c pass; done"),
    "W12": _PACK,
    "W14": _PACK,
}


class Floors:
    """Times the floors of workloads, over the contexts and the base of one work directory."""

    def __init__(self, work: Path, base: Path) -> None:
        """``base`` is the base image's .tar.gz."""
        self._work = work
        self._base = base

    def time(self, workload: Workload, repeats: int) -> list[Run]:
        """Give the runs of a workload's floor; none where it has no floor, or the machine refuses it.

        What an interpreter takes to start is in it where Python is the yardstick.
        """
        floor = FLOORS.get(workload.key)
        if floor is None:
            return []
        top = contexts.context(self._work, workload.context)
        out = self._work / "floor"
        names = {"top": top, "out": out, "base": self._base}
        if "{root}" in floor.script:
            names["root"] = self._unpacked()
        if "{packed}" in floor.script:
            names["packed"] = self._packed(top)
        script = floor.script.format(**names)
        environment = {**os.environ, "PYTHONPATH": str(_ROOT)}
        runs = []
        try:
            for _ in range(repeats):
                shutil.rmtree(out, ignore_errors=True)
                out.mkdir()
                os.sync()
                runs.append(timed([["/bin/sh", "-ec", script]], environment, (), self._work / "log"))
        except RuntimeError as error:
            print(f"{workload.key:5} floor failed: {error}", flush=True)
        finally:
            shutil.rmtree(out, ignore_errors=True)
        return runs

    def _unpacked(self) -> Path:
        root = self._work / "floor-root"
        if not root.exists():
            root.mkdir()
            subprocess.run(["tar", "-C", str(root), "-xzf", str(self._base)], check=True)
        return root

    def _packed(self, top: Path) -> Path:
        packed = self._work / f"floor-{top.name}.tar.gz"
        if not packed.exists():
            subprocess.run(["tar", "-C", str(top), "-czf", str(packed), "."], check=True)
        return packed


def _walk(top: str, *, stat: bool) -> Iterator[str]:
    todo = [top]
    while todo:
        with os.scandir(todo.pop()) as entries:
            for entry in entries:
                if stat:
                    entry.stat(follow_symlinks=False)
                if entry.is_dir(follow_symlinks=False):
                    todo.append(entry.path)
                elif entry.is_file(follow_symlinks=False):
                    yield entry.path


def _pack(top: str) -> None:
    """Read everything into something like a tar, hash it, compress it as pybuild does, and hash that."""
    from isal import isal_zlib  # noqa: PLC0415 - only here

    plain, packed, pending = hashlib.sha256(), hashlib.sha256(), bytearray()
    compressor = isal_zlib.compressobj(2, wbits=31)

    def pass_on() -> None:
        plain.update(pending)
        packed.update(compressor.compress(pending))
        pending.clear()

    for path in _walk(top, stat=True):
        descriptor = os.open(path, os.O_RDONLY)
        pending += bytes(512)
        while data := os.read(descriptor, _BLOCK):
            pending += data
            if len(pending) >= _BLOCK:
                pass_on()
        os.close(descriptor)
    pass_on()
    packed.update(compressor.flush())


def main(what: str, top: str) -> None:
    """Do one of the floors that Python is the yardstick of."""
    if what == "pack":
        _pack(top)
    else:
        for _ in _walk(top, stat=what == "stat"):
            pass


if __name__ == "__main__":
    main(*sys.argv[1:])
