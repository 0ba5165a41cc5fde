"""Registries and clients; what waits, waits for milliseconds."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from layers.registry.client import Client
from layers.registry.settings import Settings
from tests.support.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def settings() -> Settings:
    return Settings(backoff=0.001, retries=2, connect_timeout=5, read_timeout=5)


@pytest.fixture
def registry() -> Iterator[Registry]:
    with Registry() as registry:
        yield registry


@pytest.fixture
def storage() -> Iterator[Registry]:
    """Another host, as those that registries keep their blobs at."""
    with Registry() as storage:
        yield storage


@pytest.fixture
def client(settings: Settings) -> Iterator[Client]:
    with Client(settings) as client:
        yield client


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a certificate for loopback, signed by itself, in one file."""
    return _certificate(tmp_path_factory.mktemp("tls"), "DNS:localhost,IP:127.0.0.1")


@pytest.fixture(scope="session")
def certificate_of_another(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same for a host that is not this one."""
    return _certificate(tmp_path_factory.mktemp("tls"), "DNS:registry.example,IP:127.0.0.2")


def _certificate(directory: Path, names: str) -> Path:
    path = directory / "both.pem"
    subject = ["-subj", "/CN=localhost", "-addext", f"subjectAltName={names}"]
    kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    files = ["-keyout", str(path), "-out", str(path.with_suffix(".crt"))]
    subprocess.run(["openssl", "req", *kind, *subject, *files], check=True, capture_output=True)
    path.write_text(path.read_text() + path.with_suffix(".crt").read_text())
    return path
