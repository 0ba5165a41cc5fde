"""How pybuild's time grows: with files that are ignored, with files that did not change, and with layers."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from tests.benchmarks.workloads import Workload

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.benchmarks.measure import Run


class Series(NamedTuple):
    """Workloads that differ in one number."""

    title: str
    unit: str
    make: Callable[[int], Workload]
    sizes: Sequence[int]
    quick: Sequence[int]
    """Those that are measured where there is little time."""


def _ignored(count: int) -> Workload:
    return Workload(f"G{count}", "ignored", "FROM {base}\nCOPY . /\n", f"ignored{count}")


def _unchanged(count: int) -> Workload:
    return Workload(f"G{count}", "unchanged", "FROM {base}\nCOPY . /app/\n", f"sources{count}", cached=True)


def _copies(count: int) -> Workload:
    lines = "".join(f"COPY f{i % 100} /d/g{i}\n" for i in range(count))
    return Workload(f"G{count}", "copies", "FROM {base}\n" + lines, "wide")


def _runs(count: int) -> Workload:
    return Workload(f"G{count}", "runs", "FROM {base}\n" + "".join(f"RUN echo {i} > /f{i}\n" for i in range(count)))


def _noop(count: int) -> Workload:
    return _copies(count)._replace(cached=True)


SERIES = (
    Series("ignored files in the context", "file", _ignored, (1_000, 10_000, 100_000, 1_000_000), (1_000, 100_000)),
    Series("files, none of them changed", "file", _unchanged, (1_000, 10_000, 100_000), (1_000, 10_000)),
    Series("COPY steps", "layer", _copies, (10, 40, 120), (10, 120)),
    Series("COPY steps, all cached", "layer", _noop, (10, 40, 120), (10, 120)),
    Series("RUN steps", "layer", _runs, (10, 40, 120), (10, 40)),
)


def lines(series: Series, measured: Sequence[tuple[int, Sequence[Run]]]) -> Iterator[str]:
    """Give the table's lines of one series: what each further file or layer costs must not grow."""
    before: tuple[int, float] | None = None
    for size, runs in measured:
        cpu = median(run.cpu for run in runs)
        further = f"{(cpu - before[1]) / (size - before[0]) * 1e6:,.1f}" if before is not None else ""
        wall, peak = median(run.wall for run in runs), median(run.peak for run in runs) / (1 << 20)
        yield f"| {series.title} | {size:,} | {wall:.2f} | {cpu:.2f} | {peak:.0f} | {further} |"
        before = size, cpu


HEAD = (
    "| what grows | how many | wall s | cpu s | peak MiB | µs of cpu for each further one |\n|---|--:|--:|--:|--:|--:|"
)
