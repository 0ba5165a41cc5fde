"""Requests to a registry by somebody: transport and authentication together, and errors for unwelcome answers."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from layers.errors import NotFoundError, RegistryError
from layers.jsonread import MAX_DOCUMENT
from layers.registry.auth import Authenticator, denied, hint_for
from layers.registry.response import Response, join, origin, refusal
from layers.registry.transport import Body, Transport

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from layers.registry.credentials import Lookup
    from layers.registry.settings import Settings


class Session:
    """What all repositories of a client share: connections, tokens, and which mirrors are down. Used by threads."""

    def __init__(
        self, settings: Settings, credentials: Lookup, keep_refresh: Callable[[str], None] | None = None
    ) -> None:
        self.settings = settings
        self._transport = Transport(settings)
        self._authenticator = Authenticator(self._transport, credentials, keep_refresh)
        self._lock = threading.Lock()
        self._down: set[str] = set()

    def close(self) -> None:
        self._transport.close()

    def is_plain(self, registry: str) -> bool:
        """Tell whether a registry is talked to without TLS; where that is allowed, it is asked which it speaks."""
        return self._transport.base(registry).startswith("http:")

    def mirrors(self, registry: str) -> tuple[str, ...]:
        """Give the mirrors of a registry that have not failed yet."""
        with self._lock:
            return tuple(each for each in self.settings.mirrors.get(registry, ()) if each not in self._down)

    def mirror_failed(self, mirror: str) -> None:
        """Ask this mirror no more: each attempt would cost its time limit again."""
        with self._lock:
            self._down.add(mirror)

    def request(
        self,
        registry: str,
        method: str,
        target: str,
        *,
        what: str,
        scopes: tuple[str, ...] = (),
        expect: frozenset[int] = frozenset({200}),
        headers: Mapping[str, str] | None = None,
        body: bytes | Body | None = None,
        attempts: int | None = None,
    ) -> Response:
        """Send a request and give the answer, whose status is one of ``expect``. Close it.

        ``target`` is a path, or the URL of an upload; ``what`` is what is asked for, for messages.

        Raises:
            NotFoundError: a 404 that was not expected.
            AuthenticationError: a 401 or 403 that was not expected, credentials and all.
            RegistryError: another status; no connection.
        """
        base = self._transport.base(registry)
        url = join(base, target)
        ours = origin(url) == origin(base)  # a session elsewhere has its own secret in its URL, and gets no token
        authorization = self._authenticator.header(registry, scopes) if ours else ""
        sent = dict(headers or {})
        if authorization:
            sent["Authorization"] = authorization
        response = self._transport.request(method, url, sent, body, attempts=attempts)
        if response.status == 401 and origin(response.url) == origin(base) and 401 not in expect:
            with response:
                sent["Authorization"] = self._authenticator.answer(registry, response, scopes, authorization)
            response = self._transport.request(method, url, sent, body, attempts=attempts)
        if response.status in expect:
            return response
        raise _error(registry, response, what)

    def fetch(
        self,
        registry: str,
        target: str,
        *,
        what: str,
        scopes: tuple[str, ...] = (),
        headers: Mapping[str, str] | None = None,
        attempts: int | None = None,
    ) -> tuple[bytes, Response]:
        """Get a document, again where its connection breaks; give it with the answer for its headers, which is closed.

        Raises:
            As :meth:`request`; RegistryError also where it is larger than any document may be.
        """

        def ask() -> Response:
            return self.request(registry, "GET", target, what=what, scopes=scopes, headers=headers, attempts=attempts)

        return self._transport.exchange(ask, lambda response: (response.content(MAX_DOCUMENT), response), attempts)


def _error(registry: str, response: Response, what: str) -> Exception:
    if response.status in {401, 403}:
        return denied(registry, response)
    if response.status == 404:
        error = refusal(response)
        return NotFoundError(f"{what} is not in the registry ({error.message})", hint="check the name and the tag")
    if response.status == 429:
        return refusal(
            response, hint=f"the registry limits requests; wait, or {hint_for(registry).partition('and ')[2]}"
        )
    error = refusal(response)
    if 300 <= response.status < 400:
        return RegistryError(f"{error.message}: a redirect that leads nowhere", status=error.status)
    if 200 <= response.status < 300:
        hint = "is there a proxy or a login page in front of the registry?"
        return RegistryError(f"{error.message}, which is no answer to that", hint=hint, status=error.status)
    return error
