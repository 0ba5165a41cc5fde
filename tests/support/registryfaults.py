"""Everything that a registry, or what stands before one, can do wrong with one request: a table of named faults.

A fault acts on the connection itself where an honest server could not: half an answer, headers without end.
"""

from __future__ import annotations

import gzip
import socket
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from tests.support.faults import status, with_headers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.support.registry import Action, Handler, Rewrite

Kind = Literal["passing", "lasting", "lying", "waiting", "harmless"]
"""
``passing``: the same request may work a moment later, and has to be tried again.
``lasting``: an answer that will not change.
``lying``: the answer is there and is not true; it may not matter for a request whose answer nobody looks at.
``waiting``: as passing, but known only by the time that goes by.
``harmless``: no reason to fail.
"""

OTHER = "sha256:" + "0" * 63 + "1"
CANARY = "http://127.0.0.1:1/elsewhere"
_STALLED_FOR = 60
_PAUSE = 0.001
"""Seconds between the pieces of a flood without end, so that it takes no whole processor."""


@dataclass(frozen=True)
class RegistryFault:
    """What happens to a request in place of its answer."""

    name: str
    kind: Kind
    action: Action


def _raw(handler: Handler, data: bytes) -> None:
    handler.wfile.write(data)
    handler.wfile.flush()


def _reset(handler: Handler) -> None:
    """Cut the connection as a crash does: with a reset instead of an end."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.close_connection = True
    handler.rfile.close()  # it would keep the socket open
    handler.connection.close()


def reset_before(handler: Handler) -> bool:
    _reset(handler)
    return True


def close_before(handler: Handler) -> bool:
    handler.close_connection = True
    return True


def reset_in_headers(handler: Handler) -> bool:
    _raw(handler, b"HTTP/1.1 200 OK\r\nContent-Le")
    _reset(handler)
    return True


def _half(body: bytes) -> tuple[bytes, Mapping[str, str]]:
    return body[: len(body) // 2], {"Content-Length": str(len(body)), "Connection": "close"}


def cut_in_body(handler: Handler) -> bool:
    """Let the registry answer, and half of it arrive."""
    handler.rewrite = _half
    return False


def reset_in_body(handler: Handler) -> bool:
    """Likewise, with a reset for an end."""
    handler.rewrite, handler.ending = _half, reset_before
    return False


def stall_before(handler: Handler) -> bool:
    handler.registry.stopped.wait(_STALLED_FOR)
    handler.close_connection = True
    return True


def stall_in_body(handler: Handler) -> bool:
    _raw(handler, b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n{")
    return stall_before(handler)


def _drip(start: bytes, piece: bytes) -> Action:
    """Send a little at a time, for ever, each time before a socket's own time limit ends."""

    def act(handler: Handler) -> bool:
        handler.close_connection = True
        _raw(handler, start)
        while not handler.registry.stopped.wait(0.02):
            _raw(handler, piece)
        return True

    return act


def _flood(start: bytes, piece: bytes, times: int, pause: float = 0.0) -> Action:
    """Send a lot, as fast as it is taken."""

    def act(handler: Handler) -> bool:
        handler.close_connection = True
        _raw(handler, start)
        for _ in range(times):
            if handler.registry.stopped.wait(pause):
                break
            _raw(handler, piece)
        return True

    return act


def _body(rewrite: Rewrite) -> Action:
    """Let the registry answer, and change what it says on its way."""

    def act(handler: Handler) -> bool:
        handler.rewrite = rewrite
        return False

    return act


def _unauthorised(challenge: str) -> Action:
    return status(401, b"{}", WWW_Authenticate=challenge)


def _to(location: str, code: int = 307) -> Action:
    return status(code, b"", Location=location)


def _moved(handler: Handler) -> bool:
    """Lead away, and answer there."""
    if "moved" in handler.query:
        return False
    handler.answer(307, b"", {"Location": f"{handler.path}{'&' if '?' in handler.path else '?'}moved=1"})
    return True


def _round(handler: Handler) -> bool:
    handler.answer(307, b"", {"Location": handler.path})
    return True


def _busy(code: int, retry_after: str = "") -> Action:
    return status(code, b"busy", Retry_After=retry_after)


def _chunk(body: bytes) -> bytes:
    return (f"{len(body):x}\r\n".encode() + body + b"\r\n" if body else b"") + b"0\r\n\r\n"


_CLOSE = {"Connection": "close"}
_DEEP = b"[" * 100_000
_CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
_GIB = 1 << 30
_MIB = bytes(1 << 20)

_PASSING: Mapping[str, Action] = {
    "reset before the headers": reset_before,
    "closed before the headers": close_before,
    "reset in the headers": reset_in_headers,
    "reset in the body": reset_in_body,
    "cut in the body": cut_in_body,
    "408": _busy(408),
    "429": _busy(429),
    "429 with seconds": _busy(429, "1"),
    "429 with a date": _busy(429, "Mon, 23 Nov 2015 10:00:00 GMT"),
    "429 with garbage": _busy(429, "as soon as you like"),
    "429 with a negative number": _busy(429, "-5"),
    "500": _busy(500),
    "502 of a proxy": status(502, b"<html><h1>Bad Gateway</h1></html>", Content_Type="text/html"),
    "503": _busy(503, "0"),
    "504": _busy(504),
}

_LASTING: Mapping[str, Action] = {
    "429 with a day": _busy(429, "86400"),
    "429 with a number beyond numbers": _busy(429, "9" * 400),
    "401 without a challenge": status(401, b"{}"),
    "401 with garbage": _unauthorised('\x01"=,,=Bearer realm,,"'),
    "401 for a scheme nobody knows": _unauthorised('Negotiate realm="x"'),
    "401 with a realm elsewhere": _unauthorised('Bearer realm="http://registry.example/token"'),
    "401 with a realm of a file": _unauthorised('Bearer realm="file:///etc/passwd"'),
    "403": status(403, b'{"errors": [{"code": "DENIED", "message": "no"}]}'),
    "404": status(404, b"{}"),
    "404 of a web site": status(404, b"<html>gone</html>", Content_Type="text/html"),
    "416": status(416, b""),
    "418": status(418, b""),
    "redirects in a circle": _round,
    "redirect to a file": _to("file:///etc/passwd"),
    "redirect to another scheme": _to("gopher://127.0.0.1/"),
    "redirect to a user": _to("http://user:password@127.0.0.1:1/"),
    "redirect to plain HTTP in the world": _to("http://registry.example/v2/"),
    "redirect to nowhere": _to(CANARY),
    "redirect to no address": _to("http://[::1"),
    "300 without a place": status(300, b""),
    "header line without end": _flood(b"HTTP/1.1 200 OK\r\nX: ", b"x" * 65536, 4096),
    "header lines without end": _flood(b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n" * 1000, 100_000),
    "no HTTP at all": _flood(b"", b"SSH-2.0-OpenSSH_9.2\r\n", 1),
    "a status beyond statuses": _flood(b"HTTP/1.1 99999 What\r\n\r\n", b"", 1),
    "two lengths": _flood(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{} ", b"", 1),
    "a negative length": _flood(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", b"", 1),
    "chunks of no size": _flood(_CHUNKED + b"zz\r\n{}\r\n", b"", 1),
    "a chunk's size without end": _flood(_CHUNKED, b"0" * 65536, 4096),
}

_LYING: Mapping[str, Action] = {
    "truncated": _body(lambda body: (body[: len(body) // 2], {})),
    "extra bytes": _body(lambda body: (body + b"more", {})),
    "another blob": _body(lambda body: (bytes(each ^ 1 for each in body), {})),
    "nothing": _body(lambda _: (b"", {})),
    "length too long": _body(lambda body: (body, {"Content-Length": str(len(body) + 10), **_CLOSE})),
    "length too short": _body(lambda body: (body, {"Content-Length": str(len(body) // 2), **_CLOSE})),
    "another content digest": with_headers(Docker_Content_Digest=OTHER),
    "garbage as content digest": with_headers(Docker_Content_Digest="md5:1"),
    "HTML for JSON": status(200, b"<html>Please log in</html>", Content_Type="text/html"),
    "JSON without end of nesting": status(200, _DEEP, Content_Type="application/json"),
    "JSON of another shape": status(200, b'{"schemaVersion": [], "layers": {}, "token": 5}'),
    "a list for an object": status(200, b"[]"),
    "bytes that are no text": status(200, b"\xff\xfe{}"),
    "a gigabyte": _flood(f"HTTP/1.1 200 OK\r\nContent-Length: {_GIB}\r\n\r\n".encode(), _MIB, 1024),
    "a stream without end": _flood(_CHUNKED, b"100000\r\n" + _MIB + b"\r\n", 1 << 20),
    "gzip": _body(lambda body: (gzip.compress(body), {"Content-Encoding": "gzip"})),
    "another media type": with_headers(Content_Type="text/plain"),
    "a contradicting media type": with_headers(
        Content_Type="application/vnd.docker.distribution.manifest.list.v2+json"
    ),
    "206 of another range": status(206, b"abc", Content_Range="bytes 5-7/100"),
    "206 of garbage": status(206, b"abc", Content_Range="bytes all"),
    "Location elsewhere": with_headers(Location=CANARY),
    "Location of a file": with_headers(Location="file:///etc/passwd"),
    "Location with a line break": with_headers(Location="/v2/\x0bx"),
    "no Location": with_headers(Location=""),
    "201 for anything": status(201, b""),
    "202 for anything": status(202, b""),
    "204 for anything": status(204, b""),
    "Range of an upload that holds less": with_headers(Range="0-0"),
    "Link to itself": with_headers(Link='</v2/app/tags/list>; rel="next"'),
}

_WAITING: Mapping[str, Action] = {
    "stalled before the headers": stall_before,
    "stalled in the body": stall_in_body,
    "headers that drip": _drip(b"HTTP/1.1 200 OK\r\nX: ", b"x"),
    "a body that drips": _drip(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", b" "),
    "trailers that drip": _drip(_CHUNKED + b"2\r\n{}\r\n0\r\n", b"X-A: b\r\n"),
    "trailers without end": _flood(_CHUNKED + b"2\r\n{}\r\n0\r\n", b"X-A: b\r\n" * 1000, 1 << 30, _PAUSE),
    "100 without end": _flood(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100, 1 << 30, _PAUSE),
}

_HARMLESS: Mapping[str, Action] = {
    "no length": _body(lambda body: (body, {"Content-Length": "", **_CLOSE})),
    "chunked": _body(lambda body: (_chunk(body), {"Content-Length": "", "Transfer-Encoding": "chunked"})),
    "many headers": with_headers(**{f"X_{i}": "x" * 100 for i in range(80)}),
    "a redirect to itself with a query": _moved,
}

_ALL: Mapping[Kind, Mapping[str, Action]] = {
    "passing": _PASSING,
    "lasting": _LASTING,
    "lying": _LYING,
    "waiting": _WAITING,
    "harmless": _HARMLESS,
}

FAULTS = tuple(RegistryFault(name, kind, act) for kind, actions in _ALL.items() for name, act in actions.items())
