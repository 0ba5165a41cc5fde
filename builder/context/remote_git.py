"""Git repositories as build contexts and as sources of ADD, fetched by the system's git.

Nothing that a repository holds is run: no hooks, no templates, and of the transports only those over a network.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, parse_qs, urlsplit

from builder.context.context import LocalContext
from builder.context.select import resolve
from builder.errors import ContextError
from layers.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_SCHEMES = ("http", "https", "ssh", "git")
_URL = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*)://")
_SCP = re.compile(r"([A-Za-z0-9_-]+@[A-Za-z0-9.-]+:[^?#]+)(?:\?([^#]*))?(?:#(.*))?")
_REF = re.compile(r"(?![-+])[^\x00-\x20~^:?*\[\\\x7f]+")
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})
_KEYS = frozenset({"ref", "tag", "branch", "subdir", "checksum", "commit", "keep-git-dir", "submodules", "mtime"})
_ELSEWHERE = re.compile(
    r"GIT_(DIR|WORK_TREE|INDEX_FILE|COMMON_DIR|NAMESPACE|PREFIX|TEMPLATE_DIR|.*OBJECT_DIRECTOR.*|CONFIG)"
)
"""Variables that would make git work on another repository than the one that is made here."""


@frozen
class GitRef:
    """What to take of which repository: ``URL#ref:subdir``, or ``URL?ref=...&subdir=...``."""

    remote: str
    ref: str = ""
    """A branch, tag or whole commit; empty for the remote's own choice."""
    subdir: str = ""
    checksum: str = ""
    """The commit that must be found, or its first digits."""
    keep_git_dir: bool | None = None
    submodules: bool = True
    commit_time: bool = False
    """``mtime=commit``: files bear the commit's time, not that of the checkout."""

    @classmethod
    def parse(cls, text: str, *, shorthand: bool = False) -> GitRef | None:
        """Read what names a git repository; None for all else.

        An http or https URL does so only with a path that ends in ``.git``. ``shorthand`` takes ``github.com/o/r`` too,
        as for build contexts.

        Raises:
            ContextError: a repository, but the query or fragment breaks the rules.
        """
        if shorthand and text.startswith("github.com/"):
            return cls._of_url(split_url("https://" + text))
        scheme = _URL.match(text)
        if scheme is not None:
            if scheme[1].lower() not in _SCHEMES:
                return None
            url = split_url(text)
            if url.scheme in {"http", "https"} and not url.path.endswith(".git"):
                return None
            return cls._of_url(url)
        scp = _SCP.fullmatch(text)
        return _parsed(scp[1], scp[2] or "", scp[3] or "", text) if scp is not None else None

    @classmethod
    def _of_url(cls, url: SplitResult) -> GitRef:
        return _parsed(url._replace(query="", fragment="").geturl(), url.query, url.fragment, url.geturl())


def split_url(text: str) -> SplitResult:
    """Give the parts of a URL.

    Raises:
        ContextError: it has none: a bracket is not closed, say.
    """
    try:
        return urlsplit(text)
    except ValueError as error:
        raise ContextError(f'bad URL "{redacted(text)}": {error}') from None


def _parsed(remote: str, query: str, fragment: str, text: str) -> GitRef:
    ref, _, subdir = fragment.partition(":")
    parsed = GitRef(remote, ref, subdir.strip("/"))
    try:
        parsed = _with_query(parsed, parse_qs(query, keep_blank_values=True))
        _check(parsed)
    except ContextError as error:
        raise ContextError(f"git repository {redacted(text)}: {error.message}", hint=error.hint) from None
    return parsed


def _check(parsed: GitRef) -> None:
    if parsed.ref and _REF.fullmatch(parsed.ref) is None:
        raise ContextError(f'"{parsed.ref}" cannot name a branch, tag or commit')
    if parsed.checksum and re.fullmatch("[0-9a-f]{7,64}", parsed.checksum) is None:
        raise ContextError(f'"{parsed.checksum}" is not a commit, nor 7 or more of its first digits')


def _with_query(parsed: GitRef, query: Mapping[str, Sequence[str]]) -> GitRef:
    unknown = sorted(query.keys() - _KEYS)
    if unknown:
        raise ContextError(f'unknown key "{unknown[0]}" in the query', hint=f"known are {', '.join(sorted(_KEYS))}")
    values = {key: _single(key, found) for key, found in query.items()}
    refs = {parsed.ref, values.get("ref", "")}
    refs |= {_prefixed("refs/tags/", values.get("tag", "")), _prefixed("refs/heads/", values.get("branch", ""))}
    subdirs = {parsed.subdir, values.get("subdir", "").strip("/")}
    if len(refs - {""}) > 1 or len(subdirs - {""}) > 1:
        raise ContextError("the query names another ref or subdir than the fragment, or two of them")
    if values.get("mtime", "checkout") not in {"checkout", "commit"}:
        raise ContextError(f'mtime={values["mtime"]} is neither "checkout" nor "commit"')
    keep = values.get("keep-git-dir")
    return replace(
        parsed,
        ref="".join(refs),
        subdir="".join(subdirs),
        checksum=values.get("checksum", values.get("commit", "")),
        keep_git_dir=None if keep is None else _boolean("keep-git-dir", keep),
        submodules=_boolean("submodules", values.get("submodules", "true")),
        commit_time=values.get("mtime") == "commit",
    )


def _single(key: str, values: Sequence[str]) -> str:
    if len(values) > 1:
        raise ContextError(f'the query has "{key}" more than once')
    if not values[0] and key not in {"keep-git-dir", "submodules"}:
        raise ContextError(f'"{key}" in the query has no value')
    return values[0]


def _prefixed(prefix: str, name: str) -> str:
    return name if not name or name.startswith(prefix) else prefix + name


def _boolean(key: str, value: str) -> bool:
    if value and value not in _TRUE | _FALSE:
        raise ContextError(f'{key}={value} in the query is neither "true" nor "false"')
    return value not in _FALSE


def redacted(text: str) -> str:
    """Give a URL, or text with URLs, without the secrets in front of an ``@``."""
    return re.sub(r"://[^/@\s]+@", "://***@", text)


def checkout(git_ref: GitRef, destination: Path, environment: Mapping[str, str]) -> str:
    """Fetch what a reference names into a new directory, submodules and all, and give the commit.

    The whole repository is there afterwards, without ``.git`` unless asked for; :func:`subdirectory` finds the part.

    Raises:
        ContextError: git is missing or fails, or the commit is not the promised one.
    """
    git = _Git(destination, git_ref.remote, environment)
    os.mkdir(destination, 0o755)
    git.run("init", "--quiet", "--template=")
    git.run("remote", "add", "origin", git_ref.remote)
    wanted = git_ref.ref or (git_ref.checksum if _COMMIT.fullmatch(git_ref.checksum) else "HEAD")
    git.run("checkout", "--quiet", "--detach", _fetch(git, wanted))
    commit = git.run("rev-parse", "HEAD")
    if not commit.startswith(git_ref.checksum):
        what = f"git repository {redacted(git_ref.remote)}: {git_ref.ref or 'HEAD'}"
        raise ContextError(f"{what}: expected commit {git_ref.checksum}, got {commit}")
    if git_ref.submodules and (destination / ".gitmodules").is_file():
        update = ("submodule", "--quiet", "update", "--init", "--recursive")
        if not git.tries(*update, "--depth=1"):
            git.run(*update)
    time = int(git.run("log", "-1", "--format=%ct")) if git_ref.commit_time else None
    _tidy(destination, keep=bool(git_ref.keep_git_dir), time=time)
    return commit


def resolve_commit(git_ref: GitRef, environment: Mapping[str, str]) -> str:
    """Give the commit that a reference names at this time, by asking the remote for its names only.

    Raises:
        ContextError: git is missing or fails, or the remote has no such name.
    """
    for text in (git_ref.ref, git_ref.checksum):
        if _COMMIT.fullmatch(text):
            return text
    wanted = git_ref.ref or "HEAD"
    git = _Git(Path("/"), git_ref.remote, environment)
    lines = git.run("ls-remote", "--quiet", git_ref.remote, wanted, wanted + "^{}").splitlines()
    found = {name: commit for commit, _, name in (line.partition("\t") for line in lines)}
    for form in ("{}", "refs/{}", "refs/tags/{}", "refs/heads/{}"):  # in the order of git fetch
        name = form.format(wanted)
        if name in found:
            return found.get(name + "^{}", found[name])
    raise ContextError(
        f"git repository {redacted(git_ref.remote)}: there is no branch or tag {wanted}",
        hint="a commit is written with all its digits",
    )


def _fetch(git: _Git, wanted: str) -> str:
    """Fetch one commit where the server can, else everything; give what names it here."""
    fetch = ("fetch", "--quiet", "--no-tags", "--no-recurse-submodules")
    if git.tries(*fetch, "--depth=1", "origin", wanted):
        return "FETCH_HEAD^{commit}"
    if not _COMMIT.fullmatch(wanted):
        git.run(*fetch, "origin", wanted)  # a server of plain files has no shallow history
        return "FETCH_HEAD^{commit}"
    git.run(*fetch, "origin", "+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*")
    return wanted + "^{commit}"


def _tidy(top: Path, *, keep: bool, time: int | None) -> None:
    """Remove ``.git`` wherever it is, and set times, both where asked for."""
    for directory, directories, files in os.walk(top, topdown=False):
        if not keep and ".git" in files:
            os.unlink(os.path.join(directory, ".git"))
        if not keep and ".git" in directories:
            shutil.rmtree(os.path.join(directory, ".git"))
        if time is not None:
            for name in files + directories:
                path = os.path.join(directory, name)
                if os.path.lexists(path):
                    os.utime(path, (time, time), follow_symlinks=False)


def subdirectory(top: Path, subdir: str, what: str) -> Path:
    """Give a directory inside ``top``; links on the way are followed, and end at ``top``.

    Raises:
        ContextError: it is not there, or no directory.
    """
    with LocalContext(top) as files:
        path = resolve(files, os.fsencode(subdir))
        entry = files.get(path)
    if entry is None or entry.kind != "directory":
        raise ContextError(f'no directory "{subdir}" in {what}')
    return top / os.fsdecode(path)


class _Git:
    """The system's git in one directory, kept from prompting and from running what others wrote."""

    def __init__(self, directory: Path, remote: str, environment: Mapping[str, str]) -> None:
        self._directory = directory
        self._remote = redacted(remote)
        self._environment = {key: value for key, value in environment.items() if not _ELSEWHERE.fullmatch(key)}
        self._environment |= {"GIT_TERMINAL_PROMPT": "0", "GIT_ALLOW_PROTOCOL": ":".join(_SCHEMES), "LC_ALL": "C"}
        self._environment.setdefault("GIT_SSH_COMMAND", "ssh -oBatchMode=yes")

    def run(self, *arguments: str) -> str:
        """Give what git prints.

        Raises:
            ContextError: it is missing, or fails.
        """
        done = self._try(arguments)
        if done.returncode:
            lines = redacted(done.stderr.strip()).splitlines()
            reason = next((line for line in lines if line.startswith(("fatal:", "error:"))), lines[-1] if lines else "")
            raise ContextError(
                f"git repository {self._remote}: git {arguments[0]} failed: {reason}",
                hint="see that the repository and the ref exist, and that git itself can fetch them without a prompt",
            )
        return done.stdout.strip()

    def tries(self, *arguments: str) -> bool:
        """Tell whether git succeeds."""
        return self._try(arguments).returncode == 0

    def _try(self, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
        safe = ("core.hooksPath=/dev/null", "core.fsmonitor=false", "core.autocrlf=false", "advice.detachedHead=false")
        options = [word for option in safe for word in ("-c", option)]
        try:
            return subprocess.run(
                ["git", *options, *arguments],
                cwd=self._directory,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
                text=True,
                errors="replace",
                umask=0o022,
            )
        except FileNotFoundError:
            raise ContextError("git is not installed", hint="git contexts need the git command") from None
