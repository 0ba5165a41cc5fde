from __future__ import annotations

import functools
import http.server
import os
import socket
import subprocess
import threading
import time
from typing import TYPE_CHECKING

import pytest

from builder.context.remote_git import GitRef, checkout, redacted, subdirectory
from builder.errors import ContextError
from tests.builder.context.files import make

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://example.com/foo.git", GitRef("https://example.com/foo.git")),
        ("https://example.com/foo.git#release/1.2", GitRef("https://example.com/foo.git", "release/1.2")),
        ("https://example.com/foo.git#v1:docker/dir", GitRef("https://example.com/foo.git", "v1", "docker/dir")),
        ("https://example.com/foo.git#:dir", GitRef("https://example.com/foo.git", "", "dir")),
        ("https://u:p@example.com/foo.git", GitRef("https://u:p@example.com/foo.git")),
        ("git://example.com/foo", GitRef("git://example.com/foo")),
        ("ssh://git@example.com:22/foo#b", GitRef("ssh://git@example.com:22/foo", "b")),
        ("git@example.com:foo/bar.git#b:d", GitRef("git@example.com:foo/bar.git", "b", "d")),
        ("git@example.com:foo?tag=v1", GitRef("git@example.com:foo", "refs/tags/v1")),
        ("https://example.com/foo.git?ref=v1&subdir=/d", GitRef("https://example.com/foo.git", "v1", "d")),
        ("https://example.com/foo.git?subdir=d#v1:d", GitRef("https://example.com/foo.git", "v1", "d")),
        ("https://example.com/foo.git?branch=b", GitRef("https://example.com/foo.git", "refs/heads/b")),
        (
            f"https://example.com/foo.git?commit={COMMIT}&keep-git-dir&submodules=0&mtime=commit",
            GitRef("https://example.com/foo.git", "", "", COMMIT, True, False, True),
        ),
        ("https://example.com/foo", None),
        ("https://example.com/foo.git/", None),
        ("https://example.com/foo.tar.gz?x=.git", None),
        ("file:///srv/foo.git", None),
        ("ext::sh -c id", None),
        ("example.com/foo.git", None),
        ("github.com/foo/bar", None),
        ("./.git", None),
        (".", None),
    ],
)
def test_a_repository_is_told_from_other_sources(text: str, expected: GitRef | None) -> None:
    assert expected == GitRef.parse(text)


def test_the_shorthand_is_for_contexts() -> None:
    assert GitRef("https://github.com/foo/bar", "b", "d") == GitRef.parse("github.com/foo/bar#b:d", shorthand=True)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("?ref=a#b", "another ref"),
        ("?ref=a&tag=a", "another ref"),
        ("?tag=a&branch=a", "another ref"),
        ("?subdir=a#:b", "another ref or subdir"),
        ("?ref=a&ref=b", "more than once"),
        ("?ref=", "has no value"),
        ("?depth=1", 'unknown key "depth"'),
        ("?submodules=maybe", "neither"),
        ("?mtime=now", "neither"),
        ("?commit=xyz", "is not a commit"),
        ("#--upload-pack=id", "cannot name"),
        ("#+a", "cannot name"),
        ("#a b", "cannot name"),
        ("#a*", "cannot name"),
    ],
)
def test_a_bad_query_or_ref_is_an_error_without_secrets(query: str, said: str) -> None:
    with pytest.raises(ContextError, match=said) as caught:
        GitRef.parse("https://user:secret@example.com/foo.git" + query)

    assert "secret" not in str(caught.value)


def test_secrets_are_redacted() -> None:
    assert "cannot reach https://***@host/a, ssh://***@b" == redacted("cannot reach https://u:p@host/a, ssh://u@b")


def environment(home: Path) -> dict[str, str]:
    """Give what git needs, and nothing of the machine's configuration."""
    return {"PATH": os.environ["PATH"], "HOME": str(home), "GIT_CONFIG_NOSYSTEM": "1"}


def git(directory: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "init.defaultBranch=main")
    allow = ("-c", "protocol.file.allow=always")
    done = subprocess.run(
        ["git", *identity, *allow, *arguments],
        cwd=directory,
        env=environment(directory) | {"GIT_COMMITTER_DATE": "1000000000 +0000"},
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with two commits, a tag on the first, a branch, and links in it."""
    root = tmp_path / "served" / "repo"
    root.mkdir(parents=True)
    git(root, "init", "-q")
    make(root, "Dockerfile", "sub/file", "run.sh", "inside -> sub", "outside -> ../../..")
    (root / "run.sh").chmod(0o755)
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "one")
    git(root, "tag", "-a", "v1", "-m", "v1")
    make(root, "second")
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "two")
    git(root, "branch", "other", "v1")
    git(root, "update-server-info")
    return root


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as the base class calls it
        pass


@pytest.fixture
def plain_server(tmp_path: Path) -> Iterator[str]:
    """A web server of plain files, which knows no shallow history."""
    handler = functools.partial(Quiet, directory=str(tmp_path / "served"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[str]:
    """A server of git's own protocol."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    base = tmp_path / "served"
    base.mkdir(exist_ok=True)
    command = [
        "git",
        "daemon",
        "--export-all",
        f"--base-path={base}",
        "--listen=127.0.0.1",
        f"--port={port}",
        "--reuseaddr",
    ]
    everywhere = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*"}
    with subprocess.Popen(
        command, env=environment(tmp_path) | everywhere, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        for _ in range(500):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.01)
        yield f"git://127.0.0.1:{port}"
        process.terminate()


def fetched(remote: str, tmp_path: Path, **choice: object) -> tuple[str, Path]:
    destination = tmp_path / "checkout"
    git_ref = GitRef(remote, **choice)  # type: ignore[arg-type]  # the tests choose what fits
    return checkout(git_ref, destination, environment(tmp_path)), destination


@pytest.mark.parametrize(
    ("ref", "second"), [("", True), ("main", True), ("v1", False), ("other", False), ("refs/tags/v1", False)]
)
def test_a_ref_is_checked_out(repository: Path, daemon: str, tmp_path: Path, ref: str, second: bool) -> None:  # noqa: FBT001
    commit, top = fetched(f"{daemon}/repo", tmp_path, ref=ref)

    assert git(repository, "rev-parse", (ref or "main") + "^{commit}") == commit
    assert second == (top / "second").exists()
    assert not (top / ".git").exists()
    assert [0o644, 0o755, 0o755] == [(top / name).stat().st_mode & 0o777 for name in ("sub/file", "run.sh", "sub")]


def test_a_commit_is_checked_out_by_its_digits(repository: Path, daemon: str, tmp_path: Path) -> None:
    first = git(repository, "rev-parse", "other")

    assert first == fetched(f"{daemon}/repo", tmp_path, ref=first)[0]


@pytest.mark.parametrize("ref", ["", "v1", "other", "commit"])
def test_a_server_of_plain_files_will_do(repository: Path, plain_server: str, tmp_path: Path, ref: str) -> None:
    first = git(repository, "rev-parse", "other")
    wanted = first if ref == "commit" else ref

    commit, _ = fetched(f"{plain_server}/repo/.git", tmp_path, ref=wanted)

    assert (first if ref else git(repository, "rev-parse", "main")) == commit


def test_the_promised_commit_is_insisted_on(repository: Path, daemon: str, tmp_path: Path) -> None:
    first = git(repository, "rev-parse", "other")
    with pytest.raises(ContextError, match=f"expected commit {first[:12]}, got "):
        fetched(f"{daemon}/repo", tmp_path, ref="main", checksum=first[:12])


def test_a_promised_commit_alone_is_fetched(repository: Path, daemon: str, tmp_path: Path) -> None:
    first = git(repository, "rev-parse", "other")

    assert first == fetched(f"{daemon}/repo", tmp_path, checksum=first)[0]


def test_the_history_is_kept_where_asked_for_and_times_are_those_of_the_commit(
    repository: Path, daemon: str, tmp_path: Path
) -> None:
    _, top = fetched(f"{daemon}/repo", tmp_path, keep_git_dir=True, commit_time=True)

    assert (top / ".git/HEAD").exists()
    assert 1_000_000_000 == (top / "sub/file").stat().st_mtime == (top / "sub").stat().st_mtime


def test_submodules_come_along_unless_refused(repository: Path, daemon: str, tmp_path: Path) -> None:
    git(repository, "submodule", "--quiet", "add", f"{daemon}/repo", "module")
    git(repository, "commit", "-q", "-m", "three")

    _, top = fetched(f"{daemon}/repo", tmp_path)

    assert (top / "module/sub/file").exists()
    assert not (top / "module/.git").exists()
    without = checkout(GitRef(f"{daemon}/repo", submodules=False), tmp_path / "without", environment(tmp_path))
    assert not (tmp_path / "without/module/sub").exists()
    assert without


def test_a_submodule_of_this_machine_is_refused(repository: Path, daemon: str, tmp_path: Path) -> None:
    """A repository must not bring files of the machine that builds it into the context."""
    git(repository, "submodule", "--quiet", "add", f"{daemon}/repo", "module")
    (repository / ".gitmodules").write_text(f'[submodule "module"]\npath = module\nurl = file://{repository}\n')
    git(repository, "commit", "-q", "-a", "-m", "three")

    with pytest.raises(ContextError, match="git submodule failed"):
        fetched(f"{daemon}/repo", tmp_path)


@pytest.mark.parametrize("remote", ["/missing", "/repo"])
def test_what_is_missing_is_an_error_of_git(repository: Path, daemon: str, tmp_path: Path, remote: str) -> None:
    with pytest.raises(ContextError, match="git fetch failed: fatal") as caught:
        fetched(daemon + remote, tmp_path, ref="nowhere")

    assert caught.value.hint


def test_git_itself_may_be_missing(tmp_path: Path) -> None:
    with pytest.raises(ContextError, match="git is not installed"):
        checkout(GitRef("git://127.0.0.1:1/repo"), tmp_path / "x", {"PATH": str(tmp_path)})


def test_variables_of_another_repository_do_not_lead_there(repository: Path, daemon: str, tmp_path: Path) -> None:
    elsewhere = environment(tmp_path) | {"GIT_DIR": str(tmp_path / "elsewhere"), "GIT_WORK_TREE": "/"}

    checkout(GitRef(f"{daemon}/repo"), tmp_path / "x", elsewhere)

    assert (tmp_path / "x/sub/file").exists()
    assert not (tmp_path / "elsewhere").exists()


def test_a_subdirectory_never_leads_out(repository: Path) -> None:
    assert repository / "sub" == subdirectory(repository, "inside", "x") == subdirectory(repository, "../sub", "x")
    assert repository == subdirectory(repository, "", "x") == subdirectory(repository, "outside", "x")
    for wrong in ("missing", "Dockerfile"):
        with pytest.raises(ContextError, match="no directory"):
            subdirectory(repository, wrong, "x")
