"""ADD of URLs and git repositories, and Dockerfiles and contexts from elsewhere."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import tarfile
from typing import TYPE_CHECKING

import pytest

from layers.store.trees import Trees
from tests.support.programs import Pybuild, need
from tests.support.web import Web, web

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from layers.changeset.entry import Entry
    from tests.e2e.conftest import Write

pytestmark = pytest.mark.e2e


def entries(pybuild: Pybuild, name: str) -> dict[str, Entry]:
    """Give what an image holds."""
    tree = Trees(pybuild.layout).tree(pybuild.image(name).layers)
    return {entry.path.decode(): entry for entry in tree.walk()}


def sha256(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


@pytest.fixture
def site() -> Iterator[Web]:
    with web({"/dir/file.txt": b"content\n", "/": b"index\n"}) as served:
        served.modified["/dir/file.txt"] = 1_500_000_000
        yield served


def test_a_file_of_a_url_has_its_name_its_time_and_mode_0600(pybuild: Pybuild, write: Write, site: Web) -> None:
    dockerfile = f"""
        FROM scratch
        ADD {site.url}/dir/file.txt?query=1 /a/
        ADD {site.url}/dir/file.txt /named
        ADD --chmod=644 --chown=5:6 {site.url}/dir/file.txt /b/
        ADD {site.url} /c/
    """
    pybuild("-t", "a", write(dockerfile))
    found = entries(pybuild, "a")

    assert {"a", "a/file.txt", "named", "b", "b/file.txt", "c", "c/__unnamed__"} == set(found)
    plain, own = found["a/file.txt"], found["b/file.txt"]
    assert (0o600, 0, 0, 8, 1_500_000_000) == (plain.mode, plain.uid, plain.gid, plain.size, plain.mtime)
    assert (0o644, 5, 6) == (own.mode, own.uid, own.gid)
    assert 0 == found["c/__unnamed__"].mtime
    assert [200] == site.statuses("/dir/file.txt")[:1]


def test_an_unchanged_url_is_asked_for_and_not_fetched(pybuild: Pybuild, write: Write, site: Web) -> None:
    context = write(f"FROM scratch\nADD {site.url}/dir/file.txt /")
    pybuild("-t", "a", context)
    assert pybuild("-t", "a", context).cached
    assert [200, 304] == site.statuses("/dir/file.txt")
    site.files["/dir/file.txt"] = b"changed\n"

    assert not pybuild("-t", "a", context).cached
    assert entries(pybuild, "a")["file.txt"].digest == hashlib.sha256(b"changed\n").digest()


def test_the_key_of_a_url_is_its_content(pybuild: Pybuild, write: Write, site: Web) -> None:
    site.etags = False
    site.files["/other/file.txt"] = site.files["/dir/file.txt"]
    site.modified["/other/file.txt"] = site.modified["/dir/file.txt"]
    pybuild("-t", "a", write(f"FROM scratch\nADD {site.url}/dir/file.txt?token=1 /"))

    assert pybuild("-t", "a", write(f"FROM scratch\nADD {site.url}/other/file.txt?token=2 /")).cached


def test_a_checksum_is_verified_and_saves_asking(pybuild: Pybuild, write: Write, site: Web) -> None:
    line = f"ADD --checksum={sha256(b'content' + bytes([10]))} {site.url}/dir/file.txt /"
    pybuild("-t", "a", write(f"FROM scratch\n{line}"))
    assert pybuild("-t", "b", write(f"FROM scratch\n{line}")).cached
    assert [200] == site.statuses("/dir/file.txt")
    error = pybuild.fails(write(f"FROM scratch\nADD --checksum={sha256(b'other')} {site.url}/dir/file.txt /"))

    assert "digest mismatch" in error
    assert sha256(b"other") in error
    assert "Dockerfile:2" in error


def test_a_remote_archive_is_unpacked_only_when_asked_for(pybuild: Pybuild, write: Write, site: Web) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        member = tarfile.TarInfo("member")
        member.size, member.uid = 3, 7
        tar.addfile(member, io.BytesIO(b"abc"))
    site.files["/a.tar.gz"] = buffer.getvalue()
    local = write(None, {"local.tar.gz": buffer.getvalue()})
    lines = [f"ADD {site.url}/a.tar.gz /kept/", f"ADD --unpack=true {site.url}/a.tar.gz /unpacked/"]
    lines += [f"ADD local.tar.gz {site.url}/a.tar.gz /both/"]
    (local / "Dockerfile").write_text("\n".join(["FROM scratch", *lines]))
    pybuild("-t", "a", local)
    found = entries(pybuild, "a")

    expected = {"kept", "kept/a.tar.gz", "unpacked", "unpacked/member", "both", "both/member", "both/a.tar.gz"}
    assert expected == set(found)
    assert 7 == found["unpacked/member"].uid


def test_redirects_keep_the_first_name_and_failures_say_what_happened(
    pybuild: Pybuild, write: Write, site: Web
) -> None:
    site.moved["/first"] = "/dir/file.txt"
    pybuild("-t", "a", write(f"FROM scratch\nADD {site.url}/first /d/"))
    assert "d/first" in entries(pybuild, "a")

    assert "the server answers 404" in pybuild.fails(write(f"FROM scratch\nADD {site.url}/absent /d/"))


@pytest.mark.parametrize(
    ("secret", "header"), [("HTTP_AUTH_TOKEN_", "Bearer hush-now-9"), ("HTTP_AUTH_HEADER_", "Basic aHVzaDpub3c5")]
)
def test_secrets_log_in(pybuild: Pybuild, write: Write, site: Web, secret: str, header: str) -> None:
    site.tokens["/dir/file.txt"] = header
    value = header.removeprefix("Bearer ")
    context = write(f"FROM scratch\nADD {site.url}/dir/file.txt /")
    assert "401" in pybuild.fails(context)

    pybuild("-t", "a", "--secret", f"id={secret}127.0.0.1,env=V", context, env={"V": value})

    kept = [path for path in pybuild.store.rglob("*") if path.is_file() and value.encode() in path.read_bytes()]
    assert not kept


def git(directory: Path, *arguments: str) -> str:
    environment = {"PATH": os.environ["PATH"], "HOME": str(directory), "GIT_CONFIG_NOSYSTEM": "1"}
    options = ["-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "init.defaultBranch=main"]
    done = subprocess.run(
        ["git", *options, *arguments], cwd=directory, env=environment, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@pytest.fixture
def repository(place: Path, site: Web) -> Path:
    """A repository with a tag and a second commit, served as plain files below ``/repo.git``."""
    need("git")
    work = place / "work"
    (work / "sub").mkdir(parents=True)
    git(work, "init", "-q")
    for text in ("one", "two"):
        (work / "file").write_text(text)
        (work / "sub" / "deep").write_text(text)
        (work / "sub" / "deep").chmod(0o755)
        git(work, "add", ".")
        git(work, "commit", "-qm", text)
        if text == "one":
            git(work, "tag", "-am", "first", "v1")
    publish(work, site)
    return work


def publish(work: Path, site: Web) -> None:
    git(work, "clone", "-q", "--bare", ".", "../bare.git")
    bare = work.parent / "bare.git"
    git(bare, "update-server-info")
    site.files.update(
        {f"/repo.git/{path.relative_to(bare)}": path.read_bytes() for path in bare.rglob("*") if path.is_file()}
    )


def test_a_repository_comes_without_its_history_at_a_branch_tag_or_part(
    pybuild: Pybuild, write: Write, site: Web, repository: Path
) -> None:
    commit = git(repository, "rev-parse", "v1^{commit}")
    url = f"{site.url}/repo.git"
    lines = [f"ADD {url} /head/", f"ADD {url}#v1:sub /tag", f"ADD {url}?branch=main&subdir=sub /part/"]
    lines += [f"ADD --checksum={commit[:12]} {url}?tag=v1 /sum", f"ADD --keep-git-dir=true {url}#{commit} /kept"]
    pybuild("-t", "a", write("\n".join(["FROM scratch", *lines])))
    found = entries(pybuild, "a")

    assert {"head", "head/file", "head/sub", "head/sub/deep"} == {path for path in found if path.startswith("head")}
    assert {"tag/deep", "part/deep", "sum/file", "kept/.git/HEAD"} <= set(found)
    assert (0o644, 0o755, 0) == (found["head/file"].mode, found["head/sub/deep"].mode, found["head/file"].uid)
    assert found["tag/deep"].digest == hashlib.sha256(b"one").digest()
    assert found["head/file"].digest == hashlib.sha256(b"two").digest()


def test_an_unmoved_branch_is_not_fetched_again(pybuild: Pybuild, write: Write, site: Web, repository: Path) -> None:
    context = write(f"FROM scratch\nADD {site.url}/repo.git#main /")
    pybuild("-t", "a", context)
    before = len(site.asked)

    assert pybuild("-t", "a", context).cached
    assert not [path for path, _, _ in site.asked[before:] if "objects" in path and "info" not in path]


def test_a_repository_that_is_not_what_was_promised_is_refused(
    pybuild: Pybuild, write: Write, site: Web, repository: Path
) -> None:
    error = pybuild.fails(write(f"FROM scratch\nADD --checksum=0123456789ab {site.url}/repo.git /"))
    assert "expected commit 0123456789ab, got " in error

    error = pybuild.fails(write(f"FROM scratch\nADD --keep-git-dir=true {site.url}/repo.git?keep-git-dir=false /"))
    assert "inconsistent keep-git-dir" in error
    error = pybuild.fails(write(f"FROM scratch\nADD {site.url}/repo.git#absent /"))
    assert "there is no branch or tag absent" in error


@pytest.mark.parametrize("name", ["GIT_AUTH_TOKEN", "GIT_AUTH_TOKEN.127.0.0.1"])
def test_a_token_logs_in_to_a_repository(
    pybuild: Pybuild, write: Write, site: Web, repository: Path, name: str
) -> None:
    header = "basic eC1hY2Nlc3MtdG9rZW46dG9w"  # x-access-token:top
    site.tokens.update(dict.fromkeys([path for path in site.files if path.startswith("/repo.git")], header))
    context = write(f"FROM scratch\nADD {site.url}/repo.git /")
    pybuild.fails(context)

    pybuild("-t", "a", "--secret", f"id={name},env=T", context, env={"T": "top\n"})
    git_context = [f"{site.url}/repo.git", "-f", str(context / "Dockerfile")]
    pybuild("-t", "b", "--secret", f"id={name},env=T", *git_context, env={"T": "top"})


def test_a_dockerfile_may_be_a_url(pybuild: Pybuild, write: Write, site: Web) -> None:
    site.files["/other"] = b"FROM scratch\nCOPY here /there"
    pybuild("-t", "a", "-f", f"{site.url}/other", write(None, {"here": "x"}))

    assert {"there"} == set(entries(pybuild, "a"))
