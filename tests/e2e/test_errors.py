"""What goes wrong is said clearly, with the right exit code, and leaves the store as it was."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.programs import Pybuild

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.conftest import Write

pytestmark = pytest.mark.e2e


@pytest.fixture(autouse=True)
def _sound(pybuild: Pybuild) -> Iterator[None]:
    """After every failure the store is sound and nothing is left over."""
    yield
    assert [] == pybuild.left()
    pybuild.check_store()


@pytest.mark.parametrize(
    ("dockerfile", "said"),
    [
        (None, "/Dockerfile: No such file or directory\nhint: name the file with -f"),
        ("", "file with no instructions"),
        ("FROM busybox\nRUM true", "Dockerfile:2: unknown instruction: RUM"),
        ("RUN true", "Dockerfile:1: no build stage"),
        ("FROM scratch\nCOPY missing /", 'Dockerfile:2: source "missing" is not in the build context'),
        ("FROM scratch\nCOPY secret /", ".dockerignore"),
        ("FROM later AS one\nFROM busybox AS later\nFROM one", "Dockerfile:1: later: "),
        (
            "FROM busybox AS one\nCOPY --from=later a /\nFROM busybox AS later\nFROM one",
            "Dockerfile:2: stage 'later' is used before it is defined",
        ),
        ("FROM busybox\nCOPY --from=7 a /", "Dockerfile:2: "),
        ("FROM busybox\nCOPY --from=busybox /nothing /", 'Dockerfile:2: source "/nothing" is not in "busybox"'),
        (
            "FROM busybox\nRUN exit 3",
            'Dockerfile:2: process "/bin/sh -c exit 3" did not complete successfully: exit code: 3',
        ),
        ("FROM busybox\nRUN no-such-command", "exit code: 127"),
        ('FROM busybox\nRUN ["/no/such"]', "exit code: 127"),
        ('FROM busybox\nRUN ["/etc/motd"]', "exit code: 126"),
        ("FROM scratch\nRUN true", "exit code: 127"),
        ("FROM busybox\nUSER nobody-here\nRUN true", "Dockerfile:3: "),
        ("FROM busybox\nRUN --mount=type=strange true", "Dockerfile:2: "),
        ("FROM busybox\nCOPY a /etc/motd/below", "Dockerfile:2: "),
        ("FROM $NOTHING", "Dockerfile:1: "),
        ("FROM UPPER/case", "Dockerfile:1: "),
        ("FROM busybox\nEXPOSE port", "Dockerfile:2: "),
    ],
)
def test_bad_dockerfiles(based: Pybuild, write: Write, dockerfile: str | None, said: str) -> None:
    """The error says where, shows the line, and exits with 1."""
    context = write(dockerfile, {"a": "a", "secret": "s", ".dockerignore": "secret\n"})

    error = based.fails("-t", "bad", context)

    assert said in error
    if "Dockerfile:" in said and dockerfile is not None:
        assert ">>>" in error
    with pytest.raises(Exception, match="no image"):
        based.image("bad")


def test_a_failing_step_shows_its_output_and_its_lines(based: Pybuild, write: Write) -> None:
    context = write("FROM busybox\nRUN echo before && \\\n    echo failing >&2 && false\nRUN true\n")

    error = based("-t", "bad", context, code=1).err

    assert "before\n" in error
    assert "failing\n" in error
    assert ">>> RUN echo before" in error
    assert "RUN true" not in error.splitlines()[-1]


def test_an_unknown_target_names_those_there_are(based: Pybuild, write: Write) -> None:
    error = based.fails("--target", "buidl", write("FROM busybox AS build\n"))

    assert "buidl" in error
    assert "build" in error.replace("buidl", "")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--no-such-option", "."],
        ["one", "two"],
        ["--tag"],
    ],
)
def test_wrong_usage(pybuild: Pybuild, arguments: list[str]) -> None:
    """Exit code 2, and how it is used."""
    pybuild.fails("build", *arguments, code=2)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["-t", "Upper"], "Upper"),
        (["-o", "type=cloud"], "no known type"),
        (["-o", "type=docker,colour=red"], "colour"),
        (["-o", "type=docker,dest=/no/such/place/a.tar"], "/no/such/place"),
        (["-o", "type=oci,tar=false,dest=/proc/nothing"], "/proc/nothing"),
        (["-o", "/proc/nothing"], "/proc/nothing"),
        (["--platform", "a/b/c/d"], "a/b/c/d"),
        (["--progress", "loud"], "loud"),
        (["--network", "mine"], "mine"),
        (["--add-host", "db"], "db"),
        (["--build-arg", "=x"], "=x"),
        (["--label", "=x"], "=x"),
        (["--annotation", "x"], "x"),
        (["--isolation", "jail"], "jail"),
        (["--iidfile", "/no/such/place/id"], "/no/such/place/id"),
        (["-f", "elsewhere"], "elsewhere"),
        (["--push"], "name"),
    ],
)
def test_bad_options(based: Pybuild, write: Write, options: list[str], said: str) -> None:
    assert said in based.fails(*options, write("FROM busybox\nRUN true\n"))


@pytest.mark.parametrize("context", ["nowhere", "file.txt", "https://127.0.0.1:1/a.tar", "https://127.0.0.1:1/a.git"])
def test_bad_contexts(pybuild: Pybuild, context: str) -> None:
    (pybuild.home / "file.txt").write_text("no directory, and no tar")

    pybuild.fails(context)


def test_what_is_no_tar_on_standard_input_is_a_dockerfile(pybuild: Pybuild) -> None:
    assert "ERROR: Dockerfile:1: unknown instruction: hello" in pybuild.fails("-", input=b"hello\n")


def test_a_store_that_is_a_file_cannot_be_used(pybuild: Pybuild, write: Write) -> None:
    pybuild.home.joinpath("file").write_text("")
    other = Pybuild(pybuild.home / "file", pybuild.home)

    assert "file" in other.fails(write("FROM scratch\n"))
    other = Pybuild(Path("/proc/nothing/store"), pybuild.home)
    assert "/proc/nothing/store" in other.fails(write("FROM scratch\n"))


def test_an_unreachable_registry(pybuild: Pybuild, write: Write) -> None:
    error = pybuild.fails(write("FROM 127.0.0.1:1/app:1\n"))

    assert "Dockerfile:1: 127.0.0.1:1/app:1: " in error
    assert "refused" in error


def test_a_missing_image(pybuild: Pybuild, write: Write, registry: str) -> None:
    assert f"{registry}/no/such:1" in pybuild.fails(write(f"FROM {registry}/no/such:1\n"))


def test_wrong_credentials(based: Pybuild, write: Write, private_registry: str) -> None:
    """Nothing of the password is shown."""
    config = {"auths": {private_registry: {"auth": "dXNlcjp3cm9uZy1wYXNzd29yZA=="}}}
    (based.home / ".docker").mkdir()
    (based.home / ".docker" / "config.json").write_text(json.dumps(config))

    pulled = based.fails(write(f"FROM {private_registry}/app:1\n"))
    pushed = based.fails("-t", f"{private_registry}/app:1", "--push", write("FROM busybox\n"))

    for error in (pulled, pushed):
        assert "401" in error
        assert "login" in error
        assert "wrong-password" not in error


def test_without_credentials(pybuild: Pybuild, write: Write, private_registry: str) -> None:
    assert "pybuild login" in pybuild.fails(write(f"FROM {private_registry}/app:1\n"))


def test_a_damaged_credentials_file(pybuild: Pybuild, write: Write, private_registry: str) -> None:
    (pybuild.home / ".docker").mkdir()
    (pybuild.home / ".docker" / "config.json").write_text("{")

    assert "config.json" in pybuild.fails(write(f"FROM {private_registry}/app:1\n"))


def test_a_damaged_blob_is_found(based: Pybuild, write: Write) -> None:
    """And where the layer can be had again, nothing wrong comes into an image."""
    layer = based.image("busybox").layers[0]
    path = based.layout.blobs.path(layer.descriptor.digest)
    whole = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(whole[:5000] + b"damage" + whole[5006:])
    try:
        error = based.fails("-t", "bad", write("FROM busybox\nRUN true\n"))
        copied = based.fails("-t", "bad", write("FROM scratch\nCOPY --from=busybox /bin/busybox /\n"))
    finally:
        path.write_bytes(whole)

    for each in (error, copied):
        assert "Dockerfile:" in each
    based("-t", "good", write("FROM busybox\nRUN true\n"))
    based.image("good")


def test_a_damaged_index_is_told(based: Pybuild, write: Write) -> None:
    index = based.store / "index.json"
    whole = index.read_bytes()
    index.write_bytes(whole[:50])
    try:
        error = based.fails(write("FROM busybox\n"))
    finally:
        index.write_bytes(whole)

    assert "index.json" in error


def test_a_base_in_the_store_needs_no_registry(based: Pybuild, write: Write) -> None:
    based("-t", "fine", write("FROM docker.io/library/busybox\nRUN true\n"))


def test_without_a_runtime_the_error_says_what_to_install(based: Pybuild, write: Write) -> None:
    """And a build whose steps are known does not notice."""
    known = write("FROM busybox\nRUN true\n")
    based(known)
    without = based.without("runc")

    error = without.fails("--isolation", "runc", write("FROM busybox\nRUN echo new\n"))
    without("--isolation", "runc", known)

    assert "runc is not installed" in error
    assert "apt-get install" in error


@pytest.mark.skipif(os.geteuid() == 0, reason="root needs no subordinate ids")
def test_without_newuidmap_one_id_is_made_do(based: Pybuild, write: Write) -> None:
    """The files belong to root, and what cannot be is told."""
    done = based.without("newuidmap", "newgidmap")("-t", "one", write("FROM busybox\nRUN echo new > /tmp/new\n"))

    assert based.image("one").layers
    assert "Traceback" not in done.err
