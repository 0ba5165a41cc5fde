"""Be attached to a container's process: hand on what is typed, what is written, and signals, until it ends.

The streams here are this process' own. With a terminal on both sides every key is the container's, and the size of the
window is; the terminal is as it was in the end, however that comes.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import struct
import termios
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from builder.containers import control
from builder.errors import BuildError
from builder.runtime.terminal import raw

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from types import FrameType

_READ = 1 << 16
_PROXIED = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGCONT")
_PATIENCE = 3
"""So many requests to end are handed on before this process takes one for itself."""
DETACH_KEYS = b"\x10\x11"
"""Ctrl-P, Ctrl-Q."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a session ended."""

    code: int
    error: str = ""
    """Why the process could not be started."""
    detached: bool = False


class NotRunningError(BuildError):
    """There is no process in the container that could be joined."""


class Session:
    """What connects this process' streams with those of a container's process."""

    def __init__(
        self, connection: socket.socket, *, stdin: bool, tty: bool, proxy: bool = True, keys: bytes = DETACH_KEYS
    ) -> None:
        """``stdin`` is whether input is handed on; ``keys`` are those that detach, where there is a terminal."""
        self._connection = connection
        self._stdin = stdin
        self._tty = tty
        self._proxy = proxy
        self._keys = keys
        self._terminal = 0 if stdin and tty and os.isatty(0) else None
        self._outputs: dict[int, int] = {}
        """What is read, and where it goes."""
        self._input: int | None = None
        self._asked = 0
        self._detached = False
        self._gone = False
        """Whether the terminal was closed."""
        self._result: dict[str, Any] = {}

    @property
    def wanted(self) -> dict[str, Any]:
        """What the other side has to know: the size of the window."""
        for descriptor in (0, 1, 2):
            if self._tty and os.isatty(descriptor):
                rows, columns = struct.unpack("HHHH", fcntl.ioctl(descriptor, termios.TIOCGWINSZ, bytes(8)))[:2]
                return {"size": [rows, columns]}
        return {}

    def run(self, request: dict[str, Any]) -> Ended:
        """Send the request, and hand on everything until the process has ended or the user has detached himself.

        Raises:
            NotRunningError: there is no process to be joined.
            BuildError: the other side says why it cannot be done, or was killed.
        """
        with contextlib.ExitStack() as stack:
            sinks = []
            for own in (1,) if self._tty else (1, 2):
                reading, writing = os.pipe()
                self._outputs[reading] = own
                stack.callback(self._close_output, reading)
                sinks.append(writing)
            try:
                control.send(self._connection, request, sinks)
            except OSError as error:
                raise NotRunningError("the container's process has ended") from error
            finally:
                for each in sinks:
                    os.close(each)
            stack.enter_context(self._signals())
            if self._terminal is not None:
                stack.enter_context(raw(self._terminal))
            self._loop()
        if self._detached:
            return Ended(0, detached=True)
        return _ended(self._result)

    def _loop(self) -> None:
        poll = select.poll()
        for descriptor in (self._connection.fileno(), self._waking, *self._outputs):
            poll.register(descriptor, select.POLLIN)
        connected = True
        while (connected or self._outputs) and not self._detached:
            for descriptor, _ in poll.poll():
                if descriptor == self._waking:
                    self._take_signals()
                elif descriptor in self._outputs:
                    data = os.read(descriptor, _READ)
                    if data:
                        _write(self._outputs[descriptor], data)
                    else:
                        poll.unregister(descriptor)
                        self._close_output(descriptor)
                elif connected:
                    connected = self._take_message()
                    if not connected:
                        poll.unregister(descriptor)

    def _close_output(self, descriptor: int) -> None:
        if self._outputs.pop(descriptor, None) is not None:
            os.close(descriptor)

    def _take_message(self) -> bool:
        """Take one message; False at the end of the connection."""
        message = control.receive(self._connection)
        if message is None:
            return False
        document, descriptors = message
        if "terminal" in document:
            self._input = descriptors[0]
            if self._stdin:
                threading.Thread(target=self._hand_in, args=(self._input,), daemon=True).start()
            elif not self._tty:
                os.close(self._input)
        elif "code" in document or "failed" in document:
            self._result = document
        return True

    def _hand_in(self, target: int) -> None:
        """Hand on this process' input until it ends."""
        held = b""
        with contextlib.suppress(OSError):  # the process has ended
            while data := _read_input():
                if self._terminal is not None and self._keys:
                    data, held, detached = _without_keys(held + data, self._keys)
                    if detached:
                        _write(target, data)
                        self._detach()
                        return
                _write(target, data)
        if not self._tty:
            os.close(target)
        elif self._terminal is not None:
            self._gone = True
            os.write(self._waker, b"\0")

    def _detach(self) -> None:
        control.send(self._connection, {"detach": True})
        self._detached = True
        os.write(self._waker, b"\0")

    # Signals

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """Have signals come through a pipe."""
        self._waking, self._waker = os.pipe()
        os.set_blocking(self._waker, False)
        wanted = [getattr(signal, name) for name in _PROXIED] if self._proxy else []
        if self._tty:
            wanted.append(signal.SIGWINCH)
        before = {number: signal.signal(number, _noted) for number in wanted}
        waker = signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(waker)
            for number, handler in before.items():
                signal.signal(number, handler)
            os.close(self._waking)

    def _take_signals(self) -> None:
        if self._gone:
            raise BuildError("the terminal was closed")
        for number in os.read(self._waking, 64):
            if number == signal.SIGWINCH:
                size = self.wanted.get("size")
                if size and self._input is not None:
                    with contextlib.suppress(OSError):
                        fcntl.ioctl(self._input, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))
            elif number:
                self._asked += number in {signal.SIGINT, signal.SIGTERM}
                if self._asked >= _PATIENCE:
                    raise BuildError(f"got {_PATIENCE} SIGTERM/SIGINTs, forcefully exiting")
                with contextlib.suppress(OSError):
                    control.send(self._connection, {"signal": number})


def _noted(_number: int, _frame: FrameType | None) -> None:
    """Do nothing: the number comes through the pipe."""


def watch(connection: socket.socket, request: dict[str, Any] | None = None) -> None:
    """Wait until a process has started in the background.

    Raises:
        NotStartedError: it could not be.
        BuildError: the other side says why nothing was tried, or was killed.
    """
    control.send(connection, request or {"watch": True})
    while (message := control.receive(connection)) is not None:
        document, descriptors = message
        for each in descriptors:
            os.close(each)
        if "started" in document:
            return
        if "code" in document or "failed" in document:
            ended = _ended(document)
            if ended.error:
                raise NotStartedError(ended.error, ended.code)
            return
    _ended({})


class NotStartedError(BuildError):
    """A process could not be started: ``code`` is what Docker would end with."""

    def __init__(self, reason: str, code: int) -> None:
        super().__init__(f"the process could not be started: {reason}")
        self.code = code


def _ended(result: dict[str, Any]) -> Ended:
    if "failed" in result:
        kind = NotRunningError if result.get("retry") else BuildError
        raise kind(result["failed"], hint=result.get("hint") or "")
    if "code" not in result:
        raise BuildError("the process that looks after the container was killed")
    return Ended(result["code"], result.get("error", ""))


def _without_keys(data: bytes, keys: bytes) -> tuple[bytes, bytes, bool]:
    """Give what is to be handed on, what may be the beginning of ``keys``, and whether they were there."""
    before, found, _ = data.partition(keys)
    if found:
        return before, b"", True
    for length in range(min(len(keys) - 1, len(data)), 0, -1):
        if data.endswith(keys[:length]):
            return data[:-length], data[-length:], False
    return data, b"", False


def _read_input() -> bytes:
    try:
        return os.read(0, _READ)
    except OSError:  # a terminal that was closed
        return b""


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
