"""The root file system of one step: an overlay whose upper directory will hold what the step did, and nothing else."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Self

from builder.errors import IsolationError
from builder.runtime import syscalls
from builder.runtime.overlay import overlay
from layers.changeset.lowers import Stack
from layers.changeset.rootpath import resolve

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from types import TracebackType

    from builder.runtime.runtime import Mount
    from layers.changeset.tree import Tree

_SYSTEM = ("/proc", "/sys", "/dev")
_FILES = ("/etc/resolv.conf", "/etc/hosts")
_NOT_UNPACKED = {"character", "block"}
"""What an image may have and its unpacked layers not."""


class StepRoot:
    """A mounted root file system; leave the ``with`` block to unmount it and drop what was not moved away."""

    def __init__(
        self,
        lowers: Sequence[Path],
        scratch: Path,
        mounts: Iterable[Mount] = (),
        *,
        userxattr: bool,
        devices: bool = True,
        tree: Tree | None = None,
    ) -> None:
        """Mount ``lowers``, top first, with a mount point for everything that a step will have mounted.

        ``tree`` is what they hold together, where that is known: it is asked for faster than the disk.

        Missing mount points lie in a directory of their own between ``lowers`` and the upper directory, so that they
        are seen by the step and do not belong to its changes. ``scratch`` is on the file system of the lowers. Without
        ``devices``, device files cannot be opened.

        Raises:
            IsolationError: no overlay can be mounted there.
        """
        self._directory = Path(tempfile.mkdtemp(prefix="root-", dir=scratch))
        self.root = self._directory / "root"
        self.upper = self._directory / "upper"
        """What changed, once the step has ended: overlay's own whiteouts and opaque marks."""
        self._mounted = False
        try:
            self._mount(lowers, mounts, tree, userxattr=userxattr, devices=devices)
        except BaseException:
            self.close()
            raise

    def _mount(
        self, lowers: Sequence[Path], mounts: Iterable[Mount], tree: Tree | None, *, userxattr: bool, devices: bool
    ) -> None:
        for name in ("root", "upper", "work", "stubs"):
            (self._directory / name).mkdir(0o755)
        stubs = self._directory / "stubs"
        bottom = list(lowers) or [stubs]
        _copy_attributes(bytes(bottom[0]), bytes(self.upper))
        if make_stubs(lowers, stubs, mounts, tree, userxattr=userxattr) and lowers:
            bottom.insert(0, stubs)
        work = self._directory / "work"
        overlay(bottom, self.root, upper=self.upper, work=work, userxattr=userxattr, devices=devices)
        self._mounted = True

    def unmount(self) -> None:
        """Unmount: from now on ``upper`` may be moved away."""
        if self._mounted:
            syscalls.unmount(str(self.root))
            self._mounted = False

    def close(self) -> None:
        """Unmount and remove what is left."""
        self.unmount()
        shutil.rmtree(self._directory, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def upper_of(root: Path) -> Path:
    """Give where what changes below a step's root really lies: its upper directory, or the root itself."""
    upper = root.with_name("upper")
    return upper if root.name == "root" and upper.is_dir() else root


def make_stubs(
    lowers: Sequence[Path], stubs: Path, mounts: Iterable[Mount], tree: Tree | None = None, *, userxattr: bool
) -> bool:
    """Make in ``stubs`` the mount points that the image has not; say whether there are any.

    A directory of the image above one is there as well, with the image's mode, owner, times and attributes. ``tree`` is
    what ``lowers`` hold together, where that is known.
    """
    view = Stack(lowers, "user.overlay.opaque" if userxattr else "trusted.overlay.opaque")

    def shows(path: bytes) -> bool:
        if tree is None:
            return view.find(path) is not None
        entry = tree.get(path)
        return not path or (entry is not None and entry.kind not in _NOT_UNPACKED)

    wanted = [(path, True, 0o755) for path in _SYSTEM] + [(path, False, 0o644) for path in _FILES]
    wanted += [(each.target, each.is_directory, each.point_mode) for each in mounts]
    made: list[tuple[bytes, bytes | None]] = []
    covered: list[bytes] = []
    for target, directory, mode in wanted:
        path = resolve(tree if tree is not None else view, os.fsencode(target), follow_last=True)
        if not shows(path) and not any(path.startswith(each + b"/") for each in covered):
            _make_stub(view, bytes(stubs), path, made, directory=directory, mode=mode)
        if directory:
            covered.append(path)
    if made:
        made.append((bytes(stubs), bytes(lowers[0]) if lowers else None))
    for path, original in reversed(made):
        if original is not None:
            _copy_attributes(original, path)
    return bool(made)


def _make_stub(
    view: Stack, stubs: bytes, path: bytes, made: list[tuple[bytes, bytes | None]], *, directory: bool, mode: int
) -> None:
    """Make one mount point and its parents; add each new path to ``made`` with the directory it stands for."""
    names = path.split(b"/")
    for depth in range(1, len(names) + 1):
        part = b"/".join(names[:depth])
        host = stubs + b"/" + part
        if os.path.lexists(host):
            continue
        original = view.find(part)
        if original is not None and not stat.S_ISDIR(original.info.st_mode):
            raise IsolationError(
                f"mount target /{os.fsdecode(path)} lies below /{os.fsdecode(part)}, which is no directory"
            )
        if depth < len(names) or directory:
            os.mkdir(host, 0o755)
        else:
            os.close(os.open(host, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
        if depth == len(names):
            os.chmod(host, mode)
        made.append((host, original.host if original is not None else None))


def _copy_attributes(source: bytes, target: bytes) -> None:
    info = os.stat(source)
    os.chown(target, info.st_uid, info.st_gid)
    os.chmod(target, stat.S_IMODE(info.st_mode))
    for name in os.listxattr(source):
        if ".overlay." not in name:
            with contextlib.suppress(OSError):  # a security module's own
                os.setxattr(target, name, os.getxattr(source, name))
    os.utime(target, ns=(info.st_atime_ns, info.st_mtime_ns))
