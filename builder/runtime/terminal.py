"""Connect a person's terminal with a pseudo-terminal in which a process runs, until that process ends."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select
import termios
import tty
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_READ = 1 << 16
_LOOK = 0.2
"""Seconds between two looks at the size of the window."""


def connect(terminal: int, master: int) -> None:
    """Hand on every key and all output; every key, Ctrl-C too, is the process's."""
    with raw(terminal):
        size = b""
        while True:
            size = _copy_size(terminal, master, size)
            ready, _, _ = select.select([terminal, master], [], [], _LOOK)
            if master in ready:
                data = _read(master)
                if not data:
                    return
                _write(terminal, data)
            if terminal in ready:
                _write(master, _read(terminal) or b"\x04")


@contextlib.contextmanager
def raw(terminal: int) -> Iterator[None]:
    before = termios.tcgetattr(terminal)
    tty.setraw(terminal, termios.TCSADRAIN)  # what was typed ahead stays
    try:
        yield
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)


def _copy_size(terminal: int, master: int, before: bytes) -> bytes:
    """Let the process have a window as large as the person has; give its size."""
    size = fcntl.ioctl(terminal, termios.TIOCGWINSZ, bytes(8))
    if size != before:
        fcntl.ioctl(master, termios.TIOCSWINSZ, size)
    return size


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, _READ)
    except OSError as error:
        if error.errno == errno.EIO:  # nobody has the other side open
            return b""
        raise


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
