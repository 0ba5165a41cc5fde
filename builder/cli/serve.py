"""``pybuild registry serve``: the store as a registry, for programs on this machine."""

from __future__ import annotations

import re
import sys
import threading
from typing import TYPE_CHECKING, Annotated

import typer

from builder.cli import common as opt
from builder.cli.human import size
from builder.cli.stored import open_layout
from builder.errors import BuildError
from builder.runtime.interrupt import interruptible

if TYPE_CHECKING:
    from layers.serving.server import Served
    from layers.serving.settings import Settings

_INTERRUPTED = 130
_LISTEN = re.compile(r"(?:(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]*):)?([0-9]{1,5})")
_WARNING = """\
WARNING! {host} is not loopback: whoever reaches port {port} can read every image in this store{pushing}.
There are no logins and no encryption: have a firewall in front of it."""


def serve(
    listen: Annotated[
        str, typer.Option("--listen", metavar="[HOST:]PORT", help="Where to answer; port 0 takes a free one.")
    ] = "127.0.0.1:5000",
    read_only: Annotated[bool, typer.Option("--read-only", help="Refuse pushes and deletions.")] = False,
    names: Annotated[
        list[str] | None,
        typer.Option("--name", metavar="HOST", help="Answer also requests for this host name; repeatable."),
    ] = None,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Do not print a line for each request.")] = False,
    root: opt.Root = "",
) -> None:
    """Serve the store as a registry, until Ctrl-C.

    What follows the address in a name is read as pybuild reads any name: localhost:5000/app:1 is the app:1 that
    pybuild -t app:1 makes, localhost:5000/ghcr.io/me/app:1 is ghcr.io/me/app:1, and what is pushed as
    localhost:5000/app:2 is the store's app:2.

    Example: pybuild registry serve & docker pull localhost:5000/app:1
    """
    from layers.serving.server import Server  # noqa: PLC0415 - what --help does not need

    settings = _settings(listen, names or [], read_only=read_only)
    try:
        server = Server(open_layout(root), settings, _silent if quiet else _Lines().tell)
    except OSError as error:
        reason = error.strerror or str(error)
        hint = "choose another one: --listen 127.0.0.1:0 takes any that is free"
        raise BuildError(f"cannot listen on {listen}: {reason}", hint=hint) from error
    with interruptible():
        try:
            with server:
                _announce(server.host, server.port, read_only=read_only)
                server.run()
        except KeyboardInterrupt:
            raise typer.Exit(_INTERRUPTED) from None


def _settings(listen: str, names: list[str], *, read_only: bool) -> Settings:
    """Read what was given.

    Raises:
        BuildError: it is no address.
    """
    from layers.serving.settings import Settings  # noqa: PLC0415 - what --help does not need

    found = _LISTEN.fullmatch(listen)
    if found is None or int(found[2]) > 0xFFFF:
        raise BuildError(f"invalid --listen {listen!r}", hint="write HOST:PORT, as 127.0.0.1:5000")
    host = "127.0.0.1" if found[1] is None else found[1].strip("[]") or "0.0.0.0"  # noqa: S104 - it was asked for
    return Settings(host, int(found[2]), read_only=read_only, names=tuple(each.lower() for each in names))


def _announce(host: str, port: int, *, read_only: bool) -> None:
    """Say where the registry is, on standard output for programs as well, and who else can reach it."""
    from layers.registry.settings import is_loopback  # noqa: PLC0415 - what --help does not need

    address = f"[{host}]" if ":" in host else host
    if not is_loopback(address):
        pushing = "" if read_only else ", and put others in their place"
        print(_WARNING.format(host=host, port=port, pushing=pushing), file=sys.stderr)
    print(f"Serving at http://{address}:{port}", flush=True)


class _Lines:
    """A line on standard error for each request."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def tell(self, served: Served) -> None:
        """Say what was asked, and what became of it."""
        line = f"{served.client} {served.method} {served.path} {served.status} {size(served.size)}"
        line += f" {served.seconds:.3f}s" + (f": {served.cause}" if served.cause else "")
        with self._lock:
            print(line, file=sys.stderr, flush=True)


def _silent(served: Served) -> None:
    """Say only what went wrong on this side."""
    if served.cause:
        _Lines().tell(served)
