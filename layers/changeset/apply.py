"""A layer onto a root file system on disk.

Spec: image-spec/layer.md, "Applying Changesets" and "Whiteouts".
"""

from __future__ import annotations

import errno
import io
from typing import IO, TYPE_CHECKING

from layers.changeset import tar
from layers.changeset.index import EMPTY, KEPT, KEPT_SIZE, LayerIndex
from layers.changeset.lowers import Stack
from layers.changeset.unpack import Options, Target
from layers.changeset.whiteout import read_marker
from layers.errors import ChangesetError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from layers.changeset.entry import Change, Content, Entry


def apply(
    stream: IO[bytes],
    root: Path,
    *,
    overlay: bool = False,
    userxattr: bool = False,
    lowers: Sequence[Path] = (),
    same_owner: bool = True,
    index: bool = False,
    skipped: Callable[[Entry, OSError], None] | None = None,
    limits: tar.Limits = tar.DEFAULT_LIMITS,
) -> LayerIndex | None:
    """Apply a layer's uncompressed tar to a root file system; nothing outside of it is touched.

    Whiteouts act on what was there before the layer. Directories that the layer does not mention keep their times.
    The root's own entry is left out, as every runtime does.

    Args:
        stream: read to its end.
        root: a directory that nobody else writes to meanwhile.
        overlay: ``root`` is a lower directory of an overlay mount, for one layer or several applied one after the
            other: what they hide below is marked as overlayfs does it. Otherwise whiteouts delete.
        userxattr: mark opaque directories for a mount with that option, as in a user namespace.
        lowers: the directories below that one, top first. Parents that the layer leaves out, links on the way and
            targets of hard links are taken from them; without them such parents are new directories.
        same_owner: give files their owners; only root can.
        index: give the layer's index, as ``index_layer`` does, else None.
        skipped: told of each device or attribute that may not be made here; an error where None.
        limits: what the tar may ask for.

    Raises:
        ChangesetError: the tar is corrupt or cannot be applied, or the disk refuses.
        LimitError: the tar has more than ``limits`` allow.
    """
    opaque = "user.overlay.opaque" if userxattr else "trusted.overlay.opaque"
    entries: list[Entry] = []
    contents: dict[bytes, bytes] = {}
    below = Stack([root, *lowers], opaque) if overlay else None
    options = Options(opaque, same_owner=same_owner, hashing=index, skipped=skipped)
    with Target(root, below, options) as target:
        for entry, member in tar.read(stream, limits):
            content: Content = member
            if index and entry.path in KEPT and entry.kind == "file" and entry.size <= KEPT_SIZE:
                contents[entry.path] = member.read()
                content = io.BytesIO(contents[entry.path])
            try:
                digest = _apply_entry(target, entry, content)
            except OSError as error:
                raise ChangesetError(
                    f"cannot apply {_text(entry.path)}: {error.strerror}",
                    hint=_HINTS.get(error.errno or 0, ""),
                ) from error
            if index:
                entries.append(entry._replace(digest=digest) if digest else entry)
        target.finish()
    return LayerIndex(entries, contents) if index else None


def apply_changes(
    changes: Iterable[Change],
    root: Path,
    *,
    lowers: Sequence[Path],
    userxattr: bool,
    same_owner: bool,
    skipped: Callable[[Entry, OSError], None] | None = None,
) -> None:
    """Make ``root``, an empty directory, the lower directory of an overlay that changes what ``lowers`` hold.

    Contents are read as ``Content``; for the arguments see ``apply``.

    Raises:
        OSError: the disk refuses, or something is not as the changes have it.
    """
    opaque = "user.overlay.opaque" if userxattr else "trusted.overlay.opaque"
    options = Options(opaque, same_owner=same_owner, hashing=False, skipped=skipped)
    with Target(root, Stack([root, *lowers], opaque), options) as target:
        for path, entry, opened in changes:
            if entry is None:
                target.hide(path)
                continue
            content = opened() if opened is not None else io.BytesIO()
            assert not isinstance(content, int)
            target.put(entry, content)
        target.finish()


_HINTS = {
    errno.EINVAL: "an owner may be unknown here: give the user more subordinate ids in /etc/subuid and /etc/subgid",
    errno.ENOTDIR: "the layer has something below what is no directory",
}


def _apply_entry(target: Target, entry: Entry, content: Content) -> bytes:
    marker = read_marker(entry.path)
    if marker is None:
        return target.put(entry, content)
    digest = EMPTY if entry.kind == "file" and not entry.size else b""
    kind, path = marker
    if kind == "whiteout":
        target.hide(path)
    elif kind == "opaque":
        target.hide_below(path)
    return digest


def _text(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")
