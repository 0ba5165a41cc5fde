"""How the repositories of a registry and the names in a store belong together.

What follows the server's address in a name is read as pybuild reads any name: ``localhost:5000/app:1`` is the store's
``app:1`` (in full ``docker.io/library/app:1``), ``localhost:5000/ghcr.io/me/app:1`` its ``ghcr.io/me/app:1``. A name in
the store that begins with the server's own address means the same as without it. Names of other registries whose
address has a port are not served: no repository may be called so.

Spec: distribution-spec/spec.md, "Pulling manifests".
"""

from __future__ import annotations

import re

from layers.digest import Digest
from layers.errors import InvalidError
from layers.frozen import frozen
from layers.reference import Reference
from layers.serving.refusal import RefusalError

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_NAME = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_MAX_NAME = 255
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")


def repository(text: str) -> Reference:
    """Give the name, without a tag, that a repository's images have in the store.

    Raises:
        RefusalError: it is no name of a repository.
    """
    if len(text) > _MAX_NAME or not _NAME.fullmatch(text):
        raise RefusalError(400, "NAME_INVALID", f"invalid repository name {text[:160]!r}")
    try:
        return Reference.parse_name(text)
    except InvalidError as error:
        raise RefusalError(400, "NAME_INVALID", error.message) from None


def digest(text: str) -> Digest:
    """Read a digest.

    Raises:
        RefusalError: it is none.
    """
    try:
        return Digest.parse(text)
    except InvalidError as error:
        raise RefusalError(400, "DIGEST_INVALID", error.message) from None


def tag_or_digest(text: str) -> str | Digest:
    """Read what stands behind ``manifests/``.

    Raises:
        RefusalError: it is neither.
    """
    if ":" in text:
        return digest(text)
    if not _TAG.fullmatch(text):
        raise RefusalError(400, "MANIFEST_INVALID", f"invalid tag {text[:160]!r}")
    return text


@frozen
class Addresses:
    """The registries that stand for this server in names, as ``host:port``."""

    own: frozenset[str]

    def served_as(self, name: Reference) -> str:
        """Give the repository in which a name of the store is served; ``""`` where it cannot be."""
        if name.registry in self.own:
            try:
                name = Reference.parse_name(name.repository)
            except InvalidError:
                return ""
        text = name.familiar_name
        return text if len(text) <= _MAX_NAME and _NAME.fullmatch(text) else ""
