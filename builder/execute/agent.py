"""The socket between a step and an SSH agent of the user's.

Spec: draft-ietf-sshm-ssh-agent.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

_LENGTH = struct.Struct(">I")
_MAX_MESSAGE = 256 << 10
_ALLOWED = frozenset({11, 13})
"""What a step may ask of an agent: to list its keys and to sign; not to add, remove or lock them."""
_FAILURE = _LENGTH.pack(1) + b"\x05"
_PATH_LIMIT = 100


class AgentProxy:
    """A socket that hands on to an SSH agent what a step may ask; leave the ``with`` block to close it.

    The socket is ours, so that its owner and mode can be what the step wants, and the agent sees its own user.
    """

    def __init__(self, path: Path, agent: Path) -> None:
        """Listen at ``path``.

        Raises:
            OSError: that is not possible.
        """
        self._agent = agent
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with _Short(path) as short:
                self._listener.bind(short)
            self._listener.listen()
        except BaseException:
            self._listener.close()
            raise
        self._connections: set[socket.socket] = set()
        self._thread = threading.Thread(target=self._accept, name="ssh-agent", daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._connections.add(connection)
            threading.Thread(target=self._serve, args=(connection,), name="ssh-agent", daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        """Answer one connection's requests until it ends."""
        with contextlib.suppress(OSError, EOFError), connection:
            try:
                with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as agent:
                    with _Short(self._agent) as short:
                        agent.connect(short)
                    while True:
                        request = _message(connection)
                        if request[_LENGTH.size] not in _ALLOWED:
                            connection.sendall(_FAILURE)
                            continue
                        agent.sendall(request)
                        connection.sendall(_message(agent))
            finally:
                self._connections.discard(connection)

    def close(self) -> None:
        """Close the socket and all connections."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()
        for connection in list(self._connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _message(source: socket.socket) -> bytes:
    """Read one message with its length; EOFError where the other side has ended."""
    head = _exactly(source, _LENGTH.size)
    (length,) = _LENGTH.unpack(head)
    if not 0 < length <= _MAX_MESSAGE:
        raise EOFError
    return head + _exactly(source, length)


def _exactly(source: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = source.recv(size - len(data))
        if not more:
            raise EOFError
        data += more
    return data


class _Short:
    """A name of a socket's path that fits into the few bytes that sockets take."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._directory = -1

    def __enter__(self) -> str:
        if len(os.fsencode(self._path)) <= _PATH_LIMIT:
            return str(self._path)
        self._directory = os.open(self._path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        return f"/proc/self/fd/{self._directory}/{self._path.name}"

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._directory >= 0:
            os.close(self._directory)
