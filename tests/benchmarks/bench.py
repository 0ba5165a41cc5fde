"""Let tools take turns at workloads."""

from __future__ import annotations

import math
import os
import shutil
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.benchmarks import contexts
from tests.benchmarks.measure import Run, timed
from tests.benchmarks.workloads import WORKLOADS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.benchmarks.tools import Commands, Tool
    from tests.benchmarks.workloads import Workload


@dataclass
class Row:
    """One tool at one workload."""

    tool: Tool
    runs: list[Run] = field(default_factory=list)
    error: str = ""


class Bench:
    """Measures below one directory, with a base image out of one registry."""

    def __init__(self, work: Path, registry: str, base: str) -> None:
        self._work = work
        self._registry = registry
        self._base = base
        self._serial = 0
        self._pushed = ""

    def measure(self, workload: Workload, tools: Sequence[Tool], repeats: int, until: float = math.inf) -> list[Row]:
        """Give each tool's runs; they take turns, and each is first in turn.

        After ``until``, a time of ``time.monotonic``, no further turn begins; there is always one.
        """
        rows = [Row(tool) for tool in tools if tool.does(workload)]
        if workload.act == "pull":
            self._push_for_all(tools)
        for row in rows:
            self._attempt(row, workload, warm_up=True)
        for turn in range(repeats):
            if turn and time.monotonic() > until:
                print(f"{workload.key:5} its time is over after {turn} of {repeats} turns", flush=True)
                break
            first = turn % len(rows)
            for row in rows[first:] + rows[:first]:
                if not row.error:
                    self._attempt(row, workload, warm_up=False)
        for row in rows:
            row.tool.empty()
        return rows

    def _attempt(self, row: Row, workload: Workload, *, warm_up: bool) -> None:
        try:
            if warm_up:
                self._warm_up(row.tool, workload)
            else:
                row.runs.append(self._run(row.tool, workload))
                last = row.runs[-1]
                shown = f"{last.wall:8.3f} s {last.cpu:8.2f} s cpu {last.peak >> 20:5} MiB {last.others:4.1f} busy"
                print(f"{workload.key:5} {row.tool.name:15} {shown}", flush=True)
        except RuntimeError as error:
            row.error = str(error)
            print(f"{workload.key:5} {row.tool.name:15} failed: {error}", flush=True)

    def _warm_up(self, tool: Tool, workload: Workload) -> None:
        """Fetch the base and do it once, where that is not what is measured."""
        tool.empty()
        if workload.act == "build" and workload.before != "empty":
            for command in (*tool.pull(self._base), *self._build(tool, workload)):
                tool.quiet(command)
        elif workload.act == "push":
            for command in tool.pull(self._base):
                tool.quiet(command)

    def _run(self, tool: Tool, workload: Workload) -> Run:
        if workload.before == "empty":
            tool.empty()
        elif workload.before == "edit":
            contexts.edit(contexts.context(self._work, workload.context))
        commands = self._commands(tool, workload)
        os.sync()
        try:
            return timed(commands, tool.environment, tool.daemons(), self._work / "log")
        finally:
            shutil.rmtree(self._work / "out", ignore_errors=True)

    def _commands(self, tool: Tool, workload: Workload) -> Commands:
        match workload.act:
            case "build":
                return self._build(tool, workload)
            case "push":
                name = self._fresh()
                for command in self._build(tool, workload, name):
                    tool.quiet(command)
                return tool.push(name)
            case "pull":
                return tool.pull(self._pushed)
            case "version":
                return tool.start_up()

    def _build(self, tool: Tool, workload: Workload, name: str = "") -> Commands:
        top = contexts.context(self._work, workload.context)
        dockerfile = self._work / "dockerfiles" / workload.key / "Dockerfile"
        dockerfile.parent.mkdir(parents=True, exist_ok=True)
        dockerfile.write_text(workload.dockerfile.format(base=self._base))
        out = self._work / "out"
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        out.chmod(0o777)
        tag = name or f"localhost/bench-{workload.key.lower()}:latest"
        return tool.build(workload, tag, top, dockerfile, out / "image.tar")

    def _fresh(self) -> str:
        self._serial += 1
        return f"{self._registry}/bench-{os.getpid()}-{self._serial}:latest"

    def _push_for_all(self, tools: Sequence[Tool]) -> None:
        """Push the image that all pull; a peer makes it, where there is one."""
        pushing = WORKLOADS["W10"]
        tool = next((each for each in tools if each.peer and each.does(pushing)), tools[0])
        tool.empty()
        self._pushed = self._fresh()
        for command in (*tool.pull(self._base), *self._build(tool, pushing, self._pushed), *tool.push(self._pushed)):
            tool.quiet(command)
