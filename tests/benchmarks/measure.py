"""Time commands, and add up what their processes and the daemons that work for them use."""

from __future__ import annotations

import os
import resource
import subprocess
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Run:
    """What one run took."""

    wall: float
    """Seconds."""
    cpu: float
    """Seconds of user and system time, all processes together."""
    peak: int
    """Bytes of memory of the whole process tree, daemons included, at the worst moment."""
    others: float
    """Processors that somebody else kept busy meanwhile, in the mean."""


def timed(commands: Iterable[Sequence[str]], environment: Mapping[str, str], daemons: Sequence[int], log: Path) -> Run:
    """Run commands one after the other.

    Raises:
        RuntimeError: one failed.
    """
    sampler = _Sampler(daemons)
    machine, cpu = machine_cpu(), -sum(map(_cpu_of, _trees(daemons)))
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    sampler.start()
    start = time.perf_counter()
    try:
        with log.open("wb") as out:
            for command in commands:
                child = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
                sampler.roots.append(child.pid)
                _, status, usage = os.wait4(child.pid, 0)
                child.returncode = os.waitstatus_to_exitcode(status)
                sampler.roots.remove(child.pid)
                cpu += usage.ru_utime + usage.ru_stime
                if usage.ru_maxrss > own:  # else it may be this process, from before the exec
                    sampler.peak = max(sampler.peak, usage.ru_maxrss * 1024)
                if child.returncode:
                    said = log.read_text(errors="replace")[-800:]
                    raise RuntimeError(f"{' '.join(command[:4])} ended with {child.returncode}: {said}")
        wall = time.perf_counter() - start
    finally:
        sampler.over.set()
        sampler.join()
    cpu += sum(map(_cpu_of, _trees(daemons)))
    return Run(wall, cpu, sampler.peak, max(0.0, machine_cpu() - machine - cpu) / wall)


class _Sampler(threading.Thread):
    """Adds up the memory of process trees, again and again, and keeps the largest sum."""

    def __init__(self, roots: Iterable[int]) -> None:
        super().__init__(daemon=True)
        self.roots = list(roots)
        self.peak = 0
        self.over = threading.Event()

    def run(self) -> None:
        pause = 0.004
        while not self.over.wait(pause):
            pause = min(0.05, pause * 1.5)
            self.peak = max(self.peak, sum(map(_memory_of, _trees(list(self.roots)))))


def _trees(roots: Iterable[int]) -> set[int]:
    """Give these processes and all below them."""
    found: set[int] = set()
    todo = list(roots)
    while todo:
        pid = todo.pop()
        if pid in found:
            continue
        found.add(pid)
        try:
            for task in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{task}/children", "rb") as children:
                    todo += map(int, children.read().split())
        except OSError:  # it has ended
            continue
    return found


def _memory_of(pid: int) -> int:
    """Give the memory that is a process's own, with its share of what others have as well: forks share most of it."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb") as rollup:
            for line in rollup:
                if line.startswith(b"Pss:"):
                    return int(line.split()[1]) * 1024
    except OSError:  # it has ended
        return 0
    return 0


def _cpu_of(pid: int) -> float:
    """Give the seconds of a process and of the children that it has waited for."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            fields = stat.read().rpartition(b")")[2].split()
    except OSError:
        return 0
    return sum(map(int, fields[11:15])) / _TICK


def machine_cpu() -> float:
    """Give the seconds that all processors have been busy."""
    with open("/proc/stat", "rb") as stat:
        user, nice, system, _, _, interrupts, soft = map(int, stat.readline().split()[1:8])
    return (user + nice + system + interrupts + soft) / _TICK
