"""The mounts of a RUN: what each shows, and what of it the result depends on.

Reference: Dockerfile reference, "RUN --mount".
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, Any

from builder.context.select import select
from builder.errors import StepError
from builder.execute.copy import content_of, unchanged
from layers.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from builder.context.select import Selected
    from builder.dockerfile.instructions import Run
    from builder.dockerfile.mounts import RunMount
    from builder.execute.origin import Origin
    from builder.execute.site import Site
    from builder.execute.state import BuildState


@frozen(eq=False)
class Wanted:
    """A mount before it is made."""

    mount: RunMount
    target: str
    """Absolute and cleaned; "" where there is no file, only a variable."""
    origin: Origin | None = None
    selected: Selected | None = None
    content: str = ""
    """The digest of all that is selected."""
    seen: bytes = b""
    """Its stat digest, where it is of a context."""

    @property
    def meaning(self) -> dict[str, Any]:
        """What of it a step's result depends on: content, never whose secret or which cache it was."""
        mount = self.mount
        meaning: dict[str, Any] = {"type": mount.type, "target": self.target}
        match mount.type:
            case "secret":
                return meaning | {"id": mount.secret_id, "env": mount.env, "required": mount.required, **self._owner}
            case "ssh":
                return meaning | {"id": mount.id or "default", "required": mount.required, **self._owner}
            case "tmpfs":
                return meaning | {"size": mount.size, "readonly": mount.readonly}
        return meaning | {"readonly": mount.readonly, "content": self.content}

    @property
    def is_directory(self) -> bool:
        """Whether it is mounted on a directory."""
        if self.selected is not None:
            return self.selected.entry.kind == "directory"
        return self.mount.type in {"cache", "tmpfs"}

    @property
    def _owner(self) -> dict[str, int | None]:
        return {"uid": self.mount.uid, "gid": self.mount.gid, "mode": self.mount.mode}


def prepare_mounts(
    site: Site, state: BuildState, instruction: Run, origin: Callable[[str | None], Origin]
) -> tuple[Wanted, ...]:
    """Look up what the mounts of a RUN show, in the order in which they are made.

    Args:
        site: what the build works with.
        state: what the step sees.
        instruction: the RUN, expanded.
        origin: gives what ``from`` names; for None the build context.

    Raises:
        ContextError: a source is missing.
        StepError: a target is the root, or a source cannot be mounted.
    """
    plain, private = [], []
    agents = 0
    for mount in instruction.mounts:
        if mount.type == "secret":
            target = mount.secret_target
            private.append(Wanted(mount, "" if target is None else _absolute(target, state.working_dir)))
        elif mount.type == "ssh":
            target = mount.target or f"/run/buildkit/ssh_agent.{agents}"
            agents += 1
            private.append(Wanted(mount, _absolute(target, state.working_dir)))
        else:
            plain.append(_plain(site, state, mount, origin))
    # Outer directories before inner ones; of several with one target the last counts.
    plain = list({each.target: each for each in plain}.values())
    return (*sorted(plain, key=lambda each: each.target), *private)


def _plain(site: Site, state: BuildState, mount: RunMount, origin: Callable[[str | None], Origin]) -> Wanted:
    target = _absolute(mount.target, state.working_dir)
    if mount.type == "tmpfs" or (mount.type == "cache" and mount.from_stage is None):
        return Wanted(mount, target)
    source = origin(mount.from_stage)
    (selected,) = select(
        source.files, [mount.source or "/"], wildcards=False, explain=source.explain, place=source.title
    )
    kinds = {"bind": ("directory", "file"), "cache": ("directory",)}[mount.type]
    if selected.entry.kind not in kinds:
        raise StepError(f'mount source "{mount.source}" in {source.title} is no {" and no ".join(kinds)}')
    found = content_of(site, [selected])
    seen = found.seen if source.layers is None else b""
    return Wanted(mount, target, source, selected, found.content.hex(), seen)


def all_unchanged(wanted: Sequence[Wanted]) -> bool:
    """Tell whether what steps see of contexts is as it was when it was looked up."""
    return all(unchanged([each.selected], each.seen) for each in wanted if each.selected is not None and each.seen)


def _absolute(target: str, working_dir: str) -> str:
    path = posixpath.normpath(posixpath.join("/", working_dir, target)).replace("//", "/")
    if path == "/":
        raise StepError(f'invalid mount target "{target}"', hint="name a directory below the root")
    return path
