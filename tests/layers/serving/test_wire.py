"""The bodies of requests, and how long a client may take over them."""

from __future__ import annotations

import io
import math
import time
from email.message import Message
from typing import TYPE_CHECKING, BinaryIO, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layers.serving.refusal import RefusalError
from layers.serving.wire import Body, BrokenError, Pace

if TYPE_CHECKING:
    from collections.abc import Iterable


def body(content: bytes, **headers: str) -> tuple[Body, BinaryIO]:
    """Give the body of a request with these headers, and what its bytes come from."""
    message = Message()
    for name, value in headers.items():
        message[name.replace("_", "-")] = value
    source = cast("BinaryIO", io.BufferedReader(io.BytesIO(content)))
    return Body(source, message, Pace(60), lambda: None), source


def read(found: Body, size: int) -> bytes:
    return b"".join(iter(lambda: found.read(size), b""))


def chunked(parts: Iterable[bytes], extension: bytes = b"") -> bytes:
    lines = [b"%x%s\r\n%s\r\n" % (len(part), extension, part) for part in parts if part]
    return b"".join([*lines, b"0\r\n", b"A: trailer\r\n" if extension else b"", b"\r\n"])


@given(parts=st.lists(st.binary(max_size=300)), size=st.integers(1, 500), extension=st.sampled_from([b"", b";a=b"]))
def test_chunks_come_as_one_and_what_follows_stays(parts: list[bytes], size: int, extension: bytes) -> None:
    found, source = body(chunked(parts, extension) + b"next", Transfer_Encoding="chunked")

    assert b"".join(parts) == read(found, size)
    assert found.over
    assert b"next" == source.read()


@given(content=st.binary(max_size=500), size=st.integers(1, 600))
def test_a_length_is_all_that_is_read(content: bytes, size: int) -> None:
    found, source = body(content + b"next", Content_Length=str(len(content)))

    assert content == read(found, size)
    assert found.over
    assert b"next" == source.read()


@given(content=st.binary(max_size=200), form=st.sampled_from(["chunked", "length"]))
def test_whatever_comes_is_content_or_a_broken_connection(content: bytes, form: str) -> None:
    headers = {"Transfer_Encoding": "chunked"} if form == "chunked" else {"Content_Length": "150"}
    found, _ = body(content, **headers)
    try:
        read(found, 64)
    except BrokenError:
        assert not found.over
    else:
        assert found.over


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

    assert b"12345" == read(found, 10)


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
