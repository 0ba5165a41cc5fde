"""Commands that are ended, or refused by the disk, at calls of theirs: ``python -m tests.crash --all`` tries all."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.programs import PATH, need

pytestmark = pytest.mark.e2e

_FEW = ("pull", "load", "first", "import", "tag", "rmi", "prune", "commit")


def disturb(*arguments: str) -> str:
    """Run the trials in a process that has no threads; give what it tells."""
    need("runc", "docker-registry")
    variables = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}
    done = subprocess.run(
        [sys.executable, "-m", "tests.crash", *arguments],
        cwd=Path(__file__).parents[2],
        env={"PATH": PATH, "LANG": "C.UTF-8", **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert 0 == done.returncode, done.stdout + done.stderr
    return done.stdout


def test_a_command_that_is_killed_at_any_call_leaves_a_sound_store() -> None:
    """Every name leads to a whole image, ``fsck`` finds no damage, and the command can be done again."""
    assert len(_FEW) == disturb(*_FEW, "--stride", "17").count(" 0 wrong")


@pytest.mark.parametrize(("scene", "stride"), [("build", "210"), ("rebuild", "90"), ("copy", "23")])
def test_a_build_that_is_killed_at_any_call_leaves_a_sound_store(scene: str, stride: str) -> None:
    assert " 0 wrong" in disturb(scene, "--stride", stride)


def test_a_call_that_the_disk_refuses_is_an_error_that_changes_nothing() -> None:
    """One message, exit code 1, nothing left over; or the command does without it, with the same result."""
    told = disturb(*_FEW, "--stride", "41", "--start", "5", "--errors", "ENOSPC,EDQUOT,EIO,EROFS")
    assert len(_FEW) == told.count(" 0 wrong")


def test_a_call_of_a_build_that_the_disk_refuses_changes_nothing() -> None:
    told = disturb("build", "copy", "--stride", "190", "--start", "60", "--errors", "ENOSPC,EIO")
    assert 2 == told.count(" 0 wrong")
