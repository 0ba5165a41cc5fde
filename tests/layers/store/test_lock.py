"""Lock: many together or one alone, between threads and processes, until the holder ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from layers.errors import BusyError, StoreError
from layers.store.lock import Lock

if TYPE_CHECKING:
    from pathlib import Path

HOLD = """
import sys, time
from pathlib import Path
from layers.store.lock import Lock
with Lock(Path(sys.argv[1])).exclusive():
    print("held", flush=True)
    time.sleep(60)
"""


def test_many_share_a_lock(tmp_path: Path) -> None:
    lock = Lock(tmp_path / "locks" / "use")

    with lock.shared(), lock.shared(wait=0):
        assert lock.path.exists()


def test_who_holds_it_alone_keeps_others_out_and_then_lets_them_in(tmp_path: Path) -> None:
    lock = Lock(tmp_path / "use")

    with lock.exclusive():
        with pytest.raises(BusyError, match="is held by another process"), lock.shared(wait=0.02):
            pass
        with pytest.raises(BusyError), lock.exclusive(wait=0):
            pass
    with lock.shared(wait=0):
        pass


def test_those_who_share_keep_out_who_wants_it_alone(tmp_path: Path) -> None:
    lock = Lock(tmp_path / "use")

    with lock.shared(), pytest.raises(BusyError), lock.exclusive(wait=0):
        pass


def test_a_killed_holder_holds_nothing(tmp_path: Path) -> None:
    lock = Lock(tmp_path / "use")
    with subprocess.Popen([sys.executable, "-c", HOLD, str(lock.path)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert b"held\n" == holder.stdout.readline()
        with pytest.raises(BusyError), lock.shared(wait=0):
            pass
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()

    with lock.exclusive(wait=5):
        pass


def test_a_lock_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "locks").write_text("a file in the way")

    with pytest.raises(StoreError, match="cannot open the lock"), Lock(tmp_path / "locks" / "use").shared():
        pass
