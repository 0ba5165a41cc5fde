"""Hostile layers through the command line: whichever way they come in, nothing gets out, and nothing stays behind.

The whole corpus goes every way in ``python -m tests.support.hostileroutes``; here are those that would hurt most.
"""

from __future__ import annotations

import gzip
import os
from typing import TYPE_CHECKING

import pytest

from layers.archive import docker
from tests.support import hostileconfigs
from tests.support.hostile import CORPUS, Hostile, Outside
from tests.support.hostileroutes import ROUTES, TAKEN, ran
from tests.support.images import image, layer, tar_of
from tests.support.programs import need

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.programs import Pybuild

pytestmark = pytest.mark.e2e

_WORST = {
    "through a link out",
    "whiteout through a link out",
    "overlay redirect of root",
    "etc/resolv.conf is a link out",
    "dev is a link out",
}


@pytest.mark.parametrize("name", ROUTES)
def test_nothing_gets_out_by_any_way(pybuild: Pybuild, place: Path, name: str) -> None:
    need("busybox", "crun", "proot")
    outside = Outside(place / "outside")
    for number, case in enumerate(each for each in CORPUS if each.name in _WORST):
        work = place / f"work{number}"
        work.mkdir()
        ended = ROUTES[name](pybuild, case.tars(outside.path), work)
        assert ended == TAKEN or len(ended) > 10
        assert outside.is_untouched(), case.name
        assert not outside.is_inside(place / "work"), case.name
    assert [] == pybuild.left()


@pytest.mark.skipif(os.geteuid() == 0, reason="root has all ids")
def test_nothing_gets_out_of_a_step_with_one_id(pybuild: Pybuild, place: Path) -> None:
    """As a user without subordinate ids runs steps: files of all owners are that user's own."""
    outside = Outside(place / "outside")
    for number, case in enumerate(each for each in CORPUS if each.name in _WORST):
        work = place / f"work{number}"
        work.mkdir()
        ran("auto")(pybuild.without("newuidmap", "newgidmap"), case.tars(outside.path), work)
        assert outside.is_untouched(), case.name
        assert not outside.is_inside(place / "work"), case.name
    assert [] == pybuild.left()


def test_the_worst_are_in_the_corpus() -> None:
    assert {case.name for case in CORPUS} >= _WORST
    assert all(isinstance(case, Hostile) for case in CORPUS)


def test_a_bomb_ends_at_its_bound(pybuild: Pybuild, place: Path) -> None:
    """By every way in which compressed content is unpacked; what it had filled is free again."""
    bomb = gzip.compress(tar_of({"zeros": bytes(20 << 20)}))
    for name in ("context", "base"):
        (place / name).mkdir()
    (place / "context" / "bomb.tar.gz").write_bytes(bomb)
    (place / "context" / "Dockerfile").write_text("FROM scratch\nADD bomb.tar.gz /\n")
    (place / "base" / "Dockerfile").write_text('FROM bomb\nRUN ["/zeros"]\n')
    pybuild("import", place / "context" / "bomb.tar.gz", "bomb")
    bound = {"PYBUILD_MAX_UNPACKED": "10m"}
    for arguments in (
        ("build", place / "context"),
        ("build", place / "base"),
        ("import", place / "context" / "bomb.tar.gz", "again"),
        ("build", "-o", f"type=local,dest={place / 'out'}", "-f", place / "base" / "Dockerfile", place / "base"),
    ):
        said = pybuild.fails(*arguments, env=bound)
        assert "longer than 10485760 bytes" in said
        assert "hint: PYBUILD_MAX_UNPACKED allows more" in said
    assert "invalid PYBUILD_MAX_RATIO 'much'" in pybuild.fails("images", env={"PYBUILD_MAX_RATIO": "much"})
    pybuild("build", place / "context", env={"PYBUILD_MAX_UNPACKED": "1g", "PYBUILD_MAX_RATIO": "100"})


def test_too_many_entries_end_at_their_bound(pybuild: Pybuild, place: Path) -> None:
    """By every way in which a tar is read: its entries are kept in memory."""
    found = layer({f"file{i}": b"" for i in range(20)}, "none")
    for name in ("context", "base"):
        (place / name).mkdir()
    (place / "context" / "many.tar").write_bytes(found.content)
    (place / "context" / "Dockerfile").write_text("FROM scratch\nADD many.tar /\n")
    (place / "base" / "Dockerfile").write_text("FROM many\nCOPY --from=many / /copy/\n")
    with (place / "saved.tar").open("wb") as sink:
        docker.write([(image(found), [])], sink)
    based = ("build", place / "base", "--build-context", f"many=docker-archive:{place / 'saved.tar'}")
    added = ("build", "-o", f"type=local,dest={place / 'out'}", place / "context")
    bound = {"PYBUILD_MAX_ENTRIES": "10"}
    for arguments in (based, added):
        said = pybuild.fails(*arguments, env=bound)
        assert "the tar has more than 10 entries" in said
        assert "hint: PYBUILD_MAX_ENTRIES allows more" in said
        pybuild(*arguments, env={"PYBUILD_MAX_ENTRIES": "20", "PYBUILD_MAX_NAMES": "1m"})
    assert "invalid PYBUILD_MAX_ENTRIES 'many'" in pybuild.fails("images", env={"PYBUILD_MAX_ENTRIES": "many"})


@pytest.mark.parametrize("name", ["env a hundred thousand times", "directory of a mebibyte", "env with a NUL"])
def test_a_hostile_config_ends_in_words_or_as_any_other(pybuild: Pybuild, place: Path, name: str) -> None:
    """All of them: ``python -m tests.support.hostileconfigs``."""
    (place / "work").mkdir()
    ended = hostileconfigs.way_out(hostileconfigs.ALL[name], pybuild, place / "work")
    assert [] == [each for each in ended if each != TAKEN and len(each) < 10]
    assert [] == pybuild.left()


def test_a_directory_with_a_nul_is_no_directory(pybuild: Pybuild, place: Path) -> None:
    (place / "Dockerfile").write_text("FROM scratch\nWORKDIR /a\0b\n")
    assert "has a NUL" in pybuild.fails("build", place)
