"""Where the streams of a container's process meet those who are attached to it."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select
import socket
import struct
import termios
import threading
from typing import TYPE_CHECKING, Any

from builder.containers import control
from builder.runtime.reins import Attached, Reins, Streams

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from builder.containers.logs import LogWriter
    from builder.containers.work import Task

_READ = 1 << 16


class _Client:
    """Somebody who is attached: his connection, and where he reads output."""

    def __init__(self, connection: socket.socket, sinks: Sequence[int]) -> None:
        self.connection = connection
        self.attached = bool(sinks)
        self._sinks = dict(zip(("stdout", "stderr"), sinks, strict=False))
        self._lock = threading.Lock()

    def write(self, stream: str, data: bytes) -> None:
        with self._lock:
            sink = self._sinks.get(stream)
            try:
                while sink is not None and data:
                    data = data[os.write(sink, data) :]
            except OSError:  # he is gone
                os.close(self._sinks.pop(stream))

    def end(self) -> None:
        """Let him see that there is no more."""
        with self._lock:
            while self._sinks:
                os.close(self._sinks.popitem()[1])


class Hub:
    """The streams of one process, and who is attached."""

    def __init__(self, task: Task) -> None:
        self.reins = Reins()
        self.running = True
        """Whether the process has not ended."""
        self._task = task
        self._lock = threading.Lock()
        self._clients: list[_Client] = []
        self._log: LogWriter | None = None
        self._pumps: list[threading.Thread] = []
        self._size: tuple[int, int] | None = None
        self._input: int | None = None
        """Where what is written becomes the process' input: a pipe, or the other side of its terminal."""
        self._theirs: list[int] = []
        self._ours: dict[str, int] = {}
        if not task.tty:
            self._make_pipes()

    def _make_pipes(self) -> None:
        if self._task.open_stdin:
            reading, self._input = os.pipe()
        else:
            reading = os.open(os.devnull, os.O_RDONLY)
        self._theirs = [reading]
        for stream in ("stdout", "stderr"):
            self._ours[stream], writing = os.pipe()
            self._theirs.append(writing)

    @property
    def attached(self) -> Attached:
        """What the process is run with."""
        if self._task.tty:
            return Attached(self.reins, console=self._take_console)
        return Attached(self.reins, Streams(*self._theirs))

    def begin(self, log: LogWriter | None) -> None:
        """Begin to hand on what is written."""
        self._log = log
        if self._ours:
            self._pump({descriptor: stream for stream, descriptor in self._ours.items()})

    def _pump(self, streams: Mapping[int, str]) -> None:
        thread = threading.Thread(target=self._hand_on, args=(dict(streams),), daemon=True)
        self._pumps.append(thread)
        thread.start()

    def _hand_on(self, streams: dict[int, str]) -> None:
        """Hand on what comes, in one thread, so that output and errors stay in order as far as one can see it."""
        self.reins.settled.wait()
        poll = select.poll()
        for descriptor in streams:
            poll.register(descriptor, select.POLLIN)
        while streams:
            ready = {descriptor for descriptor, _ in poll.poll()}
            for descriptor in [each for each in streams if each in ready]:
                data = _read(descriptor)
                if not data:
                    poll.unregister(descriptor)
                    del streams[descriptor]
                elif self.reins.pid:  # else it is a runtime's own complaint, which is told as the error
                    self._spread(streams[descriptor], data)

    def _spread(self, stream: str, data: bytes) -> None:
        if self._log is not None:
            self._log.write(stream, data)
        with self._lock:
            clients = list(self._clients)
        for client in clients:
            client.write(stream, data)

    def _take_console(self, master: int) -> None:
        """Take the other side of the process' terminal."""
        with self._lock:
            if self._size is not None:
                fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", *self._size, 0, 0))
            self._input = self._ours["terminal"] = master
            for client in self._clients:
                if client.attached:
                    self._give_input(client)
        self._pump({master: "stdout"})

    def watch(self, connection: socket.socket) -> None:
        """Let somebody know how it begins and ends."""
        with self._lock:
            self._clients.append(_Client(connection, ()))

    def add(self, connection: socket.socket, sinks: Sequence[int], wanted: dict[str, Any]) -> None:
        """Attach somebody who reads what is written to ``sinks``; he is given the process' input."""
        with self._lock:
            client = _Client(connection, sinks)
            self._clients.append(client)
            self._size = wanted.get("size") or self._size
            self._give_input(client)

    def _give_input(self, client: _Client) -> None:
        if self._input is None:
            return
        with contextlib.suppress(OSError):
            control.send(client.connection, {"terminal": self._task.tty}, [self._input])
        if not self._task.tty and self._task.stdin_once:
            os.close(self._input)  # so that its end is the input's
            self._input = None

    def drop(self, connection: socket.socket) -> None:
        """Let somebody go."""
        with self._lock:
            gone = [each for each in self._clients if each.connection is connection]
            self._clients = [each for each in self._clients if each.connection is not connection]
        for each in gone:
            each.end()

    def tell_started(self) -> None:
        """Tell everybody that the process runs."""
        with self._lock:
            for client in self._clients:
                with contextlib.suppress(OSError):
                    control.send(client.connection, {"started": self.reins.pid})

    def end(self) -> None:
        """Hand on the last of what was written, once the process has ended."""
        self.running = False
        self.reins.settled.set()
        for each in self._theirs:
            os.close(each)
        self._theirs = []
        for pump in self._pumps:
            pump.join()
        for each in {*self._ours.values(), *([] if self._input is None else [self._input])}:
            os.close(each)
        self._ours, self._input = {}, None
        with self._lock:
            for client in self._clients:
                client.end()

    def tell(self, outcome: dict[str, Any], *others: socket.socket) -> None:
        """Tell everybody, and ``others``, how it ended."""
        with self._lock:
            for connection in {*others, *(each.connection for each in self._clients)}:
                with contextlib.suppress(OSError):
                    control.send(connection, outcome)

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            for client in self._clients:
                with contextlib.suppress(OSError):
                    client.connection.shutdown(socket.SHUT_RDWR)  # a thread may be reading it
                client.connection.close()


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, _READ)
    except OSError as error:
        if error.errno == errno.EIO:  # nobody has the terminal open any more
            return b""
        raise
