"""A context whose files are swapped for links out of it while it is built: what they lead to is in no image.

The swapping goes on in a process of its own, thousands of times, while build after build reads the context in every way
that there is.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from layers.compression import open_reader

if TYPE_CHECKING:
    from pathlib import Path

    from tests.builder.cli.conftest import Cli

CANARY = b"canary: what only its owner may read"
_SWAPS = 20_000
_BUILDS = 12
_SWAPPER = """
import os, sys
context, outside = sys.argv[1:]
os.chdir(context)
count = 0
print(flush=True)
while os.getppid() == {parent}:
    for name in "abcefghi":
        os.symlink(outside + "/canary", "../new"); os.rename("../new", name)
        os.link("../honest", "../new"); os.rename("../new", name)
        os.rename("d/" + name, "../" + name); os.symlink(outside, "d/" + name)
        os.unlink("d/" + name); os.rename("../" + name, "d/" + name)
        count += 4
    if count % 512 == 0:
        with open("../count", "w") as file:
            file.write(str(count))
"""
_LINES = (
    "COPY . /all/",
    "COPY a b c /some/",
    "COPY [e-i] /wild/",
    "COPY --parents d/*/canary /parents/",
    "ADD e f g h /added/",
    "COPY d/a/canary /deep/",
    "COPY --chmod=600 h /h",
)


def _contents(cli: Cli) -> list[bytes]:
    """Give everything in the store, unpacked where it is packed."""
    found = []
    for digest in cli.layout.blobs.list():
        with cli.layout.blobs.open(digest) as blob, open_reader(io.BytesIO(blob.read())) as content:
            found.append(content.read())
    return found


def _swaps(directory: Path) -> int:
    path = directory / "count"
    return int(path.read_text() or 0) if path.exists() else 0


_NAMES = "abcefghi"


def _make(context: Path, honest: Path) -> None:
    """Write the files as they are when nobody plays with them."""
    shutil.rmtree(context, ignore_errors=True)
    for name in _NAMES:
        (context / "d" / name).mkdir(parents=True)
        (context / "d" / name / "canary").write_bytes(b"honest too")
        os.link(honest, context / name)


def _is_built(cli: Cli, dockerfile: Path, context: Path) -> bool:
    """Build; it may be told that a file has changed, is a link, or is not there for a moment."""
    with contextlib.suppress(AssertionError):
        cli("build", "--no-cache", "-f", dockerfile, "-t", "app", context)
        return True
    return False


@pytest.mark.parametrize(
    "lines", [_LINES, *_LINES], ids=["all", "all-files", "some", "wildcard", "parents", "add", "deep", "chmod"]
)
def test_nothing_outside_of_the_context_is_read(cli: Cli, tmp_path: Path, lines: str | tuple[str, ...]) -> None:
    context, outside, dockerfile = tmp_path / "context", tmp_path / "outside", tmp_path / "Dockerfile"
    outside.mkdir()
    (outside / "canary").write_bytes(CANARY)
    (tmp_path / "honest").write_bytes(b"honest")
    _make(context, tmp_path / "honest")
    whole = not isinstance(lines, str)
    dockerfile.write_text("\n".join(("FROM scratch", *((lines,) if isinstance(lines, str) else lines), "")))

    code = _SWAPPER.replace("{parent}", str(os.getpid()))
    swapper = subprocess.Popen([sys.executable, "-c", code, context, outside], stdout=subprocess.PIPE)
    try:
        assert swapper.stdout is not None
        swapper.stdout.readline()
        builds = 0
        while builds < _BUILDS or (whole and _swaps(tmp_path) < _SWAPS):
            builds += 1
            _is_built(cli, dockerfile, context)
        assert swapper.poll() is None
    finally:
        swapper.terminate()
        swapper.communicate()
    _make(context, tmp_path / "honest")
    assert _is_built(cli, dockerfile, context)
    contents = _contents(cli)
    assert [] == [each for each in contents if CANARY in each]
    assert any(b"honest" in each for each in contents)
