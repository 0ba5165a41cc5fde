"""``pybuild diff``, ``cp``, ``commit`` and ``export``: the files of a container."""

from __future__ import annotations

import contextlib
import functools
import os
import posixpath
import sys
import tarfile
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import typer

from builder.cli import common as opt
from builder.cli.containercommon import One, opened
from builder.containers.live import latest
from builder.errors import BuildError
from layers.digest import Digest
from layers.errors import NotFoundError
from layers.store.scratch import scratch_directory

if TYPE_CHECKING:
    from collections.abc import Iterator

    from builder.containers.record import Container
    from builder.containers.store import Containers
    from layers.changeset.entry import Change
    from layers.changeset.tree import Tree


def diff(name: One, root: opt.Root = "") -> None:
    """Show what is other than in the image: A for added, C for changed, D for deleted.

    Example: pybuild diff work
    """
    _, containers = opened(root)
    with containers.layout.using():
        _show(containers, latest(containers, containers.find(name)))


def _show(containers: Containers, container: Container) -> None:
    from layers.store.trees import Trees  # noqa: PLC0415 - what --help does not need

    trees = Trees(containers.layout)
    before = trees.tree(containers.layout.image(Digest.parse(container.base)).layers)
    image = containers.image(container)
    after = trees.tree(image.layers)
    base = len(containers.layout.image(Digest.parse(container.base)).layers)
    touched = {entry.path for layer in image.layers[base:] for entry in trees.index(layer).entries}
    kinds = dict(_differences(before, after, touched))
    # what comes or goes changes the directory it is in, which a layer need not say
    parents = {posixpath.dirname(path) for path, kind in kinds.items() if kind != "C"}
    kinds |= {parent: "C" for parent in parents if parent and parent not in kinds}
    for path, kind in sorted(kinds.items()):
        print(f"{kind} /{path.decode('utf-8', 'backslashreplace')}")


def _differences(before: Tree, after: Tree, touched: set[bytes]) -> Iterator[tuple[bytes, str]]:
    for entry in after.walk():
        old = before.get(entry.path)
        if old is None:
            yield entry.path, "A"
        elif entry.path in touched:
            yield entry.path, "C"
    for entry in before.walk():
        parent = posixpath.dirname(entry.path)
        if after.get(entry.path) is None and (not parent or after.get(parent) is not None):
            yield entry.path, "D"


def export(
    name: One,
    output: Annotated[str, typer.Option("-o", "--output", metavar="FILE", help="Not to standard output.")] = "",
    root: opt.Root = "",
) -> None:
    """Write the files of a container as one tar.

    Example: pybuild export -o rootfs.tar work
    """
    from builder.export.archive import whole_file  # noqa: PLC0415 - what --help does not need
    from layers.changeset.write import write_layer  # noqa: PLC0415 - likewise

    if output in {"", "-"} and sys.stdout.isatty():
        raise BuildError("will not write an archive to a terminal", hint="name a file with -o, or redirect the output")
    environment, containers = opened(root)
    container = containers.find(name)
    with contextlib.ExitStack() as stack:
        stack.enter_context(containers.layout.using())
        scratch = stack.enter_context(scratch_directory(environment.store / "tmp"))
        container = latest(containers, container)
        sink = sys.stdout.buffer if output in {"", "-"} else stack.enter_context(whole_file(Path(output)))
        write_layer(_files(containers, container, scratch), sink, "none")
        sink.flush()


def _files(containers: Containers, container: Container, scratch: Path) -> Iterator[Change]:
    from layers.store.merged import MergedFiles  # noqa: PLC0415 - what --help does not need
    from layers.store.trees import Trees  # noqa: PLC0415 - likewise

    return MergedFiles(Trees(containers.layout), containers.image(container).layers, scratch).walk(b"")


def cp(
    source: Annotated[str, typer.Argument(metavar="CONTAINER:PATH|PATH", help="- is a tar on standard input.")],
    target: Annotated[str, typer.Argument(metavar="CONTAINER:PATH|PATH", help="- is a tar on standard output.")],
    archive: Annotated[bool, typer.Option("-a", "--archive", help="Keep the owners.")] = False,
    follow: Annotated[bool, typer.Option("-L", "--follow-link", help="Copy what a link leads to.")] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Say nothing, as ever.")] = False,  # noqa: ARG001 - see its help
    root: opt.Root = "",
) -> None:
    """Copy files and directories out of a container, or into one.

    Example: pybuild cp work:/etc/os-release .
    """
    environment, containers = opened(root)
    outward, inward = _split(source), _split(target)
    if (outward is None) == (inward is None):
        raise BuildError("one of the two paths is in a container, and the other is not", hint="write CONTAINER:/path")
    with containers.layout.using(), scratch_directory(environment.store / "tmp") as scratch:
        if outward is not None:
            container = latest(containers, containers.find(outward[0]))
            _copy_out(containers, container, outward[1], target, scratch, owners=archive, follow=follow)
        else:
            assert inward is not None
            _copy_in(containers, containers.find(inward[0]), source, inward[1], scratch, owners=archive, follow=follow)


def _split(text: str) -> tuple[str, str] | None:
    """Give the container and the path in it; None for a path of the host."""
    name, colon, path = text.partition(":")
    if not colon or not name or "/" in name or name.startswith("."):
        return None
    return name, path or "/"


def _copy_out(
    containers: Containers, container: Container, path: str, target: str, scratch: Path, *, owners: bool, follow: bool
) -> None:
    from layers.changeset.apply import apply  # noqa: PLC0415 - what --help does not need
    from layers.changeset.entry import Change  # noqa: PLC0415 - likewise
    from layers.changeset.write import write_layer  # noqa: PLC0415 - likewise
    from layers.store.merged import MergedFiles  # noqa: PLC0415 - likewise
    from layers.store.trees import Trees  # noqa: PLC0415 - likewise

    layers, trees = containers.image(container).layers, Trees(containers.layout)
    tree, files = trees.tree(layers), MergedFiles(trees, layers, scratch)
    named = tree.resolve(os.fsencode(path), follow_last=False)
    found = tree.resolve(os.fsencode(path), follow_last=follow)
    entry = tree.get(found)
    if entry is None:
        raise NotFoundError(f"no {path} in container {container.name}")
    content_only = path.endswith("/.") or (entry.kind == "directory" and target != "-" and not os.path.isdir(target))
    name = b"" if content_only else posixpath.basename(named)
    into = Path(target)
    if target != "-" and entry.kind != "directory" and not into.is_dir():
        name, into = os.fsencode(into.name), into.parent
    elif target != "-" and content_only:
        with contextlib.suppress(FileExistsError):
            into.mkdir()
    if target != "-" and not into.is_dir():
        raise BuildError(f"cannot copy to {target}: there is no directory {into}")

    def renamed() -> Iterator[Change]:
        if name:
            opened_file = functools.partial(files.open, found) if entry.kind == "file" and entry.size else None
            yield Change(name, entry._replace(path=name), opened_file)
        if entry.kind == "directory":
            for each in files.walk(found):
                inner = each.entry
                assert inner is not None
                moved = inner._replace(path=posixpath.join(name, inner.path) if name else inner.path)
                if inner.kind == "hardlink" and name:
                    moved = moved._replace(linkname=posixpath.join(name, inner.linkname))
                yield Change(moved.path, moved, each.open)

    if target == "-":
        write_layer(renamed(), sys.stdout.buffer, "none")
        return
    spool = scratch / "copied.tar"
    with spool.open("wb") as sink:
        write_layer(renamed(), sink, "none")
    with spool.open("rb") as tar:
        apply(tar, into, same_owner=owners)


def _copy_in(
    containers: Containers, container: Container, source: str, path: str, scratch: Path, *, owners: bool, follow: bool
) -> None:
    from builder.containers.work import add_tar  # noqa: PLC0415 - what --help does not need
    from layers.store.trees import Trees  # noqa: PLC0415 - likewise

    if containers.is_running(container):
        raise BuildError(f"container {container.name} is running", hint=f"stop it first: pybuild stop {container.name}")
    image, trees = containers.image(container), Trees(containers.layout)
    tree = trees.tree(image.layers)
    found = tree.resolve(os.fsencode(path))
    entry = tree.get(found)
    into_directory = entry is not None and entry.kind == "directory"
    if source == "-":
        if not into_directory:
            raise NotFoundError(f"no directory {path} in container {container.name}")
        spool = scratch / "given.tar"
        _prefixed(sys.stdin.buffer, spool, os.fsdecode(found))
    else:
        spool = scratch / "given.tar"
        parent = tree.get(posixpath.dirname(found))
        directory = os.path.isdir(source) and (follow or not os.path.islink(source))
        if entry is not None and not into_directory and directory:
            raise BuildError(f"cannot copy directory {source} onto {path}, which is none")
        if not into_directory and not directory and path.endswith(("/", "/.")):
            raise NotFoundError(f"no directory {path} in container {container.name}")
        if not into_directory and (parent is None or parent.kind != "directory"):
            raise NotFoundError(f"no directory {posixpath.dirname(path)} in container {container.name}")
        _packed(source, spool, os.fsdecode(found), into_directory=into_directory, owners=owners, follow=follow)
    made = add_tar(containers, image, trees, spool, f"cp {source} {path}")
    digest = containers.layout.put(made).digest
    containers.update(container, current=str(digest))


def _packed(source: str, spool: Path, found: str, *, into_directory: bool, owners: bool, follow: bool) -> None:
    """Write a file or directory of the host as a tar of where it goes."""
    if not os.path.lexists(source):
        raise BuildError(f"cannot copy {source}: there is no such file or directory")
    contents = source.endswith("/.") or (os.path.isdir(source) and not into_directory)
    name = found if contents or not into_directory else posixpath.join(found, os.path.basename(os.path.abspath(source)))
    source = os.path.realpath(source) if follow else source

    def cleaned(info: tarfile.TarInfo) -> tarfile.TarInfo | None:
        if info.name in {"", "."}:
            return None
        if not owners:
            info.uid = info.gid = 0
            info.uname = info.gname = ""
        return info

    with tarfile.open(spool, "w", format=tarfile.PAX_FORMAT) as tar:
        if contents and os.path.isdir(source) and not name:
            for each in sorted(os.listdir(source)):
                tar.add(os.path.join(source, each), each, filter=cleaned)
        else:
            tar.add(os.path.realpath(source) if contents else source, name, filter=cleaned)


def _prefixed(stream: IO[bytes], spool: Path, prefix: str) -> None:
    """Write a tar again, with every name below ``prefix``."""
    try:
        with (
            tarfile.open(fileobj=stream, mode="r|*") as given,
            tarfile.open(spool, "w", format=tarfile.PAX_FORMAT) as tar,
        ):
            for info in given:
                name = posixpath.normpath(info.name).lstrip("/")
                if name == "." or name.startswith("../") or name == "..":
                    continue
                info.name = posixpath.join(prefix, name)
                if info.islnk():
                    info.linkname = posixpath.join(prefix, posixpath.normpath(info.linkname).lstrip("/"))
                tar.addfile(info, given.extractfile(info) if info.isreg() else None)
    except (tarfile.TarError, OSError, EOFError) as error:
        raise BuildError(f"cannot read the tar on standard input: {error}") from error
