r"""Start processes, and end every one of them whatever happens to this one.

A small process, the keeper, is forked at the door while there is one thread. For each command it forks a shepherd: the
parent of the command and, as a subreaper, of everything the command leaves behind. A shepherd ends all of it when the
command ends, when the caller asks, and when the caller dies, be it of kill -9: each is a socket that reaches its end.

    this process -- socket --> keeper -- fork --> shepherd -- fork, exec --> command --> ...
          \____________________ socket _____________/
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Self

from builder.errors import CancelledError, IsolationError
from builder.runtime import shepherd
from builder.runtime.recorder import Recording  # noqa: TC001 - dataclasses read it
from builder.runtime.terminal import connect

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from builder.runtime.reins import Attached, Reins

_READ = 1 << 18


@dataclass(frozen=True, slots=True)
class Command:
    """A program of this machine, to be run under a shepherd."""

    arguments: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    cwd: str = "/"
    root: str | None = None
    """Change into this root directory first; ``cwd`` is then inside it."""
    user: tuple[int, int, tuple[int, ...]] | None = None
    """User, group and supplementary groups to become, after the root is changed."""
    umask: int = 0o022
    limits: tuple[tuple[str, int, int], ...] = ()
    """Resource limits: name as in ``resource.RLIMIT_...`` in lower case, soft, hard."""
    pid_file: str = ""
    """Where the program writes the id of the process that it leaves running, and that is waited for in its place."""
    start: tuple[str, ...] = ()
    """A program that starts that process, where it only waits to be started."""
    covered: str = ""
    """A directory in which the program finds nothing."""
    cgroup: str = ""
    """The name of a control group that the program makes, to be removed when all has ended."""
    cleanup: tuple[str, ...] = ()
    """A program that removes it where it is not at its usual place."""
    waits_for_all: bool = False
    """Whether the program itself waits for everything that the process it starts leaves running."""
    terminal: int | None = None
    """The descriptor of a person's terminal, with which the command is connected."""
    gate: str = ""
    """A filter for the calls of the program and all that it starts, in hexadecimal; see :mod:`builder.runtime.gate`."""
    recording: Recording | None = None
    """How to write down what ``chown`` is called with."""
    listener: str = ""
    """The Unix socket where somebody waits for the calls of the command, for :attr:`recording` or for another's."""
    identity: tuple[int, int, tuple[int, ...]] = (0, 0, ())
    """User, group and supplementary groups that its processes are told they have, where somebody waits for that."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended."""

    code: int
    """Its status; 128 and the signal's number where a signal ended it."""
    max_rss: int
    """Bytes of its largest process."""
    error: int = 0
    """The errno of why it could not be started."""
    started: bool = True
    """Whether a program with a ``pid_file`` has left a process running."""
    oom_kills: int = 0
    """How many processes the kernel has killed as their control group reached its limit of memory."""
    owned: Sequence[tuple[int, int, int, int, str, bool]] = ()
    """What was written down of owners, see :meth:`builder.runtime.recorder.Recorder.owned`."""


def _streams(command: Command, attached: Attached | None) -> tuple[int | None, list[int]]:
    """Give where output is to be read, and what the command gets: one for all output, or three, or nothing."""
    if attached is not None:
        given = attached.streams
        return None, [] if given is None else [given.stdin, given.stdout, given.stderr]
    reading, writing = os.pipe() if command.terminal is None else os.openpty()
    return reading, [writing]


class Keeper:
    """The process that starts commands; close it when no more are to be run."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        self.pid = os.fork()
        if self.pid == 0:
            ours.close()
            shepherd.keep(theirs)
        theirs.close()
        self._socket = ours
        self._lock = threading.Lock()
        self._lives: set[socket.socket] = set()
        self._closed = False

    def remove_afterwards(self, directory: Path) -> None:
        """Have ``directory`` unmounted and removed should this process die before the keeper is closed."""
        self._send({"remove": str(directory)}, [])

    def run(self, command: Command, output: Callable[[bytes], None], attached: Attached | None = None) -> Ended:
        """Run a command to its end; what it writes is handed on as it comes, or goes to what is ``attached``.

        Raises:
            IsolationError: the keeper is gone.
            CancelledError: :meth:`close` was called meanwhile.
        """
        with contextlib.ExitStack() as stack:
            life, their_life = socket.socketpair()
            stack.enter_context(life)
            reading, streams = _streams(command, attached)
            if reading is not None:
                stack.callback(os.close, reading)
            try:
                self._lives.add(life)
                stack.callback(self._lives.discard, life)
                self._send({"run": asdict(command)}, [their_life.fileno(), *streams])
            finally:
                their_life.close()
                if attached is None:
                    os.close(streams[0])
            reins = attached.reins if attached is not None else None
            if reins is not None:
                stack.callback(reins.release)
            try:
                if reins is not None:
                    reins.hold(life)
                elif command.terminal is not None and reading is not None:
                    connect(command.terminal, reading)
                else:
                    while reading is not None and (data := os.read(reading, _READ)):
                        output(data)
                return self._await(life, reins)
            except BaseException:
                life.shutdown(socket.SHUT_WR)
                while life.recv(4096):  # until the shepherd has ended everything
                    pass
                raise

    def _send(self, request: dict[str, object], descriptors: list[int]) -> None:
        # In a file, so that neither arguments nor environment meet a limit of sockets.
        content = os.memfd_create("request")
        try:
            with open(content, "w", encoding="utf-8", closefd=False) as file:
                json.dump(request, file)
            with self._lock:
                if self._closed:
                    raise CancelledError("the build was ended")
                socket.send_fds(self._socket, [b"."], [content, *descriptors])
        except OSError as error:
            raise IsolationError(f"the process that starts the steps is gone: {error}") from error
        finally:
            os.close(content)

    def _await(self, life: socket.socket, reins: Reins | None) -> Ended:
        answer = b""
        while data := life.recv(4096):
            answer += data
            if b"\n" in answer:
                started, _, answer = answer.partition(b"\n")
                if reins is not None:
                    reins.started(int(started))
        if self._closed:
            raise CancelledError("the build was ended")
        if not answer:
            raise IsolationError("the process that looked after the step was killed")
        return Ended(**json.loads(answer))

    def close(self) -> None:
        """End every command that runs, in whichever thread, and the keeper."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            for life in list(self._lives):
                with contextlib.suppress(OSError):
                    life.shutdown(socket.SHUT_WR)
            with contextlib.suppress(OSError):
                socket.send_fds(self._socket, [b"q"], [])
            self._socket.close()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
