"""Put things into a plain root directory for one step, and take them out again without a trace.

Where nothing can be mounted, mount points, files and directories are really put there. Directories that change by that
alone keep their times.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import subprocess
import tempfile
from typing import TYPE_CHECKING, Self

from builder.errors import IsolationError
from layers.changeset.rootpath import resolve

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType

    from builder.runtime.runtime import Mount


class Placement:
    """What was put into ``root``; leave the ``with`` block to take it out."""

    def __init__(self, root: Path) -> None:
        self._root = os.fsencode(root)
        self._path = root
        # Beside the root, on its file system: what is in the way is moved there.
        self._aside = os.fsencode(tempfile.mkdtemp(prefix="aside-", dir=root.parent))
        self._undo: list[Callable[[], None]] = []
        self._times: dict[bytes, tuple[int, int]] = {}
        self._settled: dict[bytes, int] = {}

    def point(self, target: str, *, directory: bool, mode: int = 0o755) -> bytes:
        """Make a mount point where there is nothing; give its host path. Links are followed inside the root."""
        path = resolve(self._path, os.fsencode(target), follow_last=True)
        host = self._root + b"/" + path
        if not os.path.lexists(host):
            self._make_parents(path)
            if directory:
                os.mkdir(host)
                os.chmod(host, mode)
                self._undo.append(lambda: _suppressed(os.rmdir, host))
            else:
                os.close(os.open(host, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
                self._undo.append(lambda: _remove_if_empty(host))
        return host

    def replace(self, target: str) -> bytes:
        """Move aside what is at ``target``, and give its host path, where something may be put that will be removed."""
        path = resolve(self._path, os.fsencode(target), follow_last=True)
        host = self._root + b"/" + path
        self._make_parents(path)
        if os.path.lexists(host):
            self._note(os.path.dirname(host))
            aside = self._aside + b"/%d" % len(self._undo)
            os.rename(host, aside)
            self._undo.append(lambda: os.rename(aside, host))
        self._undo.append(lambda: _remove(host))
        return host

    def put(self, mount: Mount) -> None:
        """Put a copy of a bind's source, or an empty directory, at its target; what is writable is copied back."""
        host = self.replace(mount.target)
        if mount.kind == "tmpfs":
            os.mkdir(host)
            os.chmod(host, mount.mode)
            return
        source = os.fsencode(mount.source or "")
        if stat.S_ISSOCK(os.stat(source).st_mode):
            _link_socket(source, host, mount.target)
            return
        copy(source, host)
        if not mount.readonly:
            self._undo.append(lambda: _copy_back(host, source))

    def put_file(self, target: str, content: bytes) -> None:
        """Put a file at ``target`` in place of the image's."""
        host = self.replace(target)
        with open(host, "xb") as file:
            file.write(content)

    def settle(self) -> None:
        """Say that all is in place: times that directories have from now on are the step's."""
        for directory in self._times:
            self._settled[directory] = os.stat(directory).st_mtime_ns

    def close(self) -> None:
        """Take everything out."""
        times = {}
        for directory, original in self._times.items():
            with contextlib.suppress(FileNotFoundError):
                now = os.stat(directory)
                is_ours = now.st_mtime_ns == self._settled.get(directory)
                times[directory] = original if is_ours else (now.st_atime_ns, now.st_mtime_ns)
        while self._undo:
            with contextlib.suppress(FileNotFoundError):
                self._undo.pop()()
        for directory, each in times.items():
            with contextlib.suppress(FileNotFoundError):
                os.utime(directory, ns=each)
        _remove(self._aside)

    def _make_parents(self, path: bytes) -> None:
        parts = path.split(b"/")
        host = self._root
        self._note(host)
        for i, part in enumerate(parts[:-1]):
            host += b"/" + part
            if not os.path.lexists(host):
                os.mkdir(host, 0o755)
                made = host
                self._undo.append(lambda made=made: _suppressed(os.rmdir, made))  # type: ignore[misc]  # a bound default
            elif not os.path.isdir(host):
                here = os.fsdecode(b"/".join(parts[: i + 1]))
                raise IsolationError(f"mount target /{os.fsdecode(path)} lies below /{here}, which is no directory")
            self._note(host)

    def _note(self, directory: bytes) -> None:
        if directory not in self._times:
            info = os.stat(directory)
            self._times[directory] = info.st_atime_ns, info.st_mtime_ns

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def copy(source: bytes, target: bytes) -> None:
    """Copy a file or directory with all that it is.

    Raises:
        IsolationError: it cannot be copied.
    """
    done = subprocess.run([b"cp", b"-a", b"--", source, target], capture_output=True, check=False)
    if done.returncode:
        raise IsolationError(f"cannot copy for a mount: {done.stderr.decode(errors='replace').strip()}")


def _link_socket(source: bytes, host: bytes, target: str) -> None:
    """Give a socket a second name: whoever connects to that reaches the same one."""
    try:
        os.link(source, host)
    except OSError as error:
        reason = f"a socket cannot be had at {target} without mounts: {error.strerror}"
        raise IsolationError(reason, hint="it has to be on the file system of the store") from error


def _copy_back(host: bytes, source: bytes) -> None:
    """Let ``source`` be what ``host`` is now; should this be interrupted, ``source`` is whole, old or new."""
    if not os.path.isdir(source):
        with open(host, "rb") as new, open(source, "wb") as old:
            shutil.copyfileobj(new, old)
        return
    made = source + b".pybuild-new"
    _remove(made)
    copy(host, made)
    old_one = source + b".pybuild-old"
    os.rename(source, old_one)
    os.rename(made, source)
    _remove(old_one)


def _suppressed(function: Callable[[bytes], None], path: bytes) -> None:
    with contextlib.suppress(OSError):
        function(path)


def _remove_if_empty(path: bytes) -> None:
    info = os.lstat(path)
    if stat.S_ISREG(info.st_mode) and not info.st_size:
        os.unlink(path)


def _remove(path: bytes) -> None:
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
