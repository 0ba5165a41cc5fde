"""A hold on a process while it runs: streams of its own, signals, and whether it has been started."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType


@dataclass(frozen=True, slots=True)
class Streams:
    """Descriptors that become a process' input, output and errors."""

    stdin: int
    stdout: int
    stderr: int


@dataclass(frozen=True, slots=True)
class Attached:
    """What somebody holds of a process."""

    reins: Reins
    streams: Streams | None = None
    """None for a terminal of its own."""
    console: Callable[[int], None] | None = None
    """Is given the descriptor of that terminal's other side, in any thread, once there is one."""


class Reins:
    """Send signals to a process that runs, from any thread; what comes before it has started waits."""

    def __init__(self) -> None:
        self.pid = 0
        """The process as this one sees it, once it has started."""
        self.settled = threading.Event()
        """Set once it has started, or could not be."""
        self._lock = threading.Lock()
        self._life: socket.socket | None = None
        self._early = b""

    def signal(self, number: int) -> None:
        """Send a signal; nothing happens where the process has ended."""
        message = bytes([number])
        with self._lock:
            if self._life is None:
                self._early += message
                return
            with contextlib.suppress(OSError):
                self._life.sendall(message)

    def hold(self, life: socket.socket) -> None:
        """Take hold of a process whose shepherd is at the other end of ``life``."""
        with self._lock:
            self._life = life
            if self._early:
                life.sendall(self._early)

    def started(self, pid: int) -> None:
        """Note that the process runs."""
        self.pid = pid
        self.settled.set()

    def release(self) -> None:
        """Let go: the process has ended."""
        with self._lock:
            self._life = socket.socket()  # what is still sent goes nowhere
            self._life.close()
        self.settled.set()


class ConsoleSocket:
    """Where an OCI runtime brings the other side of a process' terminal: ``--console-socket``.

    Spec: runc/docs/terminals.md, "Detached".
    """

    name = "console"

    def __init__(self, directory: Path, console: Callable[[int], None]) -> None:
        """Listen in ``directory``, which is the working directory of the program that connects."""
        self._console = console
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        descriptor = os.open(directory, os.O_PATH | os.O_DIRECTORY)
        try:
            # by descriptor: a socket's path has no more than 107 bytes
            self._socket.bind(f"/proc/self/fd/{descriptor}/{self.name}")
        finally:
            os.close(descriptor)
        self._socket.listen()
        self._thread = threading.Thread(target=self._accept, name="console", daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            connection, _ = self._socket.accept()
            with connection:
                _, descriptors, _, _ = socket.recv_fds(connection, 4096, 1)
            for each in descriptors:
                os.set_inheritable(each, False)
                self._console(each)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # ends accept()
        self._thread.join()
        self._socket.close()


def own_console(console: Callable[[int], None]) -> Streams:
    """Make a pseudo-terminal, hand over one side, and give the other as a process' streams, to be closed."""
    master, slave = os.openpty()
    console(master)
    return Streams(slave, slave, slave)
