"""Run a process by runc, crun, or any other program with the common command line of OCI runtimes.

Spec: runtime-tools/docs/command-line-interface.md, with ``--root``, ``--log`` and ``--log-format json`` before the verb
as containerd writes them.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import stat
import subprocess
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from builder.errors import CancelledError, IsolationError
from builder.runtime import network, spec, syscalls
from builder.runtime.cgroups import TOP, parent_of
from builder.runtime.keeper import Command
from builder.runtime.owners import Owned
from builder.runtime.recorder import Recording
from builder.runtime.reins import ConsoleSocket
from builder.runtime.rootfs import upper_of
from builder.runtime.runtime import Exit
from builder.runtime.shown import pack_owners
from builder.runtime.userns import find_program

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from builder.runtime.keeper import Ended, Keeper
    from builder.runtime.network import OwnNetwork
    from builder.runtime.reins import Attached
    from builder.runtime.runtime import Process

NOT_EXECUTABLE = 126
NOT_FOUND = 127
_TAIL = 300
_HIGHEST_ID = (1 << 31) - 1
_STAYS = (1 << 32) - 1
_LONGEST_SOCKET = 107
"""Bytes of a Unix socket's path."""


class Runc:
    """A runtime whose processes run in containers of an OCI runtime, one for each."""

    def __init__(self, program: str, sandbox: spec.Sandbox, keeper: Keeper, scratch: Path) -> None:
        """``program`` is a name or a path; ``scratch`` a directory for bundles and its state, of short-lived files.

        Raises:
            IsolationError: ``program`` is not installed.
        """
        self.name = os.path.basename(program)
        path = find_program(program)
        if path is None and "/" in program:
            raise IsolationError(f"{program} is no program", hint="name an OCI runtime, or give the path of one")
        if path is None:
            raise IsolationError(
                f"{program} is not installed", hint=f"install it, for example: apt-get install {self.name} uidmap"
            )
        path = os.path.abspath(path)
        self._kind = self.name if self.name in {"runc", "crun"} else _kind(path)
        self.sandbox = sandbox
        self.guards_devices = sandbox.guards_devices
        self._keeper = keeper
        self._scratch = scratch
        self._program = path
        self._running: dict[Path, Path] = {}
        """The bundle of what runs in a root file system."""
        self.network: OwnNetwork | None = None
        """That of steps with the default network; None for the machine's."""

    def limited_to(self, sandbox: spec.Sandbox) -> Runc:
        """Give the same runtime for a machine that allows less."""
        return Runc(self._program, sandbox, self._keeper, self._scratch)

    def run(self, process: Process, rootfs: Path, output: Callable[[bytes], None]) -> Exit:
        """Run a process in a container; see :class:`builder.runtime.runtime.Runtime`."""
        self._check_ids(process)
        _check_system(rootfs)
        with self._bundle() as bundle:
            listener = str(bundle / "owners") if self.sandbox.recording else ""
            if len(os.fsencode(listener)) > _LONGEST_SOCKET:
                listener = ""
            group = self._group(process, bundle.name)
            self._write_config(process, rootfs, bundle, group, chown=bool(listener))
            tail = bytearray()

            def pass_on(data: bytes) -> None:
                tail.extend(data[-_TAIL:])
                del tail[:-_TAIL]
                output(data)

            command = replace(
                self._command(bundle, process.terminal, group), gate=spec.gate_of(process, self.sandbox).hex()
            )
            if listener:
                command = _heard(replace(command, recording=_recording(process, rootfs, listener)), process, listener)
            self._running[rootfs] = bundle
            try:
                ended = self._ended(command, bundle, process.attached, pass_on, tail)
                return replace(ended, shown=bool(listener) and syscalls.can_wait())
            finally:
                del self._running[rootfs]

    def join(self, process: Process, rootfs: Path) -> Exit:
        """Run one more process in a container; see :class:`builder.runtime.runtime.Runtime`."""
        self._check_ids(process)
        bundle = self._running.get(rootfs)
        if bundle is None:
            raise IsolationError("no process runs there that another could join")
        place = Path(tempfile.mkdtemp(prefix="join-", dir=bundle))
        document = spec.process_of(process, self.sandbox, spec.capabilities_of(process, self.sandbox))
        _write_document(place / "process.json", document)
        command = replace(self._joining(bundle, place), gate=spec.gate_of(process, self.sandbox).hex())
        if (bundle / "owners").exists():
            command = _heard(command, process, str(bundle / "owners"))
        return self._ended(command, place, process.attached, lambda _: None, bytearray())

    def _ended(
        self,
        command: Command,
        directory: Path,
        attached: Attached | None,
        output: Callable[[bytes], None],
        tail: bytearray,
    ) -> Exit:
        """Run a command that writes its log into ``directory``; ``tail`` has the last of what came to ``output``."""
        start = time.monotonic()
        with contextlib.ExitStack() as stack:
            if attached is not None and attached.console is not None:
                stack.enter_context(ConsoleSocket(directory, attached.console))
                verb = command.arguments.index("--pid-file")
                words = (*command.arguments[:verb], "--console-socket", ConsoleSocket.name, *command.arguments[verb:])
                command = replace(command, arguments=words, cwd=str(directory))
            try:
                ended = self._keeper.run(command, output, attached)
            except CancelledError:
                if self.network is not None:
                    self.network.check()
                raise
        seconds = time.monotonic() - start
        if ended.error:
            raise IsolationError(f"{self._program} cannot be executed: {os.strerror(ended.error)}")
        error = _read_error(directory / "log")
        if not ended.started and not error:
            error = bytes(tail).decode(errors="replace").strip() or f"{self.name} ended with {ended.code}"
        done = _exit(ended, seconds, error, bytes(tail))
        return replace(done, owned=owned(ended), out_of_memory=ended.oom_kills > 0)

    def _check_ids(self, process: Process) -> None:
        highest = max(process.user.uid, process.user.gid, *process.user.groups)
        if highest > _HIGHEST_ID:
            raise IsolationError(f"id {highest} is not available: {self.name} knows ids up to {_HIGHEST_ID}")
        if not self.sandbox.single and highest >= self.sandbox.ids:
            raise IsolationError(
                f"id {highest} is not available: the user namespace has {self.sandbox.ids} ids",
                hint="give this user a larger range in /etc/subuid and /etc/subgid",
            )

    @contextlib.contextmanager
    def _bundle(self) -> Iterator[Path]:
        """Give a directory in memory: the environment of a step may hold what belongs on no disk."""
        path = Path(tempfile.mkdtemp(prefix="step-", dir=self._scratch))
        try:
            syscalls.mount("tmpfs", str(path), "tmpfs", syscalls.MS_NOSUID | syscalls.MS_NODEV, b"mode=700")
            try:
                yield path
            finally:
                syscalls.unmount(str(path))
        finally:
            path.rmdir()

    def _group(self, process: Process, name: str) -> str:
        """Give the path of the control group of a step; empty for none."""
        sandbox, resources = self.sandbox, process.resources
        if sandbox.initial and not sandbox.cgroups and resources.asked:
            raise IsolationError(f"limits cannot be kept: {self.name} has no control groups here")
        if not sandbox.cgroups and not resources.asked:
            return ""
        return f"{parent_of(resources, root=sandbox.initial).rstrip('/')}/pybuild-{name}"

    def _write_config(self, process: Process, rootfs: Path, bundle: Path, group: str, *, chown: bool) -> None:
        etc = {"hosts": bundle / "hosts", "resolv.conf": bundle / "resolv.conf"}
        own = self.network if process.network == "default" else None
        etc["hosts"].write_text(spec.hosts(process, network.GATEWAY if own is not None else network.LOOPBACK))
        machines = network.machines_resolv_conf()
        etc["resolv.conf"].write_bytes(machines if own is None else network.resolv_conf(machines))
        joined = str(own.path) if own is not None else ""
        document = spec.config(process, rootfs, self.sandbox, etc, group, chown=chown, network=joined)
        _write_document(bundle / "config.json", document)

    def _started(self, bundle: Path, log: Path, *, grouped: bool) -> tuple[str, ...]:
        """Give the program with the options that stand before every verb."""
        started = (self._program, "--root", str(bundle / "state"), "--log", str(log), "--log-format", "json")
        if self._kind == "runc":
            return (*started, f"--rootless={str(not self.sandbox.cgroups).lower()}")
        if self._kind == "crun" and not grouped:
            return (*started, "--cgroup-manager", "disabled")
        return started

    def _covered(self, *, grouped: bool) -> str:
        # crun refuses to start where it finds a mixture of hierarchies, also if it shall use none of them.
        return str(TOP) if self._kind == "crun" and not grouped else ""

    def _joining(self, bundle: Path, place: Path) -> Command:
        pid_file = str(place / "pid")
        detached = self._kind == "runc"
        options = (
            *(("--detach",) if detached else ()),
            "--pid-file",
            pid_file,
            "--process",
            str(place / "process.json"),
        )
        return Command(
            arguments=(
                *self._started(bundle, place / "log", grouped=self.sandbox.cgroups),
                "exec",
                *options,
                bundle.name,
            ),
            environment={"PATH": os.defpath},
            pid_file=pid_file if detached else "",
            covered=self._covered(grouped=self.sandbox.cgroups),
        )

    def _command(self, bundle: Path, terminal: int | None, group: str) -> Command:
        program = (self._program, "--root", str(bundle / "state"))
        started = self._started(bundle, bundle / "log", grouped=bool(group))
        start: tuple[str, ...] = ()
        pid_file = "" if terminal is not None else str(bundle / "pid")
        if terminal is not None:  # it makes one inside and stays between
            verb: tuple[str, ...] = ("run",)
        elif self._kind == "runc":
            # Detached, it hands on our pipe as it is; else it copies output and errors each at its own pace.
            verb = ("run", "--detach", "--pid-file", pid_file)
        else:  # what every one has; crun, detached, now and then takes the process's end for itself
            verb = ("create", "--pid-file", pid_file)
            start = (*started, "start", bundle.name)
        return Command(
            arguments=(*started, *verb, "--bundle", str(bundle), bundle.name),
            environment={"PATH": os.defpath},
            pid_file=pid_file,
            start=start,
            covered=self._covered(grouped=bool(group)),
            terminal=terminal,
            cgroup=group.lstrip("/"),
            cleanup=(*program, "delete", "--force", bundle.name) if group else (),
        )


def _heard(command: Command, process: Process, listener: str) -> Command:
    user = process.user
    return replace(command, listener=listener, identity=(user.uid, user.gid, user.groups))


def _recording(process: Process, rootfs: Path, listener: str) -> Recording:
    return Recording(
        str(rootfs),
        str(upper_of(rootfs)),
        socket=listener,
        owners=pack_owners(process.owners),
        user=(process.user.uid, process.user.gid),
        is_steady=process.security == "sandbox",
    )


def _check_system(rootfs: Path) -> None:
    """Refuse a root whose ``/dev`` is a link: runtimes make their devices and links wherever it leads, on the machine.

    Raises:
        IsolationError: it is, or something else that cannot be mounted on.
    """
    for name in ("dev", "proc", "sys"):
        path = rootfs / name
        if os.path.lexists(path) and not stat.S_ISDIR(path.lstat().st_mode):
            hint = "no step can run in such an image; give it a directory there"
            raise IsolationError(f"/{name} of the image is no directory, and may lead out of it", hint=hint)


def _write_document(path: Path, document: dict[str, Any]) -> None:
    # Arguments may be any bytes; runc takes those that are UTF-8.
    path.write_bytes(json.dumps(document, ensure_ascii=False).encode("utf-8", "surrogateescape"))


@functools.cache
def _kind(program: str) -> str:
    """Give ``runc`` or ``crun`` where a program of another name says that it is this one."""
    with contextlib.suppress(OSError):
        done = subprocess.run([program, "--version"], capture_output=True, check=False, stdin=subprocess.DEVNULL)
        said = done.stdout.partition(b" ")[0].decode(errors="replace")
        return said if said in {"runc", "crun"} else ""
    return ""


def owned(ended: Ended) -> dict[tuple[int, int], Owned]:
    """Give what was written down of owners."""

    def number(value: int) -> int | None:
        return None if value == _STAYS else value

    return {
        (inode, birth): Owned(number(uid), number(gid), os.fsencode(path), by_descriptor)
        for inode, birth, uid, gid, path, by_descriptor in ended.owned
    }


def _read_error(log: Path) -> str:
    """Give what kept the container from starting, in runc's words; empty where nothing did."""
    try:
        lines = log.read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return ""
    messages = []
    for line in lines:
        with contextlib.suppress(ValueError):
            entry = json.loads(line)
            if isinstance(entry, dict) and entry.get("level") == "error":
                messages.append(str(entry.get("msg", "")))
    return "; ".join(messages)


def _exit(ended: Ended, seconds: float, error: str, tail: bytes) -> Exit:
    if not error:
        last = tail.rstrip(b"\n").rpartition(b"\n")[2]
        if ended.code == 1 and last.startswith(b"exec ") and last.endswith(b": exec format error"):
            return Exit(NOT_EXECUTABLE, seconds, ended.max_rss, last.decode(errors="replace"))
        return Exit(ended.code, seconds, ended.max_rss)
    lower = error.lower()
    if "exec" in lower and ("not found" in lower or "no such file" in lower):
        return Exit(NOT_FOUND, seconds, ended.max_rss, error)
    if ("exec" in lower or "cwd" in lower or "chdir" in lower) and (
        "permission denied" in lower or "is a dir" in lower or lower == "open executable: operation not permitted"
    ):
        return Exit(NOT_EXECUTABLE, seconds, ended.max_rss, error)
    raise IsolationError(f"the step could not be started: {error}")
