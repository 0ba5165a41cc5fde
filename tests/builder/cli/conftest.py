"""The commands, run in this process on a store of the test's own."""

from __future__ import annotations

import io
import sys
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import pytest

from builder.cli.main import main
from layers.config import ContainerConfig
from layers.reference import Reference
from layers.store.layout import Layout
from layers.validate import validate_image
from tests.support.images import AMD64, ARM64, image, index, layer

if TYPE_CHECKING:
    from pathlib import Path

    from layers.digest import Digest
    from layers.image import Image, Index
    from layers.model import Descriptor
    from layers.platform import Platform

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the library warns of itself, once, when it is loaded
    import typer  # noqa: F401


class Done(NamedTuple):
    """How a command ended."""

    code: int
    raw: bytes
    err: str

    @property
    def out(self) -> str:
        return self.raw.decode()

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


@dataclass
class Cli:
    """``cli("images", "-q")`` runs a command; ``cli.put(image, "app:1")`` fills the store."""

    store: Path
    patch: pytest.MonkeyPatch

    def __call__(self, *arguments: str | Path, code: int = 0, input: bytes = b"") -> Done:  # noqa: A002 - as subprocess
        """Run a command that must end with this exit code, an error as one message."""
        out, err = io.BytesIO(), io.StringIO()
        with self.patch.context() as patch:
            patch.setattr(sys, "stdout", io.TextIOWrapper(out, "utf-8", write_through=True))
            patch.setattr(sys, "stderr", err)
            patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(input), "utf-8"))
            with pytest.raises(SystemExit) as ended:
                main([str(each) for each in arguments])
            content = out.getvalue()
        assert code == ended.value.code, err.getvalue() + content.decode(errors="replace")
        assert code == 0 or "ERROR: " in err.getvalue() or "Error: " in err.getvalue()
        return Done(code, content, err.getvalue())

    def fails(self, *arguments: str | Path, input: bytes = b"") -> str:  # noqa: A002 - as subprocess
        """Give the error of a command that must fail and change nothing."""
        before = self.snapshot()
        error = self(*arguments, code=1, input=input).err
        assert before == self.snapshot()
        return error

    @property
    def layout(self) -> Layout:
        return Layout.open(self.store)

    def put(self, found: Image | Index, *names: str) -> Descriptor:
        """Store an image under names; without any it is kept by its id."""
        layout = self.layout
        descriptor = layout.put(found)
        for name in names:
            layout.tag(Reference.parse(name), descriptor)
        if not names:
            layout.keep(descriptor)
        return descriptor

    def names(self) -> list[str]:
        return [name.familiar for name, _ in self.layout.names()]

    def blobs(self) -> set[Digest]:
        return set(self.layout.blobs.list())

    def image(self, name: str, platform: Platform | None = None) -> Image:
        """Give an image that is valid to the last byte."""
        found = self.layout.image(Reference.parse(name), platform)
        validate_image(found)
        return found

    def snapshot(self) -> tuple[object, set[Digest]]:
        return self.layout.images(), self.blobs()


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.setenv("PYBUILD_ROOT", str(tmp_path / "store"))
    for name in ("HOME", "DOCKER_CONFIG", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    for name in ("REGISTRY_AUTH_FILE", "DOCKER_DEFAULT_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    return Cli(tmp_path / "store", monkeypatch)


@pytest.fixture
def app() -> Image:
    """An image of two layers, of 9 and 6 bytes of files, for amd64."""
    config = ContainerConfig(env=("A=b", "PATH=/bin"), cmd=("/bin/sh",), labels={"who": "me", "env": "test"})
    return image(layer({"etc/": b"", "etc/motd": b"123456789"}), layer(), config=config, platform=AMD64)


@pytest.fixture
def other() -> Image:
    """Another image, with a layer of ``app``'s."""
    return image(layer({"other": b"other"}), layer(), config=ContainerConfig(labels={"who": "you"}))


@pytest.fixture
def both(app: Image) -> Index:
    """An index of ``app`` and of an image for arm64."""
    return index(app, image(layer({"arm": b"64"}), platform=ARM64))
