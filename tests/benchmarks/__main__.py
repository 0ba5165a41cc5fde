"""``python -m tests.benchmarks``; see README.md beside this file."""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.benchmarks import growth, report, tools, workloads
from tests.benchmarks.bench import Bench
from tests.benchmarks.floors import FLOORS, Floors
from tests.benchmarks.tools import TOOLS
from tests.benchmarks.workloads import WORKLOADS
from tests.support.dockerd import dockerd, installed
from tests.support.real_registry import real_registry

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tests.benchmarks.tools import Tool

_BASE = 'FROM scratch\nADD debian.tar.gz /\nENV PATH=/usr/sbin:/usr/bin:/sbin:/bin\nCMD ["bash"]\n'


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print tables."""
    options = _parser().parse_args(arguments)
    keys = _names(options.workloads, workloads.QUICK if options.quick else workloads.DEFAULT, WORKLOADS)
    wanted = ["pybuild"] if options.growth else _names(options.tools, tools.DEFAULT, TOOLS)
    repeats = options.repeats or (3 if options.quick else 5)
    minutes = options.minutes or (6 if options.quick else 20)
    tools.Pybuild.user = options.user
    with contextlib.ExitStack() as stack:
        work = Path(options.work or stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-", dir="/var/tmp")))
        work.mkdir(parents=True, exist_ok=True)
        work.chmod(0o755)
        needs_engine = any(issubclass(TOOLS[name], tools.Docker) for name in wanted)
        if "DOCKER_HOST" not in os.environ and os.geteuid() == 0 and installed() and needs_engine:
            os.environ["DOCKER_HOST"] = stack.enter_context(dockerd("")).host
        present = [tool for name in wanted if (tool := TOOLS[name](work)).present()]
        registry = stack.enter_context(real_registry())
        base = f"{registry}/debian:base"
        archive = _publish_base(work, base)
        told = list(_told(present, repeats))
        print(*told, sep="\n", flush=True)
        bench, floors = Bench(work, registry, base), Floors(work, archive)
        if options.growth:
            table = _growth(bench, present, repeats, quick=options.quick)
        else:
            table = _compare(bench, floors, present, keys, repeats=repeats, until=time.monotonic() + minutes * 60)
        print("", *told, "", *table, sep="\n")


def _compare(
    bench: Bench, floors: Floors, present: Sequence[Tool], keys: Sequence[str], *, repeats: int, until: float
) -> list[str]:
    """Give the table of all tools, and one with a line for each workload."""
    every, summary = [report.HEAD], [report.SUMMARY]
    for i, key in enumerate(keys):
        workload = WORKLOADS[key]
        share = (until - time.monotonic()) / (len(keys) - i)  # what one leaves is the others'
        rows = bench.measure(workload, present, repeats, time.monotonic() + share)
        every += report.lines(workload, rows)
        summary += report.summary(workload, rows, floors.time(workload, min(repeats, 3)))
    titles = [f"{key} {FLOORS[key].title}" for key in keys if key in FLOORS]
    return [*every, "", *summary, "", f"Floors: {'; '.join(titles)}."]


def _growth(bench: Bench, present: Sequence[Tool], repeats: int, *, quick: bool) -> list[str]:
    """Give the table of how pybuild's time grows."""
    table = [growth.HEAD]
    own = [tool for tool in present if not tool.peer]
    for series in growth.SERIES:
        measured = []
        for size in series.quick if quick else series.sizes:
            (row,) = bench.measure(series.make(size), own, repeats)
            if row.runs:
                measured.append((size, row.runs))
        table += growth.lines(series, measured)
    return table


def _told(present: Sequence[Tool], repeats: int) -> Iterator[str]:
    """Give what has to be known of figures."""
    today = dt.datetime.now(tz=dt.UTC).date()
    yield f"{today}, {report.machine()}; {repeats} turns or as many as there was time for, medians."
    versions = [f"{tool.name} {tool.version()}" for tool in present if tool.name != "buildah-layers"]
    runc = subprocess.run(["runc", "--version"], capture_output=True, text=True, check=False).stdout.partition("\n")[0]
    who = " pybuild is run by an ordinary user, all others by root." if tools.Pybuild.user else ""
    yield f"{'; '.join([*versions, runc])}.{who}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description="Measure builders side by side.")
    parser.add_argument("-w", "--workloads", help=f"with commas between; default: {','.join(workloads.DEFAULT)}")
    parser.add_argument("-t", "--tools", help=f"of {','.join(TOOLS)}; default: {','.join(tools.DEFAULT)}")
    parser.add_argument("-n", "--repeats", type=int, help="turns; default: 5, or 3 with --quick")
    parser.add_argument("--minutes", type=float, help="for all together; default: 20, or 6 with --quick")
    parser.add_argument("--quick", action="store_true", help="fewer workloads and turns")
    parser.add_argument("--growth", action="store_true", help="how pybuild's time grows with files and layers instead")
    parser.add_argument("--user", default="", help="who runs pybuild, where root runs this and the peers")
    parser.add_argument("--work", help="a directory that is kept; default: a temporary one")
    return parser


def _names(given: str | None, default: Sequence[str], known: Mapping[str, object]) -> Sequence[str]:
    names = given.split(",") if given else default
    if unknown := sorted({*names} - {*known}):
        sys.exit(f"unknown: {', '.join(unknown)}; there are {', '.join(known)}")
    return names


def _publish_base(work: Path, name: str) -> Path:
    """Make a small Debian, once for each work directory, push it as one gzip layer, which all can read, and give it."""
    directory = work / "base"
    archive = directory / "debian.tar.gz"
    if not (directory / "Dockerfile").exists():
        directory.mkdir(parents=True, exist_ok=True)
        subprocess.run(["mmdebstrap", "--variant=minbase", "--quiet", "bookworm", str(archive)], check=True)
        (directory / "Dockerfile").write_text(_BASE)
    store = work / "base-store"
    maker: Tool = TOOLS["pybuild"](work)
    maker.quiet([maker.program, "build", "--root", str(store), "-t", name, "-o", "type=registry", str(directory)])
    shutil.rmtree(store, ignore_errors=True)
    return archive


if __name__ == "__main__":
    main()
