from __future__ import annotations

import time

import pytest

from builder.context.glob import Glob, GlobError, Machine, has_wildcards, parse_deep_glob


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("abc", "abc", True),
        ("abc", "abcd", False),
        ("*", "abc", True),
        ("*", "", True),
        ("*c", "abc", True),
        ("a*", "a", True),
        ("a*", "abc", True),
        ("a*", "ab/c", False),
        ("a*/b", "abc/b", True),
        ("a*/b", "a/c/b", False),
        ("**", "abc", True),
        ("**/b", "a/x/b", False),
        ("a*b*c*d*e*/f", "axbxcxdxe/f", True),
        ("a*b*c*d*e*/f", "axbxcxdxexxx/fff", False),
        ("a*b?c*x", "abxbbxdbxebxczzx", True),
        ("a*b?c*x", "abxbbxdbxebxczzy", False),
        ("ab[c]", "abc", True),
        ("ab[b-d]", "abc", True),
        ("ab[e-g]", "abc", False),
        ("ab[^c]", "abc", False),
        ("ab[^e-g]", "abc", True),
        ("[!a]", "!", True),
        ("[!a]", "b", False),
        ("a\\*b", "a*b", True),
        ("a\\*b", "ab", False),
        ("a?b", "a\u263ab", True),
        ("a???b", "a\u263ab", False),
        ("a[^a]b", "a\u263ab", True),
        ("[a-\u03b6]*", "\u03b1", True),
        ("*[a-\u03b6]", "A", False),
        ("a?b", "a/b", False),
        ("a*b", "a/b", False),
        ("a[^b]c", "a/c", True),
        ("[\\]a]", "]", True),
        ("[\\-]", "-", True),
        ("[x\\-]", "-", True),
        ("[x\\-]", "z", False),
        ("[\\-x]", "x", True),
        ("[[]x", "[x", True),
        ("a]b", "a]b", True),
        ("*x", "xxx", True),
    ],
)
def test_a_glob_matches_as_go_filepath_match(pattern: str, name: str, expected: bool) -> None:  # noqa: FBT001
    assert expected == Glob(pattern).matches(name.encode())


@pytest.mark.parametrize(
    "pattern", ["[", "[^", "[^bc", "a[", "a[]", "[]a]", "[-]", "[x-]", "[-x]", "[a-b-c]", "a\\", "[\\", "[z-a]"]
)
def test_a_glob_that_go_refuses_is_refused(pattern: str) -> None:
    with pytest.raises(GlobError):
        Glob(pattern)


def test_a_byte_that_is_no_utf8_counts_as_one_character() -> None:
    assert Glob("a?b").matches(b"a\xffb")


@pytest.mark.parametrize(
    ("pattern", "expected"), [("a*", True), ("a\\*", False), ("a\\\\*", True), ("[", True), ("", False)]
)
def test_wildcards_are_seen_unless_escaped(pattern: str, expected: bool) -> None:  # noqa: FBT001
    assert expected == has_wildcards(pattern)


def test_no_pattern_takes_more_than_linear_time() -> None:
    """Each of these keeps a backtracking engine busy for longer than the universe is old."""
    patterns = ["*a" * 40 + "*b", "**/*a" * 20 + "*b", "**/**/a" * 20, "(a+)+$" + "*?" * 30 + "x", "[^b]*" * 30 + "c"]
    machine = Machine([(i, parse_deep_glob(pattern)) for i, pattern in enumerate(patterns)])
    started = time.perf_counter()

    for length in range(0, 4000, 40):
        state = machine.root["/"]
        for character in "a" * length + "/a" * length:
            state = state[character]
        assert not state.hits & 0b11

    assert time.perf_counter() - started < 5


def test_patterns_with_countless_states_are_forgotten_in_time() -> None:
    """``*a????????????????`` has 2**17 states for the right input: memory stays bounded, the answers right."""
    machine = Machine([(0, parse_deep_glob("*a" + "?" * 16))])
    number = 1
    for _ in range(60):
        number = number * 6364136223846793005 + 1442695040888963407 & (1 << 64) - 1
        text = "".join("ab"[number * (i + 1) >> 40 & 1] for i in range(2000))
        state = machine.root["/"]
        for character in text:
            state = state[character]
        assert (text[-17] == "a") == bool(state.hits)
        assert machine.remembered <= 50_000
