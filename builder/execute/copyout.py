"""Files of a context or image written to a directory of this machine, for mounts."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from builder.errors import StepError
from layers.changeset.unpack import Options, Target
from layers.store.merged import reading

if TYPE_CHECKING:
    from pathlib import Path

    from builder.context.select import Selected
    from layers.changeset.entry import Entry
    from layers.image import Reader


def copy_out(selected: Selected, directory: Path, *, same_owner: bool) -> None:
    """Write what is selected into an existing, empty directory: what a directory holds, or the one file.

    A directory's own mode and owner become those of ``directory``. Devices that may not be made here are left out.

    Raises:
        StepError: the disk refuses, or a file changes meanwhile.
    """
    options = Options("user.overlay.opaque", same_owner=same_owner, hashing=False, skipped=_skip)
    top = selected.entry
    try:
        with Target(directory, None, options) as target:
            for change in selected.walk():
                assert change.entry is not None
                if change.open is None:
                    target.put(change.entry, _Nothing())
                    continue
                with reading(change.open()) as content:
                    target.put(change.entry, _Whole(content, change.entry))
            target.finish()
        if top.kind == "directory":
            if same_owner:
                os.chown(directory, top.uid, top.gid)
            os.chmod(directory, top.mode)
            os.utime(directory, (top.mtime, top.mtime))
    except OSError as error:
        raise StepError(f"cannot copy what is to be mounted: {error.strerror}") from error


def _skip(_entry: Entry, _error: OSError) -> None:
    pass


class _Nothing:
    """The content of what is no file."""

    def read(self, _size: int = -1, /) -> bytes:
        return b""

    def close(self) -> None:
        pass


class _Whole:
    """A file's content that is as long as it was when it was looked at."""

    def __init__(self, source: Reader, entry: Entry) -> None:
        self._source = source
        self._path = entry.path

    def read(self, size: int = -1, /) -> bytes:
        data = self._source.read(size)
        if not data and size:
            raise StepError(f'"{os.fsdecode(self._path)}" became shorter while it was copied')
        return data

    def close(self) -> None:
        pass
