"""What runs processes for a build: a way of isolation, and the layers it keeps unpacked."""

from __future__ import annotations

import shutil
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from builder.errors import IsolationError
from builder.runtime import syscalls
from builder.runtime.overlay import overlay
from builder.runtime.unpacked import Unpacked
from layers.config import chain_ids

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from builder.runtime.ladder import Isolation
    from builder.runtime.roots import Root
    from builder.runtime.runtime import Mount, Runtime
    from layers.changeset.tree import Tree
    from layers.image import Layer
    from layers.store.trees import Trees


class Machine:
    """Runs processes in root file systems made of layers; several threads may."""

    def __init__(self, isolation: Isolation, unpacked: Path) -> None:
        self.isolation = isolation
        self.stopped = threading.Event()
        """Set once :meth:`stop` was called."""
        self._introduced = threading.Lock()
        self._unpacked = unpacked
        self._roots = isolation.roots(unpacked)

    @property
    def runtime(self) -> Runtime:
        """Who runs the processes."""
        return self.isolation.runtime

    def introduction(self) -> str:
        """Give what runs the steps, and why nothing better does, in one line; after the first call the empty text."""
        self.isolation.await_network()
        if not self._introduced.acquire(blocking=False):
            return ""
        chosen = self.isolation.attempts[-1].name
        reasons = "; ".join(self.isolation.notes).replace("\n", " ")
        return f"isolation: {chosen}" + (f" ({reasons})" if reasons else "")

    @property
    def many_ids(self) -> bool:
        """Whether files can belong to several users."""
        return self.isolation.namespace.kind != "single"

    def unpack(self, layers: Sequence[Layer], trees: Trees) -> None:
        """Unpack these layers, oldest first, if steps share what is unpacked; ``trees`` learns what comes by.

        Raises:
            LayersError: they cannot be unpacked.
        """
        self._roots.unpack(layers, chain_ids(tuple(layer.diff_id for layer in layers)), trees)

    def root(self, layers: Sequence[Layer], tree: Tree, mounts: Iterable[Mount]) -> AbstractContextManager[Root]:
        """Open the root file system of one step, made of these layers, oldest first, which hold ``tree``.

        Raises:
            IsolationError: it cannot be made here.
            LayersError: the layers cannot be unpacked.
        """
        return self._roots.open(layers, chain_ids(tuple(layer.diff_id for layer in layers)), tree, mounts)

    @contextmanager
    def shown(self, layers: Sequence[Layer]) -> Iterator[Path]:
        """Show these layers, oldest first, as one directory, where it can be mounted; what is written is thrown away.

        Raises:
            IsolationError: the layers cannot be mounted.
            LayersError: the layers cannot be unpacked.
        """
        chains = chain_ids(tuple(layer.diff_id for layer in layers))
        unpacked = Unpacked(self._unpacked, self.isolation.namespace)
        with self.discarding(unpacked.lower_directories(layers, chains)) as path:
            yield path

    @contextmanager
    def discarding(self, lowers: Sequence[Path]) -> Iterator[Path]:
        """Show directories, the top one first, as one, where it can be mounted; what is written is thrown away.

        Raises:
            IsolationError: they cannot be mounted.
        """
        with self.temporary("view-") as made:
            for name in ("root", "upper", "work", "nothing"):
                (made / name).mkdir(0o755)
            bottom = list(lowers) or [made / "nothing"]
            info = bottom[0].stat()
            (made / "upper").chmod(info.st_mode & 0o7777)
            overlay(
                bottom,
                made / "root",
                upper=made / "upper",
                work=made / "work",
                userxattr=not self.isolation.namespace.initial,
                devices=self.runtime.guards_devices,
            )
            try:
                yield made / "root"
            finally:
                syscalls.unmount(str(made / "root"))

    @contextmanager
    def private(self) -> Iterator[Path]:
        """Give a directory for what no image shall hold, such as secrets; it goes with all that is in it.

        Where this process has a mount namespace of its own it is in memory, and nobody outside sees it.

        Raises:
            IsolationError: none can be mounted.
        """
        with self.temporary("private-") as made:
            if not self.isolation.private:
                yield made
                return
            try:
                syscalls.mount("tmpfs", str(made), "tmpfs", syscalls.MS_NOSUID | syscalls.MS_NODEV, b"mode=700")
            except OSError as error:
                raise IsolationError(f"a directory in memory cannot be mounted: {error}") from error
            try:
                yield made
            finally:
                syscalls.unmount(str(made))

    @contextmanager
    def temporary(self, prefix: str) -> Iterator[Path]:
        """Give an empty directory where overlays may have parts of themselves; it goes with all that is in it."""
        made = Path(tempfile.mkdtemp(prefix=prefix, dir=self.isolation.scratch))
        try:
            yield made
        finally:
            shutil.rmtree(made, ignore_errors=True)

    def stop(self) -> None:
        """End every process that runs, in whichever thread."""
        self.stopped.set()
        self.isolation.stop()
