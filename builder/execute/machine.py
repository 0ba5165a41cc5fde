"""What runs processes for a build: a way of isolation, and the layers it keeps unpacked."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from layers.changeset.diff import diff_upper

from builder.runtime.unpacked import Unpacked
from layers.config import chain_ids

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

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

    def stop(self) -> None:
        """End every process that runs, in whichever thread."""
        self.isolation.stop()
