"""What the machine itself allows: the least that any builder has to do, timed."""

from __future__ import annotations

import shutil
import subprocess
import time
from statistics import median
from typing import TYPE_CHECKING

from tests.benchmarks import contexts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_FLOORS = {
    "find -printf (a stat of each file)": "find {top} -printf '%s\\n'",
    "tar | cat": "tar -C {top} -c . | cat",
    "tar | sha256sum": "tar -C {top} -c . | sha256sum",
    "tar | igzip": "tar -C {top} -c . | igzip -2 -c",
    "tar | gzip": "tar -C {top} -c . | gzip -c",
    "cp -r": "cp -r {top} {out}/copy",
}


def floors(work: Path, name: str, repeats: int) -> Iterator[tuple[str, float]]:
    """Give each floor of a context, and its median in seconds."""
    top, out = contexts.context(work, name), work / "floor"
    for title, command in _FLOORS.items():
        if "igzip" in command and shutil.which("igzip") is None:
            continue
        taken = []
        for _ in range(repeats):
            shutil.rmtree(out, ignore_errors=True)
            out.mkdir()
            start = time.perf_counter()
            script = command.format(top=top, out=out)
            subprocess.run(["/bin/sh", "-c", script], check=True, stdout=subprocess.DEVNULL)
            taken.append(time.perf_counter() - start)
        yield title, median(taken)
    shutil.rmtree(out, ignore_errors=True)
