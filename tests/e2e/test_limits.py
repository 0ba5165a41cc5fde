"""Limits of memory and processors: kept by control groups, or refused with the reason."""

from __future__ import annotations

import os
import secrets
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from layers.store.trees import Trees
from tests.support import bases, confined

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.conftest import Write
    from tests.support.programs import Pybuild

pytestmark = pytest.mark.e2e

GREEDY = 'FROM busybox\nRUN ["tail", "-c", "200000000", "/dev/zero"]\n'
MODEST = "FROM busybox\nRUN head -c 3000000 /dev/zero | tail -c 2000000 | wc -c > /size\n"


def contents(pybuild: Pybuild, name: str, *paths: str) -> list[int]:
    """Give the sizes of files of an image."""
    tree = Trees(pybuild.layout).tree(pybuild.image(name).layers)
    return [entry.size for path in paths if (entry := tree.get(path.encode())) is not None]


@pytest.mark.root
def test_a_step_above_its_memory_is_killed_and_told_why(based: Pybuild, write: Write) -> None:
    error = based.fails("build", "--memory", "32m", write(GREEDY))

    assert "exit code: 137" in error
    assert "the step reached its limit of memory: --memory is 33554432 bytes" in error


@pytest.mark.root
def test_a_step_below_its_limits_runs(based: Pybuild, write: Write) -> None:
    """And leaves no control group behind."""
    limits = ("-m", "64m", "--memory-swap", "-1", "--cpu-period", "100000", "--cpu-quota", "90000", "--cpu-shares", "2")
    done = based("build", "-t", "app", *limits, "--cpuset-cpus", "0", write(MODEST + "RUN nproc > /n && grep 1 /n\n"))

    assert [8, 2] == contents(based, "app", "size", "n")
    assert "killed" not in done.err


@pytest.mark.root
def test_a_step_runs_below_the_group_that_is_named(based: Pybuild, write: Write) -> None:
    name = f"pybuild-test-{secrets.token_hex(8)}"
    try:
        based(
            "build", "--cgroup-parent", name, write(f"FROM busybox\nRUN grep /{name}/pybuild-step- /proc/self/cgroup\n")
        )
        for path in Path("/sys/fs/cgroup").glob(f"**/{name}"):
            assert [] == [each for each in path.iterdir() if each.is_dir()]
    finally:
        for path in [*Path("/sys/fs/cgroup").glob(name), *Path("/sys/fs/cgroup").glob(f"*/{name}")]:
            path.rmdir()


@pytest.mark.root
def test_a_container_has_the_limits_that_it_was_made_with(based: Pybuild) -> None:
    """Also when it is started again; above its memory it is killed."""
    based(
        "create",
        "--name",
        "one",
        "-m",
        "32m",
        "--cpuset-cpus",
        "0",
        "busybox",
        "sh",
        "-c",
        "nproc; tail -c 99m /dev/zero",
    )

    for _ in range(2):
        assert b"1\n" == based("start", "--attach", "one", code=137).out
    assert b"1\n" == based("run", "--rm", "--cpuset-cpus", "0", "busybox", "nproc").out
    assert "the minimum is 6m" in based.fails("run", "-m", "1m", "busybox", "true", code=125)


@contextmanager
def delegated(uid: int) -> Iterator[Path]:
    """Give a group of version 2 that belongs to a user."""
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    top = next((Path(words[1]) for words in mounts if words[2] == "cgroup2"), None)
    if top is None:
        pytest.skip("this kernel has control groups of version 1 alone")
    made = top / f"pybuild-test-{secrets.token_hex(8)}"
    made.mkdir()
    try:
        for path in (made, made / "cgroup.procs", made / "cgroup.subtree_control", made / "cgroup.threads"):
            os.chown(path, uid, uid)
        yield made
    finally:
        for path in (*made.glob("*/"), made):
            if path.is_dir():
                path.rmdir()


@pytest.mark.root
def test_a_user_keeps_limits_below_a_group_that_was_delegated(tmp_path: Path) -> None:
    """What is not delegated with it is an error; nothing stays in the group."""
    uid = confined.nobody()
    with confined.place_of(uid) as place, delegated(uid) as group:
        library = confined.copy_of_pybuild(place / "library")
        user = confined.as_nobody(place, subordinate=True)
        enter = f"echo $$ > {group}/cgroup.procs; {{ test {group.parent} = /sys/fs/cgroup ||"
        enter = f'{enter} mount --rbind {group.parent} /sys/fs/cgroup; }} && exec "$@"'
        prefix = ("unshare", "--mount", "sh", "-c", enter, "sh", *user)
        pybuild = confined.Confined(place / "store", place / "home", prefix=prefix, library=library)
        bases.put(pybuild.layout, bases.busybox(), bases.BUSYBOX)
        where = place / "where"
        where.mkdir()
        (where / "Dockerfile").write_text(
            f"FROM busybox\nRUN grep /{group.name}/pybuild-step- /proc/self/cgroup\n{MODEST.splitlines()[1]}\n"
        )
        confined.give(place / "store", uid)

        pybuild("build", "--cgroup-parent", f"/{group.name}", where)
        if "memory" in (group / "cgroup.controllers").read_text().split():
            pybuild("build", "--no-cache", "--memory", "64m", where)

        else:
            error = pybuild.fails("build", "--no-cache", "--memory", "64m", where)
            assert "limits of memory cannot be kept: memory is not delegated to this user" in error
            assert "systemd-run --user --scope -p Delegate=yes" in error
        assert [] == list(group.glob("pybuild-step-*"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may use every group")
def test_a_user_without_a_group_is_told_how_to_get_one(based: Pybuild, write: Write) -> None:
    error = based.fails("build", "--memory", "64m", "--cgroup-parent", "/", write(MODEST))

    assert "limits of memory cannot be kept: " in error
    assert "hint: " in error


@pytest.mark.parametrize("isolation", ["proot", *(["chroot"] if os.geteuid() == 0 else [])])
def test_ways_without_control_groups_refuse_limits(based: Pybuild, write: Write, isolation: str) -> None:
    error = based.fails("build", "--memory", "64m", "--isolation", isolation, write(MODEST))

    assert f"limits of memory and processors need control groups, which {isolation} has not" in error


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--memory", "1m"], "the minimum is 6m"),
        (["--memory", "much"], "invalid --memory 'much'"),
        (["--memory-swap", "1g"], "set --memory as well"),
        (["--memory", "1g", "--memory-swap", "10m"], "it is below --memory 1g"),
        (["--cpu-period", "5"], "from 1000 to 1000000"),
        (["--cpu-quota", "5"], "1000 or more"),
        (["--cpu-shares", "1"], "2 is the least"),
        (["--cpuset-cpus", "all"], "as in 0-2,7"),
        (["--cpuset-mems", "-1"], "as in 0-2,7"),
        (["--cgroup-parent", "/a/../b"], "invalid --cgroup-parent"),
    ],
)
def test_what_no_group_can_have_is_an_error(pybuild: Pybuild, write: Write, options: list[str], said: str) -> None:
    assert said in pybuild.fails("build", *options, write(MODEST))
