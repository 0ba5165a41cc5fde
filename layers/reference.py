"""Names of images: ``registry/repository:tag@digest``.

Spec: distribution-spec/spec.md, "Pulling manifests"; short names are read as Docker reads them.
"""

from __future__ import annotations

import re
from dataclasses import replace

from layers.digest import Digest
from layers.errors import InvalidError
from layers.frozen import frozen

DOCKER_HUB = "docker.io"
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_REGISTRY = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-fA-F:]+\])(?::[0-9]+)?")
_TAG = re.compile(r"[\w][\w.-]{0,127}", re.ASCII)
_ID = re.compile(r"[0-9a-f]{64}")
_MAX_REPOSITORY = 255


@frozen(order=True)
class Reference:
    """The name of an image in full; ``tag`` is ``""`` only beside a digest or in a name without either."""

    registry: str
    repository: str
    tag: str = ""
    digest: Digest | None = None

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Read a name as Docker does: ``alpine`` is ``docker.io/library/alpine:latest``.

        Raises:
            InvalidError: says which part is wrong.
        """
        reference = cls.parse_name(text)
        if not reference.tag and reference.digest is None:
            return replace(reference, tag="latest")
        return reference

    @classmethod
    def parse_name(cls, text: str) -> Reference:
        """Read a name and keep a missing tag missing.

        Raises:
            InvalidError: says which part is wrong.
        """
        name, at, digest_text = text.partition("@")
        digest = Digest.parse(digest_text) if at else None
        tag = ""
        if ":" in name.rsplit("/", 1)[-1]:
            name, _, tag = name.rpartition(":")
            if not _TAG.fullmatch(tag):
                raise InvalidError(
                    f"invalid tag {tag[:160]!r} in image name {text[:300]!r}",
                    hint="a tag is at most 128 letters, digits, underscores, dots and dashes",
                )
        if _ID.fullmatch(text):
            raise InvalidError(f"{text} is the form of an image id, and no image name")
        registry, repository = _split_registry(name)
        if not _REGISTRY.fullmatch(registry):
            raise InvalidError(f"invalid registry {registry[:160]!r} in image name {text[:300]!r}")
        if not _REPOSITORY.fullmatch(repository) or len(repository) > _MAX_REPOSITORY:
            hint = "a repository is lower-case letters and digits, with . _ - inside and / between its parts"
            written = repository if repository in name else repository.removeprefix("library/")
            raise InvalidError(f"invalid repository {written[:160]!r} in image name {text[:300]!r}", hint=hint)
        return cls(registry, repository, tag, digest)

    @property
    def name(self) -> str:
        """The full name without tag and digest: ``docker.io/library/alpine``."""
        return f"{self.registry}/{self.repository}"

    @property
    def familiar_name(self) -> str:
        """The name as a person writes it, without tag and digest: ``alpine``."""
        first, slash, rest = self.repository.partition("/")
        if self.registry != DOCKER_HUB or (slash and _is_registry(first)):
            return self.name
        short = first == "library" and "/" not in rest and not _ID.fullmatch(rest)
        return rest if short else self.repository

    @property
    def familiar(self) -> str:
        """The whole reference as a person writes it: ``alpine:latest``."""
        return self.familiar_name + self._suffix

    @property
    def _suffix(self) -> str:
        return (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")

    def __str__(self) -> str:
        return self.name + self._suffix


def _split_registry(name: str) -> tuple[str, str]:
    """Give registry and repository: the first part is a registry if it has a dot, a port or upper case."""
    first, slash, rest = name.partition("/")
    if not slash or not _is_registry(first):
        first, rest = DOCKER_HUB, name
    if first == "index.docker.io":
        first = DOCKER_HUB
    if first == DOCKER_HUB and "/" not in rest:
        rest = f"library/{rest}"
    return first, rest


def _is_registry(part: str) -> bool:
    return part == "localhost" or "." in part or ":" in part or part != part.lower()
