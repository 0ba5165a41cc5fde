"""Figures as a table in Markdown."""

from __future__ import annotations

import os
import platform
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.benchmarks.bench import Row
    from tests.benchmarks.workloads import Workload

HEAD = (
    "| workload | tool | wall s | from-to | cpu s | peak MiB | others busy | x best peer | x its cpu |\n"
    "|---|---|--:|--:|--:|--:|--:|--:|--:|"
)


def lines(workload: Workload, rows: Sequence[Row]) -> list[str]:
    """Give the table's lines of one workload, the fastest tool first."""
    text = [f"| **{workload.key}** | {workload.title} | | | | | | | |"]
    best = min((row for row in rows if row.runs and row.tool.peer), key=_wall, default=None)
    for row in sorted(rows, key=lambda row: _wall(row) if row.runs else 1e9):
        if not row.runs:
            text.append(f"| | {row.tool.name} | failed: {row.error.splitlines()[-1][:80]} | | | | | | |")
            continue
        walls = [run.wall for run in row.runs]
        figures = (
            f"{_wall(row):.3f}",
            f"{min(walls):.2f}-{max(walls):.2f}",
            f"{_cpu(row):.2f}",
            f"{median(run.peak for run in row.runs) / (1 << 20):.0f}",
            f"{median(run.others for run in row.runs):.1f}",
            f"{_wall(row) / _wall(best):.2f}" if best else "",
            f"{_cpu(row) / _cpu(best):.2f}" if best else "",
        )
        text.append(f"| | {row.tool.name} | {' | '.join(figures)} |")
    return text


def _wall(row: Row) -> float:
    return median(run.wall for run in row.runs)


def _cpu(row: Row) -> float:
    return median(run.cpu for run in row.runs)


def machine() -> str:
    """Give what the figures were measured on."""
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        model = next((line.partition(":")[2].strip() for line in file if line.startswith("model name")), "processors")
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 30
    return f"{os.cpu_count()} x {model}, {memory} GiB, Linux {platform.release()}, Python {platform.python_version()}"
