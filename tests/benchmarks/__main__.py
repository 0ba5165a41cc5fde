"""``python -m tests.benchmarks -w W1,W5 -t pybuild,buildah -n 5``."""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.benchmarks import report
from tests.benchmarks.bench import Bench
from tests.benchmarks.floors import floors
from tests.benchmarks.tools import TOOLS
from tests.benchmarks.workloads import DEFAULT, WORKLOADS
from tests.support.dockerd import dockerd, installed
from tests.support.real_registry import real_registry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.benchmarks.tools import Tool

_BASE = 'FROM scratch\nADD debian.tar.gz /\nENV PATH=/usr/sbin:/usr/bin:/sbin:/bin\nCMD ["bash"]\n'


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print a table."""
    options = _parser().parse_args(arguments)
    keys = options.workloads.split(",") if options.workloads else DEFAULT
    unknown = sorted({*keys} - {*WORKLOADS})
    if unknown:
        sys.exit(f"no such workload: {', '.join(unknown)}; there are {', '.join(WORKLOADS)}")
    with contextlib.ExitStack() as stack:
        work = Path(options.work or stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-", dir="/var/tmp")))
        work.mkdir(parents=True, exist_ok=True)
        wanted = options.tools.split(",") if options.tools else list(TOOLS)
        if "DOCKER_HOST" not in os.environ and os.geteuid() == 0 and installed() and _needs_engine(wanted):
            os.environ["DOCKER_HOST"] = stack.enter_context(dockerd("")).host
        tools = [tool for name in wanted if (tool := TOOLS[name](work)).present()]
        registry = stack.enter_context(real_registry())
        base = f"{registry}/debian:base"
        _publish_base(work, base)
        print(report.machine(), *(f"{tool.name}: {tool.version()}" for tool in tools), sep="\n", flush=True)
        bench = Bench(work, registry, base)
        table = [report.HEAD]
        for key in keys:
            table += report.lines(WORKLOADS[key], bench.measure(WORKLOADS[key], tools, options.repeats))
        print("", *table, sep="\n")
        for name in options.floors.split(",") if options.floors else ():
            for title, seconds in floors(work, name, options.repeats):
                print(f"floor, {name}: {title}: {seconds:.3f} s", flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description="Measure builders side by side.")
    parser.add_argument("-w", "--workloads", help=f"with commas between; default: {','.join(DEFAULT)}")
    parser.add_argument("-t", "--tools", help=f"of {','.join(TOOLS)}; default: all that are found")
    parser.add_argument("-n", "--repeats", type=int, default=3)
    parser.add_argument("--work", help="a directory that is kept; default: a temporary one")
    parser.add_argument("--floors", help="contexts to time the machine itself with, for example small,large")
    return parser


def _needs_engine(names: Sequence[str]) -> bool:
    return any(name in {"buildkit", "docker-classic"} for name in names)


def _publish_base(work: Path, name: str) -> None:
    """Make a small Debian, once for each work directory, and push it as one gzip layer, which all can read."""
    directory = work / "base"
    if not (directory / "Dockerfile").exists():
        directory.mkdir(parents=True, exist_ok=True)
        archive = str(directory / "debian.tar.gz")
        subprocess.run(["mmdebstrap", "--variant=minbase", "--quiet", "bookworm", archive], check=True)
        (directory / "Dockerfile").write_text(_BASE)
    store = work / "base-store"
    maker: Tool = TOOLS["pybuild"](work)
    for command in (["build", "-t", name, "-o", "type=registry", str(directory)],):
        maker.quiet([maker.program, command[0], "--root", str(store), *command[1:]])
    shutil.rmtree(store, ignore_errors=True)


if __name__ == "__main__":
    main()
