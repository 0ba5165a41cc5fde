"""A real Docker engine on a socket of its own: ``with dockerd(tmp_path) as docker: docker("load", "-i", path)``."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_PATIENCE = 60.0


@dataclass(frozen=True)
class Docker:
    """Run the ``docker`` command against the engine."""

    host: str
    """What DOCKER_HOST has to be."""

    def __call__(self, *arguments: str, input: bytes | None = None) -> str:  # noqa: A002 - named as subprocess does
        """Give what the command printed on stdout.

        Raises:
            AssertionError: it failed; the message is what it printed on stderr.
        """
        command = [client(), "--host", self.host, *arguments]
        environment = {**os.environ, "DOCKER_BUILDKIT": "1", "BUILDKIT_PROGRESS": "plain"}
        done = subprocess.run(command, env=environment, input=input, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode(errors="replace")
        return done.stdout.decode()


def installed() -> bool:
    """Tell whether there is an engine to start."""
    return shutil.which("dockerd") is not None and shutil.which("docker") is not None


def client() -> str:
    """Give the engine's own client, where it has one beside it: a newer one needs plugins to build."""
    return shutil.which("docker", path=f"/usr/bin:{os.environ.get('PATH', '')}") or "docker"


@contextmanager
def dockerd(driver: str = "vfs") -> Iterator[Docker]:
    """Start an engine without networks that keeps its files in a directory of its own, and end it after.

    ``driver`` is how layers are kept; vfs works everywhere, and the empty text is the best that works here. Needs root.
    The directory is under /tmp, as the path of a socket has no more than 107 bytes.
    """
    root = Path(tempfile.mkdtemp(prefix="dockerd-"))
    host = f"unix://{root}/docker.sock"
    command = [
        *("dockerd", "--iptables=false", "--ip6tables=false", "--bridge=none"),
        *(("--storage-driver", driver) if driver else ()),
        *("--data-root", str(root / "data"), "--exec-root", str(root / "exec"), "--pidfile", str(root / "pid")),
        *("--host", host),
    ]
    with (root / "log").open("wb") as log:
        engine = subprocess.Popen(command, stdout=log, stderr=log)

    try:
        _wait_for(engine, root, host)
        yield Docker(host)
    finally:
        engine.terminate()
        engine.wait(_PATIENCE)
        shutil.rmtree(root, ignore_errors=True)


def _wait_for(engine: subprocess.Popen[bytes], root: Path, host: str) -> None:
    deadline = time.monotonic() + _PATIENCE
    while subprocess.run([client(), "--host", host, "version"], capture_output=True, check=False).returncode:
        ended = engine.poll() is not None
        assert not ended, (root / "log").read_text(errors="replace")[-2000:]
        assert time.monotonic() < deadline, f"dockerd did not answer within {_PATIENCE} seconds"
        time.sleep(0.1)
