"""The bodies of requests, and how long a client may take over them."""

from __future__ import annotations

import math
import time

import pytest

from layers.serving.refusal import RefusalError
from layers.serving.wire import Pace
from tests.support.serving import body


def test_no_headers_are_no_body() -> None:
    found, _ = body(b"next")

    assert (b"", True, False) == (found.read(10), found.over, found.promised)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content_Length": "5", "Transfer_Encoding": "chunked"}, 400),
        ({"Transfer_Encoding": "gzip"}, 501),
        ({"Transfer_Encoding": "chunked, chunked"}, 501),
        ({"Content_Length": "5, 6"}, 400),
        ({"Content_Length": "0x5"}, 400),
        ({"Content_Length": "-5"}, 400),
        ({"Content_Length": "\u0665"}, 400),
        ({"Content_Length": ""}, 400),
        ({"Content_Length": "9" * 30}, 400),
    ],
)
def test_lengths_that_are_none_are_refused(headers: dict[str, str], status: int) -> None:
    with pytest.raises(RefusalError) as caught:
        body(b"", **headers)
    assert status == caught.value.status


def test_the_same_length_twice_is_one() -> None:
    found, _ = body(b"12345", Content_Length="5, 5")

    assert b"12345" == found.read(10)


def deadline(pace: Pace, count: int = 0, seconds: float = 0) -> tuple[float, float, float]:
    """Wait once; give the clock before, the deadline that held meanwhile, and the clock after."""
    seen: list[float] = []

    def operation() -> int:
        seen.append(pace.deadline)
        time.sleep(seconds)
        return count

    before = time.monotonic()
    assert count == pace.wait(operation)
    assert math.inf == pace.deadline
    return before, seen[0], time.monotonic()


def test_waiting_costs_a_client_time_and_bytes_earn_it() -> None:
    """There is no more to be had than at the beginning."""
    pace = Pace(10)

    before, until, after = deadline(pace, seconds=0.05)
    assert before + 10 <= until <= after + 10
    _, until, after = deadline(pace, count=1 << 20)
    assert until <= after + 9.95
    before, until, after = deadline(pace, seconds=0.05)
    assert before + 10 <= until <= after + 10
    pace.renew()
    before, until, after = deadline(pace)
    assert before + 10 <= until <= after + 10
