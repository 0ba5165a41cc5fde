from __future__ import annotations

import os
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from builder.context.context import LocalContext, ignore_file_for
from builder.context.ignore import Ignore
from builder.context.localfile import LocalFile
from builder.errors import ContextError
from tests.builder.context.files import content, make, paths

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def test_a_walk_gives_directories_before_their_content_in_byte_order(tmp_path: Path) -> None:
    make(tmp_path, "b", "a/z", "a.txt", "a/b/c", "B", "e/")

    with LocalContext(tmp_path) as context:
        assert ["B", "a/", "a/b/", "a/b/c", "a/z", "a.txt", "b", "e/"] == paths(context.walk(b""))
        assert ["b/", "b/c", "z"] == paths(context.walk(b"a"))
        assert [] == paths(context.walk(b"missing"))
        assert [] == paths(context.walk(b"b"))


def test_owners_become_root_and_special_modes_stay(tmp_path: Path) -> None:
    make(tmp_path, "f", "l -> f")
    (tmp_path / "f").chmod(0o4751)
    os.utime(tmp_path / "f", ns=(0, 1_999_999_999))

    with LocalContext(tmp_path) as context:
        entry = context.get(b"f")
        link = context.get(b"l")

    assert entry is not None
    assert link is not None
    assert (b"f", "file", 0o4751, 0, 0, 1, 1, {}) == (*entry[:7], entry.xattrs)
    assert ("symlink", b"f", 0) == (link.kind, link.linkname, link.size)


def test_names_of_any_bytes_are_kept(tmp_path: Path) -> None:
    name = b"caf\xe9\n"
    with open(os.path.join(os.fsencode(tmp_path), name), "wb"):
        pass

    with LocalContext(tmp_path) as context:
        assert [name] == [change.path for change in context.walk(b"")] == context.children(b"")


def test_the_first_name_of_a_hard_linked_file_carries_the_data(tmp_path: Path) -> None:
    make(tmp_path, "d/one")
    os.link(tmp_path / "d/one", tmp_path / "d/two")
    os.link(tmp_path / "d/one", tmp_path / "outside")

    with LocalContext(tmp_path) as context:
        first, second = context.walk(b"d")
        skipping = list(context.walk(b"d", lambda path, _: path == b"one"))

    assert first.entry is not None
    assert second.entry is not None
    assert ("file", "hardlink", b"one", 0) == (
        first.entry.kind,
        second.entry.kind,
        second.entry.linkname,
        second.entry.size,
    )
    assert second.open is None
    assert ["file"] == [change.entry.kind for change in skipping if change.entry is not None]


def test_sockets_are_not_there(tmp_path: Path) -> None:
    make(tmp_path, "f")
    os.mkfifo(tmp_path / "p")
    here = os.getcwd()
    os.chdir(tmp_path)  # the names of sockets are short
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind("s")
            with LocalContext(tmp_path) as context:
                assert ["f", "p"] == paths(context.walk(b""))
                assert context.get(b"s") is None
    finally:
        os.chdir(here)


def test_ignored_paths_are_invisible(tmp_path: Path) -> None:
    make(tmp_path, "a/b/c", "a/b/keep", "a/x", "dist/o", "empty/x")
    ignore = Ignore.parse("a\n!a/b/keep\ndist\nempty\n!empty/y")

    with LocalContext(tmp_path, ignore) as context:
        assert ["a/", "a/b/", "a/b/keep"] == paths(context.walk(b""))
        assert ["keep"] == paths(context.walk(b"a/b"))
        assert [b"a"] == context.children(b"")
        assert [True, True, False, False, False] == [
            context.get(path) is not None for path in (b"a", b"a/b", b"a/b/c", b"dist", b"empty")
        ]
        with pytest.raises(ContextError, match="not in the build context"):
            context.open(b"a/b/c")


def test_a_skipped_directory_is_not_entered(tmp_path: Path) -> None:
    make(tmp_path, "a/b", "c/d", "c/e")
    asked: list[tuple[bytes, bool]] = []

    def skip(path: bytes, directory: bool) -> bool:  # noqa: FBT001
        asked.append((path, directory))
        return path in {b"a", b"c/d"}

    with LocalContext(tmp_path, Ignore.parse("c/e")) as context:
        assert ["c/"] == paths(context.walk(b"", skip))
    assert [(b"a", True), (b"c", True), (b"c/d", False)] == asked


@pytest.mark.parametrize("path", [b"link/f", b"../f", b"d/../f", b"./f", b"d//f", b"..", b".", b"f/x", b"d/f/"])
def test_no_path_leads_through_a_link_or_upwards(tmp_path: Path, path: bytes) -> None:
    make(tmp_path, "f", "root/d/f", "root/f", "root/link -> d")

    with LocalContext(tmp_path / "root") as context:
        assert context.get(path) is None
        assert [] == context.children(path)
        assert [] == list(context.walk(path))
        with pytest.raises(ContextError):
            context.open(path)


def test_a_file_that_is_replaced_by_a_link_during_the_walk_is_not_followed(tmp_path: Path) -> None:
    make(tmp_path, "secret", "root/f", "root/g")

    with LocalContext(tmp_path / "root") as context:
        walk = context.walk(b"")
        first = next(walk)
        (tmp_path / "root/f").unlink()
        (tmp_path / "root/f").symlink_to("../secret")
        with pytest.raises(ContextError, match='"f"'):
            content(first)
        second = next(walk)
        (tmp_path / "root/g").unlink()
        (tmp_path / "root/g").write_text("much longer")
        with pytest.raises(ContextError, match="changed while"):
            content(second)


def test_a_directory_that_is_replaced_by_a_link_during_the_walk_is_not_entered(tmp_path: Path) -> None:
    make(tmp_path, "secret/x", "root/d/f")

    with LocalContext(tmp_path / "root") as context:
        walk = context.walk(b"")
        next(walk)
        (tmp_path / "root/d").rename(tmp_path / "root/e")
        (tmp_path / "root/d").symlink_to("../secret")
        with pytest.raises(ContextError, match='"d"'):
            next(walk)


def test_a_pipe_in_a_files_place_does_not_block(tmp_path: Path) -> None:
    make(tmp_path, "f")

    with LocalContext(tmp_path) as context:
        walk = context.walk(b"")
        change = next(walk)
        (tmp_path / "f").unlink()
        os.mkfifo(tmp_path / "f")
        with pytest.raises(ContextError, match="no regular file"):
            content(change)


def test_content_is_read_through_the_walk_and_by_path(tmp_path: Path) -> None:
    make(tmp_path, "d/f")

    with LocalContext(tmp_path) as context:
        _, change = context.walk(b"")
        assert isinstance(change.open, LocalFile)
        (read,) = [content(change) for change in context.walk(b"d")]
        with os.fdopen(context.open(b"d/f"), "rb") as file:
            assert b"d/f" == read == file.read()


@contextmanager
def ordinary_user() -> Iterator[None]:
    """Be nobody for a while where the tests run as root, who may read everything."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    make(tmp_path, "d/closed/x", "f")
    tmp_path.chmod(0o755)
    (tmp_path / "f").chmod(0)
    (tmp_path / "d/closed").chmod(0)
    try:
        with LocalContext(tmp_path) as context, ordinary_user():
            with pytest.raises(ContextError, match=r'cannot read "d/closed" .*: Permission denied') as caught:
                list(context.walk(b""))
            assert 'add "d/closed" to .dockerignore' in caught.value.hint
            with pytest.raises(ContextError, match='cannot read "f"'):
                context.open(b"f")
            with pytest.raises(ContextError, match='cannot read "d/closed/x"'):
                context.get(b"d/closed/x")
        with LocalContext(tmp_path, Ignore.parse("d/closed")) as context, ordinary_user():
            assert ["d/", "f"] == paths(context.walk(b""))
    finally:
        (tmp_path / "d/closed").chmod(0o700)


def test_an_unreadable_name_is_reported_with_its_path(tmp_path: Path) -> None:
    with LocalContext(make(tmp_path, "f")) as context, pytest.raises(ContextError, match="cannot read"):
        context.get(b"x" * 300)


@pytest.mark.parametrize("name", ["missing", "f"])
def test_a_context_that_is_no_directory_is_an_error(tmp_path: Path, name: str) -> None:
    make(tmp_path, "f")
    with pytest.raises(ContextError, match=name):
        LocalContext(tmp_path / name)


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    make(tmp_path, "a/b/c/d", "a/e")
    before = os.listdir("/proc/self/fd")

    context = LocalContext(tmp_path, Ignore.parse("x\n!y"))
    for path in (b"", b"a", b"a/b", b"missing/x", b"a/e/x", b"a/../b"):
        context.get(path)
        context.children(path)
    list(context.walk(b""))
    unfinished = context.walk(b"")
    for _ in range(3):
        next(unfinished)
    del unfinished
    context.close()
    context.close()

    assert before == os.listdir("/proc/self/fd")


def test_the_line_that_hides_a_file_is_explained(tmp_path: Path) -> None:
    make(tmp_path, "dist/app.whl")
    with LocalContext(tmp_path, Ignore.parse("# x\ndist")) as context:
        hint = '.dockerignore line 2 ("dist") excludes it; add "!dist/app.whl" below it'
        assert hint == context.explain(b"dist/app.whl")
        assert "" == context.explain(b"dist/missing") == context.explain(b"other")


def test_the_ignore_file_of_the_dockerfile_goes_before_that_of_the_context(tmp_path: Path) -> None:
    make(tmp_path, "ctx/.dockerignore", "other/prod.Dockerfile")
    dockerfile = tmp_path / "other/prod.Dockerfile"

    assert tmp_path / "ctx/.dockerignore" == ignore_file_for(dockerfile, tmp_path / "ctx")
    make(tmp_path, "other/prod.Dockerfile.dockerignore")
    assert tmp_path / "other/prod.Dockerfile.dockerignore" == ignore_file_for(dockerfile, tmp_path / "ctx")
    assert ignore_file_for(tmp_path / "Dockerfile", tmp_path) is None
