"""What the suite of real builds shares: registries, a Docker engine, a Debian; and a fresh store for each test."""

from __future__ import annotations

import os
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support import bases, confined
from tests.support.dockerd import Docker, dockerd
from tests.support.programs import Pybuild, need, remove
from tests.support.real_registry import real_registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Write = Callable[..., Path]


@pytest.fixture(scope="session")
def registry() -> Iterator[str]:
    """The address of a registry that asks nobody who he is."""
    need("docker-registry")
    with real_registry() as address:
        yield address


@pytest.fixture(scope="session")
def private_registry() -> Iterator[str]:
    """The address of a registry that asks for ``user`` and ``secret``."""
    need("docker-registry")
    with real_registry(password=True) as address:
        yield address


@pytest.fixture(scope="session")
def docker() -> Iterator[Docker]:
    need("dockerd", "docker")
    with dockerd("") as engine:
        yield engine


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory on a disk; it goes, whoever owns what is in it."""
    path = Path(tempfile.mkdtemp(prefix="pybuild-e2e-", dir="/var/tmp"))
    yield path
    remove(path)


@pytest.fixture
def pybuild(place: Path) -> Pybuild:
    """The command line, with an empty store."""
    need("runc")
    home = place / "home"
    home.mkdir(exist_ok=True)
    return Pybuild(place / "store", home)


@pytest.fixture
def based(pybuild: Pybuild) -> Pybuild:
    """The command line, with busybox in the store."""
    bases.put(pybuild.layout, bases.busybox(), bases.BUSYBOX)
    return pybuild


@pytest.fixture(scope="session")
def debian() -> Iterator[Pybuild]:
    """The command line, with a whole Debian in a store that the tests of this session share."""
    need("runc")
    path = Path(tempfile.mkdtemp(prefix="pybuild-e2e-", dir="/var/tmp"))
    home = path / "home"
    home.mkdir()
    pybuild = Pybuild(path / "store", home)
    try:
        bases.put(pybuild.layout, bases.make_debian(path), bases.DEBIAN)
        yield pybuild
    finally:
        remove(path)


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[Pybuild, Pybuild]]:
    """pybuild of a user with subordinate ids, and of one without, each with a store that has busybox."""
    need("runc", "unshare", "newuidmap")
    with ExitStack() as stack:
        library = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pybuild-copy-", dir="/var/tmp")))
        library.chmod(0o755)
        confined.copy_of_pybuild(library)
        uid = confined.nobody() if os.geteuid() == 0 else os.geteuid()
        made: list[Pybuild] = []
        for name in ("subids", "single"):
            if os.geteuid() == 0:
                place = stack.enter_context(confined.place_of(uid))
                prefix = confined.as_nobody(place, subordinate=name == "subids")
                made.append(confined.Confined(place / "store", place / "home", prefix=prefix, library=library))
            else:
                place = Path(tempfile.mkdtemp(prefix="pybuild-e2e-", dir="/var/tmp"))
                stack.callback(remove, place)
                (place / "home").mkdir()
                best = Pybuild(place / "store", place / "home")
                made.append(best if name == "subids" else best.without("newuidmap", "newgidmap"))
            bases.put(made[-1].layout, bases.busybox(), bases.BUSYBOX)
            (place / "context").mkdir()
            if os.geteuid() == 0:
                confined.give(place, uid)
        yield made[0], made[1]


@pytest.fixture
def write(place: Path) -> Write:
    """Write a context: ``write("FROM scratch", {"a": "content"})``; give its directory."""
    count = iter(range(1000))

    def write(dockerfile: str | None, files: dict[str, str | bytes] | None = None, name: str = "") -> Path:
        context = place / (name or f"context{next(count)}")
        context.mkdir()
        if dockerfile is not None:
            (context / "Dockerfile").write_text(dockerfile)
        for path, content in (files or {}).items():
            target = context / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content.encode() if isinstance(content, str) else content)
        return context

    return write
