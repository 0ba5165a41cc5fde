"""Benches: one for each test that builds without running anything, one with busybox for all that run steps."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.semantics.bench import Bench
from tests.support import bases
from tests.support.programs import need, remove

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture(scope="session")
def machine() -> Iterator[Bench]:
    """A bench that runs steps; its store is shared, so each test's steps are its own."""
    need("runc")
    root = Path(tempfile.mkdtemp(prefix="pybuild-semantics-", dir="/var/tmp"))
    bench = Bench(root, processes=True)
    bench.put(bases.BUSYBOX, bases.busybox())
    yield bench
    remove(root)
