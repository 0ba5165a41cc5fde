"""``pybuild login`` and ``logout``; logins are shared with Docker."""

from __future__ import annotations

import getpass
import sys
from typing import Annotated

import typer

from builder.cli import common as opt
from builder.cli.environment import Environment
from builder.errors import BuildError
from layers.reference import DOCKER_HUB

_Registry = Annotated[str, typer.Argument(metavar="[REGISTRY]", help="The registry's host[:port]; else Docker Hub.")]

_UNENCRYPTED = """\
WARNING! Your password will be stored unencrypted in {file}.
Configure a credential helper to remove this warning. See
https://docs.docker.com/engine/reference/commandline/login/#credentials-store
"""
_PLAIN = "WARNING! {host} is asked without encryption: the password can be read by anybody on the way."


def login(
    registry: _Registry = "",
    username: Annotated[str, typer.Option("-u", "--username", help="Who you are there.")] = "",
    password: Annotated[str, typer.Option("-p", "--password", help="Seen by everybody who sees processes.")] = "",
    from_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from standard input.")
    ] = False,
    insecure: opt.Insecure = False,
) -> None:
    """Log in to a registry, and remember that where Docker does.

    Example: echo "$TOKEN" | pybuild login -u me --password-stdin registry.example.com
    """
    from layers.registry.settings import is_loopback  # noqa: PLC0415 - what --help does not need

    if password and from_stdin:
        raise BuildError("--password and --password-stdin exclude one another")
    if from_stdin and not username:
        raise BuildError("--password-stdin needs --username")
    host = _host(registry)
    environment = Environment()
    if password:
        print("WARNING! Using --password via the CLI is insecure. Use --password-stdin.", file=sys.stderr)
    if from_stdin:
        password = sys.stdin.read().removesuffix("\n").removesuffix("\r")
    username, password = _asked(username, password, environment, host)
    with environment.client(insecure=[host] if insecure else []) as client:
        if client.is_plain(host) and not is_loopback(host):
            print(_PLAIN.format(host=host), file=sys.stderr)
        credential = client.check_login(host, username, password)
    credentials = environment.credentials()
    file = credentials.plain_file(host)
    if file is not None and credential.password:
        print(_UNENCRYPTED.format(file=file), file=sys.stderr)
    credentials.store(host, credential)
    print("Login Succeeded")


def logout(registry: _Registry = "") -> None:
    """Forget the login of a registry.

    Example: pybuild logout registry.example.com
    """
    host = _host(registry)
    shown = registry or "https://index.docker.io/v1/"
    if Environment().credentials().erase(host):
        print(f"Removing login credentials for {shown}")
    else:
        print(f"Not logged in to {shown}")


def _host(registry: str) -> str:
    """Give the host of what may be a URL, as people copy it."""
    host = registry.removeprefix("https://").removeprefix("http://").partition("/")[0]
    return DOCKER_HUB if host in {"", "index.docker.io", "registry-1.docker.io"} else host


def _asked(username: str, password: str, environment: Environment, host: str) -> tuple[str, str]:
    """Give user and password; what is missing is asked for on the terminal.

    Raises:
        BuildError: there is no terminal to ask on, or nothing was answered.
    """
    if not (username and password) and not sys.stdin.isatty():
        raise BuildError("cannot ask for a password: there is no terminal", hint="use -u USER and --password-stdin")
    if not username:
        known = environment.credentials().get(host)
        default = known.username if known else ""
        print(f"Username{f' ({default})' if default else ''}: ", end="", flush=True)
        username = sys.stdin.readline().strip() or default
    if username and not password:
        password = getpass.getpass("Password: ")
    if not username or not password:
        raise BuildError(f"{'password' if username else 'username'} required")
    return username, password
