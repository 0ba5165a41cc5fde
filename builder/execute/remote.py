"""What ADD takes from other machines: files over HTTP and repositories of git.

Reference: Dockerfile reference, "ADD". A file's key is its digest, name and time and never its URL, a repository's its
commit; so what is unchanged over there is not fetched again, or only asked for.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import posixpath
import tempfile
import threading
from collections.abc import Callable, Mapping
from dataclasses import field, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote

from builder.context.context import LocalContext
from builder.context.remote import FetchedFile
from builder.context.remote_git import GitRef, checkout, redacted, resolve_commit, split_url, subdirectory
from builder.context.select import Selected, select
from builder.errors import StepError
from layers.changeset.entry import Change, Entry
from layers.digest import Digest
from layers.errors import InvalidError
from layers.frozen import frozen

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Iterator

    from builder.context.filter import Skip
    from builder.context.select import Files
    from builder.dockerfile.instructions import Add
    from builder.execute.secrets import Agent, Secret
    from builder.execute.site import Site

Request = Callable[[str, Mapping[str, str]], FetchedFile | None]
"""Downloads a URL asked for with some headers; None where the server says that what they name has not changed."""
_HTTP = ("http://", "https://")
_UNNAMED = "__unnamed__"
_MODE = 0o600
_READ = 1 << 20


class Download(NamedTuple):
    """A file that was fetched, now or earlier."""

    path: Path
    digest: Digest
    last_modified: int | None


@frozen
class Remote:
    """How other machines are reached; for several threads. A URL is asked for once a build."""

    request: Request
    environment: Mapping[str, str]
    """What git sees."""
    directory: Path
    """Where files that the server can tell apart by an ETag are kept; all of it may be removed between builds."""
    scratch: Path
    _known: dict[str, Download] = field(default_factory=dict)
    _locks: dict[str, threading.Lock] = field(default_factory=dict)

    def download(self, url: str, secrets: Mapping[str, Secret], wanted: Digest | None = None) -> Download:
        """Fetch a file, or find that the one that was kept is still that one.

        Raises:
            ContextError: it cannot be fetched.
            StepError: its digest is not ``wanted``, or a secret cannot be read.
        """
        with self._locks.setdefault(url, threading.Lock()):
            found = self._known.get(url)
            if found is None:
                found = self._known[url] = self._download(url, secrets, wanted)
        actual = found.digest
        if wanted is not None and wanted.algorithm != actual.algorithm:
            actual = _digest(found.path, wanted.algorithm)
        if wanted is not None and actual != wanted:
            raise StepError(f"digest mismatch for {_shown(url)}: {actual} (expected: {wanted})")
        return found

    def _download(self, url: str, secrets: Mapping[str, Secret], wanted: Digest | None) -> Download:
        path = self.directory / hashlib.sha256(url.encode("utf-8", "surrogateescape")).hexdigest()[:32]
        etag, kept = self._kept(path)
        if kept is not None and kept.digest == wanted:
            return kept
        headers = authorisation(url, secrets) | ({"If-None-Match": etag} if kept is not None else {})
        fetched = self.request(url, headers)
        if fetched is None:
            assert kept is not None
            return kept
        found = Download(fetched.path, _digest(fetched.path, "sha256"), fetched.last_modified)
        return self._keep(path, found, fetched.etag) if fetched.etag else found

    def _kept(self, path: Path) -> tuple[str, Download | None]:
        """Give what an earlier build fetched, verified, and its ETag."""
        try:
            record = json.loads(path.with_suffix(".json").read_bytes())
            digest, time = Digest.parse(record["digest"]), record["last_modified"]
            if _digest(path, digest.algorithm) == digest and (time is None or isinstance(time, int)):
                return str(record["etag"]), Download(path, digest, time)
        except (OSError, ValueError, KeyError, TypeError, InvalidError):
            pass
        return "", None

    def _keep(self, path: Path, found: Download, etag: str) -> Download:
        record = {"digest": str(found.digest), "last_modified": found.last_modified, "etag": etag}
        self.directory.mkdir(parents=True, exist_ok=True)
        # This build reads its own file, whatever another one puts in the place of the kept one.
        made = self.scratch / f"{path.name}.new"
        made.unlink(missing_ok=True)
        try:
            os.link(found.path, made)
        except OSError:  # no hard links here
            return found
        os.replace(made, path)
        made.write_text(json.dumps(record))
        os.replace(made, path.with_suffix(".json"))
        return found


class Loaded(NamedTuple):
    """Files that are here now."""

    files: Files
    selected: list[Selected]
    as_promised: bool = True
    """Whether these are the files that the key is for."""


@frozen
class Source:
    """One remote source of an ADD."""

    meaning: list[object]
    """What of it the result depends on."""
    load: Callable[[contextlib.ExitStack], Loaded]
    """Brings the files here, for as long as the stack is open."""
    is_file: bool
    """Whether this is a file, which ``--unpack`` may unpack; else a repository."""


def is_remote(source: str) -> bool:
    """Tell whether a source of ADD is a URL or a git repository."""
    return source.startswith(_HTTP) or GitRef.parse(source) is not None


def remote_source(site: Site, source: str, instruction: Add) -> Source:
    """Find out what is behind a remote source without fetching more than has to be.

    Raises:
        ContextError: it is not there, or cannot be fetched.
        StepError: flags and source do not agree.
    """
    git_ref = GitRef.parse(source)
    if git_ref is not None:
        return _repository(site, _with_flags(git_ref, instruction), instruction)
    return _file(site, source, instruction)


def _file(site: Site, url: str, instruction: Add) -> Source:
    if instruction.keep_git_dir:
        raise StepError("--keep-git-dir is for git repositories")
    wanted = _checksum(instruction.checksum) if instruction.checksum else None
    name = posixpath.basename(unquote(split_url(url).path)) or _UNNAMED
    if name in {".", ".."}:
        name = _UNNAMED
    secrets = site.settings.secrets
    if wanted is not None:
        digest, modified = str(wanted), None
    else:
        found = site.remote().download(url, secrets)
        digest, modified = str(found.digest), found.last_modified

    def load(_: contextlib.ExitStack) -> Loaded:
        found = site.remote().download(url, secrets, wanted)
        path = name.encode("utf-8", "surrogateescape")
        size = found.path.stat().st_size
        entry = Entry(path, "file", _MODE, 0, 0, size, found.last_modified or 0)
        files = _OneFile(found.path, entry)
        return Loaded(files, [Selected(path, path, entry, files)])

    return Source(["http", name, digest, modified], load, is_file=True)


def _checksum(text: str) -> Digest:
    try:
        return Digest.parse(text)
    except InvalidError as error:
        raise StepError(f"invalid --checksum: {error.message}", hint=error.hint) from None


def _with_flags(git_ref: GitRef, instruction: Add) -> GitRef:
    """Add ``--keep-git-dir`` and ``--checksum`` to a reference, which may say the same.

    Raises:
        StepError: the two say different things.
    """
    keep, checksum = instruction.keep_git_dir, instruction.checksum
    what = redacted(git_ref.remote)
    if keep is not None and git_ref.keep_git_dir is not None and keep != git_ref.keep_git_dir:
        raise StepError(f"inconsistent keep-git-dir configuration for {what}")
    if checksum and git_ref.checksum and checksum != git_ref.checksum:
        raise StepError(f"checksum mismatch for {what}: {checksum} and {git_ref.checksum}")
    if checksum and not (7 <= len(checksum) <= 64 and set(checksum) <= set("0123456789abcdef")):
        hint = "for a git repository it is a commit, or 7 or more of its first digits"
        raise StepError(f"invalid --checksum {checksum!r}", hint=hint)
    kept = git_ref.keep_git_dir if keep is None else keep
    return replace(git_ref, keep_git_dir=kept, checksum=checksum or git_ref.checksum)


def _repository(site: Site, git_ref: GitRef, instruction: Add) -> Source:
    settings = site.settings
    environment = git_environment(site.remote().environment, settings.secrets, settings.agents, git_ref.remote)
    commit = resolve_commit(git_ref, environment)
    if not commit.startswith(git_ref.checksum):
        what = f"git repository {redacted(git_ref.remote)}"
        raise StepError(f"{what}: expected commit {git_ref.checksum}, got {commit}")

    def load(stack: contextlib.ExitStack) -> Loaded:
        top = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="git-", dir=site.scratch))) / "work"
        actual = checkout(git_ref, top, environment)
        part = subdirectory(top, git_ref.subdir, redacted(git_ref.remote))
        files = stack.enter_context(LocalContext(part))
        return Loaded(files, select(files, ["/"], exclude=instruction.exclude), actual == commit)

    flags = [git_ref.subdir, bool(git_ref.keep_git_dir), git_ref.submodules, git_ref.commit_time]
    return Source(["git", commit, *flags, list(instruction.exclude)], load, is_file=False)


def authorisation(url: str, secrets: Mapping[str, Secret]) -> dict[str, str]:
    """Give the header of the secret ``HTTP_AUTH_TOKEN_host`` or ``HTTP_AUTH_HEADER_host``, if there is one."""
    host = split_url(url).hostname or ""
    for prefix, kind in (("HTTP_AUTH_TOKEN_", "Bearer "), ("HTTP_AUTH_HEADER_", "")):
        if (secret := secrets.get(prefix + host)) is not None:
            return {"Authorization": kind + _line(secret, prefix + host)}
    return {}


def git_environment(
    environment: Mapping[str, str], secrets: Mapping[str, Secret], agents: Mapping[str, Agent], remote: str
) -> Mapping[str, str]:
    """Give what git sees for a remote: the agent of ``--ssh``, and GIT_AUTH_HEADER or GIT_AUTH_TOKEN as a header.

    A secret whose name goes on with ``.host`` is for that host alone and wins. No secret is on a command line.
    """
    found = dict(environment)
    if "default" in agents:
        found["SSH_AUTH_SOCK"] = str(agents["default"].socket)
    if not remote.lower().startswith(("http://", "https://")):
        return found
    url = split_url(remote)
    place = url.netloc.rpartition("@")[2]
    for name in ("GIT_AUTH_HEADER", "GIT_AUTH_TOKEN"):
        each = next((key for key in (f"{name}.{place}", f"{name}.{url.hostname}", name) if key in secrets), None)
        if each is None:
            continue
        value = _line(secrets[each], each)
        if name == "GIT_AUTH_TOKEN":
            value = "basic " + base64.b64encode(f"x-access-token:{value}".encode("utf-8", "surrogateescape")).decode()
        given = found.get("GIT_CONFIG_COUNT", "")
        count = int(given) if given.isdecimal() else 0
        found["GIT_CONFIG_COUNT"] = str(count + 1)
        found[f"GIT_CONFIG_KEY_{count}"] = f"http.{url.scheme}://{place}/.extraheader"
        found[f"GIT_CONFIG_VALUE_{count}"] = f"Authorization: {value}"
        break
    return found


def _line(secret: Secret, name: str) -> str:
    value = secret.read(name).decode("utf-8", "surrogateescape").rstrip("\r\n")
    if any(char in value for char in "\r\n\0"):
        raise StepError(f"secret {name} has several lines, which no header can hold")
    return value


def _digest(path: Path, algorithm: str) -> Digest:
    with open(path, "rb") as file:
        return Digest(algorithm, hashlib.file_digest(file, algorithm).hexdigest())


def _shown(url: str) -> str:
    return redacted(url).partition("?")[0]


class _OneFile:
    """A tree of one file."""

    def __init__(self, path: Path, entry: Entry) -> None:
        self._path = path
        self._entry = entry

    def get(self, path: bytes) -> Entry | None:
        return self._entry if path == self._entry.path else None

    def children(self, path: bytes) -> list[bytes]:
        return [] if path else [self._entry.path]

    def walk(self, path: bytes, skip: Skip | None = None) -> Iterator[Change]:
        if not path and not (skip is not None and skip(self._entry.path, False)):
            yield Change(self._entry.path, self._entry, lambda: self.open(self._entry.path))

    def open(self, _path: bytes) -> int:
        return os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
