"""ADD: as COPY, but local archives are unpacked."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING

from builder.context.select import select
from builder.errors import BuildError, StepError
from builder.execute.commit import commit
from builder.execute.copy import Prepared, content_of, created_by, heredoc_changes, key_of, placement_of
from builder.execute.place import Placement, place
from builder.execute.unpack import unpacked
from layers.changeset import tar
from layers.changeset.entry import Entry
from layers.changeset.whiteout import marker_of
from layers.compression import open_reader
from layers.errors import ChangesetError
from layers.store.merged import reading

if TYPE_CHECKING:
    from collections.abc import Iterator

    from builder.context.select import Files, Selected
    from builder.dockerfile.instructions import Add
    from builder.execute.site import Site
    from builder.execute.state import BuildState
    from layers.changeset.entry import Change

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
    """Give the changes of all sources in their order, each on top of those before it."""
    unpacks = instruction.unpack is not False
    groups = itertools.groupby(prepared.selected, lambda each: unpacks and _is_archive(prepared.files, each))
    tree, entries = placement.below, list[Entry]()
    for is_archive, sources in groups:
        for batch in [[each] for each in sources] if is_archive else [list(sources)]:
            tree, entries = tree.apply(entries) if entries else tree, []
            here = replace(placement, tree=tree, link=False)
            changes = unpacked(here, prepared.files, batch[0]) if is_archive else place(here, prepared.files, batch)
            for change in changes:
                entries.append(change.entry or Entry(marker_of(change.path), "file", 0))
                yield change
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
