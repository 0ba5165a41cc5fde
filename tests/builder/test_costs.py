from __future__ import annotations

import contextlib
import json
import threading
from typing import TYPE_CHECKING

from builder.costs import Costs, Span

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest


def test_phases_are_summed_up_with_the_longest_first() -> None:
    costs = Costs()
    for name, wait in (("parse", 0.0), ("run", 0.03), ("layer", 0.01), ("run", 0.0)):
        with costs.phase(name):
            threading.Event().wait(wait)

    assert ["parse", "run", "layer", "run"] == [span.phase for span in costs.spans]
    assert costs.summary().startswith("time: 0.")
    assert (
        costs.summary().index("(run 0.") < costs.summary().index(" layer 0.") < costs.summary().index(" parse 0.00s)")
    )


def test_what_fails_has_taken_its_time_too() -> None:
    costs = Costs()
    with contextlib.suppress(ZeroDivisionError), costs.phase("run"):
        print(1 / 0)

    assert ["run"] == [span.phase for span in costs.spans]


def test_a_trace_has_a_complete_event_for_each_phase_and_a_lane_for_each_thread() -> None:
    costs = Costs()

    def work(name: str) -> None:
        with costs.phase("run", name):
            pass

    work("RUN here")
    thread = threading.Thread(target=work, args=("RUN there",))
    thread.start()
    thread.join()
    events = json.loads(costs.trace())["traceEvents"]

    assert [("RUN here", "X", 1), ("RUN there", "X", 2)] == [(each["name"], each["ph"], each["tid"]) for each in events]
    assert all(each["ts"] >= 0 and each["dur"] >= 0 for each in events)


def test_work_beside_other_work_is_added_up_in_a_lane_of_its_own() -> None:
    costs = Costs()
    with costs.phase("layer"):
        threading.Event().wait(0.02)
        costs.add("compress", "COPY", 0.01)
        costs.add("compress", "RUN", 100.0)
        costs.add("hash", "RUN", 0.0)
    lanes = {span.phase: span.thread for span in costs.spans}

    assert 3 == len(set(lanes.values()))
    assert [0.01, 100.0, 0.0] == [span.seconds for span in costs.spans[:3]]
    assert all(span.start >= 0 for span in costs.spans)
    assert "(compress 100.01s, layer " in costs.summary()


class Clock:
    """A clock that goes on when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


def test_making_items_is_told_from_using_them(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr("builder.costs.time", clock)
    costs = Costs()

    def items() -> Iterator[str]:
        for item in "ab":
            clock.now += 2
            yield item
        clock.now += 1
        raise ZeroDivisionError

    with contextlib.suppress(ZeroDivisionError):
        for _ in costs.timed("diff", "RUN", items()):
            clock.now += 10

    assert [Span("diff", "RUN", 20.0, 5.0, -1)] == [*costs.spans]


def test_a_build_of_nothing_took_its_time() -> None:
    assert Costs().summary() == "time: 0.00s"
