"""Readers of what registries send beside content."""

from __future__ import annotations

import contextlib
import io

from urllib3 import HTTPResponse
from urllib3.exceptions import HTTPError

from layers.digest import Digest
from layers.errors import RegistryError
from layers.model import Descriptor
from layers.registry.auth import merge_scopes, parse_challenges, repository_of
from layers.registry.download import BlobReader
from layers.registry.repository import _content_digest, next_page
from layers.registry.response import Response, join, origin, public_url, refusal
from layers.registry.settings import Settings
from layers.registry.transport import retry_after
from layers.registry.upload import _location
from tests.fuzz.target import header_of

_SETTINGS = Settings(retries=1, backoff=0)
_URL = "https://registry.example/v2/a/b/tags/list?n=1"
_BLOB = b"content"


def challenge(content: bytes) -> None:
    """Read ``WWW-Authenticate``: one header or several."""
    for found in parse_challenges(header_of(content).split("\x01")):
        assert found.scheme == found.scheme.lower()
        scopes = merge_scopes(found.parameters.get("scope", "").split())
        repository_of(scopes)


def headers(content: bytes) -> None:
    """Read ``Link``, ``Location``, ``Retry-After``, ``Docker-Content-Digest`` and what says which bytes."""
    value = header_of(content)
    wait = retry_after(value)
    assert wait is None or wait >= 0
    _resumed(value)
    names = ("Link", "Location", "Retry-After", "Docker-Content-Digest", "Content-Length", "Range")
    try:
        answer = _answer(200, dict.fromkeys(names, value), b"")
    except HTTPError:
        return  # urllib3 refuses some lengths, which the transport reports
    for read in (next_page, _location, _content_digest):
        with contextlib.suppress(RegistryError):
            read(answer)
    assert answer.length is None or answer.length >= 0
    with contextlib.suppress(RegistryError):
        url = join(_URL, value)
        assert url.startswith(("http://", "https://"))
        assert origin(url)
        assert public_url(url)


def _resumed(value: str) -> None:
    """Read a blob whose connection breaks, and is taken up with this ``Content-Range``."""

    def fetch(offset: int) -> Response:
        if offset:
            return _answer(206, {"Content-Range": value}, _BLOB[offset:])
        return _answer(200, {}, _BLOB[:2])

    reader = BlobReader(Descriptor("", Digest.of(_BLOB), len(_BLOB)), fetch, _SETTINGS)
    read = b""
    while piece := reader.read(64):
        read += piece
    assert read == _BLOB


def refused(content: bytes) -> None:
    """Read the body of a refusal."""
    error = refusal(_answer(403, {}, content))
    assert str(error).isprintable()


def _answer(status: int, fields: dict[str, str], body: bytes) -> Response:
    raw = HTTPResponse(io.BytesIO(body), fields, status, preload_content=False, decode_content=False)
    return Response(raw, "GET", _URL, _SETTINGS)
