"""Credentials as Docker and Podman keep them, and the programs that keep them elsewhere.

Format: docker/cli ``config.json`` (``auths``, ``credsStore``, ``credHelpers``) and containers-auth.json(5).
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import field
from typing import TYPE_CHECKING, Any

from layers.errors import InvalidError, RegistryError
from layers.frozen import frozen
from layers.jsonread import get, parse_object
from layers.reference import DOCKER_HUB

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

HUB_KEY = "https://index.docker.io/v1/"
_HUB_HOSTS = frozenset({DOCKER_HUB, "index.docker.io", "registry-1.docker.io"})
_TOKEN_USER = "<token>"  # noqa: S105 - the name by which a helper says that its secret is an identity token


@frozen
class Credential:
    """What opens a registry: user and password, or a token; never shown."""

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    """A refresh token, to be exchanged for access tokens."""
    registry_token: str = field(default="", repr=False)
    """An access token, sent as it is."""


Lookup = Callable[[str, str], Credential | None]
"""Gives the credential for a registry and a repository (``""`` for none in particular)."""

RunHelper = Callable[[str, str, bytes], bytes]
"""Runs ``docker-credential-<name> <action>`` with this input and gives its output.

Raises RegistryError with what the program printed where it fails.
"""


def no_credentials(_registry: str, _repository: str) -> None:
    """Know nobody: everything is asked for anonymously."""


class CredentialFiles:
    """Files of credentials, the first one for writing; read anew for each question.

    ``run_helper`` runs credential helpers; without it they are an error where a file asks for one.
    """

    def __init__(self, paths: Sequence[Path], run_helper: RunHelper | None = None) -> None:
        self._paths = tuple(paths)
        self._run_helper = run_helper

    def get(self, registry: str, repository: str = "") -> Credential | None:
        """Give the credential from the first file that has one; a key that names the repository goes first.

        Raises:
            InvalidError: a file, or this registry's entry in it, cannot be read.
            RegistryError: a helper failed.
        """
        for path in self._paths:
            source = _read(path)
            helper = _helper(source, registry, path)
            found = self._ask(helper, registry) if helper else None
            found = found or _from_auths(source, registry, repository, path)
            if found is not None:
                return found
        return None

    def store(self, registry: str, credential: Credential) -> None:
        """Keep a credential, with the helper the first file names or in that file (mode 0600).

        Raises:
            InvalidError: the file cannot be read; it is left as it is.
            RegistryError: the helper failed, or the file cannot be written.
        """
        path = self._target()
        source = _read(path)
        helper = _helper(source, registry, path)
        auths = source.setdefault("auths", {})
        key = _key(registry)
        if helper:
            user = _TOKEN_USER if credential.identity_token else credential.username
            secret = credential.identity_token or credential.password
            self._run(helper, "store", json.dumps({"ServerURL": key, "Username": user, "Secret": secret}).encode())
            auths[key] = {}  # docker lists its logins from here
        else:
            text = f"{credential.username}:{credential.password}"
            auths[key] = {"auth": base64.b64encode(text.encode()).decode()}
            if credential.identity_token:
                auths[key]["identitytoken"] = credential.identity_token
        _write(path, source)

    def plain_file(self, registry: str) -> Path | None:
        """Give the file in which a registry's credential is kept readable; None where a helper keeps it.

        Raises:
            InvalidError: the file cannot be read.
        """
        path = self._target()
        return None if _helper(_read(path), registry, path) else path

    def erase(self, registry: str) -> bool:
        """Forget a registry's credential; False where the first file had none.

        Raises:
            InvalidError: the file cannot be read.
            RegistryError: the helper failed, or the file cannot be written.
        """
        path = self._target()
        source = _read(path)
        helper = _helper(source, registry, path)
        erased = False
        if helper and self._ask(helper, registry) is not None:
            self._run(helper, "erase", _key(registry).encode())
            erased = True
        auths = source.get("auths") or {}
        keys = [key for key in auths if _host(key) in _hosts(registry) and _path(key) in {"", "v1", "v2"}]
        for key in keys:
            del auths[key]
        if keys:
            _write(path, source)
        return erased or bool(keys)

    def _target(self) -> Path:
        if not self._paths:
            raise RegistryError("there is no file to keep credentials in")
        return self._paths[0]

    def _ask(self, helper: str, registry: str) -> Credential | None:
        key = _key(registry)
        try:
            content = self._run(helper, "get", key.encode())
        except RegistryError as error:
            if "credentials not found" in error.message:
                return None
            raise
        source = parse_object(content, f"the answer of docker-credential-{helper}")
        where = f"docker-credential-{helper}"
        user, secret = get(source, str, "Username", where) or "", get(source, str, "Secret", where) or ""
        if not secret:
            return None
        return Credential(identity_token=secret) if user == _TOKEN_USER else Credential(user, secret)

    def _run(self, helper: str, action: str, content: bytes) -> bytes:
        if self._run_helper is None:
            raise RegistryError(f"the credential helper {helper!r} cannot be run here")
        return self._run_helper(helper, action, content)


def _read(path: Path) -> dict[str, Any]:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return {"auths": {}}
    except OSError as error:
        raise RegistryError(f"cannot read credentials: {path}: {error.strerror}") from error
    source = parse_object(content, str(path)) if content.strip() else {}
    auths = get(source, dict, "auths", str(path)) or {}
    for key, entry in auths.items():
        if entry is not None and not isinstance(entry, dict):
            raise InvalidError(f"{path}: auths[{key!r}] is a {type(entry).__name__}, not an object")
    source["auths"] = auths
    return source


def _write(path: Path, source: dict[str, Any]) -> None:
    """Replace a file in one step; where it is a link, what it leads to."""
    target = os.path.realpath(path)
    try:
        os.makedirs(os.path.dirname(target), mode=0o700, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=os.path.dirname(target), prefix=".config-")  # has mode 0600
    except OSError as error:
        raise RegistryError(f"cannot write credentials: {path}: {error.strerror}") from error
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(source, file, indent="\t", ensure_ascii=False)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise RegistryError(f"cannot write credentials: {path}: {error.strerror}") from error


def _helper(source: dict[str, Any], registry: str, path: Path) -> str:
    """Give the name of the helper for a registry; ``""`` for none."""
    helpers = get(source, dict, "credHelpers", str(path)) or {}
    own = [name for key, name in helpers.items() if _host(key) in _hosts(registry)]
    name = own[0] if own else get(source, str, "credsStore", str(path)) or ""
    if not isinstance(name, str) or "/" in name or not name.isprintable():
        raise InvalidError(f"{path}: {name!r} is no name of a credential helper")
    return name


def _from_auths(source: dict[str, Any], registry: str, repository: str, path: Path) -> Credential | None:
    entries: dict[str, tuple[str, dict[str, Any]]] = {}
    for key, entry in source["auths"].items():
        if entry and _host(key) in _hosts(registry):
            entries.setdefault(_path(key), (key, entry))
    for wanted in (*_parents(repository), "", "v1", "v2"):
        if wanted in entries:
            key, entry = entries[wanted]
            found = _credential(entry, f"{path}: auths[{key!r}]")
            if found != Credential():
                return found
    return None


def _parents(repository: str) -> Iterator[str]:
    """Give ``a/b/c``, ``a/b``, ``a``: Podman's keys may name any of them."""
    while repository:
        yield repository
        repository = repository.rpartition("/")[0]


def _credential(entry: dict[str, Any], where: str) -> Credential:
    user, password = get(entry, str, "username", where) or "", get(entry, str, "password", where) or ""
    if text := get(entry, str, "auth", where):
        try:
            decoded = base64.b64decode(text, validate=True).decode()
        except (binascii.Error, ValueError):
            raise InvalidError(f"{where}.auth is not base64 of user:password") from None
        user, colon, password = decoded.partition(":")
        password = password.rstrip("\0")  # old Dockers padded it
        if not colon:
            raise InvalidError(f"{where}.auth is not base64 of user:password")
    identity = get(entry, str, "identitytoken", where) or ""
    return Credential(user, password, identity, get(entry, str, "registrytoken", where) or "")


def _key(registry: str) -> str:
    return HUB_KEY if registry in _HUB_HOSTS else registry


def _hosts(registry: str) -> frozenset[str]:
    return _HUB_HOSTS if registry in _HUB_HOSTS else frozenset({registry})


def _host(key: str) -> str:
    """Give ``host[:port]`` of a key, which may have a scheme and a path."""
    return key.partition("://")[2].partition("/")[0] if "://" in key else key.partition("/")[0]


def _path(key: str) -> str:
    return (key.partition("://")[2] if "://" in key else key).partition("/")[2].strip("/")
