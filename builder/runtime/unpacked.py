"""Layers kept unpacked, by chain id, as the lower directories of every step that is built on them.

    <directory>/<kind of namespace>/<chain id>/fs      what the layers down to the parent hold, overlay's whiteouts too
    <directory>/<kind of namespace>/<chain id>/note    the parent's chain id, and the boot in which this was written
    <directory>/<kind of namespace>/<chain id>.next    the layer that was last unpacked on top of that one

A layer that differs little from the last one on the same parent, as when one file of many has changed, is unpacked as
that difference: its note names the directory that it lies over.

Nothing here is waited for to reach the disk. What was written before the machine last started may not have, so it is
unpacked again; the blobs it comes from are verified.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple, cast

from layers.changeset.apply import apply, apply_changes
from layers.changeset.delta import delta
from layers.changeset.entry import Change
from layers.compression import open_reader
from layers.config import chain_ids
from layers.digest import Digest, VerifyingReader
from layers.mediatype import layer_compression
from layers.store.files import replace_file, temporary_beside
from layers.store.scratch import scratch_directory

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from builder.runtime.userns import Namespace
    from layers.changeset.entry import Entry
    from layers.changeset.index import LayerIndex
    from layers.image import Layer
    from layers.store.trees import Trees

_ALONE = 8
"""Steps next to each other whose layers come into a directory each."""
_FORMAT = 1
"""Of these directories and notes; those of another one are unpacked again."""
_NEW = ".new-"
"""How directories begin that are not finished; those of killed builds go when the next one is made."""
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class _Note(NamedTuple):
    """What is noted of an unpacked layer."""

    parent: str
    """The chain id that lies below; empty for nothing."""
    over: str = ""
    """Another layer on the same parent, that lies between: this directory holds what differs."""


class Unpacked:
    """The unpacked layers of one store; processes may share it."""

    def __init__(self, directory: Path, namespace: Namespace) -> None:
        """Keep them below ``directory``, apart from those of other kinds of namespace: their owners differ on disk."""
        self._same_owner = namespace.kind != "single"
        self._directory = directory / namespace.kind
        self._directory.mkdir(parents=True, exist_ok=True)
        self._notes: dict[str, _Note] = {}
        """Of directories that were found; nobody removes them while builds go on."""
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
            note = self._note(str(chain_ids[top]))
            # A parent that is not below means that the note cannot be believed.
            if note is None or positions.get(note.parent, -1) >= top or (note.parent and note.parent not in positions):
                note = self._unpack(layers, chain_ids, top, trees)
            directories.append(self._path(str(chain_ids[top])) / "fs")
            if note.over:
                directories.append(self._path(note.over) / "fs")
            top = positions.get(note.parent, -1)
        return directories

    def keep_upper(self, upper: Path, chain_id: Digest, parent: Digest | None) -> Path:
        """Make a step's upper directory, unmounted, the directory of ``chain_id`` on top of ``parent``; give it.

        ``upper`` is moved away; where the directory is there already, it stays and ``upper`` is left alone.
        """
        with self._locked(chain_id):
            if self._note(str(chain_id)) is None:
                with self._new(chain_id, _Note(str(parent or ""))) as made:
                    upper.rename(made / "fs")
        return self._path(str(chain_id)) / "fs"

    def prune(self, keep: Collection[Digest] = ()) -> int:
        """Remove the directories of all chain ids but ``keep``, and give the bytes freed; none may be in use."""
        self._notes.clear()
        kept = {str(chain_id) for chain_id in keep}
        kept |= {note.over for each in kept if (note := self._note(each)) is not None and note.over}
        names = {self._path(each).name for each in kept}
        freed = 0
        for path in sorted(self._directory.iterdir()):
            if path.name.removesuffix(".lock").removesuffix(".next") not in names:
                freed += _disk_usage(path)
                _remove(path)
        return freed

    def _path(self, chain_id: str) -> Path:
        return self._directory / chain_id.rpartition(":")[2]

    def _note(self, chain_id: str) -> _Note | None:
        """Give what is noted of a directory; None where it cannot be used."""
        if chain_id not in self._notes and (found := self._read_note(chain_id)) is not None:
            self._notes[chain_id] = found
        return self._notes.get(chain_id)

    def _read_note(self, chain_id: str) -> _Note | None:
        try:
            note = json.loads((self._path(chain_id) / "note").read_bytes())
            found = _Note(str(note["parent"]), str(note.get("over", "")))
            current = (note["boot"], note["format"]) == (self._boot, _FORMAT)
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return None
        if not current or (found.over and self._note(found.over) != _Note(found.parent)):
            return None
        return found

    def _unpack(self, layers: Sequence[Layer], chain_ids: Sequence[Digest], top: int, trees: Trees | None) -> _Note:
        """Unpack layer ``top`` and all below it down to one that is there; give what is noted of the result."""
        with self._locked(chain_ids[top]):
            known = self._note(str(chain_ids[top]))
            if known is not None and (not known.parent or known.parent in map(str, chain_ids[:top])):
                return known
            below = self._below(layers, chain_ids, top, trees)
            parent = str(chain_ids[below]) if below >= 0 else ""
            lowers = self.lower_directories(layers[: below + 1], chain_ids[: below + 1], trees)
            if trees is not None and below == top - 1 and trees.is_own(layers[top]):
                known = self._unpack_difference(layers[: top + 1], chain_ids[top], parent, lowers, trees)
                if known is not None:
                    return known
            with self._new(chain_ids[top], _Note(parent)) as made:
                root = _new_root(made, lowers)
                for layer in layers[below + 1 : top + 1]:
                    self._apply(layer, root, lowers, trees)
            if trees is not None and below == top - 1 and trees.is_own(layers[top]):
                latest = json.dumps({"chain": str(chain_ids[top]), "blob": str(layers[top].descriptor.digest)})
                path = self._latest(parent)
                replace_file(path, latest.encode(), temporary_beside(path))
        return _Note(parent)

    def _below(self, layers: Sequence[Layer], chain_ids: Sequence[Digest], top: int, trees: Trees | None) -> int:
        """Give the position below which all is unpacked, or will be, apart from layer ``top``; -1 for nothing.

        The layers of a base come into one directory. A step's own layer comes into one alone, where there are few of
        them: it is likely to be made again with little changed.
        """
        below = top - 1
        while below >= 0 and self._note(str(chain_ids[below])) is None:
            below -= 1
        steps = 0
        while trees is not None and steps < top - below and trees.is_own(layers[top - steps]):
            steps += 1
        if not steps:
            return below
        return top - (1 if steps <= _ALONE else steps)

    def _unpack_difference(
        self, layers: Sequence[Layer], chain_id: Digest, parent: str, lowers: Sequence[Path], trees: Trees
    ) -> _Note | None:
        """Unpack the last layer as what it changes in the one last unpacked on this parent, where that is little."""
        try:
            latest = json.loads(self._latest(parent).read_bytes())
            over, blob = str(latest["chain"]), Digest.parse(latest["blob"])
        except (OSError, ValueError, TypeError, KeyError):
            return None
        kept = trees.kept(blob) if self._note(over) == _Note(parent) and trees.has(layers[-1]) else None
        below = [layer.diff_id for layer in layers[:-1]]
        if kept is None or str(chain_ids((*below, kept.diff_id))[-1]) != over:  # it is not what lies there
            return None
        change = delta(kept.index, trees.index(layers[-1]), trees.tree(layers[:-1]))
        changes = trees.files(layers[-1], change.put) if change is not None else None
        if change is None or changes is None:
            return None
        changes = [*(Change(path, None) for path in change.gone), *changes]
        under = [self._path(over) / "fs", *lowers]
        note = _Note(parent, over)
        owner, xattrs = self._same_owner, self.userxattr
        try:
            with self._new(chain_id, note) as made:
                root = _new_root(made, under)
                apply_changes(changes, root, lowers=under, userxattr=xattrs, same_owner=owner, skipped=_skip)
        except OSError:  # something is not as it was thought: the whole layer will tell
            return None
        return note

    def _latest(self, parent: str) -> Path:
        path = self._path(parent or "nothing")
        return path.with_name(f"{path.name}.next")

    def _apply(self, layer: Layer, root: Path, lowers: Sequence[Path], trees: Trees | None) -> None:
        wanted = trees is not None and not trees.has(layer)
        userxattr, same_owner = self.userxattr, self._same_owner
        index = apply_layer(layer, root, lowers, userxattr=userxattr, same_owner=same_owner, index=wanted)
        if trees is not None and index is not None:
            trees.keep(layer.descriptor.digest, layer.diff_id, index)

    @contextlib.contextmanager
    def _new(self, chain_id: Digest, note: _Note) -> Iterator[Path]:
        """Give an empty directory that becomes the one of ``chain_id`` if all goes well."""
        with scratch_directory(self._directory, _NEW) as made:
            yield made
            (made / "note").write_text(json.dumps({**note._asdict(), "boot": self._boot, "format": _FORMAT}))
            _remove(self._path(str(chain_id)))
            made.rename(self._path(str(chain_id)))

    @contextlib.contextmanager
    def _locked(self, chain_id: Digest) -> Iterator[None]:
        path = f"{self._path(str(chain_id))}.lock"
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
        VerificationError: its content is not what its digest and its diff_id promise.
        ChangesetError: it cannot be applied.
    """
    compression = layer_compression(layer.descriptor.media_type)
    with layer.open() as blob, open_reader(blob, compression) as tar:
        # The directory is found again by its diff_ids: what only says that it has them must not get in others' way.
        content = VerifyingReader(tar, layer.diff_id, what="layer with the diff_id")
        return apply(
            cast("IO[bytes]", content),
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


def _new_root(directory: Path, lowers: Sequence[Path]) -> Path:
    root = directory / "fs"
    root.mkdir(0o755)
    if lowers:
        # The topmost directory shows as the root of the image.
        _copy_mode(lowers[0], root)
    return root


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
