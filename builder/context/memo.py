"""Which content was found behind which ``lstat``, kept from build to build; see :mod:`builder.context.fingerprint`."""

from __future__ import annotations

import struct
from contextlib import suppress
from typing import TYPE_CHECKING

from layers.store.files import replace_file, seal_of, temporary_beside, unsealed

if TYPE_CHECKING:
    import os
    from pathlib import Path

_MAGIC = b"pybuild files 1\n"
_PURPOSE = "memo of files"
_COUNT = struct.Struct("<II")
_SELECTION = struct.Struct("32s32s")
_NODE = struct.Struct("<QQ")
_FILE = struct.Struct("<QQqqq32s")
_DIGEST_SIZE = 32


class Memo:
    """Contents seen before, kept in one file.

    Two builds that save at a time lose only what one of them remembered. Not for several threads at a time.
    """

    _MAX_SELECTIONS = 1_000
    _MAX_FILES = 500_000

    def __init__(self) -> None:
        self._selections: dict[bytes, bytes] = {}
        self._files = bytearray()
        """Records in the order in which they were learnt; of one file the last one counts."""
        self._found: dict[bytes, int] | None = None
        """Where the record of each file begins, once one was looked for."""
        self._changed = False

    @classmethod
    def load(cls, path: Path) -> Memo:
        """Read a memo; a missing or damaged file gives an empty one."""
        memo = cls()
        with suppress(OSError, struct.error):
            body = unsealed(path.read_bytes(), _PURPOSE)
            if body is not None and body.startswith(_MAGIC):
                start = len(_MAGIC) + _COUNT.size
                selections, files = _COUNT.unpack(body[len(_MAGIC) : start])
                middle = start + selections * _SELECTION.size
                memo._selections = dict(_SELECTION.iter_unpack(body[start:middle]))
                memo._files += memoryview(body)[middle : middle + files * _FILE.size]
        return memo

    def save(self, path: Path) -> None:
        """Write the memo if it has learnt something, in one step, so that readers see the old or the new one.

        Raises:
            StoreError: the directory cannot be written.
        """
        if not self._changed:
            return
        selections = list(self._selections.items())[-self._MAX_SELECTIONS :]
        self._keep_newest_files()
        parts: list[bytes | bytearray] = [_MAGIC, _COUNT.pack(len(selections), len(self._files) // _FILE.size)]
        parts += (_SELECTION.pack(*pair) for pair in selections)
        parts.append(self._files)
        replace_file(path, [*parts, seal_of(parts, _PURPOSE)], temporary_beside(path))
        self._changed = False

    def selection(self, stat_digest: bytes) -> bytes | None:
        """Give the content digest of a selection that had this stat digest."""
        return self._selections.get(stat_digest)

    def remember_selection(self, stat_digest: bytes, content_digest: bytes) -> None:
        """Remember a whole selection."""
        if self._selections.get(stat_digest) != content_digest:
            self._selections[stat_digest] = content_digest
            self._changed = True

    def file(self, info: os.stat_result) -> bytes | None:
        """Give the sha256 of a file's content, if it was seen behind the same ``lstat``."""
        start = self._places().get(_NODE.pack(info.st_dev, info.st_ino))
        record = self._files[start : start + _FILE.size] if start is not None else b""
        digest = bytes(record[-_DIGEST_SIZE:])
        return digest if record == _record(info, digest) else None

    def remember_file(self, info: os.stat_result, digest: bytes) -> None:
        """Remember the sha256 of a file that was read after ``info`` was taken."""
        record = _record(info, digest)
        if self._found is not None:
            known = self._found.get(record[: _NODE.size])
            if known is not None and self._files[known : known + _FILE.size] == record and not self._is_full():
                return
            self._found[record[: _NODE.size]] = len(self._files)
        self._files += record
        self._changed = True

    def _is_full(self) -> bool:
        return len(self._files) >= self._MAX_FILES * _FILE.size

    def _places(self) -> dict[bytes, int]:
        if self._found is None:
            files, size = self._files, _NODE.size
            self._found = {bytes(files[at : at + size]): at for at in range(0, len(files), _FILE.size)}
        return self._found

    def _keep_newest_files(self) -> None:
        """Forget all but the records that are to be kept, each file's once; the newest stand last."""
        if len(self._files) > self._MAX_FILES * _FILE.size:
            del self._files[: -self._MAX_FILES * _FILE.size]
            self._found = None
        starts, self._found = self._places(), None  # not held beside what is written
        if len(starts) * _FILE.size != len(self._files):
            newest = sorted(starts.values())
            self._files = bytearray().join([self._files[at : at + _FILE.size] for at in newest])


def _record(info: os.stat_result, digest: bytes) -> bytes:
    times = info.st_mtime_ns, info.st_ctime_ns
    return _FILE.pack(info.st_dev, info.st_ino, info.st_size, *times, digest)


def is_memo(path: Path) -> bool:
    """Tell whether a file is a memo of this version as it was written."""
    try:
        content = unsealed(path.read_bytes(), _PURPOSE)
    except OSError:
        return False
    return content is not None and content.startswith(_MAGIC)
