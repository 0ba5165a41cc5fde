"""Commands that are worth disturbing, and the stores that they are given."""

from __future__ import annotations

import io
import os
import shutil
import sys
import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

from builder.cli.main import main
from layers.reference import Reference
from layers.store.layout import Layout
from tests.support import bases
from tests.support.images import image, layer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_STAGES = """\
FROM busybox AS one
RUN echo one > /one
FROM busybox
COPY files /files
COPY --from=one /one /
RUN cat /one /files/* > /all
"""
_COPIES = """\
FROM busybox AS one
COPY files /files
FROM busybox
COPY --from=one /files /files
COPY large /
ENV A=b
"""


@dataclass(frozen=True)
class Place:
    """Where a command is run."""

    root: Path
    fixed: Path
    """What all trials share, and no command writes to: contexts, archives."""

    @property
    def store(self) -> Path:
        return self.root / "store"

    @property
    def out(self) -> Path:
        """Where the command writes besides the store."""
        return self.root / "out"

    @property
    def layout(self) -> Layout:
        return Layout.open(self.store)

    def run(self, *arguments: str) -> int:
        """Run a command in this process and give its exit code."""
        try:
            words = 2 if arguments[0] == "system" else 1
            main([*arguments[:words], "--root", str(self.store), *arguments[words:]])
        except SystemExit as end:
            return end.code if isinstance(end.code, int) else 1

    def must(self, *arguments: str) -> int:
        """Run what has to succeed."""
        code = self.run(*arguments)
        if code:
            sys.exit(f"{arguments}: {code}")
        return 0


@dataclass(frozen=True)
class Scene:
    """One command."""

    name: str
    prepare: Callable[[Place], int]
    """Fills the store, in a process of its own; gives its exit code."""
    arguments: Callable[[Place], tuple[str, ...]]
    needs_runc: bool = False
    needs_registry: bool = False


def make_fixed(fixed: Path, registry: str) -> None:
    """Make what the scenes share."""
    for name, dockerfile in (("stages", _STAGES), ("copies", _COPIES)):
        files = fixed / name / "files"
        files.mkdir(parents=True)
        (fixed / name / "Dockerfile").write_text(dockerfile)
        (fixed / name / "large").write_bytes(os.urandom(3 << 20))
        for each in ("a", "b"):
            (files / each).write_text(each)
    for path in fixed.glob("**/*"):  # settled, so that the memo of files is used
        os.utime(path, (1_600_000_000, 1_600_000_000))
    (fixed / "registry").write_text(registry)
    with tarfile.open(fixed / "rootfs.tar", "w") as tar:
        info = tarfile.TarInfo("hello")
        info.size = 5
        tar.addfile(info, io.BytesIO(b"hello"))


def _empty(place: Place) -> int:
    del place
    return 0


def _based(place: Place) -> int:
    bases.put(place.layout, bases.busybox(), bases.BUSYBOX)
    return 0


def _two(place: Place) -> int:
    """An image with two names, one without a name, and layers that both have."""
    shared = layer()
    first, second = image(shared, layer({"1": b"1"})), image(shared, layer({"2": b"2"}))
    layout = place.layout
    for name in ("app:1", "app:2"):
        layout.tag(Reference.parse(name), layout.put(first))
    layout.keep(layout.put(second))
    return 0


def _built(place: Place) -> int:
    _two(place)
    _based(place)
    return place.must("build", "-t", "copies", "-q", str(place.fixed / "copies"))


def _ran(place: Place) -> int:
    _based(place)
    return place.must("build", "-t", "old", "-q", str(place.fixed / "stages"))


def _archived(place: Place) -> int:
    """An archive of images that the store does not have."""
    _two(place)
    code = place.must("save", "-o", str(place.fixed / "app.tar"), "app:1", "app:2")
    shutil.rmtree(place.store)
    return code or _based(place)


def _served(place: Place) -> int:
    """A registry that has an image, and a store that has another of that name."""
    _two(place)
    name = f"{(place.fixed / 'registry').read_text()}/app:1"
    code = place.must("tag", "app:1", name) or place.must("push", name)
    shutil.rmtree(place.store)
    return code or _based(place) or place.must("tag", "busybox", name)


def _contained(place: Place) -> int:
    _based(place)
    return place.must("create", "--name", "work", "busybox", "true")


def _build(name: str, *more: str) -> Callable[[Place], tuple[str, ...]]:
    def arguments(place: Place) -> tuple[str, ...]:
        outputs = ("-o", "type=image,rewrite-timestamp=true", "-o", f"type=docker,dest={place.out}/app.tar")
        epoch = ("--build-arg", "SOURCE_DATE_EPOCH=1600000000")
        return ("build", "-t", "new", *epoch, *outputs, *more, str(place.fixed / name))

    return arguments


def _always(*arguments: str) -> Callable[[Place], tuple[str, ...]]:
    return lambda place: tuple(each.replace("FIXED", str(place.fixed)) for each in arguments)


def _pull(place: Place) -> tuple[str, ...]:
    return "pull", f"{(place.fixed / 'registry').read_text()}/app:1"


SCENES = {
    scene.name: scene
    for scene in (
        Scene("build", _based, _build("stages"), needs_runc=True),
        Scene("rebuild", _ran, _build("stages", "--no-cache"), needs_runc=True),
        Scene("copy", _based, _build("copies")),
        Scene("pull", _served, _pull, needs_registry=True),
        Scene("load", _archived, _always("load", "-i", "FIXED/app.tar")),
        Scene("first", _empty, _always("import", "FIXED/rootfs.tar", "new:1")),
        Scene("import", _two, _always("import", "FIXED/rootfs.tar", "app:1")),
        Scene("tag", _two, _always("tag", "app:1", "app:new")),
        Scene("rmi", _two, _always("rmi", "-f", "app:1", "app:2")),
        Scene("prune", _built, _always("system", "prune", "-af")),
        Scene("commit", _contained, _always("commit", "-m", "mine", "work", "app:new"), needs_runc=True),
    )
}
