"""A whole registry in memory, over real HTTP on loopback, that can be told to misbehave.

``with Registry(auth="bearer") as registry: registry.fault("GET", "/blobs/", faults.drop_after(1000), times=2)``
"""

from __future__ import annotations

import base64
import json
import re
import ssl
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Literal, Self
from urllib.parse import parse_qs, urlencode, urlsplit

from layers.digest import Digest
from layers.image import Image, Index

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

Auth = Literal["none", "basic", "bearer"]
Action = Callable[["Handler"], bool]
"""Answers in the registry's place and gives True; or changes something, gives False and lets the registry answer."""

Rewrite = Callable[[bytes], tuple[bytes, Mapping[str, str]]]
"""Changes an answer's body on its way, and gives headers that go with it; an empty one is left out."""

USER, PASSWORD, REFRESH = "user", "secret", "refresh-me"


@dataclass
class Stored:
    """One repository."""

    blobs: dict[str, bytes] = field(default_factory=dict)
    manifests: dict[str, tuple[bytes, str]] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Seen:
    """A request as it came."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes


@dataclass
class Fault:
    """What happens instead, to which requests, how many times."""

    method: str
    pattern: str
    action: Action
    times: int


class Registry:
    """The registry; ``address`` is its ``127.0.0.1:port``."""

    def __init__(self, *, auth: Auth = "none", anonymous: bool = False, tls: Path | None = None) -> None:
        self.auth = auth
        self.anonymous = anonymous
        self.password = PASSWORD
        self.ranges = True
        self.monolithic = True
        self.content_digest = True
        self.mounts = True
        self.strict = False
        """Whether a manifest is refused whose blobs are not there, as real registries do."""
        self.page = 1000
        self.realm = ""
        self.lasting = False
        """Whether the token server gives those who ask for it a token that lasts (oauth.md)."""
        self.repositories: dict[str, Stored] = {}
        self.uploads: dict[str, bytes] = {}
        self.tokens: dict[str, set[str]] = {}
        self.seen: list[Seen] = []
        self.faults: list[Fault] = []
        self.stopped = threading.Event()
        self.lock = threading.Lock()
        registry = self

        class Bound(Handler):
            @property
            def registry(self) -> Registry:
                return registry

        self._server = _Server(("127.0.0.1", 0), Bound)
        self.scheme = "http"
        if tls is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tls)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
            self.scheme = "https"
        self.port = self._server.server_address[1]
        self.address = f"127.0.0.1:{self.port}"
        self.url = f"{self.scheme}://{self.address}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stopped.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def repository(self, name: str) -> Stored:
        with self.lock:
            return self.repositories.setdefault(name, Stored())

    def add(self, content: Image | Index, name: str = "app", tag: str = "1") -> Digest:
        """Put an image there without asking."""
        stored = self.repository(name)
        if isinstance(content, Index):
            for each in content.manifest.manifests:
                self.add(content.load(each), name, "")
            raw = content.raw
        else:
            raw = content.manifest_bytes
            stored.blobs[str(content.manifest.config.digest)] = content.config_bytes
            for layer in content.layers:
                with layer.open() as reader:
                    stored.blobs[str(layer.descriptor.digest)] = reader.read()
        stored.manifests[str(content.digest)] = (raw, content.manifest.media_type)
        if tag:
            stored.tags[tag] = str(content.digest)
        return content.digest

    def fault(self, method: str, pattern: str, action: Action, *, times: int = 1) -> None:
        """Let ``action`` happen to the next requests whose path holds ``pattern``."""
        self.faults.append(Fault(method, pattern, action, times))

    def asked(self, method: str, pattern: str = "") -> list[Seen]:
        """Give the requests of a method whose path holds ``pattern``."""
        return [each for each in self.seen if each.method == method and re.search(pattern, each.path)]

    def take_fault(self, method: str, path: str) -> Action | None:
        with self.lock:
            for fault in self.faults:
                if fault.times and fault.method == method and re.search(fault.pattern, path):
                    fault.times -= 1
                    return fault.action
        return None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients that hang up are what the tests are about."""


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each body waits 40 ms for its headers to be acknowledged
    path_only: str
    query: dict[str, list[str]]
    body: bytes
    drop_after: int | None = None
    rewrite: Rewrite | None = None
    ending: Action | None = None
    """What happens to the connection once an answer was sent."""
    extra: dict[str, str]

    @property
    def registry(self) -> Registry:
        raise NotImplementedError

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
        """Say nothing."""

    def handle_any(self) -> None:
        parts = urlsplit(self.path)
        self.path_only, self.query = parts.path, parse_qs(parts.query)
        self.extra, self.drop_after, self.rewrite, self.ending = {}, None, None, None
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {key.lower(): value for key, value in self.headers.items()}
        seen = Seen(self.command, self.path_only, self.query, headers, self.body)
        with self.registry.lock:
            self.registry.seen.append(seen)
        action = self.registry.take_fault(self.command, self.path_only)
        if action is not None and action(self):
            return
        if self.path_only == "/token":
            self.token()
        elif self.authorized():
            self.route()

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any  # noqa: N815 - http.server's names

    def answer(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        """Send an answer, or as much of its body as a fault leaves."""
        self.send_response(status)
        body, changed = self.rewrite(body) if self.rewrite else (body, {})
        sent = {"Content-Length": str(len(body)), **(headers or {}), **self.extra, **changed}
        for key, value in sent.items():
            if value:
                self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body if self.drop_after is None else body[: self.drop_after])
        if self.drop_after is not None:
            self.wfile.flush()
            self.close_connection = True
        if self.ending is not None:
            self.ending(self)

    def error(self, status: int, code: str, headers: dict[str, str] | None = None) -> None:
        document = {"errors": [{"code": code, "message": code.lower().replace("_", " "), "detail": None}]}
        self.answer(status, json.dumps(document).encode(), {"Content-Type": "application/json", **(headers or {})})

    def authorized(self) -> bool:
        auth, given = self.registry.auth, self.headers.get("Authorization") or ""
        if auth == "none" or not self.path_only.startswith("/v2/"):
            return True
        if auth == "basic":
            if given == basic(USER, self.registry.password):
                return True
            self.error(401, "UNAUTHORIZED", {"WWW-Authenticate": 'Basic realm="test, with a comma"'})
            return False
        found = re.match(r"/v2/(.+)/(?:manifests|blobs|tags)/", self.path_only)
        action = {"GET": "pull", "HEAD": "pull", "DELETE": "delete"}.get(self.command, "push")
        if "/uploads/" in self.path_only:
            action = "push"
        needed = f"repository:{found[1]}:{action}" if found else ""
        granted = self.registry.tokens.get(given.removeprefix("Bearer "))
        if granted is not None and (not needed or needed in granted):
            return True
        realm = self.registry.realm or f"{self.registry.url}/token"
        challenge = f'Bearer realm="{realm}",service="test"' + (f',scope="{needed}"' if needed else "")
        self.error(401, "UNAUTHORIZED", {"WWW-Authenticate": challenge})
        return False

    def token(self) -> None:
        """Give a token for what is asked: anything to the user, pulling to anybody where that is allowed."""
        form = parse_qs(self.body.decode()) if self.command == "POST" else self.query
        given = self.headers.get("Authorization") or ""
        known = form.get("refresh_token") == [REFRESH] or given == basic(USER, self.registry.password)
        if not known and (given or not self.registry.anonymous or self.command == "POST"):
            self.error(401, "UNAUTHORIZED")
            return
        granted = set()
        for scope in " ".join(form.get("scope", [])).split():
            resource, _, actions = scope.rpartition(":")
            granted |= {f"{resource}:{action}" for action in actions.split(",") if known or action == "pull"}
        token = uuid.uuid4().hex
        self.registry.tokens[token] = granted
        key = "access_token" if self.command == "POST" else "token"
        lasting = {"refresh_token": REFRESH} if self.registry.lasting and form.get("offline_token") == ["true"] else {}
        self.answer(200, json.dumps({key: token, "expires_in": 300, **lasting}).encode())

    def route(self) -> None:
        for pattern, method in (
            (r"/v2/", self.root),
            (r"/v2/_catalog", self.catalog),
            (r"/v2/(.+)/tags/list", self.tags),
            (r"/v2/(.+)/manifests/([^/]+)", self.manifests),
            (r"/v2/(.+)/blobs/uploads/", self.new_upload),
            (r"/v2/(.+)/blobs/uploads/([^/]+)", self.upload),
            (r"/v2/(.+)/blobs/([^/]+)", self.blobs),
        ):
            if found := re.fullmatch(pattern, self.path_only):
                method(*found.groups())
                return
        self.error(404, "NOT_FOUND")

    def root(self) -> None:
        self.answer(200, b"{}")

    def catalog(self) -> None:
        self.list_page("repositories", sorted(self.registry.repositories))

    def tags(self, name: str) -> None:
        self.list_page("tags", sorted(self.registry.repository(name).tags))

    def list_page(self, key: str, values: list[str]) -> None:
        start = int(self.query.get("start", ["0"])[0])
        end = start + self.registry.page
        link = f'<{self.path_only}?start={end}>; rel="next"' if end < len(values) else ""
        self.answer(200, json.dumps({key: values[start:end]}).encode(), {"Link": link})

    def manifests(self, name: str, wanted: str) -> None:
        stored = self.registry.repository(name)
        if self.command == "PUT":
            if self.registry.strict and not self.has_all(stored):
                self.error(400, "MANIFEST_BLOB_UNKNOWN")
                return
            digest = str(Digest.of(self.body))
            stored.manifests[digest] = (self.body, self.headers["Content-Type"])
            if ":" not in wanted:
                stored.tags[wanted] = digest
            self.answer(201, headers={"Docker-Content-Digest": digest, "Location": self.path_only})
            return
        digest = wanted if ":" in wanted else stored.tags.get(wanted, "")
        if digest not in stored.manifests:
            self.error(404, "MANIFEST_UNKNOWN")
        elif self.command == "DELETE":
            del stored.manifests[digest]
            stored.tags = {tag: each for tag, each in stored.tags.items() if each != digest}
            self.answer(202)
        else:
            content, media_type = stored.manifests[digest]
            shown = digest if self.registry.content_digest else ""
            self.answer(200, content, {"Content-Type": media_type, "Docker-Content-Digest": shown})

    def has_all(self, stored: Stored) -> bool:
        """Tell whether everything is there that the manifest or index in the request's body names."""
        source = json.loads(self.body)
        named = source.get("manifests") or [source["config"], *source["layers"]]
        return all(each["digest"] in stored.blobs or each["digest"] in stored.manifests for each in named)

    def blobs(self, name: str, digest: str) -> None:
        stored = self.registry.repository(name)
        content = stored.blobs.get(digest)
        if content is None:
            self.error(404, "BLOB_UNKNOWN")
        elif self.command == "DELETE":
            del stored.blobs[digest]
            self.answer(202)
        elif self.registry.ranges and (found := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")):
            start = int(found[1])
            shown = f"bytes {start}-{len(content) - 1}/{len(content)}"
            self.answer(206, content[start:], {"Content-Range": shown})
        else:
            self.answer(200, content, {"Content-Type": "application/octet-stream"})

    def new_upload(self, name: str) -> None:
        mount, source = self.query.get("mount", [""])[0], self.query.get("from", [""])[0]
        content = self.registry.repository(source).blobs.get(mount) if source and self.registry.mounts else None
        if content is not None:
            self.registry.repository(name).blobs[mount] = content
            self.answer(201, headers={"Location": f"/v2/{name}/blobs/{mount}"})
            return
        session = uuid.uuid4().hex
        self.registry.uploads[session] = b""
        self.answer(202, headers={"Location": f"/v2/{name}/blobs/uploads/{session}?state=a%2Fb"})

    def upload(self, name: str, session: str) -> None:
        uploads = self.registry.uploads
        if session not in uploads or self.query.get("state") != ["a/b"]:
            self.error(404, "BLOB_UPLOAD_UNKNOWN")
            return
        if self.command == "DELETE":
            del uploads[session]
            self.answer(204)
            return
        if self.command == "PUT" and self.body and not self.registry.monolithic:
            self.error(413, "SIZE_INVALID")
            return
        if self.command == "PATCH" and self.headers["Content-Range"].partition("-")[0] != str(len(uploads[session])):
            self.error(416, "BLOB_UPLOAD_INVALID")
            return
        uploads[session] += self.body
        if self.command == "PATCH":
            location = f"{self.path_only}?{urlencode({'state': 'a/b'})}"
            self.answer(202, headers={"Location": location, "Range": f"0-{len(uploads[session]) - 1}"})
            return
        content = uploads.pop(session)
        digest = self.query["digest"][0]
        if str(Digest.of(content)) != digest:
            self.error(400, "DIGEST_INVALID")
            return
        self.registry.repository(name).blobs[digest] = content
        self.answer(201, headers={"Docker-Content-Digest": digest, "Location": f"/v2/{name}/blobs/{digest}"})


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
