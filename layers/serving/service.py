"""Which request is answered by what; and who may ask at all."""

from __future__ import annotations

import errno
import re
from typing import TYPE_CHECKING

from layers.errors import StoreError
from layers.serving import names
from layers.serving.catalogue import Catalogue
from layers.serving.lease import Lease
from layers.serving.reading import Reading
from layers.serving.refusal import RefusalError, unsupported
from layers.serving.writing import Writing

if TYPE_CHECKING:
    from collections.abc import Callable

    from layers.serving.messages import Request, Response
    from layers.serving.settings import Settings
    from layers.store.layout import Layout

    Handler = Callable[..., Response]

_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]*)?")
_FULL = (errno.ENOSPC, errno.EDQUOT)


class Service:
    """Answers requests out of a store; may be used from several threads."""

    def __init__(self, layout: Layout, settings: Settings, addresses: names.Addresses) -> None:
        catalogue = Catalogue(layout, addresses)
        self._read_only = settings.read_only
        self._hosts = frozenset(settings.names)
        lease = Lease(layout, settings.lease, settings.collector_wait)
        self._writing = writing = Writing(layout, catalogue, lease, settings)
        reading = Reading(layout, catalogue)
        self._routes: list[tuple[re.Pattern[str], dict[str, Handler]]] = [
            (re.compile(r"/v2/?"), {"GET": reading.version}),
            (re.compile(r"/v2/_catalog"), {"GET": reading.repositories}),
            (re.compile(r"/v2/(.+)/tags/list"), {"GET": reading.tags}),
            (re.compile(r"/v2/(.+)/referrers/([^/]+)"), {"GET": reading.referrers}),
            (re.compile(r"/v2/(.+)/blobs/uploads/?"), {"POST": writing.begin}),
            (
                re.compile(r"/v2/(.+)/blobs/uploads/([^/]+)"),
                {"GET": writing.status, "PATCH": writing.append, "PUT": writing.finish, "DELETE": writing.cancel},
            ),
            (re.compile(r"/v2/(.+)/blobs/([^/]+)"), {"GET": reading.blob, "DELETE": writing.delete_blob}),
            (
                re.compile(r"/v2/(.+)/manifests/([^/]+)"),
                {"GET": reading.manifest, "PUT": writing.put_manifest, "DELETE": writing.delete_manifest},
            ),
        ]

    def answer(self, request: Request) -> Response:
        """Do what a request asks, and give what the client is told.

        Raises:
            RefusalError: it is not done.
        """
        self._check_origin(request)
        for pattern, handlers in self._routes:
            found = pattern.fullmatch(request.path)
            if found is not None:
                return self._carry_out(request, handlers, found.groups())
        raise RefusalError(404, "NAME_UNKNOWN", "nothing is here: a registry's requests begin with /v2/")

    def _carry_out(self, request: Request, handlers: dict[str, Handler], parts: tuple[str, ...]) -> Response:
        handler = handlers.get("GET" if request.method == "HEAD" else request.method)
        if handler is None:
            allowed = ", ".join([*handlers, *(["HEAD"] if "GET" in handlers else [])])
            refusal = unsupported(f"{request.method[:20]} is not done here")
            refusal.headers["Allow"] = allowed
            raise refusal
        if self._read_only and request.method not in {"GET", "HEAD"}:
            raise unsupported("this registry is read-only")
        try:
            if request.method == "HEAD" and handler.__name__ == "blob" and not self._read_only:
                with self._writing.relied_on(names.digest(parts[1])):
                    return handler(request, *parts)
            return handler(request, *parts)
        except StoreError as error:
            full = isinstance(error.__cause__, OSError) and error.__cause__.errno in _FULL
            message = "the store's disk is full" if full else "the store cannot be used"
            raise RefusalError(507 if full else 500, "UNKNOWN", message) from error

    def _check_origin(self, request: Request) -> None:
        """Refuse what a page in a browser asks: it does not belong to who asks us, and may have put a name on us.

        A page of another site comes with ``Origin`` or ``Sec-Fetch-Site``; one whose own name has been made to lead
        here comes with that name as ``Host``.
        """
        site = request.headers.get("Sec-Fetch-Site")
        if request.headers.get("Origin") is not None or site not in {None, "none"}:
            raise RefusalError(403, "DENIED", "requests of web pages are refused")
        hosts = request.headers.get_all("Host") or ()
        if len(hosts) != 1 or not self._is_ours(hosts[0].strip()):
            message = f"this registry is not called {', '.join(hosts)[:160]!r}: serve it with --name"
            raise RefusalError(403, "DENIED", message)

    def _is_ours(self, netloc: str) -> bool:
        """Tell whether a name may be ours: an address can be no other site's, and a name only one that we know."""
        found = _HOST.fullmatch(netloc)
        host = found[1].strip("[]").rstrip(".").lower() if found else ""
        return host == "localhost" or host.endswith(".localhost") or is_address(host) or host in self._hosts

    def expire(self) -> None:
        """Forget what nobody goes on with; called every now and then."""
        self._writing.expire()

    def close(self) -> None:
        """Forget what is not finished; no request is at work any more."""
        self._writing.close()


def is_address(host: str) -> bool:
    """Tell whether this is an address of IP, and no name."""
    import ipaddress  # noqa: PLC0415 - what --help does not need

    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
