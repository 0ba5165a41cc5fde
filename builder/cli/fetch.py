"""Download one file over HTTP, for contexts and ADD."""

from __future__ import annotations

import email.utils
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from builder.context.remote import FetchedFile
from builder.context.remote_git import redacted
from builder.errors import ContextError

if TYPE_CHECKING:
    from layers.registry.response import Response

_CHUNK = 1 << 20
_TIMEOUT = 60.0
_RETRIES = 3
_REDIRECTS = 10

Watch = Callable[[int, int], None]
"""Told of the bytes that came and how many there will be, or 0."""


class Request(Protocol):
    """Downloads a URL that is asked for with some headers."""

    def __call__(self, url: str, headers: Mapping[str, str], watch: Watch | None = None) -> FetchedFile | None:
        """Give the file; None where the server answers that what the headers name has not changed.

        Raises:
            ContextError: it cannot be fetched.
        """


def requester(directory: Path, proxy: Callable[[str], str], ca_file: str, seconds: float = _TIMEOUT) -> Request:
    """Give what downloads into ``directory``.

    Certificates are verified, redirects followed; what authorises stays with the host that it is for. ``seconds`` are
    those in which all headers, and then each piece of the content, have to come.
    """

    def request(url: str, headers: Mapping[str, str], watch: Watch | None = None) -> FetchedFile | None:
        import urllib3  # noqa: PLC0415 - only where something is downloaded

        from layers.registry.connections import direct  # noqa: PLC0415 - likewise
        from layers.registry.response import Response, TransportError  # noqa: PLC0415 - likewise
        from layers.registry.settings import Settings  # noqa: PLC0415 - likewise
        from layers.registry.transport import failure, proxy_pool  # noqa: PLC0415 - likewise

        # how long a server may let us wait is not for the server to say: urllib3 would wait for hours
        retry = urllib3.Retry(
            _RETRIES,
            backoff_factor=0.5,
            status_forcelist=(429, 500, 502, 503, 504),
            redirect=_REDIRECTS,
            respect_retry_after_header=False,
        )
        pool = proxy_pool(proxy(url), None) if proxy(url) else direct()
        pool.connection_pool_kw.update(retries=retry, timeout=urllib3.Timeout(seconds), ca_certs=ca_file or None)
        sent = {"User-Agent": "pybuild", "Accept-Encoding": "identity", **headers}
        try:
            response = pool.request("GET", url, preload_content=False, decode_content=False, headers=sent)
            try:
                if response.status == 304 and "If-None-Match" in headers:
                    return None
                if response.status != 200:
                    raise ContextError(f"cannot fetch {shown(url)}: the server answers {response.status}")
                length = response.headers.get("Content-Length", "")
                total = int(length) if length.isdecimal() and len(length) < 20 else 0
                body = Response(response, "GET", url, Settings(read_timeout=seconds))
                return FetchedFile(
                    _save(body, total, directory, shown(url), watch),
                    _modified(response.headers.get("Last-Modified")),
                    response.headers.get("ETag", ""),
                )
            finally:
                response.release_conn()
        except TransportError as error:
            raise ContextError(f"cannot fetch {shown(url)}: {error.message}") from error
        except urllib3.exceptions.HTTPError as error:
            said = failure(f"cannot fetch {shown(url)}", getattr(error, "reason", None) or error)
            raise ContextError(redacted(said.message), hint=said.hint) from error
        finally:
            pool.clear()

    return request


def fetcher(request: Request, headers: Callable[[str], Mapping[str, str]]) -> Callable[[str], FetchedFile]:
    """Give a function that downloads a URL, whatever was known of it; ``headers`` gives those that log in."""

    def fetch(url: str) -> FetchedFile:
        found = request(url, headers(url))
        assert found is not None
        return found

    return fetch


def _save(body: Response, total: int, directory: Path, what: str, watch: Watch | None) -> Path:
    handle, name = tempfile.mkstemp(prefix="fetched-", dir=directory)
    done = 0
    try:
        with os.fdopen(handle, "wb") as file:
            while data := body.read(_CHUNK):
                file.write(data)
                done += len(data)
                if watch is not None:
                    watch(done, total)
    except BaseException as error:
        os.unlink(name)
        if isinstance(error, OSError) and error.errno:
            raise ContextError(f"cannot keep {what}: {error.strerror}") from error
        raise
    return Path(name)


def _modified(header: str | None) -> int | None:
    if not header:
        return None
    try:
        return int(email.utils.parsedate_to_datetime(header).timestamp())
    except (ValueError, OverflowError):
        return None


def shown(url: str) -> str:
    """Give a URL without what may be secret in it."""
    head, _, _ = url.partition("?")
    scheme, _, rest = head.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"
