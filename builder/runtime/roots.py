"""Root file systems for steps, made of layers: what a step did is its change set."""

from __future__ import annotations

import contextlib
import functools
import shutil
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from builder.errors import IsolationError
from builder.runtime.owners import Owners, marks_copies
from builder.runtime.placement import Placement
from builder.runtime.rootfs import StepRoot
from builder.runtime.unpacked import Unpacked, apply_layer
from layers.changeset.diff import diff_live, diff_snapshots, diff_upper
from layers.changeset.snapshot import snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from builder.runtime.runtime import Mount
    from layers.changeset.entry import Change, Entry
    from layers.changeset.tree import Tree
    from layers.digest import Digest
    from layers.image import Layer
    from layers.store.trees import Trees

_FILES = ("/etc/resolv.conf", "/etc/hosts")
_DIRECTORIES = ("/proc", "/sys", "/dev")
NOBODY = Owners()
"""Nothing is known of owners: new files belong to root."""


class Root(Protocol):
    """The root file system of one step."""

    @property
    def path(self) -> Path:
        """Where it is."""

    @property
    def foreign(self) -> Mapping[bytes, tuple[int, int]]:
        """Whose the files are, by path, that are not root's, should all belong to one user; else nothing."""

    def changes(self, owners: Owners = NOBODY) -> Iterator[Change]:
        """Give what the step did, once it has ended: paths in the order in which a layer has them.

        ``owners`` is what is known of owners, should all files belong to one user.
        """

    def live(self, owners: Owners = NOBODY) -> Iterator[Change]:
        """Give what the step did until now, as :meth:`changes`, while it runs.

        Raises:
            IsolationError: that cannot be seen.
        """

    def keep(self, chain_id: Digest) -> None:
        """Keep the root as that of ``chain_id``, after the changes were read: the next step need not make it again."""


class Roots(Protocol):
    """Makes root file systems; for several threads."""

    def unpack(self, layers: Sequence[Layer], chain_ids: Sequence[Digest], trees: Trees) -> None:
        """Unpack now what is kept unpacked, and give ``trees`` the index of what comes by: it is read once, not twice.

        Raises:
            LayersError: a layer cannot be unpacked.
        """

    def open(
        self, layers: Sequence[Layer], chain_ids: Sequence[Digest], tree: Tree, mounts: Iterable[Mount] = ()
    ) -> contextlib.AbstractContextManager[Root]:
        """Open a root of these layers, oldest first, that hold ``tree``, with mount points for ``mounts``.

        Raises:
            IsolationError: it cannot be made on this machine.
            LayersError: a layer cannot be unpacked.
        """


class OverlayRoots:
    """Roots that are overlays of unpacked layers."""

    def __init__(self, unpacked: Unpacked, scratch: Path, *, devices: bool, own_ids: bool) -> None:
        """``scratch`` is on the file system of ``unpacked``; without ``devices``, device files cannot be opened."""
        self._unpacked = unpacked
        self._scratch = scratch
        self._devices = devices
        self._own_ids = own_ids

    def unpack(self, layers: Sequence[Layer], chain_ids: Sequence[Digest], trees: Trees) -> None:
        """Make the lower directories; see :meth:`Roots.unpack`."""
        self._unpacked.lower_directories(layers, chain_ids, trees)

    @contextlib.contextmanager
    def open(
        self, layers: Sequence[Layer], chain_ids: Sequence[Digest], tree: Tree, mounts: Iterable[Mount] = ()
    ) -> Iterator[Root]:
        """Mount an overlay; see :meth:`Roots.open`."""
        lowers = self._unpacked.lower_directories(layers, chain_ids)
        userxattr = self._unpacked.userxattr
        step = StepRoot(lowers, self._scratch, mounts, userxattr=userxattr, devices=self._devices, tree=tree)
        try:
            parent = chain_ids[-1] if chain_ids else None
            yield _OverlayRoot(step, self._unpacked, tree, parent, own_ids=self._own_ids)
        finally:
            step.unmount()
            # While other work goes on; what is left in the end goes with all of the scratch directory.
            threading.Thread(target=step.close, name="remove", daemon=True).start()


class _OverlayRoot:
    def __init__(self, step: StepRoot, unpacked: Unpacked, tree: Tree, parent: Digest | None, *, own_ids: bool) -> None:
        self.path = step.root
        self._step = step
        self._unpacked = unpacked
        self._tree = tree
        self._parent = parent
        self._own_ids = own_ids

    @property
    def foreign(self) -> Mapping[bytes, tuple[int, int]]:
        return {} if self._own_ids else self._tree.foreign()

    def changes(self, owners: Owners = NOBODY) -> Iterator[Change]:
        self._step.unmount()
        owner = self._owner(owners)
        return diff_upper(self._step.upper, self._tree, userxattr=self._unpacked.userxattr, owner=owner)

    def _owner(self, owners: Owners) -> Callable[[Entry, bytes], tuple[int, int]] | None:
        if self._own_ids:
            return None
        return functools.partial(owners.owner, self._tree, is_upper=marks_copies(self._step.upper.parent))

    def live(self, owners: Owners = NOBODY) -> Iterator[Change]:
        owner = self._owner(owners)
        return diff_live(self._step.upper, self._tree, userxattr=self._unpacked.userxattr, owner=owner)

    def keep(self, chain_id: Digest) -> None:
        self._unpacked.keep_upper(self._step.upper, chain_id, self._parent)


class DirectoryRoots:
    """Roots that are plain directories, for machines where nothing can be mounted; they go with the build.

    A step that builds on another's result takes over its directory; what else needs it is unpacked once more.
    """

    def __init__(self, scratch: Path, *, mount_points: bool, own_ids: bool) -> None:
        """With ``mount_points`` a runtime mounts there; without ``own_ids`` all files belong to one user."""
        self._scratch = scratch
        self._mount_points = mount_points
        self._own_ids = own_ids
        self._idle: dict[str, Path] = {}
        self._lock = threading.Lock()

    def unpack(self, layers: Sequence[Layer], chain_ids: Sequence[Digest], trees: Trees) -> None:
        """Do nothing: no directory is kept for another step to use."""

    @contextlib.contextmanager
    def open(
        self, layers: Sequence[Layer], chain_ids: Sequence[Digest], tree: Tree, mounts: Iterable[Mount] = ()
    ) -> Iterator[Root]:
        """Unpack what is missing in a directory; see :meth:`Roots.open`."""
        home = self._take(layers, chain_ids)
        root = _DirectoryRoot(home, tree, mounts if self._mount_points else None, own_ids=self._own_ids)
        try:
            yield root
        finally:
            root.close()
            with self._lock:
                if root.chain_id in {"", *self._idle}:
                    shutil.rmtree(home, ignore_errors=True)
                else:
                    self._idle[root.chain_id] = home

    def _take(self, layers: Sequence[Layer], chain_ids: Sequence[Digest]) -> Path:
        names = [str(chain_id) for chain_id in chain_ids]
        with self._lock:
            known = max((i for i, name in enumerate(names) if name in self._idle), default=-1)
            home = self._idle.pop(names[known]) if known >= 0 else None
        if home is None:
            home = Path(tempfile.mkdtemp(prefix="root-", dir=self._scratch))
            home.chmod(0o755)
            (home / "fs").mkdir(0o755)
        try:
            for layer in layers[known + 1 :]:
                apply_layer(layer, home / "fs", same_owner=self._own_ids)
        except BaseException:
            shutil.rmtree(home, ignore_errors=True)
            raise
        return home


class _DirectoryRoot:
    def __init__(self, home: Path, tree: Tree, mounts: Iterable[Mount] | None, *, own_ids: bool) -> None:
        self.path = home / "fs"
        self.chain_id = ""
        self._tree = tree
        self._own_ids = own_ids
        self._before = snapshot(self.path)
        self._points = Placement(self.path)
        if mounts is not None:
            for target in _DIRECTORIES:
                self._points.point(target, directory=True)
            for target in _FILES:
                self._points.point(target, directory=False)
            for mount in mounts:
                self._points.point(mount.target, directory=mount.is_directory, mode=mount.point_mode)
        self._points.settle()

    @property
    def foreign(self) -> Mapping[bytes, tuple[int, int]]:
        return {} if self._own_ids else self._tree.foreign()

    def changes(self, owners: Owners = NOBODY) -> Iterator[Change]:
        self.close()
        owner = None if self._own_ids else functools.partial(owners.owner, self._tree)
        return diff_snapshots(self._before, self.path, self._tree, owner=owner)

    def live(self, owners: Owners = NOBODY) -> Iterator[Change]:  # noqa: ARG002 - as the protocol has it
        raise IsolationError("without an overlay it cannot be seen what has changed before its process ends")

    def keep(self, chain_id: Digest) -> None:
        self.chain_id = str(chain_id)

    def close(self) -> None:
        """Take the mount points out."""
        self._points.close()
