"""Layers kept unpacked, by chain id, as the lower directories of every step that is built on them.

    <directory>/<kind of namespace>/<chain id>/fs      what the layers down to the parent hold, overlay's whiteouts too
    <directory>/<kind of namespace>/<chain id>/note    the parent's chain id, and the boot in which this was written

Nothing here is waited for to reach the disk. What was written before the machine last started may not have, so it is
unpacked again; the blobs it comes from are verified.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from layers.changeset.apply import apply
from layers.compression import open_reader
from layers.mediatype import layer_compression

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from builder.runtime.userns import Namespace
    from layers.changeset.entry import Entry
    from layers.changeset.index import LayerIndex
    from layers.digest import Digest
    from layers.image import Layer
    from layers.store.trees import Trees

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Unpacked:
    """The unpacked layers of one store; processes may share it."""

    def __init__(self, directory: Path, namespace: Namespace) -> None:
        """Keep them below ``directory``, apart from those of other kinds of namespace: their owners differ on disk."""
        self._same_owner = namespace.kind != "single"
        self._directory = directory / namespace.kind
        self._directory.mkdir(parents=True, exist_ok=True)
        self.userxattr = not namespace.initial
        """Whether opaque directories are marked by ``user.overlay.`` attributes."""
        try:
            self._boot = _BOOT_ID.read_text().strip()
        except OSError:  # a sandbox that has no such file
            self._boot = ""

    def lower_directories(
        self, layers: Sequence[Layer], chain_ids: Sequence[Digest], trees: Trees | None = None
    ) -> list[Path]:
        """Give the directories that make up these layers (oldest first), top first; unpack what is missing.

        Missing layers that lie next to each other come into one directory. A second process that needs the same
        directory waits for the first. ``trees`` is given the index of each layer that is unpacked and that it lacks.

        Raises:
            VerificationError: a layer's content is not what its digest promises.
            ChangesetError: a layer cannot be applied.
        """
        positions = {str(chain_id): i for i, chain_id in enumerate(chain_ids)}
        directories: list[Path] = []
        top = len(layers) - 1
        while top >= 0:
            parent = self._parent(chain_ids[top])
            # A parent that is not below means that the note cannot be believed.
            if parent is None or positions.get(parent, -1) >= top or (parent and parent not in positions):
                parent = self._unpack(layers, chain_ids, top, trees)
            directories.append(self._path(chain_ids[top]) / "fs")
            top = positions.get(parent, -1)
        return directories

    def keep_upper(self, upper: Path, chain_id: Digest, parent: Digest | None) -> Path:
        """Make a step's upper directory, unmounted, the directory of ``chain_id`` on top of ``parent``; give it.

        ``upper`` is moved away; where the directory is there already, it stays and ``upper`` is left alone.
        """
        with self._locked(chain_id):
            if self._parent(chain_id) is None:
                with self._new(chain_id, parent) as made:
                    upper.rename(made / "fs")
        return self._path(chain_id) / "fs"

    def prune(self, keep: Collection[Digest] = ()) -> int:
        """Remove the directories of all chain ids but ``keep``, and give the bytes freed; none may be in use."""
        names = {self._path(chain_id).name for chain_id in keep}
        freed = 0
        for path in sorted(self._directory.iterdir()):
            if path.name.removesuffix(".lock") not in names:
                freed += _disk_usage(path)
                _remove(path)
        return freed

    def _path(self, chain_id: Digest) -> Path:
        return self._directory / chain_id.encoded

    def _parent(self, chain_id: Digest) -> str | None:
        """Give the chain id below this directory, "" where there is none; None where the directory cannot be used."""
        try:
            note = json.loads((self._path(chain_id) / "note").read_bytes())
        except (OSError, ValueError):
            return None
        if not isinstance(note, dict) or note.get("boot") != self._boot or not isinstance(note.get("parent"), str):
            return None
        return str(note["parent"])

    def _unpack(self, layers: Sequence[Layer], chain_ids: Sequence[Digest], top: int, trees: Trees | None) -> str:
        """Unpack layer ``top`` and all below it down to one that is there; give the chain id of that one, or ""."""
        with self._locked(chain_ids[top]):
            known = self._parent(chain_ids[top])
            if known is not None and (not known or known in map(str, chain_ids[:top])):
                return known
            below = top - 1
            while below >= 0 and self._parent(chain_ids[below]) is None:
                below -= 1
            parent = chain_ids[below] if below >= 0 else None
            lowers = self.lower_directories(layers[: below + 1], chain_ids[: below + 1], trees)
            with self._new(chain_ids[top], parent) as made:
                root = made / "fs"
                root.mkdir(0o755)
                if lowers:
                    # The topmost directory shows as the root of the image.
                    _copy_mode(lowers[0], root)
                for layer in layers[below + 1 : top + 1]:
                    self._apply(layer, root, lowers, trees)
        return str(parent or "")

    def _apply(self, layer: Layer, root: Path, lowers: Sequence[Path], trees: Trees | None) -> None:
        wanted = trees is not None and not trees.has(layer)
        userxattr, same_owner = self.userxattr, self._same_owner
        index = apply_layer(layer, root, lowers, userxattr=userxattr, same_owner=same_owner, index=wanted)
        if trees is not None and index is not None:
            trees.keep(layer.descriptor.digest, index)

    @contextlib.contextmanager
    def _new(self, chain_id: Digest, parent: Digest | None) -> Iterator[Path]:
        """Give an empty directory that becomes the one of ``chain_id`` if all goes well."""
        made = Path(tempfile.mkdtemp(prefix=".new-", dir=self._directory))
        try:
            yield made
            (made / "note").write_text(json.dumps({"parent": str(parent or ""), "boot": self._boot}))
            _remove(self._path(chain_id))
            made.rename(self._path(chain_id))
        finally:
            _remove(made)

    @contextlib.contextmanager
    def _locked(self, chain_id: Digest) -> Iterator[None]:
        path = f"{self._path(chain_id)}.lock"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def apply_layer(
    layer: Layer,
    root: Path,
    lowers: Sequence[Path] = (),
    *,
    userxattr: bool = False,
    same_owner: bool,
    index: bool = False,
) -> LayerIndex | None:
    """Unpack a layer onto ``root``, which is a directory of its own or lies on ``lowers`` in an overlay.

    Its index is given if ``index``.

    Raises:
        VerificationError: its content is not what its digest promises.
        ChangesetError: it cannot be applied.
    """
    compression = layer_compression(layer.descriptor.media_type)
    with layer.open() as blob, open_reader(blob, compression) as tar:
        return apply(
            tar,
            root,
            overlay=bool(lowers),
            userxattr=userxattr,
            lowers=lowers,
            same_owner=same_owner,
            index=index,
            skipped=_skip,
        )


def _skip(_entry: Entry, _error: OSError) -> None:
    """Leave out devices and attributes that this process may not make: new layers are not made from what is here."""


def _copy_mode(source: Path, target: Path) -> None:
    info = source.stat()
    os.chown(target, info.st_uid, info.st_gid)
    target.chmod(info.st_mode & 0o7777)
    os.utime(target, ns=(info.st_atime_ns, info.st_mtime_ns))


def _disk_usage(path: Path) -> int:
    total = path.lstat().st_blocks * 512
    if path.is_dir():
        for directory, names, files in os.walk(path):
            for name in [*names, *files]:
                total += os.lstat(os.path.join(directory, name)).st_blocks * 512
    return total


def _remove(path: Path) -> None:
    """Remove a directory or file, whatever the permissions below it; nothing where there is none."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
