"""Talk with the process that looks after a container, over a Unix socket beside the container's file.

A message is a JSON document with descriptors. The document lies in a file in memory, so that neither arguments nor
variables meet a limit of sockets.
"""

from __future__ import annotations

import json
import os
import socket
from typing import TYPE_CHECKING, Any

from layers.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from builder.containers.record import Container
    from builder.containers.store import Containers

_MOST = 3
"""Descriptors in one message besides its document."""


def send(connection: socket.socket, document: dict[str, Any], descriptors: Sequence[int] = ()) -> None:
    """Send a message.

    Raises:
        OSError: nobody is there to take it.
    """
    content = os.memfd_create("message")
    try:
        with open(content, "w", encoding="utf-8", closefd=False) as file:
            json.dump(document, file)
        socket.send_fds(connection, [b"."], [content, *descriptors])
    finally:
        os.close(content)


def receive(connection: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """Give the next message and its descriptors; None once the other side is gone."""
    try:
        data, descriptors, _, _ = socket.recv_fds(connection, 1, _MOST + 1)
    except ConnectionError:
        return None
    if not data or not descriptors:
        return None
    for each in descriptors:
        os.set_inheritable(each, False)
    with open(descriptors[0], "rb") as file:
        file.seek(0)
        document: dict[str, Any] = json.load(file)
    return document, descriptors[1:]


def pair() -> tuple[socket.socket, socket.socket]:
    """Give both ends of a connection."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def listen(containers: Containers, container: Container) -> socket.socket:
    """Give a socket on which whoever may use the store finds the process that looks after a container."""
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    path = containers.socket(container)
    path.unlink(missing_ok=True)
    directory = os.open(containers.directory, os.O_PATH | os.O_DIRECTORY)
    try:
        # by descriptor: a socket's path has no more than 107 bytes
        listening.bind(f"/proc/self/fd/{directory}/{path.name}")
        path.chmod(0o600)
    finally:
        os.close(directory)
    listening.listen(64)
    return listening


def connect(containers: Containers, container: Container) -> socket.socket:
    """Connect with the process that looks after a container.

    Raises:
        NotFoundError: there is none that listens.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        directory = os.open(containers.directory, os.O_PATH | os.O_DIRECTORY)
        try:
            connection.connect(f"/proc/self/fd/{directory}/{containers.socket(container).name}")
        finally:
            os.close(directory)
    except OSError as error:
        connection.close()
        raise NotFoundError(f"container {container.name} is not running") from error
    return connection


def signal(containers: Containers, container: Container, number: int) -> bool:
    """Send a signal to a container's process; say whether there was one."""
    try:
        with connect(containers, container) as connection:
            send(connection, {"signal": number})
            return receive(connection) is not None
    except (NotFoundError, OSError):
        return False
