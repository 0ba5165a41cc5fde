"""Contexts that are no directory of this machine: a tar or a Dockerfile on standard input, a URL, a git repository."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import IO, TYPE_CHECKING, BinaryIO, cast

from builder.errors import ContextError
from layers.changeset import tar
from layers.changeset.apply import apply
from layers.compression import open_reader
from layers.errors import ChangesetError
from layers.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from layers.changeset.entry import Entry

MAX_DOCKERFILE = 16 << 20
"""Bytes of the largest Dockerfile that is taken where a tar could have come."""
_MAX_RATIO = 2000
"""How many bytes may come out of one: gzip gives up to 1,032."""


@frozen
class FetchedFile:
    """What was downloaded from a URL."""

    path: Path
    last_modified: int | None = None
    """Seconds since 1970, where the server said so."""
    etag: str = ""


if TYPE_CHECKING:
    Fetch = Callable[[str], FetchedFile]
    """Downloads a URL, following redirects; raises ContextError where that fails."""


@frozen
class OpenedContext:
    """A directory to build from, and what is known of where it came from."""

    root: Path
    dockerfile: Path | None = None
    """The Dockerfile, where that and no context was given; else it is looked for in ``root``."""
    local: bool = False
    """A directory of this machine: only there an ignore file counts."""
    commit: str = ""
    """The commit of a git repository."""
    skipped: tuple[str, ...] = ()
    """Devices in a tar that this user may not make."""


def open_context(
    spec: str, *, stdin: BinaryIO, fetch: Fetch, workdir: Path, environment: Mapping[str, str]
) -> OpenedContext:
    """Make a directory of what the user gave as the context.

    Args:
        spec: a directory or tar of this machine, ``-`` for a tar or Dockerfile on ``stdin``, a git repository with
            ``#ref:subdir`` or a query, or an http(s) URL of a tar or Dockerfile.
        stdin: read to its end for ``-``.
        fetch: downloads.
        workdir: an existing directory for what is not local; the caller removes it when the build is over.
        environment: what git sees.

    Raises:
        ContextError: there is no such thing, or it cannot be fetched or read.
    """
    if spec == "-":
        if stdin.isatty():
            raise ContextError(
                "standard input is a terminal", hint="pipe a Dockerfile or a tar into it, or give a directory"
            )
        return _from_stream(stdin, workdir, "standard input")
    if not spec:
        raise ContextError('build context "": there is no such directory', hint="write . for this directory")
    if Path(spec).is_dir():
        return OpenedContext(Path(spec), local=True)
    if "://" in spec or "@" in spec or spec.startswith("github.com/"):
        found = _from_network(spec, fetch, workdir, environment)
        if found is not None:
            return found
    try:
        with open(spec, "rb") as file:
            return _from_stream(file, workdir, f'"{spec}"', text=False)
    except OSError as error:
        raise ContextError(f'build context "{spec}": {error.strerror}') from error
    except ValueError as error:  # a NUL in the name
        raise ContextError(f"build context {spec!r}: {error}") from error


def _from_network(spec: str, fetch: Fetch, workdir: Path, environment: Mapping[str, str]) -> OpenedContext | None:
    from builder.context.remote_git import GitRef, checkout, redacted, subdirectory  # noqa: PLC0415 - start-up time

    git_ref = GitRef.parse(spec, shorthand=True)
    if git_ref is not None:
        top = workdir / "git"
        commit = checkout(git_ref, top, environment)
        return OpenedContext(subdirectory(top, git_ref.subdir, redacted(git_ref.remote)), commit=commit)
    if spec.lower().startswith(("http://", "https://")):
        with open(fetch(spec).path, "rb") as file:
            return _from_stream(file, workdir, redacted(spec))
    if "://" in spec:
        raise ContextError(f'build context "{redacted(spec)}": unknown kind of URL', hint="use https, http, ssh or git")
    return None


def _from_stream(stream: BinaryIO, workdir: Path, what: str, *, text: bool = True) -> OpenedContext:
    """Unpack a tar, compressed or not, or take a Dockerfile where ``text`` allows one."""
    root = workdir / "context"
    root.mkdir()
    try:
        with open_reader(cast("IO[bytes]", stream), max_ratio=_MAX_RATIO) as reader:
            head = reader.read(tar.BLOCK)
            content = _Rewound(head, reader)
            if tar.is_header(head) or (head and not head.strip(b"\0")):
                return OpenedContext(root, skipped=_unpack(content, root))
            if text:
                return OpenedContext(root, dockerfile=_keep_dockerfile(content, workdir, what))
    except ChangesetError as error:
        raise ContextError(f"{what}: {error.message}", hint=error.hint) from error
    raise ContextError(f"{what} is no tar", hint="give a directory as the context, and the Dockerfile with -f")


def _unpack(content: _Rewound, root: Path) -> tuple[str, ...]:
    skipped: list[str] = []

    def note(entry: Entry, _: OSError) -> None:
        if entry.kind in {"character", "block"}:
            skipped.append(entry.path.decode("utf-8", "replace"))

    apply(cast("IO[bytes]", content), root, same_owner=False, skipped=note)
    root.chmod(root.stat().st_mode | stat.S_IRWXU)
    return tuple(skipped)


def _keep_dockerfile(content: _Rewound, workdir: Path, what: str) -> Path:
    body = content.read(MAX_DOCKERFILE + 1)
    if not body.strip():
        raise ContextError(f"{what} is empty", hint="a Dockerfile or a tar was expected")
    if len(body) > MAX_DOCKERFILE or b"\0" in body:
        raise ContextError(f"{what} is neither a tar nor a Dockerfile")
    path = workdir / "Dockerfile"
    path.write_bytes(body)
    return path


class _Rewound:
    """A stream whose first bytes were read already."""

    def __init__(self, head: bytes, rest: IO[bytes]) -> None:
        self._head = head
        self._rest = rest

    def read(self, size: int = -1, /) -> bytes:
        if size < 0:
            head, self._head = self._head, b""
            return head + self._rest.read()
        head, self._head = self._head[:size], self._head[size:]
        return head + self._rest.read(size - len(head)) if len(head) < size else head
