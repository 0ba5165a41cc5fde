"""OCI runtimes besides runc: crun, and whatever else is asked for by its path."""

from __future__ import annotations

import secrets
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from layers.store.trees import Trees
from tests.support.programs import PATH, need, processes, until

if TYPE_CHECKING:
    from tests.e2e.conftest import Write
    from tests.support.programs import Pybuild

pytestmark = pytest.mark.e2e

EVERYTHING = """\
FROM busybox
ENV KIND="a step's own"
WORKDIR /srv/work
RUN echo "$KIND in $PWD" > own && chown web:33 own && ln own hard && mkfifo pipe
RUN --mount=type=bind,target=/context,ro cp /context/file from-context && ! touch /context/no
RUN --mount=type=cache,target=/cache echo kept > /cache/f && mkdir -p /kept
RUN --mount=type=cache,target=/cache cp /cache/f /kept/
RUN --mount=type=secret,id=token,target=/run/token wc -c < /run/token > /size
RUN --mount=type=tmpfs,target=/scratch echo lost > /scratch/f
RUN --network=none ls /sys/class/net > /networks
RUN grep -c . /proc/mounts > /dev/null && test ! -e /proc/kcore/x && test "$$" = 1
USER web
RUN id -u > /tmp/id && ! touch /no
"""
QUICK = "FROM busybox\n" + "".join(f'RUN ["true", "{number}"]\n' for number in range(12))


@pytest.fixture(params=["crun", "path"])
def runtime(request: pytest.FixtureRequest, place: Path) -> str:
    """``--runtime``: a name; and the path of a program which does not say what it is."""
    need("crun", "runc")
    if request.param == "crun":
        return "crun"
    path = place / "oci-runtime"
    path.write_text(f'#!/bin/sh\nPATH={PATH}\n[ "$1" = --version ] && exit 1\nexec runc "$@"\n')
    path.chmod(0o755)
    return str(path)


def test_every_kind_of_step_works(based: Pybuild, write: Write, runtime: str) -> None:
    context = write(EVERYTHING, {"file": "of the context\n"})
    secret = ("--secret", f"id=token,src={write(None, {'token': 'secret'})}/token")

    log = based("-t", "app", "--runtime", runtime, *secret, context).err

    assert f"isolation: {Path(runtime).name} " in log
    tree = Trees(based.layout).tree(based.image("app").layers)
    owner = tree.get(b"srv/work/own")
    assert owner is not None
    assert (33, 33) == (owner.uid, owner.gid)
    contents = {"srv/work/own": 26, "srv/work/from-context": 15, "kept/f": 5, "size": 2, "networks": 3, "tmp/id": 3}
    sizes = {path: entry.size for path in contents if (entry := tree.get(path.encode())) is not None}
    assert contents == sizes
    assert tree.get(b"scratch/f") is None


@pytest.mark.parametrize(("command", "code"), [("exit 7", 7), ("kill -9 $$", 137)])
def test_a_failed_step_fails_the_build(based: Pybuild, write: Write, runtime: str, command: str, code: int) -> None:
    error = based.fails("--runtime", runtime, write(f"FROM busybox\nRUN sh -c '{command}'; exit $?\n"))

    assert f"exit code: {code}" in error


@pytest.mark.parametrize(("program", "code"), [("nothing-here", 127), ("/etc", 126)])
def test_what_cannot_be_started_says_so(based: Pybuild, write: Write, runtime: str, program: str, code: int) -> None:
    error = based.fails("--runtime", runtime, write(f'FROM busybox\nRUN ["{program}"]\n'))

    assert f"exit code: {code}" in error


def test_an_interrupt_ends_the_step(based: Pybuild, write: Write, runtime: str) -> None:
    marker = str(secrets.randbelow(10**9) + 10**9)
    context = write(f"FROM busybox\nRUN (trap '' INT TERM HUP; sleep {marker}) & sleep {marker}\n")
    process = based.start("--runtime", runtime, context, output=based.home / "log")
    until(lambda: len([each for each in processes(f"sleep {marker}") if "sh -c" not in each]) >= 2, 60)

    process.send_signal(signal.SIGINT)

    assert 130 == process.wait(60)
    assert [] == processes(marker)
    assert [] == based.left()


def test_steps_that_end_at_once_are_not_missed(based: Pybuild, write: Write) -> None:
    """crun was seen to reap a quick process before whoever was to wait for it."""
    need("crun")
    based("--runtime", "crun", write(QUICK))


def test_containers_take_it_as_well(based: Pybuild, runtime: str) -> None:
    done = based("run", "--rm", "--runtime", runtime, "busybox", "echo", "said")

    assert b"said\n" == done.out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--runtime", "jail"], "unknown --runtime 'jail'"),
        (["--runtime", "crun", "--isolation", "chroot"], "exclude each other"),
        (["--runtime", "/nothing/here"], "--runtime /nothing/here: there is no such program"),
        (["--runtime", "/bin/false"], "false ended with 1"),
    ],
)
def test_what_is_no_runtime_is_an_error(based: Pybuild, write: Write, options: list[str], said: str) -> None:
    assert said in based.fails(*options, write("FROM busybox\nRUN true\n"))
