"""Run a process in a root directory by chroot: what is left where nothing may be mounted.

It needs root, as in a default container of Docker or Kubernetes. The step sees the machine's processes and network, and
no /proc or /sys; files that it has mounted are copied in and out.
"""

from __future__ import annotations

import os
import stat
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from builder.errors import IsolationError
from builder.runtime import spec
from builder.runtime.keeper import Command
from builder.runtime.network import LOOPBACK, machines_resolv_conf
from builder.runtime.placement import Placement
from builder.runtime.reins import own_console
from builder.runtime.runc import NOT_EXECUTABLE, NOT_FOUND
from builder.runtime.runtime import Exit
from layers.changeset.rootpath import resolve

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from builder.runtime.keeper import Ended, Keeper
    from builder.runtime.runtime import Process

_DEVICES = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9), "tty": (5, 0)}


class Chroot:
    """A runtime whose processes change their root directory."""

    name = "chroot"
    guards_devices = True
    """What the machine's root may not open, a step may not either: it is a container's."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper

    def run(self, process: Process, rootfs: Path, output: Callable[[bytes], None]) -> Exit:
        """Run a process; see :class:`builder.runtime.runtime.Runtime`."""
        refuse_isolation(process, self.name)
        if process.readonly:
            raise IsolationError(f"a root that is only read needs mounts, which {self.name} has not")
        with Placement(rootfs) as placement:
            _make_devices(os.fsdecode(placement.replace("/dev")))
            for point in ("/proc", "/sys"):
                placement.point(point, directory=True)
            placement.put_file("/etc/hosts", spec.hosts(process, LOOPBACK).encode())
            placement.put_file("/etc/resolv.conf", machines_resolv_conf())
            for mount in process.mounts:
                placement.put(mount)
            placement.settle()
            return self._run(process, rootfs, output)

    def join(self, process: Process, rootfs: Path) -> Exit:
        """Run one more process in the same root; see :class:`builder.runtime.runtime.Runtime`."""
        return self._run(process, rootfs, lambda _: None)

    def _run(self, process: Process, rootfs: Path, output: Callable[[bytes], None]) -> Exit:
        user = process.user
        command = Command(
            process.arguments,
            spec.environment(process),
            cwd=make_cwd(process, rootfs),
            root=str(rootfs),
            user=(user.uid, user.gid, user.groups),
            limits=tuple((limit.name, limit.soft, limit.hard) for limit in process.limits),
            terminal=process.terminal,
        )
        start = time.monotonic()
        ended = run_attached(self._keeper, command, process, output)
        return finish(process, ended, time.monotonic() - start, output)


def run_attached(keeper: Keeper, command: Command, process: Process, output: Callable[[bytes], None]) -> Ended:
    """Run a command under a keeper with the streams of a process; a terminal is made here."""
    attached = process.attached
    if attached is None or attached.console is None:
        return keeper.run(command, output, attached)
    streams = own_console(attached.console)
    try:
        return keeper.run(replace(command, terminal=streams.stdin), output, replace(attached, streams=streams))
    finally:
        os.close(streams.stdin)


def refuse_isolation(process: Process, name: str) -> None:
    """Raise IsolationError for what only namespaces can give."""
    if process.network == "none":
        raise IsolationError(f"a step without a network needs namespaces, which {name} has not")
    if process.resources.asked:
        raise IsolationError(f"limits of memory and processors need control groups, which {name} has not")


def make_cwd(process: Process, rootfs: Path) -> str:
    """Make the working directory where it is missing, as other runtimes do; give it as it is inside."""
    path = resolve(rootfs, os.fsencode(process.cwd), follow_last=True)
    os.makedirs(os.path.join(os.fsencode(rootfs), path), exist_ok=True)
    return "/" + os.fsdecode(path)


def finish(process: Process, ended: Ended, seconds: float, output: Callable[[bytes], None]) -> Exit:
    """Give the exit of a command; one that could not be started says why."""
    if not ended.error:
        return Exit(ended.code, seconds, ended.max_rss)
    missing = ended.error in {2, 20}
    reason = "executable file not found in $PATH" if missing else os.strerror(ended.error).lower()
    message = f'exec: "{process.arguments[0]}": {reason}'
    output(f"{message}\n".encode())
    return Exit(NOT_FOUND if missing else NOT_EXECUTABLE, seconds, ended.max_rss, message)


def _make_devices(directory: str) -> None:
    os.mkdir(directory, 0o755)
    for name, (major, minor) in _DEVICES.items():
        path = f"{directory}/{name}"
        try:
            os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(major, minor))
        except PermissionError:
            # A container that may make no devices: what is written to /dev/null at least goes nowhere else.
            if name != "null":
                continue
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
        os.chmod(path, 0o666)  # noqa: S103 - as devices are
    os.mkdir(f"{directory}/shm")
    os.chmod(f"{directory}/shm", 0o1777)  # noqa: S103 - as /dev/shm is
