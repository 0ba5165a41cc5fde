"""COPY, and what ADD has in common with it: files of the context or of an image onto the tree."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

from builder.cache.key import cache_key
from builder.context.fingerprint import fingerprint
from builder.context.select import select
from builder.errors import BuildError, StepError
from builder.execute.chmod import Chmod
from builder.execute.commit import commit, recall
from builder.execute.owner import owner_of
from builder.execute.place import Destination, Placement, join, merge, parents, place
from layers.changeset.entry import Change, Entry
from layers.changeset.tree import Tree

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from builder.cache.key import CacheKey
    from builder.context.select import Files, Selected
    from builder.dockerfile.heredoc import Heredoc
    from builder.dockerfile.instructions import Add, Copy
    from builder.execute.origin import Origin
    from builder.execute.site import Site
    from builder.execute.state import BuildState

_REMOTE = ("http://", "https://", "git://", "ssh://", "git@")
"""How a source begins that is not a file of a context or an image."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A COPY or ADD with what it takes and the key of its result."""

    files: Files
    selected: Sequence[Selected]
    created_by: str
    key: CacheKey


def prepare(site: Site, state: BuildState, instruction: Copy, origin: Origin) -> Prepared:
    """Look up what a COPY takes.

    Args:
        site: what the build works with.
        state: what the step sees.
        instruction: the COPY, expanded.
        origin: what ``--from`` names, else the build context.

    Raises:
        ContextError: a source is missing.
        StepError: a source that only ADD fetches.
    """
    for source in instruction.sources:
        if source.startswith(_REMOTE):
            raise StepError(f"source can't be a URL for COPY: {source}", hint="ADD fetches URLs and git repositories")
    selected = select(
        origin.files,
        instruction.sources,
        parents=instruction.parents,
        exclude=instruction.exclude,
        explain=origin.explain,
        place=origin.title,
    )
    flags = ["--parents "] if instruction.parents else []
    meaning = [instruction.parents, content_of(site, selected)]
    return Prepared(
        origin.files, selected, created_by("COPY", instruction, flags), key_of("COPY", state, instruction, [meaning])
    )


def content_of(site: Site, selected: Sequence[Selected]) -> str:
    """Give the digest of all that a selection holds."""
    with site.memo_lock:
        return fingerprint(selected, site.memo).hex()


def key_of(kind: str, state: BuildState, instruction: Copy | Add, content: Sequence[object]) -> CacheKey:
    """Give the key of a COPY or ADD; ``content`` is what is known of the files."""
    meaning = {
        "destination": instruction.destination,
        "cwd": "" if instruction.destination.startswith("/") else state.working_dir,
        "chown": instruction.chown,
        "chmod": instruction.chmod,
        "link": instruction.link,
        "names": [each.rstrip("/").rpartition("/")[2] for each in instruction.sources],
        "heredocs": [[heredoc.name, heredoc.body] for heredoc in instruction.heredocs],
        "content": list(content),
    }
    # A copied tree with --link is the same on every base, unless names of users are looked up there.
    free = instruction.link and (not instruction.chown or instruction.chown.replace(":", "").isdecimal())
    return cache_key(kind, None if free else state.chain, meaning)


def created_by(name: str, instruction: Copy | Add, flags: Sequence[str] = ()) -> str:
    """Give the step as the history shows it: without ``--from``, ``--link`` and ``--exclude``."""
    flags = [*flags]
    flags += [f"--chown={instruction.chown} "] if instruction.chown else []
    flags += [f"--chmod={instruction.chmod} "] if instruction.chmod else []
    sources = [*instruction.sources, *(f"<<{heredoc.name}" for heredoc in instruction.heredocs)]
    return f"{name} {''.join(flags)}{' '.join(sources)} {instruction.destination} # buildkit"


def cached(site: Site, state: BuildState, prepared: Prepared) -> BuildState | None:
    """Give the state after a COPY or ADD whose result is remembered."""
    return recall(site, state, prepared.created_by, prepared.key)


def copy(site: Site, state: BuildState, instruction: Copy, prepared: Prepared) -> BuildState:
    """Place the files and give the state with their layer.

    Raises:
        BuildError: something is in the way, or a file cannot be read; says where.
    """
    try:
        placement = placement_of(site, state, instruction)
        changes = place(placement, prepared.files, prepared.selected)
        if instruction.heredocs:
            written = (heredoc_changes(placement, heredoc) for heredoc in instruction.heredocs)
            changes = merge(iter([changes, *written]))
        return commit(site, state, changes, prepared.created_by, prepared.key)
    except BuildError as error:
        error.where = error.where or instruction.where
        raise


def placement_of(site: Site, state: BuildState, instruction: Copy | Add) -> Placement:
    """Give how the instruction's files are placed."""
    return Placement(
        Tree.empty() if instruction.link else site.trees.tree(state.layers),
        Destination.parse(instruction.destination, state.working_dir),
        owner_of(site, state, instruction.chown, instruction.where) if instruction.chown else None,
        Chmod.parse(instruction.chmod) if instruction.chmod else None,
        instruction.link,
    )


def heredoc_changes(placement: Placement, heredoc: Heredoc) -> Iterator[Change]:
    """Give the file that a heredoc writes: 0644, of root, named for its delimiter in a directory."""
    content = heredoc.body.encode("utf-8", "surrogateescape")
    name = heredoc.name.encode("utf-8", "surrogateescape")
    tree, wanted = placement.below, placement.destination
    target = tree.resolve(wanted.path)
    existing = tree.get(target)
    if wanted.directory or (existing is not None and existing.kind == "directory"):
        target = tree.resolve(join(target, name))
    yield from parents(placement, target, 0)
    entry = placement.touched(Entry(name, "file", 0o644, size=len(content)), target, b"")
    yield Change(target, entry, lambda: io.BytesIO(content))
