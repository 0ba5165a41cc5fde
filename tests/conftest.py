"""What holds for all tests: which need the machine's root, and that nothing may be missing in CI."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

IN_CI = os.environ.get("CI", "") not in {"", "0", "false"}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what only root can do where root does not run the suite; its run has them."""
    if os.geteuid() == 0:
        return
    of_root = [item for item in items if item.get_closest_marker("root")]
    items[:] = [item for item in items if not item.get_closest_marker("root")]
    config.hook.pytest_deselected(items=of_root)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI a test that skips itself because a program is missing has failed."""
    report = yield
    if IN_CI and report.skipped and "not installed" in str(report.longrepr):
        report.outcome = "failed"
    return report
