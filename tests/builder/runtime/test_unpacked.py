"""Layers kept unpacked: by chain id, in any kind of namespace."""

from __future__ import annotations

import pytest

from tests.builder.runtime import scenes_unpacked as scenes
from tests.builder.runtime.inside import KINDS, inside

pytestmark = pytest.mark.e2e


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_layers_are_unpacked_together_and_shared(kind: str) -> None:
    """Two missing layers come into one directory; a third lies on top; whiteouts hold within and between."""
    result = inside(kind, scenes.unpacking)

    assert [1, ["etc/three", "etc/two", "gone/file", "opaque/old"]] == result["bottom"]
    assert 2 == result["count"]
    assert result["same"]
    assert ["etc/two", "opaque/new"] == result["mounted"]
    assert [] == result["beside"]


def test_files_have_their_owners_where_there_are_ids(kind: str) -> None:
    """With one id all belong to it; a device that cannot be made is left out."""
    result = inside(kind, scenes.owners)
    expected = {"a": [0, "0o644"], "b": [33, "0o4755"], "c": [65534, "0o755"]}
    if kind == "single":
        expected = {name: [0, mode] for name, (_, mode) in expected.items()}
    if kind == "root":
        expected["d"] = [0, "0o600"]

    assert expected == result


def test_what_a_step_did_is_kept_as_a_directory(kind: str) -> None:
    """The next step lies on it; to keep the same once more changes nothing."""
    result = inside(kind, scenes.keeping)

    assert {"same": 1, "count": 2} == {"same": result["same"], "count": result["count"]}
    assert "step" in result["names"]
    assert "three" in result["names"]
    assert "two" not in result["names"]


def test_what_another_boot_wrote_is_unpacked_again(kind: str) -> None:
    """It was not waited for to reach the disk."""
    assert "etc/one" == inside(kind, scenes.other_boot)


def test_a_layer_with_wrong_content_leaves_nothing(kind: str) -> None:
    result = inside(kind, scenes.failing)

    assert "VerificationError" == result["error"]
    assert [] == result["left"]
    assert ["etc/one", "etc/two", "gone/file", "opaque/old"] == result["then"]


def test_a_directory_is_unpacked_once_for_all_who_wait() -> None:
    assert 1 == inside(KINDS[-1], scenes.at_the_same_time)


def test_pruning_keeps_what_it_is_told() -> None:
    result = inside(KINDS[0], scenes.pruning)

    assert [result["kept"]] == result["left"]
    assert result["freed"] > 0
