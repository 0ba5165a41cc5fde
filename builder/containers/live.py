"""What a container is while its process runs: an image nobody names, that goes with the next collection."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from builder.containers import control
from builder.containers.work import add_layer
from builder.errors import BuildError
from layers.errors import ChangesetError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from builder.containers.record import Container
    from builder.containers.store import Containers
    from builder.runtime.roots import Root
    from builder.runtime.runtime import ResolvedUser
    from layers.image import Image
    from layers.store.trees import Trees

_ATTEMPTS = 5
"""At reading files that are cut meanwhile."""
_PAUSE = 0.02


class Live:
    """What the process that looks after a container knows of it; for several threads."""

    def __init__(self, containers: Containers) -> None:
        self._containers = containers
        self._lock = threading.Lock()
        self._run: tuple[Image, Trees, Root, ResolvedUser, str] | None = None

    def begin(self, image: Image, trees: Trees, root: Root, user: ResolvedUser, made_by: str) -> None:
        """Note what runs: ``root`` has the changes to ``image``."""
        self._run = image, trees, root, user, made_by

    def end(self) -> None:
        """Wait until nobody reads the root any more, and let nobody begin."""
        with self._lock:
            self._run = None

    def image(self, paused: int = 0) -> Image | None:
        """Store what the container is now, and give it; None where its process has ended.

        The processes in the container of process ``paused`` are stopped meanwhile. Whoever asks keeps collectors away.

        Raises:
            BuildError: what has changed cannot be seen, or nothing can be stopped.
            LayersError: files are cut again and again while they are read.
        """
        from builder.runtime.owners import Owners  # noqa: PLC0415 - what --help does not need

        with self._lock:
            if self._run is None:
                return None
            image, trees, root, user, made_by = self._run
            with _stopped(paused) if paused else contextlib.nullcontext(), self._containers.layout.using():
                for attempt in range(_ATTEMPTS):
                    try:
                        changes = root.live(Owners(user.uid, user.gid))
                        found = add_layer(self._containers, image, trees, changes, made_by)
                        break
                    except (ChangesetError, FileNotFoundError):
                        if attempt == _ATTEMPTS - 1:
                            raise
                self._containers.layout.put(found)
                return found


@contextlib.contextmanager
def _stopped(pid: int) -> Iterator[None]:
    """Stop all that runs in the namespace of a process: parents first, so that none sees its child stop.

    This is for what is read to be of one moment. Nothing relies on it: processes may wake each other by a timer.

    Raises:
        BuildError: it has no namespace of its own.
    """
    space = _space(pid)
    if space in {"", _space(os.getpid())}:
        raise BuildError("processes that are not kept apart cannot be paused", hint="use --no-pause")
    stopped: dict[int, int] = {}
    try:
        while new := [each for each in _processes() if each not in stopped and _space(each) == space]:
            for each in new:
                with contextlib.suppress(OSError):
                    process = os.pidfd_open(each)
                    if _space(each) == space and not _is_stopped(each):
                        signal.pidfd_send_signal(process, signal.SIGSTOP)
                        stopped[each] = process
                    else:
                        os.close(process)
                stopped.setdefault(each, -1)
        yield
    finally:
        for descriptor in reversed([each for each in stopped.values() if each >= 0]):
            with contextlib.suppress(OSError):
                signal.pidfd_send_signal(descriptor, signal.SIGCONT)
            os.close(descriptor)


def _processes() -> list[int]:
    return sorted(map(int, filter(str.isdecimal, os.listdir("/proc"))))


def _is_stopped(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[:1] in ([b"T"], [b"t"])
    except OSError:
        return True


def _space(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/pid")
    except OSError:
        return ""


def latest(containers: Containers, container: Container, *, pause: bool = False) -> Container:
    """Give a container as it is now: its ``current`` is an image of this moment where a process runs in it.

    Who asks holds ``layout.using()``, as nothing names that image. With ``pause`` its processes are stopped meanwhile.

    Raises:
        BuildError: what has changed cannot be seen.
    """
    while containers.is_running(container):
        with contextlib.suppress(NotFoundError, OSError), control.connect(containers, container) as connection:
            control.send(connection, {"live": True, "pause": pause})
            message = control.receive(connection)
            answer: dict[str, Any] = {} if message is None else message[0]
            if "failed" in answer:
                raise BuildError(answer["failed"], hint=answer.get("hint") or "")
            if "current" in answer:
                return replace(containers.find(container.id), current=answer["current"])
        time.sleep(_PAUSE)  # it is about to start, or has just ended
    return containers.find(container.id)
