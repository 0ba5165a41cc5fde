"""A short time of ``python -m tests.stress``."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.stress.crowd import crowd
from tests.support.programs import Pybuild, need, remove

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.e2e


@pytest.fixture
def place() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="stress-", dir="/var/tmp"))
    yield path
    remove(path)


def test_many_who_use_a_store_at_once_do_each_other_no_harm(place: Path) -> None:
    """Five processes at a time build, run, commit, tag, remove, save, load, prune: each finds what it made."""
    need("runc", "umoci", "skopeo")
    (place / "home").mkdir()

    done = crowd(Pybuild(place / "store", place / "home"), place, workers=5, seconds=4, seed=1)

    assert done["build"] + done["commit"] >= 1
