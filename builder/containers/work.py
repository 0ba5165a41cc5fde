"""A process in a container: run to its end, its output handed on and kept, its changes made a layer."""

from __future__ import annotations

import contextlib
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from builder.cli.containers import Container, Containers, now

from builder.cli.interrupt import interruptible
from builder.errors import BuildError
from layers import mutate
from layers.config import History
from layers.errors import BusyError
from layers.frozen import frozen
from layers.mediatype import layer_type
from layers.model import Descriptor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from builder.cli.environment import Environment
    from builder.execute.machine import Machine
    from builder.runtime.runtime import Exit, Mount, Process, ResolvedUser
    from layers.changeset.entry import Change
    from layers.image import Image
    from layers.store.trees import Trees

_STOPPED = 137


@frozen
class Task:
    """What to run, where it differs from what the container was made for."""

    arguments: tuple[str, ...]
    env: tuple[str, ...] = ()
    cwd: str = ""
    user: str = ""
    main: bool = True
    """Whether it is the container's own process, whose end is the container's."""


def run(environment: Environment, containers: Containers, container: Container, task: Task, *, shown: bool) -> int:
    """Run a process in a container and give its exit code; 126 or 127 where it could not be started.

    What it writes is kept, and if ``shown`` goes to standard output as well.

    Raises:
        BuildError: a process of the container runs already.
        LayersError: the store gave way.
    """
    from builder.execute.machine import Machine  # noqa: PLC0415 - what --help does not need
    from builder.runtime.ladder import choose  # noqa: PLC0415 - likewise

    with (
        _held(containers, container),
        choose(container.isolation, environment.store / "run") as isolation,
        containers.layout.using(),
    ):
        container = containers.find(container.id)
        if task.main:
            container = replace(container, started=now(), finished="", pid=os.getpid())
            containers.save(container)
        with interruptible(), containers.log(container).open("ab") as log:

            def output(data: bytes) -> None:
                log.write(data)
                log.flush()
                if shown:
                    sys.stdout.buffer.write(data)
                    sys.stdout.buffer.flush()

            machine = Machine(isolation, environment.store / "unpacked")
            code, current, error = _run(environment, machine, containers, container, task, output)
        container = replace(container, current=current)
        if task.main:
            container = replace(container, finished=now(), exit_code=code, pid=0)
        containers.save(container)
    if error:
        print(f"ERROR: the process could not be started: {error}", file=sys.stderr)
    return code


@contextlib.contextmanager
def _held(containers: Containers, container: Container) -> Iterator[None]:
    try:
        with containers.alone(container):
            yield
    except BusyError as error:
        hint = f"stop it first: pybuild stop {container.name}"
        raise BuildError(f"a process of container {container.name} is running", hint=hint) from error


def _run(
    environment: Environment,
    machine: Machine,
    containers: Containers,
    container: Container,
    task: Task,
    output: Callable[[bytes], None],
) -> tuple[int, str, str]:
    """Give the exit code, the digest of the manifest that the container is now, and why nothing started."""
    from builder.cli.scratch import scratch_directory  # noqa: PLC0415 - what --help does not need
    from builder.runtime.owners import Owners  # noqa: PLC0415 - likewise
    from layers.store.trees import Trees  # noqa: PLC0415 - likewise

    layout, image = containers.layout, containers.image(container)
    trees = Trees(layout)
    with scratch_directory(environment.store / "tmp") as scratch:
        machine.unpack(image.layers, trees)
        process = _process(container, task, resolved_user(trees, image, task.user or container.user, scratch))
        with machine.root(image.layers, trees.tree(image.layers), process.mounts) as root:
            try:
                ended: Exit | None = machine.runtime.run(process, root.path, output)
            except KeyboardInterrupt:  # what it did until then is its work as well
                ended = None
            owners = Owners(process.user.uid, process.user.gid, ended.owned if ended is not None else {})
            changed = add_layer(containers, image, trees, root.changes(owners), " ".join(task.arguments))
            if changed is not image:
                from layers.config import chain_ids  # noqa: PLC0415 - see above

                root.keep(chain_ids(changed.config.diff_ids)[-1])
    digest = str(layout.put(changed).digest)
    if ended is None:
        return _STOPPED, digest, ""
    return ended.code, digest, ended.error


def add_layer(containers: Containers, image: Image, trees: Trees, changes: Iterator[Change], created_by: str) -> Image:
    """Give the image with changes on top; the image itself where there are none."""
    from layers.changeset.write import write_layer  # noqa: PLC0415 - what --help does not need

    layout = containers.layout
    with layout.blobs.write(hashing=False) as blob:
        written = write_layer(changes, blob, "gzip")
        if not written.index.entries:
            return image
        blob.commit(written.digest, written.size)
    trees.keep(written.digest, written.diff_id, written.index)
    layer = layout.layer(Descriptor(layer_type("gzip"), written.digest, written.size), written.diff_id)
    return mutate.append(image, layer, History(created=now(), created_by=created_by))


def add_tar(containers: Containers, image: Image, trees: Trees, tar: Path, created_by: str) -> Image:
    """Give the image with a layer made of a tar on top."""
    from layers.compression import BlockWriter  # noqa: PLC0415 - what --help does not need

    layout = containers.layout
    with tar.open("rb") as source, layout.blobs.write(hashing=False) as blob:
        with BlockWriter(blob, "gzip") as writer:
            while data := source.read(1 << 20):
                writer.write(data)
        written = writer.close()
        blob.commit(written.digest, written.size)
    layer = layout.layer(Descriptor(layer_type("gzip"), written.digest, written.size), written.diff_id)
    trees.index(layer)  # that every entry of it can be read
    return mutate.append(image, layer, History(created=now(), created_by=created_by))


def resolved_user(trees: Trees, image: Image, user: str, scratch: Path) -> ResolvedUser:
    """Give the numbers of a user, by the image's own /etc/passwd and /etc/group."""
    from builder.runtime.user import MAX_FILE, resolve_user  # noqa: PLC0415 - what --help does not need
    from layers.store.merged import MergedFiles, reading  # noqa: PLC0415 - likewise

    files = MergedFiles(trees, image.layers, scratch)
    tree = trees.tree(image.layers)

    def content(path: bytes) -> bytes:
        found = tree.resolve(path)
        entry = files.get(found)
        if entry is None or entry.kind != "file" or entry.size > MAX_FILE:
            return b""
        with reading(files.open(found)) as file:
            return file.read(entry.size)

    return resolve_user(user, content(b"etc/passwd"), content(b"etc/group"))


def _process(container: Container, task: Task, user: ResolvedUser) -> Process:
    from builder.runtime.runtime import Process  # noqa: PLC0415 - what --help does not need

    variables = dict(each.partition("=")[::2] for each in (*container.env, *task.env))
    return Process(
        task.arguments,
        variables,
        cwd=task.cwd or container.cwd or "/",
        user=user,
        hostname=container.hostname or container.short,
        network=container.network,  # type: ignore[arg-type] # checked when the container was made
        mounts=tuple(map(_mount, container.mounts)),
    )


def _mount(text: str) -> Mount:
    from builder.runtime.runtime import Mount  # noqa: PLC0415 - what --help does not need

    source, target, readonly = read_mount(text)
    path = Path(source)
    if not path.exists():
        raise BuildError(f"cannot mount {source}: there is no such file or directory")
    return Mount(target, source=path.resolve(), readonly=readonly, directory=path.is_dir())


def read_mount(text: str) -> tuple[str, str, bool]:
    """Read ``/host/path:/path[:ro]``; give both paths and whether it is only read.

    Raises:
        BuildError: it is something else.
    """
    source, _, rest = text.partition(":")
    target, _, options = rest.partition(":")
    if not source.startswith("/") or not target.startswith("/") or options not in {"", "ro", "rw"}:
        raise BuildError(f"invalid volume {text!r}", hint="write -v /host/path:/path or -v /host/path:/path:ro")
    return source, target, options == "ro"


def in_background(body: Callable[[], object]) -> None:
    """Call a function in a process of its own that nothing ends but itself; return once it was started."""
    sys.stdout.flush()
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    os.setsid()
    if os.fork():
        os._exit(0)
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nothing, standard)
    try:
        body()
    finally:
        os._exit(0)


def command_of(image: Image, entrypoint: str | None, arguments: Sequence[str]) -> tuple[str, ...]:
    """Give what a container of an image runs: its entrypoint and command, or what is given in their places.

    Raises:
        BuildError: there is nothing to run.
    """
    config = image.config.config
    if entrypoint is not None:
        command = ((entrypoint,) if entrypoint else ()) + tuple(arguments)
    else:
        command = (config.entrypoint or ()) + (tuple(arguments) or config.cmd or ())
    if not command:
        raise BuildError("no command specified", hint="the image has none, so write one behind its name")
    return command
