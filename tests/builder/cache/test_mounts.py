"""The directories of cache mounts."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from builder.cache.mounts import CacheMounts

if TYPE_CHECKING:
    from pathlib import Path


def nothing(_: Path) -> None:
    pass


def impatient() -> None:
    raise TimeoutError


def test_a_name_leads_to_one_directory_that_is_filled_once(tmp_path: Path) -> None:
    store = CacheMounts(tmp_path / "mounts")
    for _ in range(2):
        with store.use("/var/cache", "shared", make=lambda path: (path / "first").mkdir(), wait=impatient) as path:
            assert ["first"] == [each.name for each in path.iterdir()]

    assert ["/var/cache"] == [each.name for each in store.list()]


def test_what_is_shared_is_shared_and_what_is_locked_waits(tmp_path: Path) -> None:
    store = CacheMounts(tmp_path)
    with store.use("c", "shared", make=nothing, wait=impatient) as one:
        with store.use("c", "shared", make=nothing, wait=impatient) as other:
            assert one == other
        with pytest.raises(TimeoutError), store.use("c", "locked", make=nothing, wait=impatient):
            pass
    with (
        store.use("c", "locked", make=nothing, wait=impatient),
        pytest.raises(TimeoutError),
        store.use("c", "shared", make=nothing, wait=impatient),
    ):
        pass


def test_who_waits_gets_it_afterwards(tmp_path: Path) -> None:
    store, waiting = CacheMounts(tmp_path), threading.Event()
    got: list[Path] = []

    def take() -> None:
        with store.use("c", "locked", make=nothing, wait=waiting.set) as path:
            got.append(path)

    with store.use("c", "locked", make=nothing, wait=impatient) as path:
        thread = threading.Thread(target=take)
        thread.start()
        assert waiting.wait(60)
        assert not got
    thread.join(60)

    assert [path] == got


def test_private_ones_are_two_at_a_time_and_the_first_is_used_again(tmp_path: Path) -> None:
    store = CacheMounts(tmp_path)
    with (
        store.use("c", "private", make=nothing, wait=impatient) as one,
        store.use("c", "private", make=nothing, wait=impatient) as other,
    ):
        assert one != other
    with store.use("c", "private", make=nothing, wait=impatient) as again:
        assert one == again
    assert 2 == len(store.list())


def test_one_that_cannot_be_filled_is_as_if_it_had_never_been(tmp_path: Path) -> None:
    def fail(path: Path) -> None:
        (path / "half").touch()
        raise OSError("no room")

    store = CacheMounts(tmp_path)
    with pytest.raises(OSError, match="no room"), store.use("c", "shared", make=fail, wait=impatient):
        pass
    with store.use("c", "shared", make=nothing, wait=impatient) as path:
        assert not list(path.iterdir())


def test_only_what_nobody_uses_is_removed(tmp_path: Path) -> None:
    store = CacheMounts(tmp_path)
    with store.use("c", "shared", make=nothing, wait=impatient) as path:
        (mount,) = store.list()
        assert not store.remove(mount)
    assert store.remove(mount)

    assert not path.exists()
    assert not store.list()
