"""Laws of patterns: they agree with a slow and obvious reference, and only their own error is ever raised."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from builder.context.glob import Glob, GlobError
from builder.context.ignore import Ignore, Patterns
from builder.errors import ContextError, SourceRange

pieces = st.sampled_from(
    ["a", "b", "ab", ".", "*", "**", "?", "/", "**/", "/**", "[ab]", "[^a]", "\\*", "\\a", "+", "$"]
)
patterns = st.lists(pieces, min_size=1, max_size=6).map("".join).map(lambda text: re.sub("/+", "/", text).strip("/"))
names = st.text("ab.*+$\u00e9", min_size=1, max_size=4).filter(lambda name: name not in {".", ".."})
paths = st.lists(names, min_size=1, max_size=4).map("/".join)
wild_text = st.text(st.sampled_from("ab*?[]^-\\!/#. \t\r\n\x00\ufeff\u00e9\udcff"), max_size=30)


def expression(pattern: str) -> re.Pattern[str]:
    """Spell one cleaned pattern as a regular expression, piece by piece."""
    if pattern.startswith("**") and not pattern.startswith("**/") and not set("*?[\\") & set(pattern[2:]):
        return re.compile(".*" + re.escape(pattern[2:]), re.DOTALL)
    found: list[str] = []
    for piece in re.findall(r"\*\*/?|\[[^]]*\]|\\.|.", pattern, re.DOTALL):
        if piece.startswith("**"):
            found.append("(?:.*/)?")
        elif piece == "*":
            found.append("[^/]*")
        elif piece == "?":
            found.append("[^/]")
        elif piece.startswith("["):
            found.append(piece)
        else:
            found.append(re.escape(piece[-1]))
    if pattern.endswith("**") and not pattern.endswith("\\**"):
        found[-1] = ".*"
    return re.compile("".join(found), re.DOTALL)


def decided(rules: list[tuple[bool, str]], path: str) -> bool:
    """Go down from the root, and look at each pattern in turn where it could change the decision."""
    held = [False] * len(rules)
    matched = False
    parts = path.split("/")
    for depth in range(1, len(parts) + 1):
        matched = False
        here = "/".join(parts[:depth])
        for i, (negated, pattern) in enumerate(rules):
            if not held[i] and negated == matched:
                held[i] = expression(pattern).fullmatch(here) is not None
            elif not held[i]:
                continue
            if held[i]:
                matched = not negated
    return matched


@given(st.lists(st.tuples(st.booleans(), patterns.filter(lambda text: bool(text.strip("/.")))), max_size=5), paths)
def test_patterns_agree_with_the_reference(rules: list[tuple[bool, str]], path: str) -> None:
    rules = [(negated, re.sub(r"(^|/)(\.(/|$))+", r"\1", pattern).strip("/")) for negated, pattern in rules]
    rules = [(negated, pattern) for negated, pattern in rules if pattern and ".." not in pattern]
    chosen = Patterns.parse(("!" if negated else "") + pattern for negated, pattern in rules)

    assert decided(rules, path) == chosen.matches(path.encode())


@given(st.lists(st.tuples(st.booleans(), patterns), max_size=5), paths)
def test_nothing_is_brought_back_below_a_pruned_directory(rules: list[tuple[bool, str]], path: str) -> None:
    """For every directory on the way to a path that a build sees, ``may_contain_included`` is true."""
    ignore = Ignore.parse("\n".join(("!" if negated else "") + (pattern or "x") for negated, pattern in rules))
    if not ignore.excludes(path.encode()):
        parts = path.encode().split(b"/")
        assert all(ignore.may_contain_included(b"/".join(parts[:depth])) for depth in range(1, len(parts)))


@given(st.lists(st.tuples(st.booleans(), patterns), max_size=5), paths)
def test_an_excluded_path_has_a_reason_and_no_other_has(rules: list[tuple[bool, str]], path: str) -> None:
    ignore = Ignore.parse("\n".join(("!" if negated else "") + (pattern or "x") for negated, pattern in rules))

    assert ignore.excludes(path.encode()) == (ignore.reason(path.encode()) is not None)


@given(wild_text, st.binary(max_size=30))
def test_any_text_is_an_ignore_file_or_a_context_error(text: str, path: bytes) -> None:
    try:
        ignore = Ignore.parse(text)
    except ContextError:
        return
    assert ignore.excludes(path) in {True, False}


@given(wild_text, st.binary(max_size=30))
def test_any_text_is_a_glob_or_a_glob_error(text: str, path: bytes) -> None:
    try:
        glob = Glob(text)
    except GlobError:
        return
    assert glob.matches(path) in {True, False}


@given(st.binary(max_size=40))
def test_any_bytes_are_an_ignore_file_or_a_context_error_with_its_line(content: bytes) -> None:
    where: SourceRange | None = None
    try:
        Ignore.parse(content, "x").excludes(b"a/b")
    except ContextError as error:
        where = error.where
        assert where is not None
    assert where is None or where.file == "x"
