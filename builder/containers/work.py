"""What a process in a container runs with, and how what it changed becomes a layer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from builder.containers.store import now
from builder.errors import BuildError
from layers import mutate
from layers.config import History
from layers.mediatype import layer_type
from layers.model import Descriptor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from builder.containers.record import Container
    from builder.containers.store import Containers
    from builder.runtime.reins import Attached
    from builder.runtime.runtime import Mount, Process, ResolvedUser
    from layers.changeset.entry import Change
    from layers.image import Image, Layer
    from layers.store.trees import Trees

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_TAKEN = frozenset({"exec", "noexec", "suid", "nosuid", "dev", "nodev"})
"""Options of a tmpfs that change nothing here."""
_INIT = "/sbin/docker-init"


@dataclass(frozen=True, slots=True)
class Task:
    """What to run in a container, and how."""

    arguments: tuple[str, ...]
    env: tuple[str, ...] = ()
    """Variables besides the container's."""
    cwd: str = ""
    user: str = ""
    tty: bool = False
    open_stdin: bool = False
    stdin_once: bool = True
    main: bool = True
    """Whether it is the container's own process, whose end is the container's."""


def main_task(container: Container) -> Task:
    """Give what a container was made for."""
    return Task(
        container.command,
        tty=container.tty,
        open_stdin=container.open_stdin,
        stdin_once=container.stdin_once,
    )


def process_of(container: Container, task: Task, user: ResolvedUser, attached: Attached) -> Process:
    """Give the process of a task, which somebody holds.

    Raises:
        BuildError: something that is to be mounted is not there.
    """
    from builder.runtime.cgroups import Resources  # noqa: PLC0415 - what --help does not need
    from builder.runtime.runtime import Process  # noqa: PLC0415 - likewise

    hostname = container.hostname or container.short
    variables = {"PATH": DEFAULT_PATH, "HOSTNAME": hostname} | ({"TERM": "xterm"} if task.tty else {})
    variables |= dict(each.partition("=")[::2] for each in (*container.env, *task.env))
    arguments, mounts = task.arguments, [*map(_bind, container.mounts), *map(read_tmpfs, container.tmpfs)]
    if container.init and task.main:
        arguments = (_INIT, "--", *arguments)
        mounts.append(_init())
    return Process(
        arguments,
        variables,
        cwd=task.cwd or container.cwd or "/",
        user=user,
        hostname=hostname,
        network=container.network,  # type: ignore[arg-type] # checked when the container was made
        mounts=tuple(mounts),
        hosts=tuple(each.partition(":")[::2] for each in container.hosts),
        resources=Resources(
            container.cgroup_parent,
            container.memory,
            container.memory_swap,
            container.cpu_shares,
            container.cpu_quota,
            container.cpu_period,
            container.cpuset_cpus,
            container.cpuset_mems,
        ),
        attached=attached,
        readonly=container.readonly,
    )


def _bind(text: str) -> Mount:
    from builder.runtime.runtime import Mount  # noqa: PLC0415 - what --help does not need

    source, target, readonly = read_mount(text)
    path = Path(source)
    if not path.exists():
        raise BuildError(f"cannot mount {source}: there is no such file or directory")
    return Mount(target, source=path.resolve(), readonly=readonly, directory=path.is_dir())


def _init() -> Mount:
    from builder.runtime.runtime import Mount  # noqa: PLC0415 - what --help does not need
    from builder.runtime.userns import find_program  # noqa: PLC0415 - likewise

    found = next(filter(None, map(find_program, ("docker-init", "tini-static", "catatonit", "tini"))), None)
    if found is None:
        raise BuildError("--init needs docker-init, tini or catatonit", hint="for example: apt-get install tini")
    return Mount(_INIT, source=Path(found).resolve(), readonly=True, directory=False)


def read_mount(text: str) -> tuple[str, str, bool]:
    """Read ``/host/path:/path[:ro]``; give both paths and whether it is only read.

    Raises:
        BuildError: it is something else.
    """
    source, _, rest = text.partition(":")
    target, _, options = rest.partition(":")
    if not source.startswith("/") or not target.startswith("/") or options not in {"", "ro", "rw"}:
        hint = "write -v /host/path:/path or -v /host/path:/path:ro; volumes with names are not supported"
        raise BuildError(f"invalid volume {text!r}", hint=hint)
    return source, target, options == "ro"


def read_tmpfs(text: str) -> Mount:
    """Read ``/path[:size=BYTES,mode=OCTAL,ro]``.

    Raises:
        BuildError: it is something else.
    """
    from builder.runtime.runtime import Mount  # noqa: PLC0415 - what --help does not need

    target, _, options = text.partition(":")
    size, mode, readonly = None, 0o1777, False
    try:
        for each in filter(None, options.split(",")):
            name, _, value = each.partition("=")
            if name == "size":
                size = (
                    int(value[:-1]) << {"k": 10, "m": 20, "g": 30}[value[-1].lower()]
                    if value[-1:].isalpha()
                    else int(value)
                )
            elif name == "mode":
                mode = int(value, 8)
            elif each in {"ro", "rw"}:
                readonly = each == "ro"
            elif each not in _TAKEN:
                target = ""
    except (ValueError, KeyError):
        target = ""
    if not target.startswith("/"):
        raise BuildError(f"invalid --tmpfs {text!r}", hint="write --tmpfs /path or --tmpfs /path:size=64m,mode=1777,ro")
    return Mount(target, "tmpfs", readonly=readonly, size=size, mode=mode)


def user_in_image(trees: Trees, image: Image, user: str, scratch: Path) -> ResolvedUser:
    """Give the numbers of a user, by the image's own /etc/passwd and /etc/group."""
    from layers.store.merged import MergedFiles, reading  # noqa: PLC0415 - what --help does not need

    files = MergedFiles(trees, image.layers, scratch)
    tree = trees.tree(image.layers)

    def content(path: bytes) -> bytes:
        found = tree.resolve(path)
        entry = files.get(found)
        if entry is None or entry.kind != "file":
            return b""
        with reading(files.open(found)) as file:
            return file.read(_most())

    return _resolved(user, content)


def user_in_root(rootfs: Path, user: str) -> ResolvedUser:
    """Give the numbers of a user, by the files of a container that runs."""
    import os  # noqa: PLC0415 - likewise

    from builder.runtime import syscalls  # noqa: PLC0415 - likewise

    root = os.open(rootfs, os.O_PATH | os.O_DIRECTORY)

    def content(path: bytes) -> bytes:
        try:
            descriptor = syscalls.open_in_root(root, b"/" + path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return b""
        with open(descriptor, "rb") as file:
            return file.read(_most())

    try:
        return _resolved(user, content)
    finally:
        os.close(root)


def _most() -> int:
    from builder.runtime.user import MAX_FILE  # noqa: PLC0415 - what --help does not need

    return MAX_FILE


def _resolved(user: str, content: Callable[[bytes], bytes]) -> ResolvedUser:
    from builder.runtime.user import resolve_user  # noqa: PLC0415 - what --help does not need

    found = resolve_user(user, content(b"etc/passwd"), content(b"etc/group"))
    # As a member of it: who loses his first group by a setgid program may not get past files that are closed to it.
    return replace(found, groups=(found.gid, *found.groups))


def add_layer(containers: Containers, image: Image, trees: Trees, changes: Iterator[Change], created_by: str) -> Image:
    """Give the image with changes on top; the image itself where there are none."""
    layer = write(containers, trees, changes)
    if layer is None:
        return image
    return mutate.append(image, layer, History(created=now(), created_by=created_by))


def write(containers: Containers, trees: Trees, changes: Iterator[Change]) -> Layer | None:
    """Store changes as a layer; None where there are none."""
    from layers.changeset.write import write_layer  # noqa: PLC0415 - what --help does not need

    layout = containers.layout
    with layout.blobs.write(hashing=False) as blob:
        written = write_layer(changes, blob, "gzip")
        if not written.index.entries:
            return None
        blob.commit(written.digest, written.size)
    trees.keep(written.digest, written.diff_id, written.index)
    return layout.layer(Descriptor(layer_type("gzip"), written.digest, written.size), written.diff_id)


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


def command_of(
    image: Image, entrypoint: str | None, arguments: Sequence[str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Give the entrypoint and the arguments that a container of an image runs, or what is given in their places.

    Raises:
        BuildError: there is nothing to run.
    """
    config = image.config.config
    words = tuple(arguments)
    if entrypoint is None:
        first, words = config.entrypoint or (), words or config.cmd or ()
    else:
        first = (entrypoint,) if entrypoint else ()
    if not first and not words:
        raise BuildError("no command specified", hint="the image has none, so write one behind its name")
    return first, words
