"""A web server of files that remembers what it was asked: ``with web({"/a": b"content"}) as site: site.url``."""

from __future__ import annotations

import email.utils
import hashlib
import http.server
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@dataclass
class Web:
    """A running server; what it serves may be changed."""

    files: dict[str, bytes]
    modified: dict[str, int] = field(default_factory=dict)
    """Times by path, for Last-Modified."""
    moved: dict[str, str] = field(default_factory=dict)
    """Paths that lead elsewhere."""
    tokens: dict[str, str] = field(default_factory=dict)
    """What Authorization must be, by path."""
    etags: bool = True
    asked: list[tuple[str, int, Mapping[str, str]]] = field(default_factory=list)
    """Path, status and headers of each request."""
    url: str = ""

    def statuses(self, path: str) -> list[int]:
        """Give how requests for a path were answered."""
        return [status for asked, status, _ in self.asked if asked == path]


@contextmanager
def web(files: Mapping[str, bytes]) -> Iterator[Web]:
    """Serve on a free port."""
    site = Web(dict(files))

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            status, content, headers = _answer(site, path, dict(self.headers))
            site.asked.append((path, status, dict(self.headers)))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            if status != 304:
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if status != 304:
                self.wfile.write(content)

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the library's name
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    site.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield site
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _answer(site: Web, path: str, headers: Mapping[str, str]) -> tuple[int, bytes, dict[str, str]]:
    if path in site.moved:
        return 302, b"", {"Location": site.moved[path]}
    if path not in site.files:
        return 404, b"no such file", {}
    if path in site.tokens and headers.get("Authorization") != site.tokens[path]:
        return 401, b"who are you", {}
    content = site.files[path]
    answer = {}
    if path in site.modified:
        answer["Last-Modified"] = email.utils.formatdate(site.modified[path], usegmt=True)
    if site.etags:
        answer["ETag"] = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
        if headers.get("If-None-Match") == answer["ETag"]:
            return 304, b"", answer
    return 200, content, answer
