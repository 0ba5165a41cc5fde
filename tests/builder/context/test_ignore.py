from __future__ import annotations

import random
import time

import pytest

from builder.context.ignore import MAX_IGNORE_FILE, Ignore, Patterns
from builder.errors import ContextError


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("**", "file", True),
        ("**/", "dir/file", True),
        ("**/**", "dir/file", True),
        ("dir/**", "dir", False),
        ("dir/**", "dir/file", True),
        ("dir/**", "dir/dir2/file", True),
        ("**/dir", "dir", True),
        ("**/dir", "a/dir/file", True),
        ("**/dir2/*", "dir/dir2/file", True),
        ("**/dir2/**", "dir/dir2/dir3/file", True),
        ("**file", "dir/my-file", True),
        ("**file*", "dir/my-file", False),
        ("**/file", "dir/my-file", False),
        ("**/file*txt", "dir/dir/file.txt", True),
        ("**/**/*.txt", "file.txt", True),
        ("**/**/*.txt2", "dir/dir/file.txt", False),
        ("a**/*.txt", "a/dir/dir/file.txt", True),
        ("a**b", "ab", True),
        ("a**b", "a/x/b", True),
        ("a**b", "axb", False),
        ("a/*.txt", "a/dir/file.txt", False),
        ("a/*.txt**", "a/file.txt", True),
        ("a[b-d]e", "ace", True),
        ("a[^b-d]e", "ace", False),
        (".*", ".foo", True),
        ("abc.def", "abcZdef", False),
        ("abc?def", "abc/def", False),
        ("a\\\\", "a\\", True),
        ("a\\*b", "a*b", True),
        ("a\\*b", "axb", False),
        ("**/.foo", "bar.foo", False),
        ("a.|)$(}+{bc", "a.|)$(}+{bc", True),
        ("docs", "docs/deep/README.md", True),
        ("docs/", "docs/README.md", True),
        ("/docs", "docs/README.md", True),
        ("./docs/../src", "src", True),
        ("../docs", "docs", False),
        (".", "docs", False),
        ("/", "docs", False),
        ("**foo", "foo", True),
        ("foo**", "foobar/x", True),
        ("caf\u00e9", "caf\u00e9", True),
        ("caf?", "caf\u00e9", True),
    ],
)
def test_a_pattern_matches_as_in_patternmatcher(pattern: str, path: str, expected: bool) -> None:  # noqa: FBT001
    assert expected == Ignore.parse(pattern).excludes(path.encode())


@pytest.mark.parametrize(
    ("patterns", "path", "expected"),
    [
        (["docs", "!docs/README.md"], "docs/README.md", False),
        (["docs", "!docs/README.md"], "docs/other", True),
        (["!docs/README.md", "docs"], "docs/README.md", True),
        (["*", "!src"], "src/deep/file", False),
        (["*", "!src", "src/deep"], "src/deep/file", True),
        (["**", "!dist/*.whl"], "dist/a.whl", False),
        (["**", "!dist/*.whl"], "dist/a.zip", True),
        (["**/*.log", "!keep/*.log"], "keep/a.log", False),
        (["a/b", "!a/b"], "a/b/c", False),
    ],
)
def test_the_last_pattern_that_matches_decides(patterns: list[str], path: str, expected: bool) -> None:  # noqa: FBT001
    assert expected == Ignore.parse("\n".join(patterns)).excludes(path.encode())


def test_an_exception_for_a_directory_that_was_not_excluded_brings_nothing_back() -> None:
    """As BuildKit: ``!logs`` is not looked at where ``logs`` is not excluded, and does not match what is below it."""
    ignore = Ignore.parse("**/*.log\n!logs")

    assert ignore.excludes(b"logs/a.log")


def test_the_file_is_read_as_docker_reads_it() -> None:
    """A byte order mark, comments in column 0 only, blanks around, ``! /x``, CRLF."""
    ignore = Ignore.parse(b"\xef\xbb\xbf# comment\n  /b  \r\n #c\n\n! /b/keep\n\xc2\xa0d\xc2\xa0")

    assert [(2, "/b"), (3, "#c"), (5, "! /b/keep"), (6, "d")] == [(rule.line, rule.text) for rule in ignore.rules]
    assert [True, True, False, True] == [ignore.excludes(path) for path in (b"b", b"#c", b"b/keep", b"d/x")]


@pytest.mark.parametrize("line", ["!", "! ", "[", "a[]b", "a\\", "[z-a]", "!["])
def test_a_bad_pattern_is_an_error_with_its_line(line: str) -> None:
    with pytest.raises(ContextError, match=r"^sub/\.dockerignore:3: ") as caught:
        Ignore.parse(f"# one\ntwo\n{line}\n", "sub/.dockerignore")

    assert caught.value.hint


def test_a_huge_ignore_file_is_refused() -> None:
    with pytest.raises(ContextError, match="more than"):
        Ignore.parse(b"a\n" * MAX_IGNORE_FILE)


@pytest.mark.parametrize(
    ("text", "directory", "expected"),
    [
        ("docs", "src", True),
        ("docs", "docs", False),
        ("docs\n!src", "docs", False),
        ("docs\n!docs/a/b", "docs", True),
        ("docs\n!docs/a/b", "docs/a", True),
        ("docs\n!docs/a/b", "docs/c", False),
        ("docs\n!docs/*/b", "docs/c", True),
        ("docs\n!docs/*/b", "docs/c/d", False),
        ("*\n!**/b", "docs/c/d", True),
        ("docs", "docs/deep", False),
    ],
)
def test_a_directory_is_pruned_when_nothing_in_it_can_come_back(text: str, directory: str, expected: bool) -> None:  # noqa: FBT001
    assert expected == Ignore.parse(text).may_contain_included(directory.encode())


def test_the_reason_is_the_last_line_that_excludes() -> None:
    ignore = Ignore.parse("# all\n*\n!src\n src/*.o \n")

    assert (4, "src/*.o") == ignore.reason(b"src/a.o")
    assert (2, "*") == ignore.reason(b"docs/a")
    assert ignore.reason(b"src/a.c") is None


def test_a_directory_pattern_is_the_reason_for_what_is_below() -> None:
    assert (1, "dist") == Ignore.parse("dist\n!x").reason(b"dist/a/b")


def test_exclude_patterns_keep_their_leading_slash_and_so_match_nothing() -> None:
    """``--exclude`` does not pass through the reader of ignore files, which drops the slash."""
    assert not Patterns.parse(["/a"]).matches(b"a")
    assert Patterns.parse(["", " a ", "!b"]).matches(b"a")


def test_a_hundred_thousand_paths_take_seconds() -> None:
    names = ["src", "aaaaaaaaaaaaaaaaaaaa", "foo12bar", "index", "test", "node_modules", "keep", "x1"]
    numbers = random.Random(7)
    paths = ["/".join(numbers.choices(names, k=numbers.randint(2, 8))).encode() for _ in range(100_000)]
    lines = [".git", "**/*.pyc", "dist/**", "**/test*/fixtures/**", "**/*a*a*a*a*a*b", "!keep/**/x*"]
    lines += [f"**/foo{i}*/b?r*[0-9]/**/*z*" for i in range(200)]
    ignore = Ignore.parse("\n".join(lines))
    started = time.perf_counter()

    excluded = sum(map(ignore.excludes, paths))

    assert excluded == 0
    assert time.perf_counter() - started < 10
