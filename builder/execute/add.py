"""ADD: as COPY, but local archives are unpacked, and sources may be URLs and git repositories."""

from __future__ import annotations

import contextlib
import itertools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from builder.context.select import select
from builder.errors import BuildError, StepError
from builder.execute.commit import commit, recall
from builder.execute.copy import content_of, created_by, heredoc_changes, key_of, placement_of, unchanged
from builder.execute.place import Placement, place
from builder.execute.remote import Joined, Loaded, Source, is_remote, remote_source
from builder.execute.unpack import unpacked
from layers.changeset import tar
from layers.changeset.entry import Entry
from layers.changeset.whiteout import marker_of
from layers.compression import open_reader
from layers.errors import ChangesetError
from layers.store.merged import reading

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from collections.abc import Set as AbstractSet

    from builder.cache.key import CacheKey
    from builder.context.select import Files, Selected
    from builder.dockerfile.instructions import Add
    from builder.execute.site import Site
    from builder.execute.state import BuildState
    from layers.changeset.entry import Change
    from layers.changeset.index import LayerIndex


@dataclass(frozen=True, slots=True)
class Prepared:
    """An ADD with what it takes and the key of its result."""

    sources: Sequence[Source | Sequence[Selected]]
    """In their order: what one names elsewhere, or in the build context."""
    created_by: str
    key: CacheKey
    here: Sequence[Selected]
    """What is in the build context."""
    seen: bytes
    """Its stat digest."""


def prepare(site: Site, state: BuildState, instruction: Add) -> Prepared:
    """Look up what an ADD takes.

    Raises:
        ContextError: a source is missing, or cannot be fetched.
        StepError: a flag and a source do not agree.
    """
    explain = getattr(site.context, "explain", None)
    sources: list[Source | Sequence[Selected]] = []
    local: list[str] = []
    for source in instruction.sources:
        if is_remote(source):
            sources.append(remote_source(site, source, instruction))
        else:
            sources.append(select(site.context, [source], exclude=instruction.exclude, explain=explain))
            local.append(source)
    if instruction.checksum and len(instruction.sources) - len(local) != 1:
        raise StepError("--checksum is for a single remote source", hint="write an ADD for each")
    here = [each for source in sources if not isinstance(source, Source) for each in source]
    there = [source.meaning if isinstance(source, Source) else len(source) for source in sources]
    found = content_of(site, here)
    meaning = [instruction.unpack, found.content.hex(), *([there] if len(local) < len(sources) else [])]
    key = key_of("ADD", state, replace(instruction, sources=tuple(local)), [meaning])
    return Prepared(sources, created_by("ADD", instruction), key, here, found.seen)


def cached(site: Site, state: BuildState, prepared: Prepared) -> BuildState | None:
    """Give the state after an ADD whose result is remembered."""
    return recall(site, state, prepared.created_by, prepared.key)


def add(site: Site, state: BuildState, instruction: Add, prepared: Prepared) -> BuildState:
    """Place files, unpack archives, and give the state with their layer.

    Raises:
        BuildError: something is in the way, or cannot be read; says where.
    """
    try:
        placement = placement_of(site, state, instruction)
        with contextlib.ExitStack() as stack:
            taken = _load(site, instruction, prepared, stack)

            def key(_: LayerIndex) -> CacheKey | None:
                return prepared.key if taken.as_promised and unchanged(prepared.here, prepared.seen) else None

            return commit(site, state, _changes(placement, taken, instruction), prepared.created_by, key)
    except BuildError as error:
        error.where = error.where or instruction.where
        raise


@dataclass(frozen=True, slots=True)
class _Taken:
    """All that an ADD takes, as one tree."""

    files: Files
    selected: Sequence[Selected]
    archives: AbstractSet[bytes]
    """The paths of files that are to be unpacked."""
    as_promised: bool


def _load(site: Site, instruction: Add, prepared: Prepared, stack: contextlib.ExitStack) -> _Taken:
    """Bring what is elsewhere here."""
    parts = [
        each.load(stack) if isinstance(each, Source) else Loaded(site.context, [*each]) for each in prepared.sources
    ]
    files = Joined([part.files for part in parts])
    selected: list[Selected] = []
    archives = set()
    for number, (source, part) in enumerate(zip(prepared.sources, parts, strict=True)):
        moved = [files.moved(number, each) for each in part.selected]
        # Remote files are unpacked where that is asked for, local ones unless it is refused.
        unpacks = instruction.unpack is True if isinstance(source, Source) else instruction.unpack is not False
        archives |= {each.path for each in moved if unpacks and _is_archive(files, each)}
        selected += moved
    return _Taken(files, selected, archives, all(part.as_promised for part in parts))


def _changes(placement: Placement, prepared: _Taken, instruction: Add) -> Iterator[Change]:
    """Give the changes of all sources in their order, each on top of those before it."""
    groups = itertools.groupby(prepared.selected, lambda each: each.path in prepared.archives)
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
