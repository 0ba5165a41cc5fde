"""A network of the steps' own, by slirp4netns: what they reach by it, and what they do not."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import threading
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from builder.runtime.network import resolv_conf
from tests.support import bases, confined
from tests.support.programs import PATH, need, processes, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.conftest import Write
    from tests.support.confined import Confined
    from tests.support.programs import Pybuild

pytestmark = pytest.mark.e2e

TUN = "mkdir -p {0} && mount -t tmpfs none {0} && mknod -m 666 {0}/tun c 10 200 && mount --bind {0}/tun /dev/net/tun"


@contextmanager
def greeting() -> Iterator[int]:
    """Serve a line on this machine's loopback; give the port."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.sendall(b"good morning\n")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join(60)


@pytest.fixture
def user() -> Iterator[Confined]:
    """pybuild as a user with subordinate ids, who may use tun devices."""
    need("slirp4netns", "runc")
    if not os.path.exists("/dev/net/tun"):
        pytest.skip("this kernel has no tun devices")
    uid = confined.nobody()
    with confined.place_of(uid) as place:
        library = confined.copy_of_pybuild(place / "library")
        inner = confined.as_nobody(place, subordinate=True)
        prefix = ("unshare", "--mount", "sh", "-c", f'{TUN.format(place / "tun")} && exec "$@"', "sh", *inner)
        pybuild = confined.Confined(place / "store", place / "home", prefix=prefix, library=library)
        bases.put(pybuild.layout, bases.busybox(), bases.BUSYBOX)
        (place / "context").mkdir()
        confined.give(place / "store", uid)
        yield pybuild


def built(pybuild: Confined, steps: str, *options: str) -> str:
    context = pybuild.store.parent / "context"
    (context / "Dockerfile").write_text(f"FROM busybox\n{steps}")
    return pybuild("build", "--progress", "plain", *options, context).err


@pytest.mark.root
def test_steps_reach_the_machines_loopback_at_the_gateway(user: Confined) -> None:
    """By its address and by ``host-gateway``; their own loopback is another one. All steps of a build have it."""
    with greeting() as port:
        log = built(
            user,
            f"RUN nc 10.0.2.2 {port} </dev/null\nRUN nc machine {port} </dev/null && ls /sys/class/net\n"
            f"RUN ! nc 127.0.0.1 {port} </dev/null\n",
            "--add-host",
            "machine:host-gateway",
        )

    assert "the network is their own, by slirp4netns" in log
    assert 2 == log.count(" good morning\n")
    assert " tap0\n" in log
    assert [] == user.left()


@pytest.mark.root
def test_steps_do_not_see_the_machines_abstract_sockets(user: Confined) -> None:
    with socket.socket(socket.AF_UNIX) as machines:
        machines.bind(b"\0pybuild-test-abstract")
        seen = "RUN if grep -q @pybuild-test-abstract /proc/net/unix; then echo it is seen; else echo unseen; fi\n"

        assert " unseen\n" in built(user, seen)
        assert " it is seen\n" in built(user, seen, "--network", "host")


@pytest.mark.root
def test_without_a_tun_device_the_network_is_the_machines(user: Confined) -> None:
    """And the log says why."""
    closed = user.prefix[4].replace("-m 666", "-m 600")
    log = built(replace(user, prefix=(*user.prefix[:4], closed, *user.prefix[5:])), "RUN ls /sys/class/net\n")

    assert "the network is the machine's, as slirp4netns says: open(" in log
    assert " tap0\n" not in log


@pytest.mark.root
def test_a_build_that_is_killed_leaves_no_network(user: Confined) -> None:
    """Neither slirp4netns nor the namespace nor its file."""
    context = user.store.parent / "context"
    (context / "Dockerfile").write_text("FROM busybox\nRUN echo begun; sleep 1000\n")
    log = user.home / "log"
    process = user.start("build", "--progress", "plain", context, output=log)
    until(lambda: " begun\n" in log.read_text(), 60)
    assert [] != processes(f"--netns-type=path {user.store}")

    process.kill()

    process.wait(60)
    # What lies in tmp/ is the next build's to remove.
    until(lambda: not [each for each in user.left() if f"{user.store}/tmp/" not in each], 60)


BROKEN = {
    "exit 1": "it ended at once",
    "echo cannot start >&2; exit 1": "cannot start",
    "sleep 1000": "it is not ready after 10 seconds",
}
"""What may stand in the place of slirp4netns, and what the log says of it."""


@pytest.mark.root
def test_info_says_which_network_steps_get_and_why(user: Confined, based: Pybuild) -> None:
    hidden = f"mount --bind /dev/null {shutil.which('slirp4netns', path=PATH)}"
    without = replace(user, prefix=("unshare", "--mount", "sh", "-c", f'{hidden} && exec "$@"', "sh", *user.prefix))
    said = {
        "the network is their own, by slirp4netns": user,
        "the network is the machine's: slirp4netns is not installed": without,
        "the network is the machine's: root shares it with the steps": based,
    }

    for line, pybuild in said.items():
        assert f"\nNetwork of steps by default: {line}\n" in pybuild("info").out.decode()
        assert [] == pybuild.left()
    assert "slirp4netns is not installed" in built(without, "RUN true\n")


@pytest.mark.root
@pytest.mark.parametrize("script", BROKEN)
def test_with_a_slirp4netns_that_does_not_work_the_network_is_the_machines(user: Confined, script: str) -> None:
    """Also with one that never says a word."""
    program = user.home / "bin/slirp4netns"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    broken = replace(user, variables={"PATH": f"{program.parent}:{PATH}"})

    log = built(broken, "RUN ! grep tap0 /proc/net/dev\n")

    assert f"the network is the machine's, as slirp4netns says: {BROKEN[script]}" in log
    assert [] == broken.left()


def slirp4netns_of(pybuild: Confined) -> int:
    """Give the id of the process behind a build's network."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has ended
            if f"--netns-type=path\0{pybuild.store}".encode() in path.read_bytes():
                found.append(int(path.parent.name))
    (process,) = found
    return process


@pytest.mark.root
def test_a_build_ends_when_slirp4netns_does(user: Confined) -> None:
    """A step that waits for an answer from outside would wait for ever."""
    context = user.store.parent / "context"
    (context / "Dockerfile").write_text("FROM busybox\nRUN echo begun; sleep 1000\n")
    log = user.home / "log"
    process = user.start("build", "--progress", "plain", context, output=log)
    until(lambda: " begun\n" in log.read_text())

    os.kill(slirp4netns_of(user), signal.SIGKILL)

    assert 1 == process.wait(60)
    assert "slirp4netns has ended, and with it the network of the steps" in log.read_text()
    assert "--network host" in log.read_text()
    assert [] == user.left()


def test_root_and_who_asks_for_the_host_have_the_machines(based: Pybuild, write: Write) -> None:
    options = () if os.geteuid() == 0 else ("--network", "host")
    log = based("build", *options, "--progress", "plain", write("FROM busybox\nRUN ls /sys/class/net\n")).err

    assert "slirp4netns" not in log
    for name in os.listdir("/sys/class/net"):
        assert f" {name}\n" in log


@pytest.mark.parametrize(
    ("machines", "own"),
    [
        (b"nameserver 192.0.2.1\nsearch example.com\n", b"nameserver 192.0.2.1\nsearch example.com\n"),
        (b"nameserver 127.0.0.53\noptions edns0\n", b"nameserver 10.0.2.3\noptions edns0\n"),
        (
            b"nameserver ::1\nnameserver 127.0.0.1\nnameserver 192.0.2.1\n",
            b"nameserver 10.0.2.3\nnameserver 192.0.2.1\n",
        ),
        (b"", b"nameserver 10.0.2.3\n"),
    ],
)
def test_name_servers_on_the_loopback_are_asked_by_the_gateways(machines: bytes, own: bytes) -> None:
    assert own == resolv_conf(machines)
