"""What runs processes for a build: a way of isolation, and the layers it keeps unpacked."""

from __future__ import annotations

import shutil
import tempfile
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from builder.errors import IsolationError
from builder.runtime import syscalls
from builder.runtime.overlay import overlay
from builder.runtime.unpacked import Unpacked
from layers.changeset.diff import diff_upper
from layers.config import chain_ids

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from builder.runtime.ladder import Isolation
    from builder.runtime.rootfs import StepRoot
    from builder.runtime.runtime import Mount, Runtime
    from layers.changeset.entry import Change
    from layers.changeset.tree import Tree
    from layers.digest import Digest
    from layers.image import Layer


@dataclass(frozen=True, slots=True)
class Root:
    """A step's root file system while it is mounted."""

    step: StepRoot
    tree: Tree
    unpacked: Unpacked
    parent: Digest | None

    @property
    def path(self) -> Path:
        """Where it is mounted."""
        return self.step.root

    def changes(self) -> Iterator[Change]:
        """Give what the step did, once it has ended."""
        self.step.unmount()
        return diff_upper(self.step.upper, self.tree, userxattr=self.unpacked.userxattr)

    def keep(self, chain: Digest) -> None:
        """Keep what the step did as the directory of ``chain``, for the steps on top of it."""
        self.unpacked.keep_upper(self.step.upper, chain, self.parent)


class Machine:
    """Runs processes in root file systems made of layers; several threads may."""

    def __init__(self, isolation: Isolation, unpacked: Path) -> None:
        self.isolation = isolation
        self.stopped = threading.Event()
        """Set once :meth:`stop` was called."""
        self._unpacked = Unpacked(unpacked, isolation.namespace)

    @property
    def runtime(self) -> Runtime:
        """Who runs the processes."""
        return self.isolation.runtime

    @contextmanager
    def root(self, layers: Sequence[Layer], tree: Tree, mounts: Iterable[Mount]) -> Iterator[Root]:
        """Mount these layers, oldest first, as the root file system of one step.

        Raises:
            IsolationError: the layers cannot be mounted.
            LayersError: the layers cannot be unpacked.
        """
        chains = chain_ids(tuple(layer.diff_id for layer in layers))
        lowers = self._unpacked.lower_directories(layers, chains)
        with self.isolation.root(lowers, mounts) as step:
            yield Root(step, tree, self._unpacked, chains[-1] if chains else None)

    @contextmanager
    def shown(self, layers: Sequence[Layer]) -> Iterator[Path]:
        """Show these layers, oldest first, as one directory; what is written there is thrown away.

        Raises:
            IsolationError: the layers cannot be mounted.
            LayersError: the layers cannot be unpacked.
        """
        chains = chain_ids(tuple(layer.diff_id for layer in layers))
        with self.discarding(self._unpacked.lower_directories(layers, chains)) as path:
            yield path

    @contextmanager
    def discarding(self, lowers: Sequence[Path]) -> Iterator[Path]:
        """Show directories, the top one first, as one; what is written there is thrown away.

        Raises:
            IsolationError: they cannot be mounted.
        """
        with self._directory("view-") as made:
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
                userxattr=self._unpacked.userxattr,
                devices=self.runtime.guards_devices,
            )
            try:
                yield made / "root"
            finally:
                syscalls.unmount(str(made / "root"))

    @contextmanager
    def private(self) -> Iterator[Path]:
        """Give a directory in memory that nobody outside the build's mount namespace sees: no disk holds its files.

        Raises:
            IsolationError: none can be mounted.
        """
        with self._directory("private-") as made:
            try:
                syscalls.mount("tmpfs", str(made), "tmpfs", syscalls.MS_NOSUID | syscalls.MS_NODEV, b"mode=700")
            except OSError as error:
                raise IsolationError(f"a directory in memory cannot be mounted: {error}") from error
            try:
                yield made
            finally:
                syscalls.unmount(str(made))

    @contextmanager
    def _directory(self, prefix: str) -> Iterator[Path]:
        made = Path(tempfile.mkdtemp(prefix=prefix, dir=self.isolation.scratch))
        try:
            yield made
        finally:
            shutil.rmtree(made, ignore_errors=True)

    def stop(self) -> None:
        """End every process that runs, in whichever thread."""
        self.stopped.set()
        self.isolation.stop()
