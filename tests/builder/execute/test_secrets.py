"""Secrets, and the socket between a step and an SSH agent."""

from __future__ import annotations

import os
import socket
import struct
import threading
from typing import TYPE_CHECKING

import pytest

from builder.errors import StepError
from builder.execute.agent import AgentProxy
from builder.execute.secrets import Secret

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def message(kind: int, body: bytes = b"") -> bytes:
    return struct.pack(">IB", 1 + len(body), kind) + body


def read(connection: socket.socket) -> bytes:
    with connection.makefile("rb") as file:
        head = file.read(4)
        return head + file.read(struct.unpack(">I", head)[0]) if len(head) == 4 else b""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A directory whose path is too long for a socket's name."""
    path = tmp_path / ("d" * 120)
    path.mkdir()
    return path


@pytest.fixture
def agent(directory: Path) -> Iterator[list[bytes]]:
    """An agent that answers everything with its own kind plus one; gives what it was asked."""
    asked: list[bytes] = []
    listener = socket.socket(socket.AF_UNIX)
    here = os.open(directory, os.O_PATH)
    listener.bind(f"/proc/self/fd/{here}/agent")
    os.close(here)
    listener.listen()

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                while request := read(connection):
                    asked.append(request)
                    connection.sendall(message(request[4] + 1, b"answer"))

    thread = threading.Thread(target=serve)
    thread.start()
    yield asked
    listener.shutdown(socket.SHUT_RDWR)
    thread.join()
    listener.close()


def connected(directory: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(10)
    here = os.open(directory, os.O_PATH)
    try:
        connection.connect(f"/proc/self/fd/{here}/proxy")
    except OSError:
        connection.close()
        raise
    finally:
        os.close(here)
    return connection


def test_a_step_may_list_keys_and_sign_and_nothing_else(directory: Path, agent: list[bytes]) -> None:
    with AgentProxy(directory / "proxy", directory / "agent"), connected(directory) as step:
        answers = []
        for request in (message(11), message(17, b"a new key"), message(13, b"to sign"), message(19)):
            step.sendall(request)
            answers.append(read(step))

    assert [message(12, b"answer"), message(5), message(14, b"answer"), message(5)] == answers
    assert [message(11), message(13, b"to sign")] == agent


def test_nonsense_ends_the_connection(directory: Path, agent: list[bytes]) -> None:
    with AgentProxy(directory / "proxy", directory / "agent"), connected(directory) as step:
        step.sendall(b"\xff\xff\xff\xff")
        assert read(step) == b""

    assert not agent


def test_closing_ends_connections_that_are_open(directory: Path, agent: list[bytes]) -> None:
    with AgentProxy(directory / "proxy", directory / "agent"):
        step = connected(directory)
        step.sendall(message(11))
        assert read(step)
    with step:
        assert read(step) == b""
    with pytest.raises(OSError, match="refused"):
        connected(directory)
    assert [message(11)] == agent


def test_a_secret_is_read_when_it_is_needed(tmp_path: Path) -> None:
    secret = Secret(tmp_path / "s")
    (tmp_path / "s").write_bytes(b"later")

    assert b"later" == secret.read("s")
    assert b"value" == Secret(value=b"value").read("s")
    assert "value" not in repr(Secret(value=b"value"))


def test_a_secret_that_is_missing_or_too_large_is_named(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(bytes((500 << 10) + 1))

    with pytest.raises(StepError, match="secret large has more than"):
        Secret(tmp_path / "large").read("large")
    with pytest.raises(StepError, match="secret absent: cannot read"):
        Secret(tmp_path / "absent").read("absent")
