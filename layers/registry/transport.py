"""HTTP to registries: pools of connections, TLS, proxies, redirects, retries and time limits.

Spec: distribution-spec/spec.md, "Endpoints"; RFC 9110, sections 10.2.3 (Retry-After) and 15.4 (redirects).
"""

from __future__ import annotations

import contextlib
import os
import ssl
import threading
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, TypeVar

from layers.errors import InvalidError, RegistryError
from layers.registry.response import Response, TransportError, clean, join, origin, public_url, secrets_of
from layers.registry.settings import allows_plain_http, api_host, is_loopback, proxy_for, split

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import urllib3

    from layers.registry.settings import Settings

T = TypeVar("T")

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MAX_REDIRECTS = 10
_RETRIED = frozenset({408, 429, 500, 502, 503, 504})
_POOLS = 32
_CONNECTIONS = 16
_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
)


@dataclass(frozen=True, slots=True)
class Body:
    """What a request sends; it can be sent again."""

    size: int
    chunks: Callable[[], Iterator[bytes]]


class Transport:
    """Sends requests; shared by threads."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._lock = threading.Lock()
        self._pools: dict[tuple[str, str], urllib3.PoolManager] = {}
        self._bases: dict[str, str] = {}

    def close(self) -> None:
        """Close every connection."""
        with self._lock:
            pools = list(self._pools.values())
            self._pools.clear()
        for pool in pools:
            pool.clear()

    def base(self, registry: str) -> str:
        """Give ``scheme://host`` of a registry's API; where plain HTTP is allowed, what it speaks is tried once."""
        host = api_host(registry)
        if not allows_plain_http(self.settings, host):
            return f"https://{host}"
        with self._lock:
            found = self._bases.get(host)
        if found is None:
            found = self._probe(host)
            with self._lock:
                self._bases[host] = found
        return found

    def _probe(self, host: str) -> str:
        """Find out which scheme a host speaks; plain first on loopback, where simple servers hang at a TLS hello."""
        first, second = ("http", "https") if is_loopback(host) else ("https", "http")
        if self._speaks(f"{first}://{host}"):
            return f"{first}://{host}"
        return f"{second}://{host}" if self._speaks(f"{second}://{host}") else f"{first}://{host}"

    def _speaks(self, base: str) -> bool:
        try:
            with self._once("GET", f"{base}/v2/", {}, None) as response:
                tls_wanted = base.startswith("http:") and (
                    response.status == 400 or response.header("Location").startswith("https:")
                )
                return not tls_wanted
        except RegistryError as error:
            return isinstance(error.__cause__, ssl.SSLCertVerificationError)  # it is TLS: let the request say so

    def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | Body | None = None,
        *,
        attempts: int | None = None,
    ) -> Response:
        """Send a request, follow its redirects, and try again while a server is busy or a connection breaks.

        ``attempts`` is for requests that are not to be repeated. Any status may come back; the caller closes it.

        Raises:
            TransportError: the connection broke or stalled each time.
            RegistryError: the host cannot be reached, cannot be trusted, or redirects where nobody should go.
        """
        attempts = attempts or self.settings.retries + 1
        for attempt in range(1, attempts):
            try:
                response = self._follow(method, url, headers or {}, body)
            except TransportError:
                wait: float | None = None
            else:
                if response.status not in _RETRIED:
                    return response
                wait = retry_after(response.header("Retry-After"))
                if wait is not None and wait > self.settings.max_wait:
                    return response
                response.close()
            self.settings.sleep(self.settings.backoff * 2 ** (attempt - 1) if wait is None else wait)
        return self._follow(method, url, headers or {}, body)

    def exchange(self, ask: Callable[[], Response], read: Callable[[Response], T], attempts: int | None = None) -> T:
        """Give what ``read`` makes of an answer, and ask again where the connection breaks before that is whole.

        Raises:
            TransportError: it broke each time.
            LayersError: what ``ask`` and ``read`` raise.
        """
        attempts = attempts or self.settings.retries + 1
        for attempt in range(1, attempts):
            with ask() as response, contextlib.suppress(TransportError):
                return read(response)
            self.settings.sleep(self.settings.backoff * 2 ** (attempt - 1))
        with ask() as response:
            return read(response)

    def _follow(self, method: str, url: str, headers: Mapping[str, str], body: bytes | Body | None) -> Response:
        sent = dict(headers)
        for _ in range(_MAX_REDIRECTS):
            response = self._once(method, url, sent, body)
            location = response.header("Location")
            if response.status not in _REDIRECTS or not location:
                return response
            response.close()
            target = join(url, location)
            if url.startswith("https:") and not target.startswith("https:"):
                raise RegistryError(f"{method} {public_url(url)}: redirects from https to {public_url(target)}")
            if origin(target) != origin(url):
                sent.pop("Authorization", None)  # a token is for the registry, not for where it keeps its blobs
            if response.status == 303 and method != "HEAD":
                method, body = "GET", None
            url = target
        raise RegistryError(f"{method} {public_url(url)}: more than {_MAX_REDIRECTS} redirects")

    def _once(self, method: str, url: str, headers: Mapping[str, str], body: bytes | Body | None) -> Response:
        import urllib3  # noqa: PLC0415 - 80 ms that only a request is worth

        parts = split(url)
        if parts.scheme == "http" and not allows_plain_http(self.settings, parts.netloc):
            hint = f"use https, or say that {parts.netloc} is an insecure registry"
            raise RegistryError(f"{method} {public_url(url)}: plain HTTP is not allowed there", hint=hint)
        sent = {"User-Agent": self.settings.user_agent, "Accept-Encoding": "identity", **headers}
        if isinstance(body, Body):
            sent["Content-Length"] = str(body.size)
        elif method in {"POST", "PUT", "PATCH"}:
            sent["Content-Length"] = str(len(body or b""))
        try:
            raw = self._pool(url).request(
                method,
                url,
                headers=sent,
                body=body.chunks() if isinstance(body, Body) else body,
                timeout=urllib3.Timeout(connect=self.settings.connect_timeout, read=self.settings.read_timeout),
                retries=False,
                redirect=False,
                preload_content=False,
                decode_content=False,
            )
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise failure(f"{method} {public_url(url)}", error) from _cause(error)
        return Response(raw, method, url, self.settings, secrets_of(headers.get("Authorization", "")))

    def _pool(self, url: str) -> urllib3.PoolManager:
        parts = split(url)
        proxy = proxy_for(self.settings, url)
        trust = "plain" if parts.scheme == "http" else "none" if parts.netloc in self.settings.insecure else "verified"
        with self._lock:
            pool = self._pools.get((proxy, trust))
            if pool is None:
                # reading the system's authorities takes 20 ms: only where TLS is spoken
                context = None if trust == "plain" else _tls(self.settings.ca_file, verified=trust == "verified")
                pool = proxy_pool(proxy, context) if proxy else _direct_pool(context)
                self._pools[proxy, trust] = pool
        return pool


def retry_after(text: str) -> float | None:
    """Give the seconds that a ``Retry-After`` header asks for; None where there is none that can be read."""
    if text.isascii() and text.isdigit():
        return float(text[:12])
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None


def _direct_pool(context: ssl.SSLContext | None) -> urllib3.PoolManager:
    from layers.registry.connections import direct  # noqa: PLC0415 - 80 ms that only a request is worth

    return direct(num_pools=_POOLS, maxsize=_CONNECTIONS, ssl_context=context)


def proxy_pool(proxy: str, context: ssl.SSLContext | None) -> urllib3.ProxyManager:
    """Give connections through a proxy, whose URL may say who asks, and need not say ``http://``.

    Raises:
        RegistryError: it is no address of a proxy.
    """
    import urllib3  # noqa: PLC0415 - 80 ms that only a request is worth

    from layers.registry.connections import through  # noqa: PLC0415 - as above

    parts = split(proxy if "://" in proxy else f"http://{proxy}")
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise RegistryError(f"the proxy {public_url(proxy)!r} is no http or https address")
    user = f"{parts.username or ''}:{parts.password or ''}"
    return through(
        f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}",
        num_pools=_POOLS,
        maxsize=_CONNECTIONS,
        ssl_context=context,
        proxy_headers=urllib3.make_headers(proxy_basic_auth=user) if parts.username else None,
    )


def _tls(ca_file: str, *, verified: bool) -> ssl.SSLContext:
    """Give a context that trusts the system's authorities and those in ``ca_file``.

    Raises:
        InvalidError: the file cannot be read or holds no certificate.
    """
    context = ssl.create_default_context()
    if not verified:
        import urllib3.exceptions  # noqa: PLC0415 - 80 ms that only a request is worth

        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)  # it was asked for by name
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    paths = ssl.get_default_verify_paths()
    if not paths.cafile and not paths.capath:
        for bundle in filter(os.path.exists, _BUNDLES):  # a Python built elsewhere looks in a place that is not here
            context.load_verify_locations(bundle)
            break
    if ca_file:
        try:
            context.load_verify_locations(ca_file)
        except OSError as error:
            raise InvalidError(f"cannot read certificate authorities from {ca_file}: {error}") from error
    return context


def _cause(error: BaseException) -> BaseException:
    """Give the TLS error inside of urllib3's, where there is one."""
    inner = error.args[-1] if error.args else None
    return inner if isinstance(inner, ssl.SSLError) else error


def failure(what: str, error: BaseException) -> RegistryError:
    """Give the error for a request without an answer: one to be tried again, or one that will not go away."""
    import urllib3.exceptions as known  # noqa: PLC0415 - 80 ms that only a request is worth

    text = clean(str(_cause(error)), 240)
    if isinstance(error, known.SSLError):
        hint = "SSL_CERT_FILE names a file of further certificate authorities"
        return RegistryError(f"{what}: TLS failed: {text}", hint=hint)
    if isinstance(error, known.NameResolutionError):
        return RegistryError(f"{what}: the host's name is unknown")
    if isinstance(error, (known.NewConnectionError, known.ProxyError)):
        place = " to the proxy" if isinstance(error, known.ProxyError) else ""
        reason = text.rpartition(": ")[2].rstrip("')\"")  # an error within an error closes its brackets
        return RegistryError(f"{what}: cannot connect{place}: {reason}")
    if isinstance(error, known.ConnectTimeoutError):
        return RegistryError(f"{what}: no connection in time")
    if isinstance(error, (known.LocationValueError, known.ResponseError, known.UnrewindableBodyError)):
        return RegistryError(f"{what}: {text}")
    if isinstance(error, (known.ReadTimeoutError, TimeoutError)):
        return TransportError(f"{what}: the server stalled")
    return TransportError(f"{what}: the connection broke ({type(error).__name__}: {text})")
