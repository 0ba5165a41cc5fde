"""Steps on layers, in every way there is to run them: what they see, what they leave."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from tests.builder.runtime import scenes_roots as scenes
from tests.builder.runtime.inside import KINDS, inside

pytestmark = pytest.mark.e2e
IS_ROOT = os.geteuid() == 0
WAYS = (
    [
        ("root", "auto"),
        ("subids", "auto"),
        ("single", "auto"),
        ("root", "chroot"),
        ("subids", "proot"),
        ("root", "proot"),
    ]
    if IS_ROOT
    else [("own", "auto"), ("own", "proot")]
)


@pytest.fixture(params=WAYS, ids="-".join)
def way(request: pytest.FixtureRequest) -> tuple[str, str]:
    kind, isolation = request.param
    return kind, isolation


def test_steps_build_on_each_other(way: tuple[str, str]) -> None:
    """Each layer is what its step did; owners of the base stay; a failed step leaves nothing."""
    result = inside(way[0], scenes.steps, way[1])
    first, second = result["first"], result["second"]

    assert "0\n" == first["output"]
    assert ["data directory 750 33:33", "data/gone gone", "made directory 755 0:0", "new file 4755 0:0"] == first[
        "changes"
    ]
    assert 3 == result["failed"]["code"]
    assert "a\ncopy\n" == second["output"][:7]
    assert "the image's own" not in second["output"]
    assert not {"bad", "gone"} & set(second["output"].split())
    assert [
        "data directory 750 33:33",
        "data/of33 file 644 33:33",
        "made directory 755 0:0",
        "made/f file 644 0:0",
    ] == second["changes"]
    assert "33more\nf\n" == result["third"]["output"]
    assert [] == result["third"]["changes"] == result["nothing"]["changes"]
    assert result["again"]["code"]


def test_mounts_are_seen_and_taken_out_again(way: tuple[str, str]) -> None:
    """What is written to a writable one is kept in it; the layer has nothing of any."""
    result = inside(way[0], scenes.mounts, way[1])

    assert result["output"].startswith("content\ncontent\nkept\nt\n127.0.0.1\tlocalhost")
    assert "10.1.2.3\tdb\n" in result["output"]
    assert ["result file 644 0:0"] == result["changes"]
    assert ["file"] == result["source"]
    assert ["added"] == result["cache"]


def test_commands_end_as_everywhere(way: tuple[str, str]) -> None:
    """Statuses are Docker's; the working directory is made; a daemon ends with its step."""
    marker = f"3600.{os.getpid()}{time.monotonic_ns()}"
    result = inside(way[0], scenes.endings, way[1], marker)
    codes = [each["code"] for each in result["results"]]

    assert [7, 127, 126, 0, 0][: len(codes)] == codes
    lines = result["results"][3]["output"].splitlines()
    assert "/data/new" == lines[0]
    assert {"PATH=/bin", "HOME=/"} == set(lines[1:]) - {"SHLVL=1", "PWD=/data/new", "OLDPWD=/"}
    assert [] == result["left"]
    assert result["quick"]


@pytest.mark.skipif(not IS_ROOT, reason="only root can change its root")
def test_chroot_becomes_the_user() -> None:
    result = inside("root", scenes.as_user, "chroot")

    assert result["output"].startswith("5\n6\n")
    assert "Permission denied" in result["output"]
    assert 1 == result["code"]


@pytest.mark.parametrize("isolation", ["chroot", "proot"] if IS_ROOT else ["proot"])
def test_without_namespaces_there_is_no_step_without_network(isolation: str) -> None:
    """It is refused, not run with one."""
    message = inside(KINDS[0], scenes.no_network, isolation)

    assert f"a step without a network needs namespaces, which {isolation} has not" == message


IN_CONTAINER = """
import sys, json, tempfile, pathlib
sys.path.insert(0, {repository!r})
from tests.builder.runtime import scenes, scenes_roots
directory = pathlib.Path(tempfile.mkdtemp())
print(json.dumps([scenes.choosing(directory, "auto"), scenes_roots.steps(pathlib.Path(tempfile.mkdtemp()), "auto")]))
"""


@pytest.mark.skipif(not IS_ROOT, reason="an ordinary user cannot show a step the machine's root")
def test_in_a_default_container_root_gets_chroot() -> None:
    """Neither mount nor unshare is allowed there, and its file system is an overlay already."""
    code = IN_CONTAINER.format(repository=str(Path(__file__).resolve().parents[3]))
    status, output = inside("root", scenes.inside_container, 0, code)
    assert 0 == status, output
    (name, attempts, notes), steps = json.loads(output)

    assert "chroot" == name
    assert attempts[0].startswith("namespaces: no user namespace can be entered: ")
    assert notes
    assert ["data directory 750 33:33", "data/gone gone", "made directory 755 0:0", "new file 4755 0:0"] == steps[
        "first"
    ]["changes"]
