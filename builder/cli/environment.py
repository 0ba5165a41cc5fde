"""What the environment says: where the store is, whom to trust, how to log in."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from builder.errors import BuildError
from layers.errors import InvalidError, RegistryError
from layers.platform import Platform
from layers.store.layout import Layout

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from layers.registry.client import Client
    from layers.registry.credentials import CredentialFiles
    from layers.registry.settings import Settings

_HELPER_SECONDS = 60


@dataclass(frozen=True)
class Environment:
    """The surroundings of one command."""

    variables: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    root: Path | None = None
    """``--root``."""

    @cached_property
    def store(self) -> Path:
        """The store's directory: ``--root``, PYBUILD_ROOT, or ``pybuild`` in the user's data directory."""
        if self.root is not None:
            return self.root.absolute()
        if given := self.variables.get("PYBUILD_ROOT"):
            return Path(given).absolute()
        data = self.variables.get("XDG_DATA_HOME", "")
        base = Path(data) if data.startswith("/") else self._home / ".local" / "share"
        return base / "pybuild"

    @property
    def _home(self) -> Path:
        home = self.variables.get("HOME")
        return Path(home) if home else Path.home()

    def layout(self) -> Layout:
        """Open the store, and make it where there is none.

        Raises:
            StoreError: it cannot be used.
        """
        return Layout.open(self.store)

    def platform(self, given: str) -> Platform:
        """Give the platform of ``--platform``, else of DOCKER_DEFAULT_PLATFORM, else this machine's.

        Raises:
            InvalidError: it is none, or several.
        """
        text = given or self.variables.get("DOCKER_DEFAULT_PLATFORM", "")
        if "," in text:
            raise InvalidError(f"one platform at a time: {text!r}", hint="build each, then join them to an index")
        return Platform.parse(text) if text else Platform.host()

    def credentials(self) -> CredentialFiles:
        """Give what Docker's and podman's login have stored."""
        from layers.registry.credentials import CredentialFiles  # noqa: PLC0415 - only where a registry is asked

        docker = Path(self.variables.get("DOCKER_CONFIG") or self._home / ".docker") / "config.json"
        podman = self.variables.get("REGISTRY_AUTH_FILE")
        runtime = self.variables.get("XDG_RUNTIME_DIR")
        found = [docker]
        if podman:
            found.append(Path(podman))
        elif runtime:
            found.append(Path(runtime) / "containers" / "auth.json")
        return CredentialFiles(found, _run_helper)

    def client(self, insecure: Iterable[str] = ()) -> Client:
        """Give a registry client with the user's settings and credentials; ``insecure`` hosts may be so this once."""
        from layers.registry.client import Client  # noqa: PLC0415 - only where a registry is asked

        settings = self.registry_settings()
        return Client(replace(settings, insecure=settings.insecure | set(insecure)), self.credentials().get)

    def registry_settings(self) -> Settings:
        """Read ``registries:`` of the configuration file, and the proxies of the environment.

        Raises:
            BuildError: the file is not what it should be.
        """
        from layers.registry.settings import Settings  # noqa: PLC0415 - only where a registry is asked

        registries = self.configuration().get("registries", {})
        if not isinstance(registries, dict):
            raise self._malformed("registries is no mapping")
        insecure, mirrors = set(), {}
        for host, options in registries.items():
            if not isinstance(options, dict) or not set(options) <= {"insecure", "mirrors"}:
                raise self._malformed(f"registries.{host} has insecure and mirrors, and nothing else")
            if options.get("insecure"):
                insecure.add(str(host))
            mirrors[str(host)] = tuple(str(mirror) for mirror in options.get("mirrors") or ())
        proxies = {scheme: self._proxy(f"{scheme}_proxy") for scheme in ("http", "https")}
        return Settings(
            insecure=frozenset(insecure),
            mirrors=mirrors,
            ca_file=self.variables.get("SSL_CERT_FILE", ""),
            proxies={scheme: url for scheme, url in proxies.items() if url},
            no_proxy=tuple(each.strip() for each in self._proxy("no_proxy").split(",") if each.strip()),
        )

    def _proxy(self, name: str) -> str:
        return self.variables.get(name) or self.variables.get(name.upper(), "")

    @property
    def configuration_file(self) -> Path:
        """``pybuild/config.yaml`` in the user's configuration directory."""
        base = self.variables.get("XDG_CONFIG_HOME", "")
        return (Path(base) if base.startswith("/") else self._home / ".config") / "pybuild" / "config.yaml"

    def configuration(self) -> Mapping[str, object]:
        """Read the user's configuration file; empty where there is none.

        Raises:
            BuildError: it is not YAML, or no mapping.
        """
        try:
            text = self.configuration_file.read_text()
        except FileNotFoundError:
            return {}
        except (OSError, UnicodeDecodeError) as error:
            raise self._malformed(str(error)) from error
        import yaml  # noqa: PLC0415 - only where there is a file

        try:
            found = yaml.safe_load(text) or {}
        except (yaml.YAMLError, RecursionError) as error:
            raise self._malformed(str(error)) from error
        if not isinstance(found, dict):
            raise self._malformed("it is no mapping")
        return found

    def _malformed(self, what: str) -> BuildError:
        return BuildError(f"cannot read {self.configuration_file}: {what}")


def _run_helper(name: str, action: str, content: bytes) -> bytes:
    """Run a credential helper; what it is told goes through a pipe and never onto a command line."""
    program = shutil.which(f"docker-credential-{name}")
    if program is None:
        raise RegistryError(f"the credential helper docker-credential-{name} is not installed")
    try:
        done = subprocess.run(
            [program, action], input=content, capture_output=True, timeout=_HELPER_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RegistryError(f"the credential helper docker-credential-{name} failed: {error}") from error
    if done.returncode:
        said = (done.stdout or done.stderr).decode(errors="replace").strip()
        raise RegistryError(said or f"docker-credential-{name} {action} failed")
    return done.stdout
