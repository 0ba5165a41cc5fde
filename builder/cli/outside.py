"""How a build reaches other machines by HTTP and git: the user's proxies and certificates, and secrets that log in."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import TYPE_CHECKING

from builder.cli import inputs
from builder.events import Progress, Step, reported

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from builder.cli.environment import Environment
    from builder.cli.fetch import Request, Watch
    from builder.cli.options import Options
    from builder.context.remote import Fetch, FetchedFile
    from builder.events import Listener
    from builder.execute.remote import Remote


_PROXIES = {
    "httpProxy": "HTTP_PROXY",
    "httpsProxy": "HTTPS_PROXY",
    "ftpProxy": "FTP_PROXY",
    "noProxy": "NO_PROXY",
    "allProxy": "ALL_PROXY",
}


def with_proxies(arguments: Mapping[str, str], environment: Environment) -> dict[str, str]:
    """Give build arguments with the proxies that Docker's configuration has, but for those given in whatever case."""
    given = {name.upper() for name in arguments}
    return {name: value for name, value in _proxies(environment).items() if name not in given} | dict(arguments)


def _proxies(environment: Environment) -> dict[str, str]:
    home = environment.variables.get("DOCKER_CONFIG") or f"{environment.variables.get('HOME', '')}/.docker"
    try:
        document = json.loads((Path(home) / "config.json").read_bytes())
        given = document["proxies"]["default"]
        return {name: given[key] for key, name in _PROXIES.items() if isinstance(given.get(key), str)}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def fetch(options: Options, environment: Environment, scratch: Path) -> Fetch:
    """Give what downloads contexts and Dockerfiles; secrets of the options log in."""

    def fetching(url: str) -> FetchedFile:
        from builder.cli.fetch import fetcher  # noqa: PLC0415 - most contexts are here
        from builder.execute.remote import authorisation  # noqa: PLC0415 - likewise

        secrets = inputs.secrets(options.secrets, environment.variables)
        return fetcher(_request(environment, scratch), lambda url: authorisation(url, secrets))(url)

    return fetching


def git_variables(options: Options, environment: Environment, remote: str) -> Mapping[str, str]:
    """Give what git sees when it fetches a context; secrets of the options log in."""
    if remote.startswith("github.com/"):
        remote = f"https://{remote}"
    if "://" not in remote and "@" not in remote:
        return environment.variables
    from builder.execute.remote import git_environment  # noqa: PLC0415 - most contexts are here

    secrets = inputs.secrets(options.secrets, environment.variables)
    return git_environment(environment.variables, secrets, {}, remote)


def remote(environment: Environment, scratch: Path, listener: Listener, number: Callable[[], int]) -> Remote:
    """Give what ADD fetches by; each download is reported as a step."""
    from builder.cli.fetch import shown  # noqa: PLC0415 - few builds fetch anything
    from builder.execute.remote import Remote  # noqa: PLC0415 - likewise

    request = _request(environment, scratch)

    def reporting(url: str, headers: Mapping[str, str]) -> FetchedFile | None:
        step = Step(number(), f"[internal] fetch {shown(url)}")
        with reported(listener, step):
            return request(url, headers, lambda done, total: listener(Progress(step, "", done, total)))

    return Remote(reporting, environment.variables, environment.store / "cache" / "downloads", scratch)


def _request(environment: Environment, scratch: Path) -> Request:
    """Give what downloads by HTTP; the user's settings are read when there is something to download."""

    @functools.cache
    def requesting() -> Request:
        from builder.cli.fetch import requester  # noqa: PLC0415 - only where something is downloaded
        from layers.registry.settings import proxy_for  # noqa: PLC0415 - likewise

        settings = environment.registry_settings()
        return requester(scratch, functools.partial(proxy_for, settings), settings.ca_file)

    def request(url: str, headers: Mapping[str, str], watch: Watch | None = None) -> FetchedFile | None:
        return requesting()(url, headers, watch)

    return request
