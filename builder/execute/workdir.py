"""WORKDIR: where later steps run, made where it is missing."""

from __future__ import annotations

import posixpath
from dataclasses import replace
from typing import TYPE_CHECKING

from builder.cache.key import cache_key
from builder.errors import StepError
from builder.execute.commit import commit, recall
from builder.execute.config import working_directory
from builder.execute.owner import owner_of
from builder.execute.place import made_directory
from builder.execute.state import with_container
from layers.changeset.entry import Change

if TYPE_CHECKING:
    from collections.abc import Iterator

    from builder.cache.key import CacheKey
    from builder.dockerfile.instructions import Workdir
    from builder.execute.place import Owner
    from builder.execute.site import Site
    from builder.execute.state import BuildState
    from layers.changeset.tree import Tree


def prepare(site: Site, state: BuildState, instruction: Workdir) -> tuple[BuildState, str, CacheKey | None]:
    """Give the state with the new working directory, the step's history, and its key: None where it makes no layer."""
    path = working_directory(state, instruction.path)
    if "\0" in path:  # no kernel makes such a directory, and readers of a tar make another one
        raise StepError(f"WORKDIR {path!r} has a NUL")
    created_by = f"WORKDIR {path}"
    if path == "/":
        return with_container(state, created_by, working_dir=path), created_by, None
    changed = replace(state, config=replace(state.config, config=replace(state.container, working_dir=path)))
    meaning = {"path": path, "user": state.container.user, "epoch": site.settings.epoch}
    return changed, created_by, cache_key("WORKDIR", state.chain, meaning)


def cached(site: Site, prepared: tuple[BuildState, str, CacheKey | None]) -> BuildState | None:
    """Give the state after a WORKDIR whose layer is remembered, or that makes none."""
    state, created_by, key = prepared
    return state if key is None else recall(site, state, created_by, key)


def workdir(site: Site, prepared: tuple[BuildState, str, CacheKey | None], instruction: Workdir) -> BuildState:
    """Make the directory, owned by the current USER, and give the state with its layer.

    Raises:
        StepError: something that is no directory is in the way.
    """
    state, created_by, key = prepared
    tree = site.trees.tree(state.layers)
    user = state.container.user
    owner = owner_of(site, state, user, instruction.where) if user else None
    path = posixpath.normpath("/" + state.working_dir.lstrip("/")).lstrip("/").encode("utf-8", "surrogateescape")
    try:
        changes = list(_directories(tree, tree.resolve(path), owner, site.settings.epoch))
    except StepError as error:
        error.where = instruction.where
        raise
    return commit(site, state, changes, created_by, key)


def _directories(tree: Tree, path: bytes, owner: Owner | None, epoch: int | None) -> Iterator[Change]:
    """Give the missing directories down to ``path`` and those above them.

    A new one has the time of the directory above it: the same input makes the same layer.
    """
    if (there := tree.get(path)) is not None and there.kind == "directory":
        return
    parts = path.split(b"/")
    mtime = 0
    for i in range(1, len(parts) + 1):
        here = b"/".join(parts[:i])
        existing = tree.get(here)
        if existing is None:
            existing = made_directory(tree, here, 0o755, owner, mtime if epoch is None else epoch)
        elif existing.kind != "directory":
            raise StepError(
                f"WORKDIR /{path.decode('utf-8', 'replace')}: /{here.decode('utf-8', 'replace')} is no directory"
            )
        mtime = existing.mtime
        yield Change(here, existing)
