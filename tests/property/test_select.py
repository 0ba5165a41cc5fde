"""Laws of selection over any tree."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from builder.context.context import LocalContext
from builder.context.ignore import Ignore, Patterns
from builder.context.select import select
from builder.errors import ContextError

names = st.sampled_from(["a", "b", "a.c", "b.md"])
trees = st.lists(st.lists(names, min_size=1, max_size=4).map("/".join), max_size=8)
patterns = st.lists(
    st.sampled_from(["a", "b", "*", "*.c", "**/*.md", "a/*", "!a", "!**/b", "!a/b", "**", "a/**", "!*/a.c"]), max_size=4
)
sources = st.sampled_from([".", "a", "*", "*/a", "a/b", "../b", "*.c", "**/*.c", "a/./b", "*/./*", "[", "a*/b*"])


def plant(root: Path, files: list[str]) -> None:
    for name in files:
        path = root / name
        if not path.exists() and not any(parent.is_file() for parent in path.parents):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()


def found(root: Path) -> list[bytes]:
    """Give all paths with ``os.walk``, in the order of a walk."""
    every: list[bytes] = []
    for directory, directories, files in os.walk(os.fsencode(root)):
        every += (os.path.relpath(os.path.join(directory, name), os.fsencode(root)) for name in directories + files)
    return sorted(every, key=lambda path: path.split(b"/"))


@settings(deadline=None)
@given(trees, patterns)
def test_a_walk_gives_what_is_not_excluded_and_the_directories_above_it(files: list[str], lines: list[str]) -> None:
    ignore = Ignore.parse("\n".join(lines))
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        plant(root, files)
        visible = {path for path in found(root) if not ignore.excludes(path)}
        wanted = [path for path in found(root) if path in visible or any(v.startswith(path + b"/") for v in visible)]

        with LocalContext(root, ignore) as context:
            assert wanted == [change.path for change in context.walk(b"")]
            assert wanted == [path for path in found(root) if context.get(path) is not None]
            for directory in (b"", b"a", b"a/b"):
                start = directory + b"/" if directory else b""
                children = [p[len(start) :] for p in wanted if p.startswith(start) and b"/" not in p[len(start) :]]
                assert sorted(children) == context.children(directory)


@settings(deadline=None)
@given(trees, patterns)
def test_exclude_is_an_ignore_file_for_the_source(files: list[str], exclude: list[str]) -> None:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        plant(root, files)
        with LocalContext(root, Ignore.parse("\n".join(exclude))) as ignoring, LocalContext(root) as context:
            (selected,) = select(context, ["."], exclude=exclude)
            assert [change.path for change in ignoring.walk(b"")] == [change.path for change in selected.walk()]


@settings(deadline=None)
@given(trees, patterns)
def test_parents_gives_what_matches_and_the_directories_above_it(files: list[str], exclude: list[str]) -> None:
    excluding = Patterns.parse(exclude)
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        plant(root, files)
        with LocalContext(root) as context:
            for pattern in ("**/*.c", "a/*", "*/b/**"):
                including = Patterns.parse([pattern])
                chosen = {p for p in found(root) if including.matches(p) and not excluding.matches(p)}
                wanted = [p for p in found(root) if p in chosen or any(c.startswith(p + b"/") for c in chosen)]
                (selected,) = select(context, [pattern], parents=True, exclude=exclude)
                assert wanted == [change.path for change in selected.walk()]


@settings(deadline=None)
@given(trees, st.lists(sources, max_size=3), st.booleans())
def test_any_sources_give_files_or_a_context_error(files: list[str], wanted: list[str], parents: bool) -> None:  # noqa: FBT001
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        plant(root, files)
        with LocalContext(root) as context:
            try:
                selection = select(context, wanted, parents=parents)
            except ContextError:
                return
            for selected in selection:
                assert context.get(selected.path) == selected.entry
                list(selected.walk())
