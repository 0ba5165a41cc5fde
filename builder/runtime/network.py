"""A network of a build's own, for an ordinary user's steps: a namespace, and slirp4netns between it and the machine's.

Steps reach what this process reaches, the machine's loopback at GATEWAY; nobody reaches them, and of the machine's
abstract sockets and interfaces they see none. It is made while the build goes on, once for all its steps.
"""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from builder.errors import CancelledError, IsolationError
from builder.runtime import syscalls
from builder.runtime.keeper import Command
from builder.runtime.userns import find_program

if TYPE_CHECKING:
    from builder.runtime.keeper import Keeper

GATEWAY = "10.0.2.2"
"""The machine, its loopback among it, as steps reach it; slirp4netns' own choice."""
LOOPBACK = "127.0.0.1"
"""The machine, where steps share its network."""
_NAMES = "10.0.2.3"
"""What hands on questions for names to the machine's first name server."""
_RESOLV_CONF = Path("/etc/resolv.conf")
_MTU = "65520"
_SECONDS = 10
"""How long slirp4netns may take to begin."""


class OwnNetwork:
    """The network of a build; close it in the end. Make it while there is one thread."""

    def __init__(self, keeper: Keeper, scratch: Path) -> None:
        """Begin to make it; :meth:`answer` says what came of it.

        Raises:
            IsolationError: slirp4netns is not installed, or no network namespace can be made.
        """
        program = find_program("slirp4netns")
        if program is None:
            raise IsolationError("slirp4netns is not installed")
        self.path = scratch / "network"
        """The namespace, to be joined."""
        self._log = scratch / "network.log"
        self._keeper = keeper
        self._ready = threading.Event()
        self._lock = threading.Lock()
        self._works = self._used = False
        self.lost = False
        """Whether it has ended before its steps: they would wait for ever for what comes from outside."""
        self.path.touch()
        _make_namespace(str(self.path))
        # What it says is nobody's output; one byte says that it is ready.
        script = 'log=$1; shift; exec "$@" 3>&1 >"$log" 2>&1'
        options = ("--configure", f"--mtu={_MTU}", "--ready-fd=3", "--netns-type=path", str(self.path), "tap0")
        command = Command(
            ("/bin/sh", "-c", script, "sh", str(self._log), program, *options), {"PATH": os.defpath}, cwd="/"
        )
        self._thread = threading.Thread(target=self._run, args=(command,), name="network", daemon=True)
        self._thread.start()

    def _run(self, command: Command) -> None:
        def started(_data: bytes) -> None:
            self._works = True
            self._ready.set()

        try:
            with contextlib.suppress(IsolationError):
                self._keeper.run(command, started)
            with self._lock:
                self._works = False
                self.lost = self._used
        except CancelledError:  # it ends with the build
            pass
        self._ready.set()
        if self.lost:
            self._keeper.close()

    def answer(self) -> str:
        """Wait until it works, and give the empty text; or else why it does not."""
        if not self._ready.wait(_SECONDS):
            return f"it is not ready after {_SECONDS} seconds"
        with self._lock:
            self._used = self._works
            if self._used:
                return ""
        with contextlib.suppress(OSError):
            lines = self._log.read_text(errors="replace").splitlines()
            return lines[0] if lines else "it ended at once"
        return "it ended at once"

    def check(self) -> None:
        """Raise IsolationError where it is lost, and every step was ended for that."""
        if self.lost:
            hint = "--network host does without it"
            raise IsolationError("slirp4netns has ended, and with it the network of the steps", hint=hint)

    def close(self) -> None:
        """Let it go, after the keeper was closed."""
        self._thread.join(_SECONDS)
        with contextlib.suppress(OSError):
            syscalls.unmount(str(self.path))


def machines_resolv_conf() -> bytes:
    """Give the machine's resolv.conf; empty where it has none."""
    with contextlib.suppress(FileNotFoundError):
        return _RESOLV_CONF.read_bytes()
    return b""


def resolv_conf(machine: bytes) -> bytes:
    """Give the resolv.conf of such a network: servers on the machine's loopback are reached by the gateway's own."""
    lines: list[bytes] = []
    for line in machine.splitlines():
        words = line.split()
        if words[:1] == [b"nameserver"] and (len(words) < 2 or words[1].startswith((b"127.", b"::1"))):
            line = b"nameserver " + _NAMES.encode()  # noqa: PLW2901 - the same line, as it is seen from there
        if line not in lines:
            lines.append(line)
    if not any(line.startswith(b"nameserver") for line in lines):
        lines.append(b"nameserver " + _NAMES.encode())
    return b"\n".join(lines) + b"\n"


def _make_namespace(path: str) -> None:
    """Let a file stand for a new network namespace, which lasts as long as the mount does."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            syscalls.unshare(syscalls.CLONE_NEWNET)
            syscalls.mount("/proc/self/ns/net", path, flags=syscalls.MS_BIND)
            status = 0
        finally:
            os._exit(status)
    if os.waitpid(child, 0)[1]:
        raise IsolationError("no network namespace can be made")
