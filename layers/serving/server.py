"""The server: connections, threads, deadlines; what is asked on them is answered by :class:`Service`."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import socketserver
import sys
import threading
import time
from dataclasses import dataclass, replace
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, BinaryIO, Self, cast
from urllib.parse import parse_qs, unquote, urlsplit

from layers.errors import LayersError
from layers.serving.messages import Request, Response
from layers.serving.names import Addresses
from layers.serving.refusal import RefusalError
from layers.serving.service import Service, is_address
from layers.serving.wire import Body, BrokenError, Pace

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from layers.serving.messages import FilePart
    from layers.serving.settings import Settings
    from layers.store.layout import Layout

_SLICE = 1 << 20
_DRAINED = 16 << 20
"""Bytes of a refused body that are read over, so that the client gets to read why."""
_MAX_REQUEST_LINE = 8192
_ENDING = 10.0
"""Seconds that requests at work are given when the server ends."""
_ALWAYS = {
    "Server": "pybuild",
    "Docker-Distribution-API-Version": "registry/2.0",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True, slots=True)
class Served:
    """One request that has been answered."""

    client: str
    """The client's address."""
    method: str
    path: str
    status: int
    size: int
    """Bytes of the answer."""
    seconds: float
    cause: str
    """Why it failed, where that is this side's fault; not told to the client."""


class Server:
    """A store, served over HTTP: ``with Server(layout, settings) as server: server.run()``."""

    def __init__(self, layout: Layout, settings: Settings, report: Callable[[Served], None] = lambda _: None) -> None:
        """Begin to listen; ``report`` is told of each request, from several threads.

        Raises:
            OSError: the address is taken, or none of this machine.
        """
        self._listener = _Listener(settings, report)
        self.host, self.port = str(self._listener.server_address[0]), self._listener.server_address[1]
        """Where it listens."""
        own = {"localhost", "127.0.0.1", "[::1]", f"[{self.host}]" if ":" in self.host else self.host, *settings.names}
        if not is_address(settings.host):
            settings = replace(settings, names=(*settings.names, settings.host))
            own.add(settings.host)
        addresses = Addresses(frozenset(f"{each}:{self.port}" for each in own))
        self._listener.service = Service(layout, settings, addresses)

    def run(self) -> None:
        """Answer requests until :meth:`stop` is called by another thread, or an exception ends this one."""
        self._listener.tidying.start()
        self._listener.serve_forever(self._listener.settings.tick)

    def stop(self) -> None:
        """Let :meth:`run` return."""
        self._listener.shutdown()

    def close(self) -> None:
        """End: cut the connections, wait for the requests at work, forget what is not finished."""
        self._listener.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    service: Service

    def __init__(self, settings: Settings, report: Callable[[Served], None]) -> None:
        found = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)
        self.address_family = found[0][0]
        self.settings = settings
        self.report = report
        self._guard = threading.Lock()
        self._connections: dict[threading.Thread, _Connection] = {}
        self._places = threading.BoundedSemaphore(settings.max_connections)
        self._ended = threading.Event()
        self.tidying = threading.Thread(target=self._tidy, name="tidying", daemon=True)
        """Beside the rest, since it may wait: for a push that waits for a collector."""
        super().__init__(found[0][4][:2], _Connection)  # type: ignore[arg-type] # an address of either family

    def server_bind(self) -> None:
        """Take the address; the base class would also ask DNS for its name."""
        socketserver.TCPServer.server_bind(self)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Give a connection a thread, as long as there are few."""
        if self._places.acquire(blocking=False):
            try:
                super().process_request(request, client_address)
            except RuntimeError:  # no thread is to be had
                self._places.release()
                self.shutdown_request(request)
            return
        with contextlib.suppress(OSError):
            request.setblocking(False)
            request.send(b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve a connection to its end, in a thread of its own."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._guard:
                self._connections.pop(threading.current_thread(), None)
            self._places.release()

    def enter(self, connection: _Connection) -> None:
        """Watch over a connection."""
        with self._guard:
            self._connections[threading.current_thread()] = connection

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - the library's
        """Report what nobody had thought of."""
        error = sys.exc_info()[1]
        if not isinstance(error, ConnectionError):
            self.report(Served(str(client_address[0]), "", "", 0, 0, 0.0, f"{type(error).__name__}: {error}"))

    def service_actions(self) -> None:
        """Cut connections whose time is over."""
        now = time.monotonic()
        with self._guard:
            late = [each for each in self._connections.values() if each.pace.deadline < now]
        for each in late:
            each.cut()

    def _tidy(self) -> None:
        while not self._ended.wait(self.settings.tick):
            self.service.expire()

    def close(self) -> None:
        """Cut all connections, and give requests at work a little time."""
        self.server_close()
        self._ended.set()
        with self._guard:
            connections = dict(self._connections)
        for each in connections.values():
            each.cut()
        end = time.monotonic() + _ENDING
        for thread in [*connections, *([self.tidying] if self.tidying.is_alive() else [])]:
            thread.join(max(0.0, end - time.monotonic()))
        self.service.close()


class _Connection(BaseHTTPRequestHandler):
    """One connection, with one request after the other."""

    protocol_version = "HTTP/1.1"
    server: _Listener

    def setup(self) -> None:
        """Begin, watched over."""
        super().setup()
        self.pace = Pace(self.server.settings.patience)
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.server.enter(self)

    def cut(self) -> None:
        """End it from another thread: who waits on it wakes up."""
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's
        """Say nothing: requests are reported as values."""

    def handle_expect_100(self) -> bool:
        """Answer ``Expect`` only when the body is wanted."""
        self._expected = True
        return True

    def handle_one_request(self) -> None:
        """Read a request, answer it, and say whether another may follow."""
        self._expected = False
        self.pace.renew()
        try:
            if not self._read_head():
                self.close_connection = True
                return
            self._serve()
        except (BrokenError, ConnectionError, TimeoutError):
            self.close_connection = True

    def _read_head(self) -> bool:
        """Read the request line and the headers; False where nothing more is asked."""
        read: list[bool] = []

        def head() -> int:
            self.raw_requestline = self.rfile.readline(_MAX_REQUEST_LINE)
            if len(self.raw_requestline) == _MAX_REQUEST_LINE:
                self.send_error(414)
                return 0
            read.append(self.raw_requestline.endswith(b"\n") and self.parse_request())
            return len(self.raw_requestline)

        self.pace.wait(head)
        return any(read)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer what could not even be read."""
        del explain
        self.close_connection = True
        refusal = RefusalError(code, "UNSUPPORTED", message or HTTPStatus(code).phrase)
        self._send(refused(refusal), head_only=False)

    def _serve(self) -> None:
        started = time.monotonic()
        body: Body | None = None
        cause = ""
        try:
            body = Body(cast("BinaryIO", self.rfile), self.headers, self.pace, self._go_on)
            response = self.server.service.answer(self._request(body))
        except RefusalError as error:
            response, cause = refused(error), str(error.__cause__ or "")
        except LayersError as error:
            response, cause = refused(RefusalError(500, "UNKNOWN", "the store cannot be read")), str(error)
        try:
            linger = self._finish_body(body)
            self._send(response, head_only=self.command == "HEAD")
        finally:
            if not isinstance(response.content, bytes):
                response.content.close()
            client, seconds = str(self.client_address[0]), time.monotonic() - started
            asked = printable(self.command), printable(self.path)
            self.server.report(Served(client, *asked, response.status, response.size, seconds, cause))
        if linger and body is not None:
            self._linger(body)

    def _request(self, body: Body) -> Request:
        """Give the request as a value.

        Raises:
            RefusalError: its target is none.
        """
        try:
            target = urlsplit(self.path)
            query = parse_qs(target.query, max_num_fields=50) if target.query else {}
            path = unquote(target.path, errors="strict")
        except ValueError:
            raise RefusalError(400, "UNSUPPORTED", "the request's target cannot be read") from None
        return Request(self.command, path, query, self.headers, body)

    def _go_on(self) -> None:
        if self._expected:
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _finish_body(self, body: Body | None) -> bool:
        """Read over what is left of a small body; tell whether the client is still sending after the answer."""
        if body is None or (body.promised and self._expected):
            self.close_connection = True
            return False
        left = _DRAINED
        while not body.over and left > 0:
            left -= len(body.read(1 << 16))
        if not body.over:
            self.close_connection = True
        return not body.over

    def _send(self, response: Response, *, head_only: bool) -> None:
        empty = response.status in {204, 304}
        headers = dict(_ALWAYS) | dict(response.headers)
        if not empty:
            headers["Content-Length"] = str(response.size)
        if self.close_connection:
            headers["Connection"] = "close"
        lines = [f"HTTP/1.1 {response.status} {HTTPStatus(response.status).phrase}"]
        lines += [f"{name}: {printable(value)}" for name, value in headers.items()]
        head = "\r\n".join([*lines, "", ""]).encode("ascii")
        content = b"" if head_only or empty else response.content
        if isinstance(content, bytes):
            self._send_bytes(head + content)
        else:
            self._send_bytes(head)
            self._send_file(content)

    def _send_bytes(self, content: bytes) -> None:
        view = memoryview(content)
        while view:
            view = view[self.pace.wait(lambda data=view[:_SLICE]: self.connection.send(data)) :]  # type: ignore[misc]

    def _send_file(self, part: FilePart) -> None:
        """Send a blob without having its bytes pass through here."""
        at, end, out = part.start, part.start + part.count, self.connection.fileno()
        while at < end:
            count = self.pace.wait(lambda at=at: os.sendfile(out, part.file, at, min(_SLICE, end - at)))  # type: ignore[misc]
            if not count:
                raise BrokenError("the blob is shorter than it was")
            at += count

    def _linger(self, body: Body) -> None:
        """Let a client that is still sending read the answer: closing at once would take it from its hands."""
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
        with contextlib.suppress(BrokenError, OSError):
            left = _DRAINED
            while left > 0 and (data := body.read(1 << 16)):
                left -= len(data)


def refused(refusal: RefusalError) -> Response:
    """Give a refusal as the answer."""
    return Response(refusal.status, {"Content-Type": "application/json", **refusal.headers}, refusal.body)


def printable(text: str) -> str:
    """Give what a client sent without what could steer a terminal."""
    return re.sub(r"[^\x20-\x7e]", "?", text[:1000])
