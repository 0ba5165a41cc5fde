"""Who is asking: challenges, tokens, and the Authorization header that answers them.

Spec: RFC 9110, section 11; distribution's docs/content/spec/auth (token.md, oauth.md, scope.md).
"""

from __future__ import annotations

import base64
import re
import threading
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

from layers.errors import AuthenticationError, InvalidError
from layers.jsonread import get, parse_object
from layers.registry.response import clean, public_url, refusal
from layers.registry.settings import allows_plain_http

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from layers.registry.credentials import Credential, Lookup
    from layers.registry.response import Response
    from layers.registry.transport import Transport

_PIECE = re.compile(
    r"""[\s,]*(?P<word>[!#$%&'*+.^_`|~0-9A-Za-z/-]+)"""
    r"""(?:\s*=\s*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<plain>[^\s,"]*)))?"""
)
_TOKEN = re.compile(r"[\x21-\x7e]{1,65536}")
_MAX_ANSWER = 1 << 20
_CLIENT_ID = "pybuild"
_MIN_LIFETIME = 60
"""Seconds that every token is promised to live, also where the server says less or nothing (token.md)."""


@dataclass(frozen=True, slots=True)
class Challenge:
    """One way of authentication that a server offers."""

    scheme: str
    """In lower case: ``bearer``, ``basic``."""
    parameters: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Token:
    header: str
    expires: float
    """On the monotonic clock."""
    refresh: str
    """A token that lasts, to be exchanged for others like this one; ``""`` where the server gave none."""


def parse_challenges(values: Iterable[str]) -> tuple[Challenge, ...]:
    """Read ``WWW-Authenticate`` headers, each of one challenge or more; what cannot be read is left out."""
    found: list[tuple[str, dict[str, str]]] = []
    for value in values:
        position = 0
        while piece := _PIECE.match(value, position):
            position = piece.end()
            word = piece["word"].lower()
            if piece["quoted"] is None and piece["plain"] is None:
                found.append((word, {}))
            elif found:
                text = piece["plain"] if piece["quoted"] is None else re.sub(r"\\(.)", r"\1", piece["quoted"])
                found[-1][1].setdefault(word, text)
    return tuple(Challenge(scheme, parameters) for scheme, parameters in found)


def merge_scopes(*groups: Iterable[str]) -> tuple[str, ...]:
    """Give scopes with the actions on one resource put together and sorted; order of resources as they come."""
    actions: dict[str, set[str]] = {}
    for scope in (each for group in groups for each in group):
        resource, _, allowed = scope.rpartition(":")
        actions.setdefault(resource, set()).update(allowed.split(","))
    return tuple(f"{resource}:{','.join(sorted(allowed))}" for resource, allowed in actions.items())


def repository_of(scopes: Iterable[str]) -> str:
    """Give the repository that the first scope is about; ``""`` where it is about none."""
    for scope in scopes:
        kind, _, rest = scope.partition(":")
        return rest.rpartition(":")[0] if kind == "repository" else ""
    return ""


def hint_for(registry: str) -> str:
    """Give the advice that ends every refusal."""
    return f"check that the name is right, and log in with: pybuild login {registry}"


class Authenticator:
    """Finds and remembers what to send as ``Authorization``; shared by threads."""

    def __init__(self, transport: Transport, lookup: Lookup, keep: Callable[[str], None] | None = None) -> None:
        """Ask ``lookup`` for credentials; with ``keep``, ask token servers for a refresh token and hand it over."""
        self._transport = transport
        self._lookup = lookup
        self._keep = keep
        self._lock = threading.Lock()
        self._fetching: dict[tuple[str, tuple[str, ...]], threading.Lock] = {}
        self._tokens: dict[tuple[str, tuple[str, ...]], _Token] = {}
        self._challenges: dict[str, Challenge] = {}
        self._credentials: dict[tuple[str, str], Credential | None] = {}

    def header(self, registry: str, scopes: tuple[str, ...]) -> str:
        """Give the header for a request; ``""`` as long as the registry has not asked for one.

        Raises:
            AuthenticationError: the registry asked before, and now its token server refuses.
        """
        with self._lock:
            challenge = self._challenges.get(registry)
        return self._header(registry, challenge, scopes) if challenge else ""

    def answer(self, registry: str, response: Response, scopes: tuple[str, ...], refused: str) -> str:
        """Give the header that answers a 401; ``refused`` is what the request had.

        Raises:
            AuthenticationError: there is no credential, it is refused, or the challenge cannot be answered.
        """
        challenges = {each.scheme: each for each in reversed(parse_challenges(response.headers("WWW-Authenticate")))}
        challenge = challenges.get("bearer") or challenges.get("basic")
        if challenge is None:
            raise denied(registry, response)
        asked = tuple(challenge.parameters.get("scope", "").split())
        if challenge.scheme == "bearer":
            self._check_realm(registry, challenge)
        with self._lock:
            self._challenges[registry] = Challenge(
                challenge.scheme, {key: value for key, value in challenge.parameters.items() if key != "scope"}
            )
            cached = self._tokens.get((registry, scopes))
            if cached is not None and cached.header == refused:
                del self._tokens[registry, scopes]
        header = self._header(registry, challenge, scopes, asked)
        if not header or (header == refused and challenge.scheme == "basic"):
            raise denied(registry, response)
        return header

    def _header(self, registry: str, challenge: Challenge, scopes: tuple[str, ...], asked: tuple[str, ...] = ()) -> str:
        credential = self._credential(registry, repository_of(scopes))
        if challenge.scheme == "basic":
            return _basic(credential) if credential and credential.username else ""
        if credential and credential.registry_token:
            return _bearer(credential.registry_token, registry)
        key = (registry, scopes)
        with self._lock:
            fetching = self._fetching.setdefault(key, threading.Lock())
        with fetching:  # one thread asks; the others find what it got
            with self._lock:
                token = self._tokens.get(key)
            if token is None or token.expires <= time.monotonic():
                token = self._fetch(registry, challenge, merge_scopes(scopes, asked), credential)
                with self._lock:
                    self._tokens[key] = token
        return token.header

    def _credential(self, registry: str, repository: str) -> Credential | None:
        with self._lock:
            if (registry, repository) in self._credentials:
                return self._credentials[registry, repository]
        found = self._lookup(registry, repository)  # it may start a program: not under the lock
        with self._lock:
            self._credentials[registry, repository] = found
        return found

    def _check_realm(self, registry: str, challenge: Challenge) -> None:
        """Refuse to send a password where anybody could read it."""
        realm = challenge.parameters.get("realm", "")
        try:
            parts = urlsplit(realm)
            fine = bool(parts.hostname) and "@" not in parts.netloc and not parts.fragment and realm.isprintable()
            fine = fine and (parts.scheme == "https" or self._plain_realm_allowed(registry, parts.scheme, parts.netloc))
        except ValueError:
            fine = False
        if not fine:
            raise AuthenticationError(f"{registry} sends to the token server {clean(realm, 160)!r}, which is not safe")

    def _plain_realm_allowed(self, registry: str, scheme: str, netloc: str) -> bool:
        """Allow a plain realm only to a registry that is plain itself, so that no public one reaches into this host."""
        return (
            scheme == "http"
            and allows_plain_http(self._transport.settings, registry)
            and allows_plain_http(self._transport.settings, netloc)
        )

    def _fetch(
        self, registry: str, challenge: Challenge, scopes: tuple[str, ...], credential: Credential | None
    ) -> _Token:
        """Ask the token server: with an identity token by POST (oauth.md), otherwise by GET (token.md)."""
        realm, service = challenge.parameters["realm"], challenge.parameters.get("service", "")
        started = time.monotonic()
        if credential and credential.identity_token:
            form = {"grant_type": "refresh_token", "refresh_token": credential.identity_token, "client_id": _CLIENT_ID}
            form |= {"service": service, "scope": " ".join(scopes)}
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
            ask = partial(self._transport.request, "POST", realm, headers, urlencode(form).encode())
        else:
            query = [("service", service)] * bool(service) + [("scope", scope) for scope in scopes]
            headers = {}
            if self._keep is not None:
                query += [("offline_token", "true"), ("client_id", _CLIENT_ID)]
            if credential and credential.username:
                query.append(("account", credential.username))
                headers = {"Authorization": _basic(credential)}
            url = realm + ("&" if "?" in realm else "?") + urlencode(query) if query else realm
            ask = partial(self._transport.request, "GET", url, headers)

        def read(response: Response) -> _Token:
            if credential and credential.identity_token:
                response.secrets += (credential.identity_token,)
            if response.status in {400, 401, 403}:
                raise denied(registry, response)
            if response.status != 200:
                raise refusal(response)
            return _read_token(response, registry, started)

        token = self._transport.exchange(ask, read)
        if token.refresh and self._keep is not None:
            self._keep(token.refresh)
        return token


def _read_token(response: Response, registry: str, started: float) -> _Token:
    where = f"the answer of {public_url(response.url)}"
    try:
        source: dict[str, Any] = parse_object(response.content(_MAX_ANSWER), where)
        token = get(source, str, "token", where) or get(source, str, "access_token", where)
        lifetime, refresh = source.get("expires_in"), get(source, str, "refresh_token", where) or ""
    except InvalidError as error:
        raise AuthenticationError(f"{error}", hint="is there a login page in front of the registry?") from error
    if not token:
        raise AuthenticationError(f"{where} holds no token")
    if refresh:
        _bearer(refresh, registry)  # what could not be sent is not to be kept either
    seconds = lifetime if isinstance(lifetime, int | float) and lifetime > _MIN_LIFETIME else _MIN_LIFETIME
    return _Token(_bearer(token, registry), started + min(seconds, 86400) - 5, refresh)


def denied(registry: str, response: Response) -> AuthenticationError:
    """Give the error for a 401 or 403, with what the registry says of it."""
    error = refusal(response)
    return AuthenticationError(error.message, hint=hint_for(registry), status=error.status, code=error.code)


def _basic(credential: Credential) -> str:
    text = f"{credential.username}:{credential.password}"
    return "Basic " + base64.b64encode(text.encode()).decode()


def _bearer(token: str, registry: str) -> str:
    if not _TOKEN.fullmatch(token):
        raise AuthenticationError(f"the token for {registry} has characters that no header may have")
    return f"Bearer {token}"
