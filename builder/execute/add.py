"""ADD: as COPY, but local archives are unpacked, and sources may be URLs and git repositories."""

from __future__ import annotations

import contextlib
import itertools
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from builder.context.fingerprint import stat_digest
from builder.context.select import select
from builder.errors import BuildError, StepError
from builder.execute.commit import commit, recall
from builder.execute.copy import (
    content_of,
    created_by,
    heredoc_changes,
    key_of,
    learning,
    placement_of,
    unchanged,
)
from builder.execute.joined import Joined
from builder.execute.place import Placement, place
from builder.execute.unpack import unpacked
from layers.changeset import tar
from layers.changeset.entry import Entry
from layers.changeset.whiteout import marker_of
from layers.compression import open_reader
from layers.errors import ChangesetError
from layers.frozen import frozen
from layers.store.merged import reading

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from collections.abc import Set as AbstractSet

    from builder.cache.key import CacheKey
    from builder.context.select import Files, Selected
    from builder.dockerfile.instructions import Add
    from builder.execute.remote import Source
    from builder.execute.site import Site
    from builder.execute.state import BuildState
    from layers.changeset.entry import Change


_MAYBE_REMOTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|[\w-]+@")
"""What URLs and git repositories begin with, and file names hardly ever do."""


@frozen
class Prepared:
    """An ADD with what it takes and the key of its result."""

    sources: Sequence[Source | list[Selected]]
    """In their order: what one names elsewhere, or in the build context."""
    created_by: str
    key: CacheKey | None
    """None where no such ADD was ever carried out: then files are read once, for the layer and for its key."""
    action: CacheKey
    named: Add
    """The ADD with the sources that are in the build context alone."""
    here: Sequence[Selected]
    """What they led to."""
    there: Sequence[object]
    """What the others mean, and where they stand; nothing where there are none."""
    seen: bytes
    """The stat digest of what is in the build context."""


def prepare(site: Site, state: BuildState, instruction: Add) -> Prepared:
    """Look up what an ADD takes.

    Raises:
        ContextError: a source is missing, or cannot be fetched.
        StepError: a flag and a source do not agree.
    """
    explain = getattr(site.context, "explain", None)
    sources: list[Source | list[Selected]] = []
    local: list[str] = []
    for source in instruction.sources:
        remote = _remote(site, source, instruction)
        if remote is None:
            local.append(source)
        sources.append(remote or select(site.context, [source], exclude=instruction.exclude, explain=explain))
    if instruction.checksum and len(instruction.sources) - len(local) != 1:
        raise StepError("--checksum is for a single remote source", hint="write an ADD for each")
    here = [each for source in sources if isinstance(source, list) for each in source]
    there = [len(source) if isinstance(source, list) else source.meaning for source in sources]
    there = there if len(local) < len(sources) else []
    named = replace(instruction, sources=tuple(local))
    action = key_of("ADD", state, named, [instruction.unpack, there])
    shown = created_by("ADD", instruction)
    if not site.cache.may_have(action):
        return Prepared(sources, shown, None, action, named, here, there, stat_digest(here).digest)
    found = content_of(site, here)
    key = _key(state, named, there, found.content)
    return Prepared(sources, shown, key, action, named, here, there, found.seen)


def _key(state: BuildState, named: Add, there: Sequence[object], content: bytes) -> CacheKey:
    return key_of("ADD", state, named, [[named.unpack, content.hex(), *([there] if there else [])]])


def _remote(site: Site, source: str, instruction: Add) -> Source | None:
    """Give what is behind a URL or git repository; None for a path."""
    if _MAYBE_REMOTE.match(source) is None:
        return None
    from builder.execute.remote import is_remote, remote_source  # noqa: PLC0415 - few builds fetch anything

    return remote_source(site, source, instruction) if is_remote(source) else None


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

            def key() -> CacheKey | None:
                found = prepared.key
                if found is None:
                    found = _key(state, prepared.named, prepared.there, content_of(site, prepared.here).content)
                return found if taken.as_promised and unchanged(prepared.here, prepared.seen) else None

            changes, told = learning(site, _changes(placement, taken, instruction))
            return commit(site, state, changes, prepared.created_by, key, action=prepared.action, told=told)
    except BuildError as error:
        error.where = error.where or instruction.where
        raise


@frozen
class _Taken:
    """All that an ADD takes, as one tree."""

    files: Files
    selected: Sequence[Selected]
    archives: AbstractSet[bytes]
    """The paths of files that are to be unpacked."""
    as_promised: bool


def _load(site: Site, instruction: Add, prepared: Prepared, stack: contextlib.ExitStack) -> _Taken:
    """Bring what is elsewhere here."""
    files, as_promised = Joined(), True
    selected: list[Selected] = []
    archives = set()
    for source in prepared.sources:
        # Remote files are unpacked where that is asked for, local ones unless it is refused.
        if isinstance(source, list):
            moved, unpacks = files.add(site.context, source), instruction.unpack is not False
        else:
            loaded = source.load(stack)
            moved, unpacks = files.add(loaded.files, loaded.selected), instruction.unpack is True
            as_promised = as_promised and loaded.as_promised
        archives |= {each.path for each in moved if unpacks and _is_archive(files, each)}
        selected += moved
    return _Taken(files, selected, archives, as_promised)


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
