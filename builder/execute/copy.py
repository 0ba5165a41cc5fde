"""COPY, and what ADD has in common with it: files of the context or of an image onto the tree."""

from __future__ import annotations

import functools
import io
from dataclasses import field, fields
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from builder.cache.key import cache_key
from builder.context.context import LocalContext
from builder.context.fingerprint import Fingerprint, Learning, Noted, fingerprint, stat_digest
from builder.context.localfile import LocalFile
from builder.context.select import Selected, select
from builder.errors import BuildError, StepError
from builder.execute.chmod import Chmod
from builder.execute.commit import commit, recall
from builder.execute.owner import owner_of
from builder.execute.place import Destination, Placement, join, merge, parents, place, target_of
from layers.changeset.entry import Change, Entry, Lasting
from layers.changeset.tree import Tree
from layers.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from builder.cache.key import CacheKey
    from builder.context.select import Files
    from builder.dockerfile.heredoc import Heredoc
    from builder.dockerfile.instructions import Add, Copy
    from builder.execute.origin import Origin
    from builder.execute.site import Site
    from builder.execute.state import BuildState
    from layers.changeset.packing import Told

_REMOTE = ("http://", "https://", "git://", "ssh://", "git@")
"""How a source begins that is not a file of a context or an image."""


@frozen
class Prepared:
    """A COPY or ADD with what it takes and the key of its result."""

    files: Files
    selected: Sequence[Selected]
    created_by: str
    key: CacheKey | None
    """None where no such COPY was ever carried out: then files are read once, for the layer and for its key."""
    action: CacheKey
    seen: bytes = b""
    """The stat digest of files of a context."""


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
    shown = created_by("COPY", instruction, flags)
    action = key_of("COPY", state, instruction, [instruction.parents])
    if isinstance(origin.files, LocalContext) and not site.cache.may_have(action):
        seen = b"" if _is_single(origin.files, selected, instruction) else stat_digest(selected).digest
        return Prepared(origin.files, selected, shown, None, action, seen)
    found = content_of(site, selected)
    key = _key(state, instruction, found.content)
    return Prepared(origin.files, selected, shown, key, action, b"" if origin.layers is not None else found.seen)


def _key(state: BuildState, instruction: Copy, content: bytes) -> CacheKey:
    return key_of("COPY", state, instruction, [[instruction.parents, content.hex()]])


def _is_single(files: Files, selected: Sequence[Selected], instruction: Copy) -> bool:
    """Tell whether a layer's own entries say, in their order, what was read of a context."""
    return len(selected) == 1 and not instruction.heredocs and isinstance(files, LocalContext)


def content_of(site: Site, selected: Sequence[Selected]) -> Fingerprint:
    """Give the digests of all that a selection holds."""
    with site.memo_lock:
        return fingerprint(selected, site.memo)


def unchanged(selected: Sequence[Selected], seen: bytes) -> bool:
    """Tell whether files of a context are as they were when they had this stat digest."""
    return stat_digest(selected).digest == seen


def key_of(kind: str, state: BuildState, instruction: Copy | Add, content: Sequence[object]) -> CacheKey:
    """Give the key of a COPY or ADD; ``content`` is what is known of the files."""
    meaning = _meaning(instruction, state) | {"content": list(content)}
    # A copied tree with --link is the same on every base, unless names of users are looked up there.
    free = instruction.link and (not instruction.chown or instruction.chown.replace(":", "").isdecimal())
    return cache_key(kind, None if free else state.chain, meaning)


def _meaning(instruction: Copy | Add, state: BuildState) -> dict[str, Any]:
    """Give what is written of a COPY or ADD, but for where its files come from."""
    return {
        "destination": instruction.destination,
        "cwd": "" if instruction.destination.startswith("/") else state.working_dir,
        "chown": instruction.chown,
        "chmod": instruction.chmod,
        "link": instruction.link,
        "names": [each.rstrip("/").rpartition("/")[2] for each in instruction.sources],
        "heredocs": [[heredoc.name, heredoc.body] for heredoc in instruction.heredocs],
    }


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
        if _is_single(prepared.files, prepared.selected, instruction):
            return _copy_single(site, state, instruction, prepared, placement)

        def key() -> CacheKey | None:
            # Files that changed meanwhile are in the layer as they are now, and in the key as they were.
            found = prepared.key or _key(state, instruction, content_of(site, prepared.selected).content)
            return found if not prepared.seen or unchanged(prepared.selected, prepared.seen) else None

        form = _form(instruction, state)
        with site.trees.known_blocks(site.cache.of_form(form)) as known:
            selected = prepared.selected
            if known:
                recall = functools.partial(_recalled, site, prepared.files)
                selected = [_Recalled.of(each, recall) for each in selected]
            changes = place(placement, prepared.files, selected, lasting=bool(instruction.heredocs))
            if instruction.heredocs:
                written = (heredoc_changes(placement, heredoc) for heredoc in instruction.heredocs)
                changes = merge(iter([changes, *written]))
            changes, told = learning(site, changes)
            action, shown = prepared.action, prepared.created_by
            return commit(site, state, changes, shown, key, action=action, form=form, known=known, told=told)
    except BuildError as error:
        error.where = error.where or instruction.where
        raise


def _copy_single(
    site: Site, state: BuildState, instruction: Copy, prepared: Prepared, placement: Placement
) -> BuildState:
    """Write the layer of one source; its key is found out by what was read for it."""
    form = _form(instruction, state)
    with site.trees.known_blocks(site.cache.of_form(form)) as known:
        source = prepared.selected[0]
        noted = Noted.of(source)

        def told(entries: Sequence[Entry]) -> None:
            with site.memo_lock:
                noted.take(entries, site.memo)

        def key() -> CacheKey | None:
            with site.memo_lock:
                content = noted.content_digest(site.memo)
            return _key(state, instruction, content) if content is not None else None

        changes = noted.placed(place(placement, prepared.files, [noted]))
        if known:
            changes = (_recalled(site, prepared.files, source, change) for change in changes)
        action, shown = prepared.action, prepared.created_by
        return commit(site, state, changes, shown, key, action=action, form=form, known=known, told=told)


def learning(site: Site, changes: Iterator[Change]) -> tuple[Iterator[Change], Told]:
    """Let the memo learn the files of a context as they are read for a layer, so that their key needs no reading."""
    learnt = Learning()

    def told(entries: Sequence[Entry]) -> None:
        with site.memo_lock:
            learnt.take(entries, site.memo)

    return learnt.watch(changes), told


def _form(instruction: Copy, state: BuildState) -> CacheKey:
    return cache_key("form of a COPY", None, _meaning(instruction, state) | {"from": instruction.from_stage})


@frozen
class _Recalled(Selected):
    """A source whose files are read only where no block is known that has them."""

    _recall: Callable[[Selected, Change], Change] = field(default=lambda _, change: change, repr=False)

    @classmethod
    def of(cls, selected: Selected, recall: Callable[[Selected, Change], Change]) -> _Recalled:
        """Give the same source."""
        values = [getattr(selected, each.name) for each in fields(Selected)]
        return cls(*values, recall)  # type: ignore[call-arg]  # mypy takes a list for one argument

    def walk(self) -> Iterator[Change]:
        """Give what to copy, with the digests that are known, and with contents that can be opened at any time."""
        for change in Selected.walk(self):
            yield self._recall(self, change)


def _recalled(site: Site, files: Files, source: Selected, change: Change) -> Change:
    """Give a change of a source, placed or not, with its file's digest if that looks as it did when it was read."""
    path, entry, found = change
    if entry is None or found is None:
        return change
    if isinstance(found, LocalFile):
        with site.memo_lock:
            digest, inside = site.memo.file(found.info), found.path
    else:  # of an image: not placed yet
        digest, inside = entry.digest, path
    if not digest:
        return change
    where = join(source.path, inside) if source.entry.kind == "directory" else source.path
    return Change(path, entry.with_digest(digest), Lasting(functools.partial(files.open, where)))


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
    target = target_of(placement, name)
    yield from parents(placement, target, 0)
    entry = Entry(name, "file", 0o644, size=len(content), digest=sha256(content).digest())
    yield Change(target, placement.touched(entry, target, b""), Lasting(lambda: io.BytesIO(content)))
