"""The way in to registries: one client for all of them, holding connections and tokens.

Spec: distribution-spec/spec.md, "Endpoints"; Docker Hub's search is its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlencode

from layers.errors import AuthenticationError, InvalidError
from layers.frozen import frozen
from layers.jsonread import get, parse_object, strings
from layers.reference import DOCKER_HUB
from layers.registry.credentials import Credential, Lookup, no_credentials
from layers.registry.repository import Repository, next_page
from layers.registry.response import clean
from layers.registry.session import Session
from layers.registry.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from layers.reference import Reference

_HUB_SEARCH = "index.docker.io"
_CATALOG = ("registry:catalog:*",)
_MAX_PAGES = 100


@frozen
class Found:
    """One repository that a search found."""

    name: str
    description: str = ""
    stars: int = 0
    official: bool = False


class Client:
    """Talks to registries; a context manager, shared by threads."""

    def __init__(self, settings: Settings | None = None, credentials: Lookup = no_credentials) -> None:
        self.settings = settings or Settings()
        self._session = Session(self.settings, credentials)

    def close(self) -> None:
        """Close every connection."""
        self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def repository(self, reference: Reference) -> Repository:
        """Give the repository of a reference; its tag and digest play no part."""
        return Repository(self._session, reference.registry, reference.repository)

    def ping(self, registry: str) -> None:
        """Ask whether a registry is there and lets us in.

        Raises:
            AuthenticationError: it does not let us in.
            RegistryError: it cannot be reached, or is no registry.
        """
        self._session.request(registry, "GET", "/v2/", what=f"the API of {registry}").close()

    def is_plain(self, registry: str) -> bool:
        """Tell whether a registry is talked to without TLS, so that whoever is on the way reads along."""
        return self._session.is_plain(registry)

    def check_login(self, registry: str, username: str, password: str) -> Credential:
        """Ask whether a registry takes a user's password, and give what is to be kept of it.

        That is a token in the password's place where the registry's token server gives one that lasts (oauth.md).

        Raises:
            AuthenticationError: it does not.
            RegistryError: it cannot be reached, or is no registry.
        """
        credential = Credential(username, password)
        lasting: list[str] = []
        session = Session(self.settings, lambda _registry, _repository: credential, lasting.append)
        try:
            session.request(registry, "GET", "/v2/", what=f"the API of {registry}").close()
        except AuthenticationError as error:
            raise AuthenticationError(
                f"{registry} refuses the user {clean(username, 80)!r} ({error.message})",
                hint="check user name and password; many registries want an access token in the password's place",
                status=error.status,
                code=error.code,
            ) from error
        finally:
            session.close()
        return Credential(username, identity_token=lasting[-1]) if lasting else credential

    def search(self, term: str, limit: int = 25, *, registry: str = DOCKER_HUB) -> tuple[Found, ...]:
        """Find repositories by a word in their names: on Docker Hub by its search, elsewhere in the catalog.

        Raises:
            InvalidError: the answer is not of the format.
            AuthenticationError, RegistryError: the registry refuses or cannot be reached.
        """
        found = self._hub_search(term, limit) if registry == DOCKER_HUB else self._catalog(registry, term)
        return tuple(each for each, _ in zip(found, range(limit), strict=False))

    def _hub_search(self, term: str, limit: int) -> Iterator[Found]:
        target = "/v1/search?" + urlencode({"q": term, "n": min(max(limit, 1), 100)})
        content, _ = self._session.fetch(_HUB_SEARCH, target, what="Docker Hub's search")
        source = parse_object(content, "the search's answer")
        for i, each in enumerate(get(source, list, "results", "search") or ()):
            yield _found(each, f"search.results[{i}]")

    def _catalog(self, registry: str, term: str) -> Iterator[Found]:
        where = f"the catalog of {registry}"
        target = "/v2/_catalog?n=1000"
        for _ in range(_MAX_PAGES):
            content, response = self._session.fetch(registry, target, what=where, scopes=_CATALOG)
            source, target = parse_object(content, where), next_page(response)
            for name in strings(source, "repositories", where) or ():
                if term.lower() in name.lower():
                    yield Found(clean(name))
            if not target:
                return


def _found(source: Any, where: str) -> Found:
    if not isinstance(source, dict):
        raise InvalidError(f"{where} is a {type(source).__name__}, not an object")
    return Found(
        clean(get(source, str, "name", where) or ""),
        clean(get(source, str, "description", where) or "", 1000),
        get(source, int, "star_count", where) or 0,
        get(source, bool, "is_official", where) or False,
    )
