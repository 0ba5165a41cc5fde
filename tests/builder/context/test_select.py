from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from builder.context.context import LocalContext
from builder.context.ignore import Ignore
from builder.context.select import resolve, select
from builder.errors import ContextError
from tests.builder.context.files import content, make, paths, taken

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def context(tmp_path: Path) -> Iterator[LocalContext]:
    """A small tree, with a secret beside it."""
    make(tmp_path, "secret")
    root = make(
        tmp_path / "ctx",
        "README.md",
        "notes.txt",
        "src/main.c",
        "src/notes.txt",
        "src/deep/lib.c",
        "src/deep/lib.md",
        "src-gen/gen.c",
        "web/deep/lib.c",
        "to-src -> src",
        "to-readme -> /README.md",
        "out -> ../../secret",
        "loop -> loop",
        "broken -> nowhere",
    )
    with LocalContext(root) as opened:
        yield opened


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("README.md", ["README.md"]),
        ("/README.md", ["README.md"]),
        ("../../README.md", ["README.md"]),
        ("src/../README.md", ["README.md"]),
        ("src", ["deep/", "deep/lib.c", "deep/lib.md", "main.c", "notes.txt"]),
        ("src/", ["deep/", "deep/lib.c", "deep/lib.md", "main.c", "notes.txt"]),
        ("src/deep/.", ["lib.c", "lib.md"]),
        ("src/*.c", ["main.c"]),
        ("*/*.c", ["main.c", "gen.c"]),
        ("src*", ["deep/", "deep/lib.c", "deep/lib.md", "main.c", "notes.txt", "gen.c"]),
        ("*/deep/lib.[!c]", ["lib.c", "lib.c"]),
        ("*/deep/lib.[^m]*", ["lib.c", "lib.c"]),
        ("**/*.c", ["main.c", "gen.c"]),
        ("s?c/main.c", ["main.c"]),
        ("nothing*", []),
        ("to-src", ["deep/", "deep/lib.c", "deep/lib.md", "main.c", "notes.txt"]),
        ("to-src/*.c", ["main.c"]),
        ("to-src/main.c", ["main.c"]),
        ("to-readme", ["to-readme"]),
        ("to-r*", ["to-readme"]),
        ("README.md/*", []),
    ],
)
def test_a_source_is_looked_up_as_buildkit_does(context: LocalContext, source: str, expected: list[str]) -> None:
    assert expected == taken(select(context, [source]))


def test_a_link_named_as_a_source_gives_the_file_it_leads_to(context: LocalContext) -> None:
    (selected,) = select(context, ["to-readme"])

    assert (b"README.md", b"to-readme", "file") == (selected.path, selected.name, selected.entry.kind)
    assert [b"README.md"] == [content(change) for change in selected.walk()]


def test_links_inside_a_directory_are_kept(context: LocalContext) -> None:
    kinds = {change.path: change.entry.kind for change in select(context, ["."])[0].walk() if change.entry is not None}

    assert {"symlink"} == {kinds[name] for name in (b"to-src", b"to-readme", b"out", b"loop", b"broken")}


def test_a_link_out_of_the_root_ends_at_the_root(context: LocalContext) -> None:
    """``out`` leads to a secret beside the context, which has no such file inside."""
    assert b"secret" == resolve(context, b"out")
    with pytest.raises(
        ContextError, match='"out" leads by a symbolic link to "secret", which is not in the build context'
    ):
        select(context, ["out"])


def test_a_loop_of_links_is_an_error(context: LocalContext) -> None:
    with pytest.raises(ContextError, match="too many symbolic links"):
        select(context, ["loop"])


@pytest.mark.parametrize(
    ("source", "hint"),
    [
        ("README.MD", 'did you mean "README.md"?'),
        ("srcs/main.c", 'did you mean "src"?'),
        ("src/mian.c", 'did you mean "src/main.c"?'),
        ("qqqqq", ""),
        ("qqqqq/*.c", ""),
    ],
)
def test_a_missing_source_is_an_error_with_a_near_name(context: LocalContext, source: str, hint: str) -> None:
    with pytest.raises(ContextError, match=r"is not in the build context") as caught:
        select(context, [source])

    assert hint == caught.value.hint


def test_an_excluded_source_is_an_error_that_names_the_line(context: LocalContext) -> None:
    with LocalContext(context.root, Ignore.parse("*.md\nsrc")) as ignoring:
        with pytest.raises(ContextError) as caught:
            select(ignoring, ["src/main.c"], explain=ignoring.explain)
        assert [] == taken(select(ignoring, ["*.md"]))

    assert '.dockerignore line 2 ("src") excludes it; add "!src/main.c" below it' == caught.value.hint


@pytest.mark.parametrize("source", ["src/[", "*/a[]", "*\\"])
def test_a_bad_wildcard_is_an_error(context: LocalContext, source: str) -> None:
    with pytest.raises(ContextError, match="bad pattern"):
        select(context, [source])


def test_names_with_wildcards_can_be_meant_literally(tmp_path: Path) -> None:
    make(tmp_path, "a[0].txt", "a0.txt", "b*c", "back\\slash")
    with LocalContext(tmp_path) as context:
        assert ["a[0].txt"] == taken(select(context, ["a[[]0].txt"]))
        assert ["a0.txt"] == taken(select(context, ["a[0].txt"]))
        assert ["a[0].txt"] == taken(select(context, ["a[0].txt"], wildcards=False))
        assert ["back\\slash"] == taken(select(context, ["back\\slash"]))


@pytest.mark.parametrize(
    ("exclude", "expected"),
    [
        (["*.md"], ["deep/", "deep/lib.c", "deep/lib.md", "main.c", "notes.txt"]),
        (["**/*.md"], ["deep/", "deep/lib.c", "main.c", "notes.txt"]),
        (["deep"], ["main.c", "notes.txt"]),
        (["deep", "!deep/lib.md"], ["deep/", "deep/lib.md", "main.c", "notes.txt"]),
        (["*", "!deep/*.c"], ["deep/", "deep/lib.c"]),
        (["src/deep"], ["deep/", "deep/lib.c", "deep/lib.md", "main.c", "notes.txt"]),
    ],
)
def test_exclude_is_relative_to_the_source(context: LocalContext, exclude: list[str], expected: list[str]) -> None:
    assert expected == taken(select(context, ["src"], exclude=exclude))


def test_exclude_does_not_concern_a_file_named_as_a_source(context: LocalContext) -> None:
    assert ["README.md"] == taken(select(context, ["README.md"], exclude=["*.md"]))


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("src/deep/lib.c", ["src/", "src/deep/", "src/deep/lib.c"]),
        ("./src/deep/lib.c", ["src/", "src/deep/", "src/deep/lib.c"]),
        ("src/./deep/lib.c", ["deep/", "deep/lib.c"]),
        ("[sw]*/./deep/*.c", ["deep/", "deep/lib.c", "deep/", "deep/lib.c"]),
        (
            "**/*.c",
            [
                "src/",
                "src/deep/",
                "src/deep/lib.c",
                "src/main.c",
                "src-gen/",
                "src-gen/gen.c",
                "web/",
                "web/deep/",
                "web/deep/lib.c",
            ],
        ),
        ("src/**/*.md", ["src/", "src/deep/", "src/deep/lib.md"]),
        ("src/deep", ["src/", "src/deep/", "src/deep/lib.c", "src/deep/lib.md"]),
        ("web/./", ["deep/", "deep/lib.c"]),
        ("nothing/*.c", []),
        ("../web", ["web/", "web/deep/", "web/deep/lib.c"]),
        ("to-src", ["to-src"]),
    ],
)
def test_parents_keeps_the_directories(context: LocalContext, source: str, expected: list[str]) -> None:
    assert sorted(expected) == sorted(taken(select(context, [source], parents=True)))


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("src/missing", '"src/missing" is not in'),
        ("missing/./x", '"missing/./x" is not in'),
        ("missing/./*", "is not in"),
        ("broken/./x", 'leads by a symbolic link to "nowhere"'),
        ("to-src/main.c", "selects nothing"),
    ],
)
def test_parents_insists_on_a_plain_path(context: LocalContext, source: str, said: str) -> None:
    with pytest.raises(ContextError, match=said):
        select(context, [source], parents=True)


def test_parents_and_exclude_work_together(context: LocalContext) -> None:
    selection = select(context, ["**/*.c"], parents=True, exclude=["src/deep", "web"])

    assert ["src/", "src/main.c", "src-gen/", "src-gen/gen.c"] == taken(selection)


def test_hard_links_survive_within_a_source(tmp_path: Path) -> None:
    """The first name may be excluded: then the second one carries the data."""
    make(tmp_path, "d/one")
    os.link(tmp_path / "d/one", tmp_path / "d/two")
    os.link(tmp_path / "d/one", tmp_path / "d/xxx")
    with LocalContext(tmp_path) as context:
        kinds = [change.entry.kind for change in select(context, ["d"], exclude=["one"])[0].walk() if change.entry]

    assert ["file", "hardlink"] == kinds


def test_sources_keep_their_order_and_names(context: LocalContext) -> None:
    selection = select(context, ["notes.txt", "src/deep", "README.md"])

    assert [b"notes.txt", b"", b"README.md"] == [selected.name for selected in selection]
    assert ["lib.c", "lib.md"] == paths(selection[1].walk())
