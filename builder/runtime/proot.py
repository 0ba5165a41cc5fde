"""Run a process in a root directory by proot, which needs neither namespaces nor root, only ptrace.

The step believes that it is root, and that it can change owners; files belong to whoever runs the build.
"""

from __future__ import annotations

import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from builder.errors import IsolationError
from builder.runtime import spec
from builder.runtime.chroot import finish, make_cwd, refuse_isolation, run_attached
from builder.runtime.keeper import Command, Ended
from builder.runtime.network import LOOPBACK, machines_resolv_conf
from builder.runtime.placement import copy
from builder.runtime.recorder import Recording
from builder.runtime.runc import NOT_EXECUTABLE, NOT_FOUND, owned
from builder.runtime.runtime import Exit
from builder.runtime.userns import find_program
from layers.changeset.rootpath import resolve

if TYPE_CHECKING:
    from collections.abc import Callable

    from builder.runtime.keeper import Keeper
    from builder.runtime.runtime import Process

_SYSTEM = ("/proc", "/dev", "/sys")


class Proot:
    """A runtime whose processes are traced, and shown another root directory."""

    name = "proot"
    guards_devices = True
    """An ordinary user opens no devices but his own."""

    def __init__(self, keeper: Keeper, scratch: Path, *, recording: bool = False) -> None:
        """With ``recording``, owners are written down.

        Raises:
            IsolationError: proot is not installed.
        """
        program = find_program("proot")
        if program is None:
            raise IsolationError("proot is not installed", hint="install it, for example: apt-get install proot")
        self._program = program
        self._keeper = keeper
        self._scratch = scratch
        self._recording = recording
        self._running: dict[Path, list[str]] = {}
        """What is mounted in a root file system where a process runs."""

    def run(self, process: Process, rootfs: Path, output: Callable[[bytes], None]) -> Exit:
        """Run a process; see :class:`builder.runtime.runtime.Runtime`. What is mounted read-only is a copy."""
        refuse_isolation(process, self.name)
        if process.readonly:
            raise IsolationError(f"a root that is only read needs mounts, which {self.name} has not")
        with tempfile.TemporaryDirectory(prefix="proot-", dir=self._scratch) as directory:
            self._running[rootfs] = binds = self._binds(process, Path(directory))
            try:
                return self._run(process, rootfs, binds, output)
            finally:
                del self._running[rootfs]

    def join(self, process: Process, rootfs: Path) -> Exit:
        """Run one more process in the same root; see :class:`builder.runtime.runtime.Runtime`."""
        binds = self._running.get(rootfs)
        if binds is None:
            raise IsolationError("no process runs there that another could join")
        return self._run(process, rootfs, binds, lambda _: None)

    def _run(self, process: Process, rootfs: Path, binds: list[str], output: Callable[[bytes], None]) -> Exit:
        if process.attached is not None and not _is_there(process, rootfs):  # what proot says would be the process' own
            return Exit(NOT_FOUND, 0.0, error=f'exec: "{process.arguments[0]}": executable file not found in $PATH')
        mounted = (*_SYSTEM, *(mount.target for mount in process.mounts))
        command = Command(
            (
                self._program,
                *("-r", str(rootfs), "-i", f"{process.user.uid}:{process.user.gid}"),
                *("-w", make_cwd(process, rootfs), *binds),
                *process.arguments,
            ),
            spec.environment(process),
            limits=tuple((limit.name, limit.soft, limit.hard) for limit in process.limits),
            waits_for_all=True,
            terminal=process.terminal,
            recording=Recording(str(rootfs), str(rootfs), mounted=mounted) if self._recording else None,
        )
        tail = bytearray()

        def pass_on(data: bytes) -> None:
            tail.extend(data)
            del tail[:-1000]
            output(data)

        start = time.monotonic()
        ended = run_attached(self._keeper, command, process, pass_on)
        seconds = time.monotonic() - start
        if ended.code == 1 and bytes(tail).startswith(b"proot error: "):
            return _not_started(ended, seconds, bytes(tail))
        return replace(finish(process, ended, seconds, output), owned=owned(ended))

    def _binds(self, process: Process, directory: Path) -> list[str]:
        binds = [(path, path) for path in _SYSTEM]
        for name, content in (
            ("hosts", spec.hosts(process, LOOPBACK).encode()),
            ("resolv.conf", machines_resolv_conf()),
        ):
            (directory / name).write_bytes(content)
            binds.append((str(directory / name), f"/etc/{name}"))
        for i, mount in enumerate(process.mounts):
            source = mount.source
            if source is None:
                source = directory / f"tmpfs{i}"
                source.mkdir()
                source.chmod(mount.mode)
            elif mount.readonly and not mount.own:
                # What is bound can be written to: so it is not the user's own.
                copy(os.fsencode(source), os.fsencode(directory / f"copy{i}"))
                source = directory / f"copy{i}"
            binds.append((str(source), mount.target))
        return [word for source, target in binds for word in ("-b", f"{source}:{target}")]


def _is_there(process: Process, rootfs: Path) -> bool:
    """Tell whether the program of a process is in its root."""
    program = process.arguments[0]
    folders = [""] if "/" in program else process.environment.get("PATH", os.defpath).split(":")
    paths = [os.path.join("/", process.cwd, folder, program) for folder in folders]
    found = (os.path.join(os.fsencode(rootfs), resolve(rootfs, os.fsencode(path), follow_last=True)) for path in paths)
    return any(map(os.path.isfile, found))


def _not_started(ended: Ended, seconds: float, said: bytes) -> Exit:
    message = said.partition(b"\n")[0].decode(errors="replace")
    if "not found" in message or "No such file" in message:
        return Exit(NOT_FOUND, seconds, ended.max_rss, message)
    if "is not a regular file" in message or "not executable" in message or "Permission denied" in message:
        return Exit(NOT_EXECUTABLE, seconds, ended.max_rss, message)
    raise IsolationError(f"the step could not be started: {message}", hint=os.fsdecode(said).replace("\n", "; "))
