"""jsonread: JSON from outside, and errors that name the path of what is wrong."""

from __future__ import annotations

import json

import pytest

from layers import jsonread
from layers.errors import InvalidError


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "x is not JSON"),
        (b"{", "x is not JSON"),
        (b"[]", "x is a JSON list, not an object"),
        (b"null", "x is a JSON NoneType, not an object"),
        (b'{"a": NaN}', "NaN is no number of JSON"),
        (b'{"a": -Infinity}', "-Infinity is no number of JSON"),
        (b'{"a": "\xff"}', "x is not JSON"),
        (b"\xef\xbb\xbf{}", "x is not JSON"),
        ('{"a": 1}'.encode("utf-16"), "x is not JSON"),
        (b"[" * 100_000, "x is nested too deeply"),
        (b'{"a":' * 100_000, "x is nested too deeply"),
        (b'{"a": ' + b"9" * 10_000 + b"}", "x is not JSON"),
        (b" " * (jsonread.MAX_DOCUMENT + 1), "more than the 8388608 allowed"),
    ],
)
def test_what_is_no_object_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(InvalidError, match=message):
        jsonread.parse_object(content, "x")


@pytest.mark.parametrize(
    ("content", "message"), [(b"{}", "x is a JSON dict, not a list"), (b"[{}, 1]", r"x\[1\] is a JSON int")]
)
def test_what_is_no_list_of_objects_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(InvalidError, match=message):
        jsonread.parse_objects(content, "x")


def test_get_gives_a_value_of_the_type_and_none_where_there_is_none() -> None:
    source = {"a": 1, "b": None}

    assert (1, None, None) == (jsonread.get(source, int, "a", "x"), jsonread.get(source, int, "b", "x"), None)
    assert jsonread.get(source, int, "c", "x") is None


@pytest.mark.parametrize("value", ["1", True, 1.0, [1]])
def test_get_refuses_another_type(value: object) -> None:
    with pytest.raises(InvalidError, match=rf"x\.a is a {type(value).__name__}, not a int"):
        jsonread.get({"a": value}, int, "a", "x")


def test_require_refuses_what_is_missing_or_null() -> None:
    for source in ({}, {"a": None}):
        with pytest.raises(InvalidError, match=r"x\.a is missing"):
            jsonread.require(source, str, "a", "x")


def test_lists_and_maps_hold_strings_only() -> None:
    source = {"list": ["a", 1], "map": {"k": 1}, "good": ["a"], "object": {"k": "v"}, "null": None}

    assert ("a",) == jsonread.strings(source, "good", "x")
    assert {"k": "v"} == jsonread.string_map(source, "object", "x")
    assert (None, None) == (jsonread.strings(source, "null", "x"), jsonread.string_map(source, "null", "x"))
    with pytest.raises(InvalidError, match=r"x\.list\[1\] is a int"):
        jsonread.strings(source, "list", "x")
    with pytest.raises(InvalidError, match=r"x\.map\.k is a int"):
        jsonread.string_map(source, "map", "x")


def test_json_is_written_as_go_writes_it() -> None:
    value = {"a": "<b> & \u2028é\u2029"}

    assert b'{"a":"\\u003cb\\u003e \\u0026 \\u2028\xc3\xa9\\u2029"}' == jsonread.dump(value)
    assert b'{\n  "a": [\n    1\n  ]\n}' == jsonread.dump({"a": [1]}, indent=2)


def test_half_a_character_is_written_so_that_it_can_be_read() -> None:
    """JSON can name one half of a surrogate pair, and UTF-8 cannot."""
    assert {"a": "\ud800"} == json.loads(jsonread.dump({"a": "\ud800"}))
