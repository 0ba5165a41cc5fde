"""Download one file over HTTP, for contexts and ADD."""

from __future__ import annotations

import email.utils
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from builder.context.remote import FetchedFile
from builder.errors import ContextError

if TYPE_CHECKING:
    from collections.abc import Callable

    from urllib3 import BaseHTTPResponse

_CHUNK = 1 << 20
_TIMEOUT = 60.0
_RETRIES = 3


def fetcher(directory: Path, proxy: Callable[[str], str], ca_file: str) -> Callable[[str], FetchedFile]:
    """Give a function that downloads a URL into ``directory``; certificates are verified, redirects followed."""

    def fetch(url: str) -> FetchedFile:
        import urllib3  # noqa: PLC0415 - only where something is downloaded

        retry = urllib3.Retry(_RETRIES, backoff_factor=0.5, status_forcelist=(429, 500, 502, 503, 504), redirect=10)
        through = proxy(url)
        pool = urllib3.ProxyManager(through) if through else urllib3.PoolManager()
        pool.connection_pool_kw.update(retries=retry, timeout=urllib3.Timeout(_TIMEOUT), ca_certs=ca_file or None)
        try:
            response = pool.request("GET", url, preload_content=False, headers={"User-Agent": "pybuild"})
            try:
                if response.status != 200:
                    raise ContextError(f"cannot fetch {_shown(url)}: the server answers {response.status}")
                return FetchedFile(
                    _save(response, directory),
                    _modified(response.headers.get("Last-Modified")),
                    response.headers.get("ETag", ""),
                )
            finally:
                response.release_conn()
        except urllib3.exceptions.HTTPError as error:
            raise ContextError(f"cannot fetch {_shown(url)}: {error}") from error
        finally:
            pool.clear()

    return fetch


def _save(response: BaseHTTPResponse, directory: Path) -> Path:
    handle, name = tempfile.mkstemp(prefix="fetched-", dir=directory)
    with os.fdopen(handle, "wb") as file:
        while data := response.read(_CHUNK):
            file.write(data)
    return Path(name)


def _modified(header: str | None) -> int | None:
    if not header:
        return None
    try:
        return int(email.utils.parsedate_to_datetime(header).timestamp())
    except (ValueError, OverflowError):
        return None


def _shown(url: str) -> str:
    """Give a URL without what may be secret in it."""
    head, _, _ = url.partition("?")
    scheme, _, rest = head.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"
