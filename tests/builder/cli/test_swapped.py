"""A context whose files are swapped for links out of it while it is built: what they lead to is in no image.

The swapping goes on in a process of its own, thousands of times, while build after build reads the context in every way
that there is.
"""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from layers.compression import open_reader

if TYPE_CHECKING:
    from pathlib import Path

    from tests.builder.cli.conftest import Cli

CANARY = b"canary: what only its owner may read"
_HONEST = b"honest: what everybody may read here"
"""As long as the canary: a difference of sizes would be noticed."""
_SWAPS = 20_000
_BUILDS = 20
_SWAPPER = """
import ctypes, os, sys
exchange = ctypes.CDLL(None, use_errno=True).renameat2
exchange.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint]
directory, names = sys.argv[1:]
os.chdir(directory)
pairs = [(b"context/" + end, b"links/" + end) for name in names.encode() for end in (b"%c" % name, b"d/%c" % name)]
print(flush=True)
count = 0
while os.getppid() == PARENT:
    for one, other in pairs:
        if exchange(-100, one, -100, other, 2):
            sys.exit(os.strerror(ctypes.get_errno()))
    count += len(pairs)
    with open("count", "w") as file:
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


def _make(directory: Path) -> None:
    """Write the context, and beside it the links that take the places of its files and directories."""
    for name in _NAMES:
        (directory / "context" / "d" / name).mkdir(parents=True)
        (directory / "context" / "d" / name / "canary").write_bytes(_HONEST)
        (directory / "context" / name).write_bytes(_HONEST)
        (directory / "links" / "d").mkdir(parents=True, exist_ok=True)
        (directory / "links" / name).symlink_to(directory / "outside" / "canary")
        (directory / "links" / "d" / name).symlink_to(directory / "outside")
    (directory / "outside").mkdir()
    (directory / "outside" / "canary").write_bytes(CANARY)


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
    _make(tmp_path)
    whole = not isinstance(lines, str)
    dockerfile = tmp_path / "Dockerfile"
    dockerfile.write_text("\n".join(("FROM scratch", *((lines,) if isinstance(lines, str) else lines), "")))
    assert _is_built(cli, dockerfile, tmp_path / "context")

    code = _SWAPPER.replace("PARENT", str(os.getpid()))
    swapper = subprocess.Popen([sys.executable, "-c", code, tmp_path, _NAMES], stdout=subprocess.PIPE)
    try:
        assert swapper.stdout is not None
        swapper.stdout.readline()
        builds = 0
        while builds < _BUILDS or (whole and _swaps(tmp_path) < _SWAPS):
            builds += 1
            _is_built(cli, dockerfile, tmp_path / "context")
        assert swapper.poll() is None
    finally:
        swapper.terminate()
        swapper.communicate()
    contents = _contents(cli)
    assert [] == [each for each in contents if CANARY in each]
    assert any(_HONEST in each for each in contents)
