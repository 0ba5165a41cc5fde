"""Figures as a table in Markdown."""

from __future__ import annotations

import os
import platform
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.benchmarks.bench import Row
    from tests.benchmarks.measure import Run
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


SUMMARY = (
    "| | workload | pybuild s | cpu s | MiB | best peer | its s | cpu s | MiB | x wall | x cpu | floor s | x floor |"
    " others busy |\n|---|---|--:|--:|--:|---|--:|--:|--:|--:|--:|--:|--:|--:|"
)


def summary(workload: Workload, rows: Sequence[Row], floor: Sequence[Run]) -> list[str]:
    """Give a workload's lines: each way of pybuild, the peer that was fastest, and what the machine itself takes."""
    own = [row for row in rows if not row.tool.peer and row.runs]
    return [_summary(workload, each, rows, floor) for each in own] or [_summary(workload, None, rows, floor)]


def _summary(workload: Workload, own: Row | None, rows: Sequence[Row], floor: Sequence[Run]) -> str:
    best = min((row for row in rows if row.runs and row.tool.peer), key=_wall, default=None)
    plain = ", layers uncompressed" if own is not None and own.tool.name != "pybuild" else ""
    cells = [f"**{workload.key}**", workload.title + plain]
    cells += _figures(own) if own else ["failed", "", ""]
    cells += [best.tool.name, *_figures(best)] if best else ["", "", "", ""]
    cells += [f"**{_wall(own) / _wall(best):.2f}**", f"{_cpu(own) / _cpu(best):.2f}"] if own and best else ["", ""]
    least = median(run.wall for run in floor) if floor else 0
    cells += [f"{least:.2f}", f"{_wall(own) / least:.1f}"] if own and least else ["", ""]
    cells += [f"{median(run.others for row in rows for run in row.runs):.1f}"] if own else [""]
    return f"| {' | '.join(cells)} |"


def _figures(row: Row) -> list[str]:
    peak = median(run.peak for run in row.runs) / (1 << 20)
    return [f"{_wall(row):.2f}", f"{_cpu(row):.2f}", f"{peak:.0f}"]


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
