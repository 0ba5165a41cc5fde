"""Downloads for ADD and for contexts from servers that mean no good."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from builder.cli.fetch import requester
from builder.errors import ContextError
from tests.support.registry import Registry
from tests.support.registryfaults import FAULTS

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.registry import Action


def fault(name: str) -> Action:
    """Give one of the table of faults."""
    [found] = [each.action for each in FAULTS if each.name == name]
    return found


def fetch(registry: Registry, directory: Path, seconds: float = 30) -> bytes:
    """Download what the server has at ``/v2/``."""
    found = requester(directory, lambda _url: "", "", seconds)(f"{registry.url}/v2/", {})
    assert found is not None
    return found.path.read_bytes()


@pytest.mark.parametrize("name", ["headers that drip", "a body that drips", "trailers without end"])
def test_no_server_holds_a_download_for_ever(tmp_path: Path, name: str) -> None:
    """And nothing is left of what came."""
    with Registry() as registry:
        registry.fault("GET", "/v2/", fault(name), times=99)
        with pytest.raises(ContextError, match="cannot fetch"):
            fetch(registry, tmp_path, seconds=0.25)
        assert len(registry.seen) <= 4
    assert [] == list(tmp_path.iterdir())


def test_nobody_waits_as_long_as_a_server_says(tmp_path: Path) -> None:
    """A day would be the end of this test."""
    with Registry() as registry:
        registry.fault("GET", "/v2/", fault("429 with a day"))
        assert b"{}" == fetch(registry, tmp_path)


@pytest.mark.parametrize("name", ["cut in the body", "reset in the body", "length too long"])
def test_what_is_cut_short_is_not_taken(tmp_path: Path, name: str) -> None:
    with Registry() as registry:
        registry.fault("GET", "/v2/", fault(name))
        with pytest.raises(ContextError, match=r"cannot fetch .*the connection broke"):
            fetch(registry, tmp_path)
    assert [] == list(tmp_path.iterdir())
