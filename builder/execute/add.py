"""ADD: as COPY, but local archives are unpacked."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from builder.context.select import select
from builder.errors import BuildError, StepError
from builder.execute.commit import commit
from builder.execute.copy import Prepared, content_of, created_by, heredoc_changes, key_of, placement_of
from builder.execute.place import Placement, join, parents, place, top_directory
from layers.changeset import tar
from layers.changeset.entry import Change, Entry
from layers.changeset.whiteout import read_marker
from layers.compression import open_reader
from layers.errors import ChangesetError
from layers.store.merged import reading

if TYPE_CHECKING:
    from collections.abc import Iterator

    from builder.context.select import Files, Selected
    from builder.dockerfile.instructions import Add
    from builder.execute.site import Site
    from builder.execute.state import BuildState

REMOTE = ("http://", "https://", "git://", "ssh://", "git@")


def prepare(site: Site, state: BuildState, instruction: Add) -> Prepared:
    """Look up what an ADD takes.

    Raises:
        ContextError: a source is missing.
        StepError: a source that cannot be fetched.
    """
    for source in instruction.sources:
        if source.startswith(REMOTE):
            hint = "fetch it in a RUN, or put it into the build context"
            raise StepError(f"ADD of a remote source is not supported: {source}", where=instruction.where, hint=hint)
    explain = getattr(site.context, "explain", None)
    selected = select(site.context, instruction.sources, exclude=instruction.exclude, explain=explain)
    meaning = [instruction.unpack, content_of(site, selected)]
    return Prepared(
        site.context, selected, created_by("ADD", instruction), key_of("ADD", state, instruction, [meaning])
    )


def add(site: Site, state: BuildState, instruction: Add, prepared: Prepared) -> BuildState:
    """Place files, unpack archives, and give the state with their layer.

    Raises:
        BuildError: something is in the way, or cannot be read; says where.
    """
    try:
        placement = placement_of(site, state, instruction)
        changes = _changes(placement, prepared, instruction)
        return commit(site, state, changes, prepared.created_by, prepared.key)
    except BuildError as error:
        error.where = error.where or instruction.where
        raise


def _changes(placement: Placement, prepared: Prepared, instruction: Add) -> Iterator[Change]:
    plain: list[Selected] = []
    for selected in prepared.selected:
        if instruction.unpack is not False and _is_archive(prepared.files, selected):
            yield from _unpacked(placement, prepared.files, selected)
        else:
            plain.append(selected)
    if plain:
        yield from place(placement, prepared.files, plain)
    for heredoc in instruction.heredocs:
        yield from heredoc_changes(placement, heredoc)


def _is_archive(files: Files, selected: Selected) -> bool:
    """Tell whether a file is a tar, compressed or not, by its first bytes alone."""
    if selected.entry.kind != "file" or not selected.entry.size:
        return False
    with reading(files.open(selected.path)) as file:
        try:
            with open_reader(file) as content:
                return tar.is_header(content.read(tar.BLOCK))
        except ChangesetError:
            return False


def _unpacked(placement: Placement, files: Files, selected: Selected) -> Iterator[Change]:
    """Give an archive's entries below the destination, in its order; its owners stay unless ``--chown`` is given."""
    tree = placement.below
    root = tree.resolve(placement.destination.path)
    yield from parents(placement, root, selected.entry.mtime)
    yield from top_directory(placement, root, selected.entry.mtime)
    made = {root}
    with reading(files.open(selected.path)) as file, open_reader(file) as content:
        for entry, member in tar.read(content):
            if not entry.path:
                continue
            marker = read_marker(entry.path)
            if marker is not None:
                yield from _hidden(placement, root, *marker)
                continue
            path = _target(placement, root, entry.path)
            yield from _missing_parents(placement, path, made)
            if entry.kind == "directory":
                made.add(path)
            placed = _owned(placement, entry, path, root)
            yield Change(path, placed, functools.partial(_same, member) if entry.kind == "file" else None)


def _same(member: tar.Member) -> tar.Member:
    return member


def _target(placement: Placement, root: bytes, path: bytes) -> bytes:
    """Give where an entry of the archive goes: links of the image above it are followed."""
    parent, _, name = join(root, path).rpartition(b"/")
    return join(placement.below.resolve(parent), name)


def _owned(placement: Placement, entry: Entry, path: bytes, root: bytes) -> Entry:
    uid, gid = placement.owner or (entry.uid, entry.gid)
    linkname = join(root, entry.linkname) if entry.kind == "hardlink" else entry.linkname
    return entry._replace(path=path, uid=uid, gid=gid, linkname=linkname)


def _missing_parents(placement: Placement, path: bytes, made: set[bytes]) -> Iterator[Change]:
    """Give the directories above ``path`` that neither the image nor the archive so far has."""
    parts = path.split(b"/")
    for i in range(1, len(parts)):
        above = b"/".join(parts[:i])
        if above not in made:
            made.add(above)
            existing = placement.below.get(above)
            if existing is None or existing.kind == "directory":
                uid, gid = placement.owner or (0, 0)
                yield Change(above, existing or Entry(above, "directory", 0o755, uid, gid))


def _hidden(placement: Placement, root: bytes, kind: str, path: bytes) -> Iterator[Change]:
    """Give what a whiteout in the archive takes away from the image."""
    tree, target = placement.below, _target(placement, root, path)
    if kind == "whiteout" and tree.get(target) is not None:
        yield Change(target, None)
    if kind == "opaque":
        for name in tree.children(target):
            yield Change(join(target, name), None)
