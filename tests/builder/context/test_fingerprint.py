from __future__ import annotations

import hashlib
import io
import itertools
import os
import time
from typing import TYPE_CHECKING

import pytest

from builder.context import fingerprint as module
from builder.context.context import LocalContext
from builder.context.fingerprint import Noted, content_digest, fingerprint, stat_digest
from builder.context.ignore import Ignore
from builder.context.memo import Memo
from builder.context.select import select
from builder.errors import ContextError
from layers.changeset.entry import Change, Entry
from layers.changeset.write import write_layer
from tests.builder.context.files import make

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from layers.changeset.index import LayerIndex


def content_of(root: Path, source: str = ".", memo: Memo | None = None) -> bytes:
    with LocalContext(root) as context:
        return content_digest(select(context, [source]), memo or Memo())


def stats_of(root: Path) -> module.Statted:
    with LocalContext(root) as context:
        return stat_digest(select(context, ["."]))


def settle(root: Path) -> None:
    """Wait until no file changed just now."""
    while not stats_of(root).settled:
        time.sleep(0.02)


def test_content_counts_and_time_does_not(tmp_path: Path) -> None:
    make(tmp_path, "a", "d/b", "l -> a")
    before, stats = content_of(tmp_path), stats_of(tmp_path)

    os.utime(tmp_path / "a", (1, 1))
    os.utime(tmp_path / "d", (1, 1))

    assert before == content_of(tmp_path)
    assert stats.digest != stats_of(tmp_path).digest


@pytest.mark.parametrize("change", ["content", "mode", "name", "target", "directory", "kind", "link"])
def test_every_change_that_a_copy_shows_counts(tmp_path: Path, change: str) -> None:
    make(tmp_path, "a", "d/b", "l -> a")
    before, stats = content_of(tmp_path), stats_of(tmp_path)

    if change == "content":
        (tmp_path / "a").write_text("b")
    elif change == "mode":
        (tmp_path / "a").chmod(0o755)
    elif change == "name":
        (tmp_path / "a").rename(tmp_path / "c")
    elif change == "target":
        (tmp_path / "l").unlink()
        (tmp_path / "l").symlink_to("b")
    elif change == "directory":
        (tmp_path / "e").mkdir()
    elif change == "kind":
        (tmp_path / "a").unlink()
        (tmp_path / "a").mkdir()
    else:
        os.link(tmp_path / "a", tmp_path / "c")

    assert before != content_of(tmp_path)
    assert stats.digest != stats_of(tmp_path).digest


def test_a_renamed_parent_or_moved_context_makes_no_difference(tmp_path: Path) -> None:
    make(tmp_path, "one/src/a", "two/other/a")
    (tmp_path / "two/other/a").write_text("one/src/a")

    assert content_of(tmp_path / "one", "src") == content_of(tmp_path / "two", "other")
    assert content_of(tmp_path / "one", "src/a") == content_of(tmp_path / "two", "other/a")


def test_a_memo_saves_reading(tmp_path: Path) -> None:
    """The file is unreadable in its content the second time: only its times vouch for it."""
    root = make(tmp_path / "ctx", "a", "d/b")
    settle(root)
    memo = Memo()
    with LocalContext(root) as context:
        selection = select(context, ["."])
        first = fingerprint(selection, memo).content
        memo.save(tmp_path / "memo")
        loaded = Memo.load(tmp_path / "memo")
        for change in selection[0].walk():
            if change.entry is not None and change.entry.kind == "file":
                assert loaded.file(os.stat(root / os.fsdecode(change.path))) is not None

        assert first == loaded.selection(stat_digest(selection).digest)
        assert first == fingerprint(selection, loaded).content == content_digest(selection, loaded)


def test_files_named_alone_are_remembered_too(tmp_path: Path) -> None:
    root = make(tmp_path / "ctx", "a", "d/b")
    settle(root)
    memo = Memo()
    with LocalContext(root) as context:
        selection = select(context, ["a", "d/b"])
        found = fingerprint(selection, memo)

        assert found.content == memo.selection(stat_digest(selection).digest)
        assert [memo.file(os.stat(root / name)) for name in ("a", "d/b")] == [
            hashlib.sha256(name.encode()).digest() for name in ("a", "d/b")
        ]


def test_a_file_that_changed_since_it_was_looked_up_is_an_error(tmp_path: Path) -> None:
    """What is remembered of it would be that of another file."""
    root = make(tmp_path / "ctx", "a")
    with LocalContext(root) as context:
        selection = select(context, ["a"])
        (root / "a").write_text("longer than before")

        with pytest.raises(ContextError, match='"a" of the build context changed while it was read'):
            content_digest(selection, Memo())


@pytest.mark.parametrize("exclude", [(), ("d/*",)])
def test_what_lstat_tells_is_the_same_whether_contents_are_read_with_it_or_not(
    tmp_path: Path, exclude: tuple[str, ...]
) -> None:
    """What the one walk remembers a selection by, the other has to find it by."""
    root = make(tmp_path / "ctx", "a", "d/b", "d/e/c", "l -> a", "z")
    os.link(root / "a", root / "d/again")
    os.mkfifo(root / "pipe")
    settle(root)
    memo = Memo()
    with LocalContext(root, Ignore.parse(b"z", ".dockerignore")) as context:
        for sources in (["."], ["a", "d"], ["l"], ["d/e/c"]):
            selection = select(context, sources, exclude=exclude)
            read = content_digest(selection, memo)

            assert read == memo.selection(stat_digest(selection).digest)


def test_one_changed_file_is_read_again(tmp_path: Path) -> None:
    root = make(tmp_path / "ctx", "a", "d/b")
    settle(root)
    memo = Memo()
    before = content_of(root, memo=memo)
    (root / "a").write_text("b")

    assert before != content_of(root, memo=memo)
    assert content_of(root) == content_of(root, memo=memo)


def test_a_file_that_changed_just_now_is_not_remembered(tmp_path: Path) -> None:
    """Within one tick of the kernel's clock a second change would leave the same times."""
    root = make(tmp_path / "ctx", "a")
    memo = Memo()

    content_of(root, memo=memo)

    assert memo.file(os.stat(root / "a")) is None


def test_a_file_that_changes_right_after_it_was_read_is_noticed(tmp_path: Path) -> None:
    """Of the same size, with its time set back, within the tick of the clock in which it was read."""
    root = make(tmp_path / "ctx", "a")
    memo, seen = Memo(), []
    for turn in range(300):
        (root / "a").write_text("ab"[turn % 2])
        os.utime(root / "a", ns=(1, 1))
        with LocalContext(root) as context:
            seen.append(fingerprint(select(context, ["."]), memo).content)

    assert 2 == len(set(seen))
    assert seen[:2] * 150 == seen


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_clock_that_jumps_hides_no_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hours: int) -> None:
    """Put back, the files' times are to come: nothing is remembered by them until they are past."""
    root = make(tmp_path / "ctx", "a")
    settle(root)
    memo, now = Memo(), time.time_ns
    with monkeypatch.context() as patch:
        patch.setattr(time, "time_ns", lambda: now() + hours * 3_600_000_000_000)
        before = content_of(root, memo=memo)
    assert (hours > 0) == (memo.file(os.stat(root / "a")) is not None)

    (root / "a").write_text("b")

    assert before != content_of(root, memo=memo)
    assert content_of(root) == content_of(root, memo=memo)


def test_a_changed_size_or_time_is_not_known(tmp_path: Path) -> None:
    make(tmp_path, "a", "b")
    a, b = os.stat(tmp_path / "a"), os.stat(tmp_path / "b")
    memo = Memo()
    memo.remember_file(a, b"x" * 32)

    assert b"x" * 32 == memo.file(a)
    assert memo.file(b) is None
    os.utime(tmp_path / "a", (1, 1))
    assert memo.file(os.stat(tmp_path / "a")) is None


@pytest.mark.parametrize("damage", [b"", b"x", b"pybuild files 1\n", None])
def test_a_damaged_memo_is_an_empty_one(tmp_path: Path, damage: bytes | None) -> None:
    path = tmp_path / "memo"
    memo = Memo()
    memo.remember_selection(b"s" * 32, b"c" * 32)
    memo.save(path)
    assert b"c" * 32 == Memo.load(path).selection(b"s" * 32)

    path.write_bytes(path.read_bytes()[:-40] + b"?" * 40 if damage is None else damage)

    assert Memo.load(path).selection(b"s" * 32) is None


def test_saving_leaves_one_file(tmp_path: Path) -> None:
    memo = Memo()
    memo.save(tmp_path / "memo")
    assert [] == os.listdir(tmp_path)
    memo.remember_selection(b"s" * 32, b"c" * 32)
    memo.save(tmp_path / "memo")
    assert ["memo"] == os.listdir(tmp_path)


def test_a_file_that_shrinks_while_it_is_read_is_an_error(tmp_path: Path) -> None:
    make(tmp_path, "a")
    with LocalContext(tmp_path) as context:
        change = next(context.walk(b""))
        assert change.entry is not None
        descriptor = context.open(b"a")
        with pytest.raises(ContextError, match="shorter"):
            module._hash(descriptor, change.entry._replace(size=5))


def test_twenty_thousand_unchanged_files_take_a_fraction_of_a_second(tmp_path: Path) -> None:
    for i in range(200):
        directory = tmp_path / f"d{i}"
        directory.mkdir()
        for j in range(100):
            (directory / f"f{j}").touch()
    with LocalContext(tmp_path) as context:
        selection = select(context, ["."])
        best = 60.0
        for _ in range(3):
            started = time.perf_counter()
            stat_digest(selection)
            best = min(best, time.perf_counter() - started)

    assert best < 1.0  # 0.13 s on a quiet machine


def layered(selected: Noted) -> LayerIndex:
    """Give what a layer holds that is written of all that a source gives."""
    return write_layer(selected.walk(), io.BytesIO(), "none").index


@pytest.mark.parametrize("exclude", [(), ("*.log",)])
def test_what_a_layer_was_written_of_has_the_same_digest(tmp_path: Path, exclude: tuple[str, ...]) -> None:
    """One pass gives what reading beforehand gives, and the memo learns as much."""
    make(tmp_path, "a", "d/b", "d/c.log", "e/", "l -> a")
    (tmp_path / "empty").touch()
    os.link(tmp_path / "a", tmp_path / "z")
    settle(tmp_path)
    memo, other = Memo(), Memo()
    with LocalContext(tmp_path) as context:
        (selected,) = select(context, ["."], exclude=exclude)
        noted = Noted.of(selected)
        noted.take(layered(noted).entries, memo)
        found = noted.content_digest(memo)

        assert content_digest([selected], other) == found
        assert found == memo.selection(stat_digest([selected]).digest)
    info = (tmp_path / "a").stat()
    assert other.file(info) == memo.file(info) is not None


def test_a_file_that_changes_meanwhile_counts_as_it_was_read(tmp_path: Path) -> None:
    """What the layer holds and what its key is of are never two different things."""
    make(tmp_path, "a", "b")
    with LocalContext(tmp_path) as context:
        (selected,) = select(context, ["."])
        before = content_digest([selected], Memo())
        noted = Noted.of(selected)
        walk = noted.walk()
        changes = [next(walk)]
        size = (tmp_path / "b").stat().st_size
        (tmp_path / "b").write_bytes(b"!" * size)
        index = write_layer(itertools.chain(changes, walk), io.BytesIO(), "none").index

        noted.take(index.entries, Memo())
        found = noted.content_digest(Memo())
        assert before != found
        assert content_digest([selected], Memo()) == found


def test_entries_of_something_else_have_no_digest(tmp_path: Path) -> None:
    make(tmp_path, "a", "d/b")
    with LocalContext(tmp_path) as context:
        (selected,) = select(context, ["."])
        noted = Noted.of(selected)
        entries = layered(noted).entries

        for others in (entries[1:], entries[:-1], entries[::-1]):
            walked = Noted.of(selected)
            list(walked.walk())
            walked.take(others, Memo())

            assert walked.content_digest(Memo()) is None


def test_entries_are_taken_a_few_at_a_time_and_those_before_the_walk_are_not_counted(tmp_path: Path) -> None:
    """Directories on the way to the destination come first."""
    make(tmp_path, "a", "d/b")
    settle(tmp_path)
    with LocalContext(tmp_path) as context:
        (selected,) = select(context, ["."])
        noted, memo = Noted.of(selected), Memo()
        above = [Change(path, Entry(path, "directory", 0o755)) for path in (b"up", b"up/to")]
        changes = noted.placed(itertools.chain(above, noted.walk()))

        def told(entries: Sequence[Entry]) -> None:
            for each in entries:
                noted.take([each], memo)

        write_layer(changes, io.BytesIO(), "none", told=told)

        assert content_digest([selected], Memo()) == noted.content_digest(memo)
