"""Look into stacked lower directories as an overlay would show them, without mounting it."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from layers.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_MAX_LINKS = 40


class Found(NamedTuple):
    """Where a path leads."""

    path: bytes
    """Inside the image, without symlinks and outer slashes; what is missing at its end is as it was asked for."""
    hosts: list[bytes]
    """The host paths that show there, top first: several for a merged directory, none where there is nothing."""
    info: os.stat_result | None
    """Of the first of them."""


class Lowers:
    """Lower directories, top first; nothing may change them meanwhile."""

    def __init__(self, directories: Sequence[Path], *, userxattr: bool) -> None:
        self._opaque = "user.overlay.opaque" if userxattr else "trusted.overlay.opaque"
        roots = [os.fsencode(path) for path in directories]
        self._merged: dict[bytes, list[bytes]] = {b"": roots}

    def find(self, path: bytes) -> Found:
        """Follow ``path``, symlinks as well; they and ``..`` never lead outside.

        Raises:
            NotFoundError: more than 40 symlinks.
        """
        names = path.split(b"/")[::-1]
        place: list[bytes] = []
        links = 0
        while names:
            name = names.pop()
            if name in {b"", b"."}:
                continue
            if name == b"..":
                del place[-1:]
                continue
            at = b"/".join([*place, name])
            hosts, info = self._look(at)
            if info is not None and stat.S_ISLNK(info.st_mode):
                links += 1
                if links > _MAX_LINKS:
                    raise NotFoundError(f"too many symlinks: {os.fsdecode(path)}")
                link = os.readlink(hosts[0])
                names += link.split(b"/")[::-1]
                if link.startswith(b"/"):
                    place = []
                continue
            place.append(name)
        at = b"/".join(place)
        return Found(at, *self._look(at))

    def open_file(self, path: bytes) -> BinaryIO:
        """Open the regular file at ``path``, which has no symlinks: the form of ``Entry.path``.

        Raises:
            NotFoundError: there is none, or something else is there.
        """
        hosts, info = self._look(path)
        if info is None or not stat.S_ISREG(info.st_mode):
            raise NotFoundError(f"no file in the image: /{os.fsdecode(path)}")
        # Never waits, should a fifo have come in its place.
        return open(os.open(hosts[0], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb")

    def _look(self, path: bytes) -> tuple[list[bytes], os.stat_result | None]:
        """Give what shows at ``path``, whose parents are taken as they are: no symlink is followed."""
        if path in self._merged:
            hosts = self._merged[path]
            return hosts, os.lstat(hosts[0]) if hosts else None
        parent, _, name = path.rpartition(b"/")
        found: list[bytes] = []
        info = None
        for directory in self._directories(parent):
            host = directory + b"/" + name
            here = _lstat(host)
            if here is None:
                continue
            if stat.S_ISDIR(here.st_mode):
                found.append(host)
                info = info or here
                if self._is_opaque(host):
                    break
                continue
            if not found and not _is_whiteout(here):
                return [host], here
            break
        return found, info

    def _directories(self, path: bytes) -> list[bytes]:
        """Give the host directories merged at ``path``; none where there is something else or nothing."""
        merged = self._merged.get(path)
        if merged is None:
            hosts, info = self._look(path)
            merged = hosts if info is not None and stat.S_ISDIR(info.st_mode) else []
            if merged:
                self._merged[path] = merged
        return merged

    def _is_opaque(self, host: bytes) -> bool:
        try:
            return os.getxattr(host, self._opaque, follow_symlinks=False) == b"y"
        except OSError as error:
            if error.errno in {errno.ENODATA, errno.ENOTSUP}:
                return False
            raise


def open_file(directories: Sequence[Path], path: bytes, *, userxattr: bool) -> BinaryIO:
    """Open one regular file of an image through its lower directories; see :meth:`Lowers.open_file`."""
    return Lowers(directories, userxattr=userxattr).open_file(path)


def _lstat(path: bytes) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _is_whiteout(info: os.stat_result) -> bool:
    return stat.S_ISCHR(info.st_mode) and info.st_rdev == 0
