"""Steps in real containers of runc, as root and as ordinary users."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.builder.runtime import scenes
from tests.builder.runtime.inside import KINDS, command, inside, new_directory, remove_directory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.e2e
RANGES = tuple(kind for kind in KINDS if kind != "single")
"""The users that have more than one id."""


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=RANGES)
def ranged(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def marker() -> str:
    """A number of seconds that no other process sleeps for."""
    return f"3600.{os.getpid()}{time.monotonic_ns()}"


def test_entering_makes_root_of_everyone_and_keeps_the_rest(kind: str) -> None:
    result = inside(kind, scenes.entering)

    assert {"uid": 0, "same": True} == {"uid": result["uid"], "same": result["same"]}
    assert result["cwd"].endswith("/here")
    if kind != "own":
        assert kind == result["kind"]
        assert {"root": 4294967295, "subids": 65537, "single": 1}[kind] == result["ids"]
    assert bool(result["notes"]) == (result["kind"] == "single")


@pytest.mark.skipif(os.geteuid() == 0, reason="only an ordinary user needs a user namespace")
def test_an_ordinary_user_of_the_suite_has_subordinate_ids() -> None:
    """Else the suite would pass without having tried what most users have."""
    assert inside("own", scenes.entering)["kind"] == "subids"


def test_threads_keep_a_process_from_entering(kind: str) -> None:
    """The kernel would refuse; the error says so, and the process is as it was."""
    message, uid = inside(kind, scenes.entering_with_threads)

    assert message == "a user namespace cannot be entered once threads are running"
    assert (uid == 0) == (os.geteuid() == 0 and kind == "root")


def test_status_and_output_come_back(kind: str) -> None:
    results = inside(kind, scenes.scripts, ["echo out; echo err >&2; exit 3", "sh -c 'kill -9 $$'; exit $?", ""])

    assert [3, 137, 0] == [each["code"] for each in results]
    assert results[0]["output"] == "out\nerr\n"
    assert results[0]["seconds"] > 0
    assert results[0]["rss"] > 1 << 20


def test_what_cannot_be_executed_is_126_and_what_is_missing_127(kind: str) -> None:
    """Docker's statuses; the reason is in the output as well."""
    every = [["nothing-here"], ["/bin/nothing-here"], ["/bin/data"], ["/etc"], ["/bin/garbage"], ["true"]]
    results = inside(kind, scenes.commands, every)

    assert [127, 127, 126, 126, 126, 0] == [each["code"] for each in results]
    for each in results[:5]:
        assert each["error"]
        assert each["error"] in each["output"]
    assert "nothing-here" in results[0]["error"]


def test_the_upper_directory_is_what_the_step_did(ranged: str) -> None:
    """Nothing of /etc/hosts, /etc/resolv.conf, /dev or /proc, no mount point; devices 0:0 for what is gone."""
    result = inside(ranged, scenes.changes)

    assert result["step"]["code"] == 1
    assert [
        "bin drwxr-xr-x 0:0",
        "bin/no lrwxrwxrwx 0:0",
        "bin/yes device 0:0",
        "emptied drwxr-xr-x 0:0 opaque",
        "old device 0:0",
        "replaced -rw-r--r-- 0:0",
        "x -rwsr-xr-x 33:44",
    ] == result["upper"]


def test_the_upper_directory_is_the_next_lower_one(kind: str) -> None:
    result = inside(kind, scenes.changes)

    assert "new\n" in result["seen"]["output"]
    assert "file\n" in result["seen"]["output"]
    assert "old" not in result["seen"]["output"]


def test_owners_are_pretended_where_there_is_one_id(kind: str) -> None:
    """chown, setgroups and mknod succeed everywhere, as package managers need."""
    script = "touch /f && chown 5:6 /f && mkdir /d && chown -R 7 /d && mknod /pipe p && echo all"
    (done,) = inside(kind, scenes.scripts, [script])

    assert "all\n" == done["output"]


def test_150_lower_directories_fit(kind: str) -> None:
    """Mount options end at a page; names of descriptors are short."""
    output, upper = inside(kind, scenes.many_lowers, 150)

    assert "0 75 149 " == output
    assert [] == upper


def test_mounts_are_seen_at_their_targets_and_leave_nothing(kind: str) -> None:
    """Links in targets lead nowhere outside; read-only is read-only; parents keep their mode and time."""
    result = inside(kind, scenes.mounting)
    lines = result["step"]["output"].splitlines()

    assert lines[:3] == ["content"] * 3
    assert 3 == sum("Read-only file system" in line for line in lines)
    assert any("No space left" in line for line in lines)
    assert "drwxr-x---" in result["step"]["output"]
    assert "700" in lines
    assert "5" in lines
    assert result["step"]["code"] == 0
    assert [] == result["upper"]
    assert ["file", "written"] == result["source"]


def test_100_megabytes_of_output_arrive_whole(ranged: str) -> None:
    result = inside(ranged, scenes.output_of_100_megabytes)

    assert {"code": 0, "equal": True} == {"code": result["code"], "equal": result["equal"]}


def test_output_comes_as_it_is_written(ranged: str) -> None:
    """Standard output and error in order, not at the end."""
    result = inside(ranged, scenes.output_comes_live)

    assert ["a\n", "b\n", "c\n"] == result["texts"]
    assert result["apart"] > 0.6


def test_a_step_that_closes_its_output_runs_on(ranged: str) -> None:
    (result,) = inside(ranged, scenes.scripts, ["exec >&- 2>&-; sleep 0.3; exit 4"])

    assert result["code"] == 4
    assert result["seconds"] > 0.3


def test_what_a_step_leaves_running_ends_with_it(kind: str, marker: str) -> None:
    (result,) = inside(kind, scenes.scripts, [f"(trap '' HUP; sleep {marker}) & sleep {marker} & exit 5"])

    assert result["code"] == 5
    assert result["seconds"] < 10
    assert [] == scenes.alive(marker)


def test_interrupting_ends_everything_at_once(kind: str, marker: str) -> None:
    """Also what ignores signals; nothing is left in the scratch directory, and the next step works."""
    result = inside(kind, scenes.interrupted, marker)

    assert [] == result["left"]
    assert [] == result["rest"]
    assert result["seconds"] < 10
    assert "fine\n" == result["after"]
    assert [] == result["scratch"]


def test_steps_of_all_threads_can_be_stopped(ranged: str, marker: str) -> None:
    result = inside(ranged, scenes.stopped, marker)

    assert {"ended": ["CancelledError"] * 2, "left": []} == result


def test_steps_run_side_by_side(ranged: str) -> None:
    assert [[number, f"{number}\n"] for number in range(8)] == inside(ranged, scenes.side_by_side)


@contextlib.contextmanager
def started(kind: str, marker: str) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    directory = new_directory(kind)
    process = subprocess.Popen(command(kind, directory, scenes.running_for_long, marker), start_new_session=True)
    try:
        until((directory / "running").exists)
        yield process, directory
    finally:
        process.kill()
        process.wait()
        remove_directory(directory)


def until(condition: Any, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_killing_the_builder_leaves_nothing(kind: str, marker: str) -> None:
    """Kill -9 of the process alone: no process, no mount, no temporary file, no control group."""
    with started(kind, marker) as (process, directory):
        assert scenes.alive(marker)
        process.kill()
        process.wait()

        until(lambda: not scenes.alive(marker))
        until(lambda: not os.listdir(directory / "tmp"))


def test_killing_the_builders_process_group_leaves_nothing(ranged: str, marker: str) -> None:
    """As a CI runner does that is out of patience."""
    with started(ranged, marker) as (process, directory):
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

        until(lambda: not scenes.alive(marker))
        until(lambda: not os.listdir(directory / "tmp"))


def test_a_step_gets_what_its_process_says_and_nothing_else(ranged: str) -> None:
    """Environment, directory, names, limits; an empty standard input; setuid programs work."""
    result = inside(ranged, scenes.process_details)
    lines = result["step"]["output"].splitlines()

    assert ["0", "0", "/etc", "builder", "0022", "64"] == lines[:6]
    variables = set(lines[6:]) - {"SHLVL=1", "PWD=/etc"}
    assert {"HOME=/root", "PATH=/bin", "A=a b", "B=ü=", "1", "NoNewPrivs:\t0"} == variables
    assert "127.0.0.1\tlocalhost builder\n" in result["hosts"]
    assert "10.1.2.3\tdb\nfd00::1\tdb6\n" in result["hosts"]


def test_a_step_runs_as_its_user(ranged: str) -> None:
    """With that user's groups, without root's rights."""
    result = inside(ranged, scenes.as_user)

    assert "uid=7 gid=8 groups=9,10\n" in result["output"]
    assert "touch: /no: Permission denied\n" in result["output"]
    assert result["output"].endswith("/h\n")


def test_an_id_that_the_namespace_does_not_have_is_an_error(ranged: str) -> None:
    """It says how many there are; to real root most are known."""
    result = inside(ranged, scenes.high_id, 2_000_000_000)
    beyond = inside(ranged, scenes.high_id, 4_000_000_000)

    if ranged == "root":
        assert "uid=2000000000" in result["output"]
    else:
        assert result["raised"].startswith("id 2000000000 is not available: the user namespace has ")
    assert "id 4000000000 is not available: runc knows ids up to 2147483647" == beyond["raised"]


def test_no_network_means_loopback_only(ranged: str) -> None:
    """The default is the machine's network."""
    none, default, host = inside(ranged, scenes.no_network)

    assert ["lo"] == none
    assert sorted(os.listdir("/sys/class/net")) == sorted(default) == sorted(host)


def test_a_sandboxed_step_makes_no_namespaces_and_mounts_nothing(ranged: str) -> None:
    """An insecure one may."""
    scripts = ["unshare -m true", "mkdir -p /m; mount -t tmpfs none /m", "echo 1 >/proc/sys/kernel/panic"]
    sandboxed = inside(ranged, scenes.scripts, scripts)
    insecure = inside(ranged, scenes.scripts, scripts[:2], {"security": "insecure"})

    assert all(each["code"] for each in sandboxed)
    assert [0, 0] == [each["code"] for each in insecure]


@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user's step cannot open devices at all")
def test_a_step_of_real_root_cannot_open_the_machines_devices() -> None:
    """It may make the device file; the control group forbids to open it."""
    (result,) = inside("root", scenes.scripts, ["mknod /disk b 254 0 && mknod /mem c 1 1 && cat /mem; cat /disk"])

    assert 2 == result["output"].count("Operation not permitted")


def test_the_ladder_tells_what_it_chose(kind: str) -> None:
    name, attempts, notes = inside(kind, scenes.choosing, "auto")

    assert "runc" == name
    assert 1 == len(attempts)
    assert attempts[0].endswith(": works")
    assert (kind == "single") == bool(notes)


def test_without_a_runtime_the_error_says_what_to_install(kind: str) -> None:
    """And no temporary file stays."""
    message, hint, left = inside(kind, scenes.without_programs)

    assert message.startswith("no way to run a process works here: runc: runc is not installed")
    assert "apt-get install" in message
    assert hint
    assert [] == left


def test_an_unknown_isolation_names_the_known_ones() -> None:
    message, hint, _ = inside(KINDS[0], scenes.choosing, "jail")

    assert "unknown isolation: jail" == message
    assert hint.startswith("choose one of auto, runc")
