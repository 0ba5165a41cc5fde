"""A served store for each test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from layers.store.layout import Layout
from tests.support.serving import serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.serving import Service


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with serving(Layout.open(tmp_path / "store")) as found:
        yield found
        assert not [each for each in found.reported if each.cause]
        assert not {each.status for each in found.reported} & {0, 500}
