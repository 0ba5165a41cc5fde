"""Laws of the bodies of requests: what was sent is what comes, however it is cut."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from layers.serving.wire import Body, BrokenError
from tests.support.serving import body

if TYPE_CHECKING:
    from collections.abc import Iterable


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
