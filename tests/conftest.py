"""What holds for all tests: which need the machine's root, which stay together, and that nothing is missing in CI."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

IN_CI = os.environ.get("CI", "") not in {"", "0", "false"}

TOGETHER = {
    "tests/differential/": "differential",
    "tests/e2e/test_debian.py": "docker",
    "tests/e2e/test_docker.py": "docker",
    "tests/e2e/test_docker_containers.py": "docker",
    "tests/e2e/test_examples.py": "docker",
    "tests/e2e/test_ladder.py": "docker",
    "tests/e2e/test_serve.py::test_docker": "docker",
}
"""Tests that share what takes long to make, a Docker engine or a whole Debian, and so one worker of pytest-xdist."""


def pytest_configure() -> None:
    """Let what tests start be interrupted, also in the background, where a shell turns that off."""
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give each worker of pytest-xdist one test after the other, and tests that stay together to one worker."""
    from xdist.scheduler import LoadScopeScheduling  # noqa: PLC0415 - pytest-xdist may not be there

    scheduling = LoadScopeScheduling(config, log)
    scheduling._split_scope = _group_of
    return scheduling


def _group_of(nodeid: str) -> str:
    return next((group for start, group in TOGETHER.items() if nodeid.startswith(start)), nodeid)


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
