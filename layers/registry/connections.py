"""Connections on which an answer has to come, and not only its next byte.

A socket's own time limit begins anew with every byte: a server that sends headers, ``100 Continue`` or trailers for
ever would hold its client for ever. Here the limit is for all headers together, and for each piece of the body.
Imported where a request is made: urllib3 takes 80 ms.
"""

from __future__ import annotations

import http.client
import io
import time
from typing import TYPE_CHECKING, Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

if TYPE_CHECKING:
    import socket


class _Timed(io.RawIOBase):
    """What a socket receives, until a moment."""

    def __init__(self, sock: socket.socket, source: io.RawIOBase) -> None:
        self._sock = sock
        self._source = source
        self._limit = sock.gettimeout()
        self._end = 0.0
        self.start()

    def start(self) -> None:
        """Let the time begin in which the next piece has to come."""
        self._end = time.monotonic() + (self._limit or 0.0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview, /) -> int | None:  # type: ignore[override]  # typeshed's Buffer; only memoryviews come
        if self._limit is None:
            return self._source.readinto(buffer)
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        self._sock.settimeout(left)
        try:
            return self._source.readinto(buffer)
        finally:
            if self._sock.fileno() >= 0:
                self._sock.settimeout(self._limit)  # for what is sent next on this connection

    def close(self) -> None:
        if not self.closed:
            self._source.close()
        super().close()


class _Answer(http.client.HTTPResponse):
    """An answer whose headers, and each piece of whose body, come within the socket's time limit."""

    def __init__(self, sock: socket.socket, *arguments: Any, **options: Any) -> None:
        super().__init__(sock, *arguments, **options)
        self._timed = _Timed(sock, self.fp.detach())
        self.fp = io.BufferedReader(self._timed)

    def begin(self) -> None:
        self._timed.start()
        super().begin()

    def read(self, amt: int | None = None) -> bytes:
        self._timed.start()
        return super().read(amt)

    def read1(self, n: int = -1) -> bytes:
        self._timed.start()
        return super().read1(n)


class _Plain(HTTPConnection):
    response_class = _Answer


class _Tls(HTTPSConnection):
    response_class = _Answer


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _Plain


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _Tls


_POOLS: dict[str, type[HTTPConnectionPool]] = {"http": _PlainPool, "https": _TlsPool}


def direct(**options: Any) -> urllib3.PoolManager:
    """Give a manager of such connections; ``options`` are urllib3's."""
    return _patient(urllib3.PoolManager(**options))


def through(proxy: str, **options: Any) -> urllib3.ProxyManager:
    """Give a manager of such connections through the proxy of this URL; ``options`` are urllib3's."""
    manager = urllib3.ProxyManager(proxy, **options)
    _patient(manager)
    return manager


def _patient(manager: urllib3.PoolManager) -> urllib3.PoolManager:
    manager.pool_classes_by_scheme = _POOLS
    return manager
