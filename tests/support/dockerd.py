"""A real Docker engine on a socket of its own: ``with dockerd(tmp_path) as docker: docker("load", "-i", path)``."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

_PATIENCE = 60.0


class Docker(Protocol):
    """Run the ``docker`` command against the engine."""

    def __call__(self, *arguments: str, input: bytes | None = None) -> str:  # noqa: A002 - named as subprocess does
        """Give what the command printed on stdout.

        Raises:
            AssertionError: it failed; the message is what it printed on stderr.
        """


def installed() -> bool:
    """Tell whether there is an engine to start."""
    return shutil.which("dockerd") is not None and shutil.which("docker") is not None


@contextmanager
def dockerd() -> Iterator[Docker]:
    """Start an engine without networks that keeps its files in a directory of its own, and end it after.

    Needs root. The directory is under /tmp, as the path of a socket has no more than 107 bytes.
    """
    root = Path(tempfile.mkdtemp(prefix="dockerd-"))
    host = f"unix://{root}/docker.sock"
    command = [
        *("dockerd", "--iptables=false", "--ip6tables=false", "--bridge=none", "--storage-driver=vfs"),
        *("--data-root", str(root / "data"), "--exec-root", str(root / "exec"), "--pidfile", str(root / "pid")),
        *("--host", host),
    ]
    with (root / "log").open("wb") as log:
        engine = subprocess.Popen(command, stdout=log, stderr=log)

    def docker(*arguments: str, input: bytes | None = None) -> str:  # noqa: A002 - named as subprocess does
        done = subprocess.run(["docker", "--host", host, *arguments], input=input, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode(errors="replace")
        return done.stdout.decode()

    try:
        _wait_for(engine, root, host)
        yield docker
    finally:
        engine.terminate()
        engine.wait(_PATIENCE)
        shutil.rmtree(root, ignore_errors=True)


def _wait_for(engine: subprocess.Popen[bytes], root: Path, host: str) -> None:
    deadline = time.monotonic() + _PATIENCE
    while subprocess.run(["docker", "--host", host, "version"], capture_output=True, check=False).returncode:
        ended = engine.poll() is not None
        assert not ended, (root / "log").read_text(errors="replace")[-2000:]
        assert time.monotonic() < deadline, f"dockerd did not answer within {_PATIENCE} seconds"
        time.sleep(0.1)
