"""A store that is served, in this process; and a plain HTTP client to ask it with."""

from __future__ import annotations

import http.client
import io
import json
import socket
import threading
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from email.message import Message
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from layers.digest import Digest
from layers.serving.server import Served, Server
from layers.serving.settings import Settings
from layers.serving.wire import Body, Pace

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from layers.image import Image
    from layers.store.layout import Layout

_PATIENCE = 60


@dataclass(frozen=True)
class Answer:
    """What the server said."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The specification's name of the error."""
        found: str = self.json["errors"][0]["code"]
        return found


@dataclass
class Service:
    """A store and where it is served: ``service("GET", "/v2/app/tags/list")``."""

    layout: Layout
    server: Server
    reported: list[Served] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server.port}"

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """Ask once, on a connection of its own; ``Content_Type="x"`` is a header."""
        connection = http.client.HTTPConnection(self.address, timeout=_PATIENCE)
        with closing(connection):
            given = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, given, encode_chunked=hasattr(body, "__next__"))
            answer = connection.getresponse()
            return Answer(answer.status, dict(answer.headers), answer.read())

    def raw(self, request: bytes) -> bytes:
        """Send these bytes, and give all that comes until the server ends the connection."""
        with socket.create_connection(("127.0.0.1", self.server.port), timeout=_PATIENCE) as connection:
            connection.sendall(request)
            found = b""
            while data := connection.recv(1 << 16):
                found += data
            return found

    def blob(self, repository: str, content: bytes) -> Digest:
        """Push a blob in one request."""
        digest = Digest.of(content)
        answer = self("POST", f"/v2/{repository}/blobs/uploads/?digest={digest}", content)
        assert answer.status == 201, answer
        return digest

    def image(self, repository: str, reference: str, image: Image) -> Answer:
        """Push an image, its blobs first."""
        for layer in image.layers:
            with layer.open() as reader:
                self.blob(repository, reader.read())
        self.blob(repository, image.config_bytes)
        return self.manifest(repository, reference, image.manifest_bytes, image.manifest.media_type)

    def manifest(self, repository: str, reference: str, content: bytes, media_type: str) -> Answer:
        """Push a manifest alone."""
        return self("PUT", f"/v2/{repository}/manifests/{reference}", content, Content_Type=media_type)


@contextmanager
def serving(layout: Layout, **settings: Any) -> Iterator[Service]:
    """Serve a store on a free port while the block lasts."""
    reported: list[Served] = []
    with Server(layout, Settings(port=0, tick=0.02, **settings), reported.append) as server:
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            yield Service(layout, server, reported)
        finally:
            server.stop()
            thread.join(_PATIENCE)


def body(content: bytes, **headers: str) -> tuple[Body, BinaryIO]:
    """Give the body of a request with these headers, and what its bytes come from."""
    message = Message()
    for name, value in headers.items():
        message[name.replace("_", "-")] = value
    source = cast("BinaryIO", io.BufferedReader(io.BytesIO(content)))
    return Body(source, message, Pace(60), lambda: None), source
