"""A registry's answer, and the error it becomes when it is none.

Spec: distribution-spec/spec.md, "Error Codes".
"""

from __future__ import annotations

import base64
import contextlib
import json
import time
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote, urljoin, urlsplit, urlunsplit

from layers.errors import RegistryError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType

    from urllib3 import BaseHTTPResponse

    from layers.registry.settings import Settings

_REASONS = {401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 429: "Too Many Requests"}
_SHORT = 64 << 10
_SHORTEST_SECRET = 6
"""Letters of a secret that is worth hiding: one of fewer is in many a word."""


class TransportError(RegistryError):
    """A connection broke or stalled; the same request may work again."""


class Response:
    """One answer: status and headers at once, the body as it is read. Close it."""

    def __init__(
        self, raw: BaseHTTPResponse, method: str, url: str, settings: Settings, secrets: Iterable[str] = ()
    ) -> None:
        """``secrets`` is what the request had that no message may show, should the server say it back."""
        self._raw = raw
        self._settings = settings
        self.method = method
        self.url = url
        self.status = raw.status
        self.secrets = tuple(secrets)
        self._broken: TransportError | None = None

    def header(self, name: str) -> str:
        """Give a header's value, ``""`` where it is missing."""
        return self._raw.headers.get(name) or ""

    def headers(self, name: str) -> list[str]:
        """Give every value of a header that may be there more than once."""
        return list(self._raw.headers.getlist(name))

    @property
    def length(self) -> int | None:
        """The body's length where the registry says it."""
        text = self.header("Content-Length")
        return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None

    @property
    def _is_short(self) -> bool:
        return self.length is not None and self.length <= _SHORT

    def read(self, size: int, /) -> bytes:
        """Give ``size`` bytes, fewer only at the end and before the error that the next read raises.

        Raises:
            TransportError: the connection broke, or so little comes that the server counts as stalled.
        """
        pieces: list[bytes] = []
        try:
            self._collect(size, pieces)
        except TransportError as error:
            self._broken = error
        if self._broken and not pieces:
            raise self._broken
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _collect(self, size: int, pieces: list[bytes]) -> None:
        left = size
        started, received = time.monotonic(), 0
        while left and self._broken is None:
            piece = self._read_some(left)
            if not piece:
                break
            pieces.append(piece)
            left -= len(piece)
            received += len(piece)
            elapsed = time.monotonic() - started
            if elapsed > self._settings.read_timeout:
                if (
                    received < self._settings.min_rate * elapsed
                ):  # a byte now and then would keep a socket's own timeout from ending it
                    raise TransportError(f"{self.method} {public_url(self.url)}: the server stalled")
                started, received = time.monotonic(), 0

    def _read_some(self, size: int) -> bytes:
        import urllib3.exceptions  # noqa: PLC0415 - 80 ms that only a request is worth

        try:
            return self._raw.read1(size, decode_content=False) or b""
        except (urllib3.exceptions.HTTPError, OSError) as error:
            self._raw.close()
            where = f"{self.method} {public_url(self.url)}"
            if isinstance(error, urllib3.exceptions.ReadTimeoutError | TimeoutError):
                raise TransportError(f"{where}: the server stalled") from error
            raise TransportError(f"{where}: the connection broke ({_brief(error)})") from error

    def content(self, limit: int) -> bytes:
        """Give the whole body.

        Raises:
            RegistryError: it is longer than ``limit`` bytes.
            TransportError: the connection broke.
        """
        content = self.read(limit + 1)
        if len(content) <= limit:
            self.read(1)  # nothing, where that was the end and no break
        else:
            self._raw.close()
            raise RegistryError(f"{self.method} {public_url(self.url)}: the answer has more than {limit} bytes")
        return content

    def close(self) -> None:
        """Give the connection back where little is left to read, and cut it otherwise."""
        if self.method == "HEAD" or self.status == 204 or self._is_short:
            self._raw.drain_conn()
        self._raw.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _brief(error: BaseException) -> str:
    return f"{type(error).__name__}: {clean(str(error), 160)}"


def public_url(url: str) -> str:
    """Give a URL as it may be shown: without user, password, query and fragment, which hold secrets."""
    parts = urlsplit(url)
    return clean(urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", "")), 400)


def origin(url: str) -> str:
    """Give ``scheme://host:port`` in a form that can be compared."""
    parts = urlsplit(url)
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)
    return f"{parts.scheme}://{parts.hostname or ''}:{port}"


def join(base: str, location: str) -> str:
    """Give the absolute URL of a ``Location`` header.

    Raises:
        RegistryError: no URL of HTTP, or one with a user name in it.
    """
    try:
        url = urljoin(base, location)
        parts = urlsplit(url)
        fine = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        fine = False
    if not fine or "@" in parts.netloc or not url.isascii() or any(c <= " " or c == "\x7f" for c in url):
        # neither a user's password nor a signature is for a message
        shown = clean(location.partition("?")[0].rpartition("@")[2], 160)
        raise RegistryError(f"{public_url(base)}: sends to {shown!r}, which is no HTTP address")
    return url


def clean(text: str, limit: int = 300) -> str:
    """Give foreign text fit for one line of a terminal."""
    text = "".join(c if c.isprintable() else " " for c in text[: limit + 1])
    return text if len(text) <= limit else text[:limit] + "..."


def refusal(response: Response, *, hint: str = "") -> RegistryError:
    """Read what an unwelcome answer says, close it, and give the error to raise."""
    errors = list(_errors(response))
    response.close()
    status = f"{response.status} {_REASONS.get(response.status, '')}".strip()
    said = "".join(f": {each}" for _, each in errors[:3])
    message = f"{response.method} {public_url(response.url)}: {status}{said}"
    return RegistryError(message, hint=hint, status=response.status, code=errors[0][0] if errors else "")


def secrets_of(authorization: str) -> tuple[str, ...]:
    """Give what is secret in an ``Authorization`` header: the token, or the password in each of its forms."""
    scheme, _, token = authorization.partition(" ")
    if scheme != "Basic":
        return (token,) if token else ()
    with contextlib.suppress(ValueError):
        password = base64.b64decode(token).decode(errors="replace").partition(":")[2]
        return (token, password, quote(password, safe=""))
    return (token,)


def _without(text: str, secrets: Iterable[str]) -> str:
    for secret in secrets:
        if len(secret) >= _SHORTEST_SECRET:
            text = text.replace(secret, "***")
    return text


def _errors(response: Response) -> Iterator[tuple[str, str]]:
    """Give code and text of each error in the body; nothing where it is HTML or another format."""
    try:
        source: Any = json.loads(response.read(_SHORT))
    except (RegistryError, ValueError, RecursionError):
        return
    if not isinstance(source, dict):
        return
    errors = source.get("errors")
    for each in errors if isinstance(errors, list) else [source]:
        if isinstance(each, dict):
            said = str(each.get("message") or each.get("details") or each.get("error_description") or "")
            # before it is cut: half a secret is one too
            code, message = (_without(text, response.secrets) for text in (str(each.get("code") or ""), said))
            code, message = clean(code, 60), clean(message)
            if code or message:
                yield code, ": ".join(part for part in (code, message) if part)
