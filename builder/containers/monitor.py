"""The process that looks after a container: runs what runs there, keeps what it writes, and makes layers of its work.

It is forked off by ``run``, ``start`` and ``exec``, and is nobody's child. It ends with the container's process; where
it is killed, so is that, and the kernel takes its lock back.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from builder.containers import control
from builder.containers.hub import Hub
from builder.containers.live import Live
from builder.containers.logs import LogWriter
from builder.containers.store import now
from builder.containers.work import Task, add_layer, process_of, user_in_image, user_in_root
from builder.errors import BuildError
from builder.runtime.interrupt import interruptible
from layers.errors import BusyError, LayersError, NotFoundError

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from builder.containers.record import Container
    from builder.containers.store import Containers
    from builder.execute.machine import Machine
    from builder.runtime.runtime import Exit
    from layers.image import Image

KILLED = 137


def launch(
    containers: Containers, container: Container, task: Task, finish: Callable[[], None] | None = None
) -> socket.socket:
    """Have a new process run a task in a container; give the connection with it, on which a message has to follow.

    ``{"attach": ...}`` is sent by who wants to see and end it, ``{"watch": true}`` by who only wants to know how it
    starts. ``finish`` is called there in the end.
    """
    ours, theirs = control.pair()
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        theirs.close()
        return ours
    try:
        os.setsid()
        if os.fork() == 0:
            ours.close()
            _leave(theirs.fileno())
            Monitor(containers, container, task, finish).work(theirs)
    finally:
        os._exit(0)


def _leave(kept: int) -> None:
    """Hold nothing of the caller's."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nothing, standard)
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2 and int(name) != kept:
            with contextlib.suppress(OSError):
                os.close(int(name))
    os.chdir("/")


class Monitor:
    """One run of one container."""

    def __init__(
        self, containers: Containers, container: Container, task: Task, finish: Callable[[], None] | None
    ) -> None:
        self._containers = containers
        self._container = container
        self._task = task
        self._finish = finish
        self._hub = Hub(task)
        self._machine: Machine | None = None
        self._root: Path | None = None
        self._live = Live(containers)

    def work(self, link: socket.socket) -> None:
        """Run the task to its end, and say on ``link`` how it went."""
        outcome: dict[str, Any] = {"failed": "the process that looks after the container has ended"}
        try:
            with self._finished(), self._containers.alone(self._container):
                outcome = self._held(link)
        except BusyError as error:
            hint = f"stop it first: pybuild stop {self._container.name}"
            outcome = {"failed": f"a process of container {self._container.name} is running", "hint": hint}
            if not error.message.endswith("is held by another process"):
                outcome = _failure(error)
        except (BuildError, LayersError) as error:
            outcome = _failure(error)
        except OSError as error:
            outcome = {"failed": f"{error.filename or self._container.name}: {error.strerror or error}"}
        finally:
            # The connections end with this process: who was told knows then that nothing of it is left.
            self._hub.tell(outcome, link)

    @contextlib.contextmanager
    def _finished(self) -> Iterator[None]:
        """Do in the end what is to be done, unless somebody else has the container."""
        try:
            yield
        except BusyError:
            raise
        except (BuildError, LayersError):
            if self._finish is not None:
                self._finish()
            raise
        if self._finish is not None:
            self._finish()

    def _held(self, link: socket.socket) -> dict[str, Any]:
        from builder.execute.machine import Machine  # noqa: PLC0415 - what --help does not need
        from builder.runtime.ladder import choose  # noqa: PLC0415 - likewise

        layout = self._containers.layout
        with interruptible(), contextlib.ExitStack() as stack:
            # before the first thread
            isolation = stack.enter_context(choose(self._container.isolation, layout.root / "run"))
            self._machine = Machine(isolation, layout.root / "unpacked")
            listening = stack.enter_context(control.listen(self._containers, self._container))
            stack.callback(self._containers.socket(self._container).unlink, missing_ok=True)
            self._introduce(link)
            _in_thread(self._accept, listening)
            self._container = self._containers.find(self._container.id)
            code, image, error = self._run(self._machine)
            changes: dict[str, Any] = {}
            if image is not None:
                with layout.using():
                    changes["current"] = str(layout.put(image).digest)
                    self._containers.update(self._container, **changes)
        if self._task.main:
            started = self._container.started if error else ""
            changes |= {"started": started} if error else {"finished": now()}
            self._containers.update(self._container, exit_code=code, error=error, pid=0, monitor=0, **changes)
        return {"code": code, "error": error}

    def _introduce(self, link: socket.socket) -> None:
        """Take the first message of who started this."""
        message = control.receive(link)
        if message is None:  # gone already
            raise BuildError("nobody waits for the container")
        document, descriptors = message
        if "attach" in document:
            self._hub.add(link, descriptors, document["attach"])
        else:
            self._hub.watch(link)
        _in_thread(self._converse, link, "attach" in document)

    def _run(self, machine: Machine) -> tuple[int, Image | None, str]:
        """Give the exit code, what the container is now where that has changed, and why nothing started."""
        from builder.runtime.owners import Owners  # noqa: PLC0415 - what --help does not need
        from layers.config import chain_ids  # noqa: PLC0415 - likewise
        from layers.store.trees import Trees  # noqa: PLC0415 - likewise

        layout, image = self._containers.layout, self._containers.image(self._container)
        trees = Trees(layout)
        with contextlib.ExitStack() as stack:
            with layout.using(), machine.temporary("files-") as scratch:
                machine.unpack(image.layers, trees)
                user = user_in_image(trees, image, self._task.user or self._container.user, scratch)
                process = process_of(self._container, self._task, user, self._hub.attached)
                root = stack.enter_context(machine.root(image.layers, trees.tree(image.layers), process.mounts))
                process = replace(process, owners=root.foreign)
            self._root = root.path
            self._live.begin(image, trees, root, user, " ".join(self._task.arguments))
            try:
                ended = self._ended(lambda: machine.runtime.run(process, root.path, lambda _: None))
            finally:
                self._live.end()
            if self._task.main and self._container.auto_remove:
                return ended.code if ended is not None else KILLED, None, ended.error if ended is not None else ""
            with layout.using():
                owners = Owners(user.uid, user.gid, *((ended.owned, ended.shown) if ended is not None else ()))
                made = " ".join(self._task.arguments)
                changed = add_layer(self._containers, image, trees, root.changes(owners), made)
                if changed is not image:
                    layout.put(changed)
                    root.keep(chain_ids(changed.config.diff_ids)[-1])
                    self._containers.update(self._container, current=str(changed.digest))
        if ended is None:
            return KILLED, None, ""
        return ended.code, None, ended.error

    def _ended(self, body: Callable[[], Exit]) -> Exit | None:
        """Run the process; None where it was ended by force."""
        watcher = _in_thread(self._note_start)
        path = self._containers.log(self._container) if self._task.main else None
        with LogWriter(path) if path else contextlib.nullcontext() as log:
            self._hub.begin(log)
            try:
                ended: Exit | None = body()
            except KeyboardInterrupt:  # what it did until then is its work as well
                ended = None
            finally:
                self._hub.end()
                watcher.join()
        return ended

    def _note_start(self) -> None:
        self._hub.reins.settled.wait()
        pid = self._hub.reins.pid
        if pid and self._task.main:
            with contextlib.suppress(NotFoundError):
                self._containers.update(
                    self._container, started=now(), finished="", error="", exit_code=0, pid=pid, monitor=os.getpid()
                )
        if pid:
            self._hub.tell_started()

    # Others who connect

    def _accept(self, listening: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listening.accept()
                _in_thread(self._converse, connection, False)

    def _converse(self, connection: socket.socket, owner: bool) -> None:  # noqa: FBT001 - called by a thread
        """Serve one connection; the owner's end is the container's, unless he has detached himself."""
        with contextlib.suppress(OSError):
            while (message := control.receive(connection)) is not None:
                document, descriptors = message
                if "attach" in document:
                    self._hub.add(connection, descriptors, document["attach"])
                elif "signal" in document:
                    self._hub.reins.signal(document["signal"])
                    control.send(connection, {"sent": True})
                elif "live" in document:
                    self._hub.reins.settled.wait()
                    control.send(connection, self._shown(self._hub.reins.pid if document["pause"] else 0))
                elif "detach" in document:
                    owner = False
                elif "join" in document:
                    self._join(connection, document["join"], descriptors, document["wanted"])
                    return
        if owner:
            self._hub.reins.signal(signal.SIGKILL)
        self._hub.drop(connection)

    def _shown(self, paused: int) -> dict[str, Any]:
        """Write down what the container is now, its process stopped meanwhile where there is one to be."""
        try:
            found = self._live.image(paused)
        except (BuildError, LayersError) as error:
            return _failure(error)
        except OSError as error:
            return {"failed": f"{self._container.name}: {error.strerror or error}"}
        return {"retry": True} if found is None else {"current": str(found.digest)}

    def _join(self, connection: socket.socket, given: dict[str, Any], sinks: list[int], wanted: dict[str, Any]) -> None:
        """Run one more process for who has connected; his end is its end, unless it is detached."""
        task = Task(**{**given, "arguments": tuple(given["arguments"]), "env": tuple(given["env"])})
        hub = Hub(task)
        hub.add(connection, sinks, wanted)
        hub.begin(None)
        listener = _in_thread(self._listen, connection, hub, bool(wanted.get("detach")))
        outcome: dict[str, Any]
        try:
            outcome = self._joined(task, hub)
        except (BuildError, LayersError) as error:
            outcome = _failure(error)
        hub.end()
        hub.tell(outcome)
        hub.close()
        listener.join(0)

    def _joined(self, task: Task, hub: Hub) -> dict[str, Any]:
        self._hub.reins.settled.wait()
        if not self._task.main or not self._hub.running or self._machine is None or self._root is None:
            what = "is not running" if self._task.main else "is not started, and another command runs in it"
            return {"failed": f"container {self._container.name} {what}", "retry": True}
        user = user_in_root(self._root, task.user or self._container.user)
        process = process_of(self._container, task, user, hub.attached)
        _in_thread(self._tell_start, hub)
        ended = self._machine.runtime.join(process, self._root)
        return {"code": ended.code, "error": ended.error}

    @staticmethod
    def _tell_start(hub: Hub) -> None:
        hub.reins.settled.wait()
        if hub.reins.pid:
            hub.tell_started()

    def _listen(self, connection: socket.socket, hub: Hub, detached: bool) -> None:  # noqa: FBT001 - likewise
        with contextlib.suppress(OSError):
            while (message := control.receive(connection)) is not None:
                if "signal" in message[0]:
                    hub.reins.signal(message[0]["signal"])
                elif "detach" in message[0]:
                    detached = True
        if not detached:
            hub.reins.signal(signal.SIGKILL)


def _failure(error: BuildError | LayersError) -> dict[str, Any]:
    return {"failed": error.message, "hint": error.hint}


def _in_thread(body: Callable[..., object], *arguments: object) -> threading.Thread:
    thread = threading.Thread(target=body, args=arguments, daemon=True)
    thread.start()
    return thread
