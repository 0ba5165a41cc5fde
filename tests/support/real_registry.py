"""Debian's ``docker-registry`` on a free port of loopback: the registry that the protocol comes from."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_HTPASSWD = "user:$2y$05$Z7vAb7Rm57asqB4Qi6FZ8uZpATPMRMfkNZ5CYERDld0WaYsAj8qU6"


def available() -> bool:
    """Tell whether the program is installed."""
    return shutil.which("docker-registry") is not None


@contextmanager
def real_registry(*, password: bool = False, proxy_of: str = "") -> Iterator[str]:
    """Run a registry and give its ``127.0.0.1:port``; ``password`` asks for ``user`` and ``secret``.

    ``proxy_of`` makes it a pull-through cache of another registry's URL.
    """
    with tempfile.TemporaryDirectory(prefix="registry-") as folder:
        address = f"127.0.0.1:{_free_port()}"
        config = Path(folder, "config.yml")
        config.write_text(json.dumps(_config(folder, address, password=password, proxy_of=proxy_of)), "utf-8")
        Path(folder, "htpasswd").write_text(_HTPASSWD + "\n", "utf-8")
        log = Path(folder, "log")
        with log.open("wb") as output:
            process = subprocess.Popen(
                ["docker-registry", "serve", str(config)], stdout=output, stderr=output, env=_environment()
            )
        try:
            _wait(process, address, log)
            yield address
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()


def _config(folder: str, address: str, *, password: bool, proxy_of: str) -> dict[str, object]:
    config: dict[str, object] = {
        "version": "0.1",
        "log": {"level": "warn", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": f"{folder}/data"}, "delete": {"enabled": True}},
        "http": {"addr": address, "secret": "test"},
    }
    if password:
        config["auth"] = {"htpasswd": {"realm": "test", "path": f"{folder}/htpasswd"}}
    if proxy_of:
        config["proxy"] = {"remoteurl": proxy_of}
    return config


def _environment() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if not key.startswith(("REGISTRY_", "OTEL_"))}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    for _ in range(400):
        if process.poll() is not None:
            raise RuntimeError(f"docker-registry ended: {log.read_text('utf-8', 'replace')[-2000:]}")
        try:
            urllib.request.urlopen(f"http://{address}/v2/", timeout=5).close()
        except urllib.error.HTTPError as error:
            error.close()
            return
        except OSError:
            with contextlib.suppress(OSError):
                time.sleep(0.025)
        else:
            return
    raise RuntimeError(f"docker-registry does not answer: {log.read_text('utf-8', 'replace')[-2000:]}")
