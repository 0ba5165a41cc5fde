from __future__ import annotations

import contextlib
import json
import threading

from builder.costs import Costs


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


def test_a_build_of_nothing_took_its_time() -> None:
    assert Costs().summary() == "time: 0.00s"
