"""--secret-scan: a build that would put a secret's value into its image ends before anything of it is stored."""

from __future__ import annotations

import base64
import os
from typing import TYPE_CHECKING

import pytest

from layers.compression import open_reader

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.conftest import Write
    from tests.support.programs import Pybuild

pytestmark = pytest.mark.e2e

VALUE = "gh-0123-Secret"
SECRET = ("--secret", "id=token,env=TOKEN")
MOUNT = "RUN --mount=type=secret,id=token"
ENV = {"TOKEN": f"{VALUE}\n"}
LEAKS = {
    "run": (f"FROM busybox\n{MOUNT} base64 /run/secrets/token > /etc/app", "/etc/app of the step's layer"),
    "copy": ("FROM scratch\nCOPY .env /app/", "/app/.env of the step's layer"),
    "heredoc": (f"FROM scratch\nCOPY <<E /app/conf\nx={VALUE}\nE", "/app/conf of the step's layer"),
    "env": (f"FROM scratch\nENV A=b TOKEN={VALUE}", "the config of the image (Env)"),
    "label": (f"FROM scratch\nLABEL {VALUE}=b", "the config of the image (Labels)"),
    "arg": ("FROM scratch\nARG T\nCOPY .env /none", "the history of the image"),
    "command": (f"FROM busybox\nRUN echo {VALUE}", "the history of the image"),
}


def stored(store: Path) -> bytes:
    """Give all that is in a store, decompressed."""
    found = []
    for folder, _, files in os.walk(store):
        for name in files:
            with open(os.path.join(folder, name), "rb") as file, open_reader(file) as reader:
                found.append(reader.read())
    return b"\n".join(found)


@pytest.mark.parametrize("name", LEAKS)
def test_a_leak_is_an_error_that_says_where_and_stores_nothing(based: Pybuild, write: Write, name: str) -> None:
    dockerfile, place = LEAKS[name]
    error = based.fails(
        *("-t", "a", *SECRET, "--build-arg", f"T={VALUE}"),
        write(dockerfile, {".env": f"T={VALUE}"}),
        env=ENV,
    )

    assert f"Dockerfile:2: the value of secret 'token' is in {place}" in error
    found = stored(based.store)
    assert VALUE not in error
    assert VALUE.encode() not in found
    assert base64.b64encode(VALUE.encode())[:-2] not in found


def test_a_step_may_use_a_secret_and_say_it(based: Pybuild, write: Write) -> None:
    """What it writes on standard error is no part of the image."""
    based("-t", "a", *SECRET, write(f"FROM busybox\n{MOUNT} cat /run/secrets/token >&2 && touch /done"), env=ENV)


@pytest.mark.root
def test_a_leak_without_isolation_is_found_as_well(based: Pybuild, write: Write) -> None:
    error = based.fails("--isolation=chroot", *SECRET, write(LEAKS["run"][0]), env=ENV)

    assert "the value of secret 'token' is in /etc/app of the step's layer" in error


def test_a_warning_comes_again_and_the_image_is_built(based: Pybuild, write: Write) -> None:
    """What leaks is not remembered: a later build with the default shall not take it from the cache."""
    context = write(LEAKS["copy"][0], {".env": VALUE})
    for _ in range(2):
        done = based("-t", "a", "--progress=plain", "--secret-scan=warn", *SECRET, context, env=ENV)
        assert "SecretInImage: the value of secret 'token' is in /app/.env of the step's layer" in done.err
        assert not done.cached
    based.fails("-t", "a", *SECRET, context, env=ENV)


def test_off_looks_for_nothing(based: Pybuild, write: Write) -> None:
    done = based("-t", "a", "--secret-scan=off", *SECRET, write(LEAKS["copy"][0], {".env": VALUE}), env=ENV)

    assert "SecretInImage" not in done.err


def test_an_unknown_mode_is_refused(based: Pybuild, write: Write) -> None:
    assert "hint: choose error, warn, off" in based.fails("--secret-scan=maybe", write("FROM scratch"))
