"""How the mounts of a RUN come to their places, and go again."""

from __future__ import annotations

import contextlib
import os
import posixpath
from typing import TYPE_CHECKING

from builder.cache.mounts import CacheMounts
from builder.context.context import LocalContext
from builder.errors import IsolationError, StepError
from builder.events import Noted
from builder.execute.copyout import copy_out
from builder.execute.mask import hidden_paths, make_mask
from builder.runtime.runtime import Mount
from layers.changeset.rootpath import resolve
from layers.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from builder.cache.mounts import Sharing
    from builder.context.select import Selected
    from builder.dockerfile.heredoc import Heredoc
    from builder.dockerfile.mounts import RunMount
    from builder.events import Step
    from builder.execute.machine import Machine
    from builder.execute.mounts import Wanted
    from builder.execute.origin import Origin
    from builder.execute.site import Site

SCRIPTS = "/dev/pipes"
"""Where a heredoc that is a script of its own lies."""
_SECRET_MODE = 0o400
_AGENT_MODE = 0o600
_CACHE_MODE = 0o755


@frozen
class Mounted:
    """What a RUN's process gets of its mounts."""

    mounts: tuple[Mount, ...]
    environment: Mapping[str, str]
    """The step's own with what secrets and agents add."""


@contextlib.contextmanager
def mounted(
    site: Site,
    machine: Machine,
    wanted: Sequence[Wanted],
    *,
    script: Heredoc | None,
    environment: Mapping[str, str],
    step: Step,
) -> Iterator[Mounted]:
    """Make the mounts of a RUN and a heredoc's script ready for as long as the ``with`` block lasts.

    Raises:
        StepError: a secret or agent that is required was not given.
        IsolationError: something cannot be mounted.
    """
    with contextlib.ExitStack() as stack:
        maker = _Maker(site, machine, stack, step)
        mounts = [maker.script(script)] if script is not None else []
        caches = maker.caches([each for each in wanted if each.mount.type == "cache"])
        variables = dict(environment)
        for each in wanted:
            match each.mount.type:
                case "bind":
                    mounts.append(maker.bind(each, [other for other in wanted if _is_inside(other, each)]))
                case "cache":
                    mounts.append(Mount(each.target, source=caches[each], readonly=each.mount.readonly))
                case "tmpfs":
                    size = each.mount.size or None
                    mounts.append(Mount(each.target, "tmpfs", size=size, readonly=each.mount.readonly))
                case "secret":
                    mounts += maker.secret(each, variables)
                case "ssh":
                    mounts += maker.agent(each, variables)
        yield Mounted(tuple(mounts), variables)


class _Maker:
    """Makes the mounts of one step; all of them go with ``stack``."""

    def __init__(self, site: Site, machine: Machine, stack: contextlib.ExitStack, step: Step) -> None:
        self._site = site
        self._machine = machine
        self._stack = stack
        self._step = step
        self._private: Path | None = None
        self._count = 0

    def script(self, script: Heredoc) -> Mount:
        """Give the directory with a heredoc's script."""
        directory = self._new("pipes")
        directory.mkdir()
        directory.chmod(0o755)
        path = directory / script.name
        path.write_bytes(script.body.encode("utf-8", "surrogateescape"))
        path.chmod(0o755)
        return Mount(SCRIPTS, source=directory, readonly=True, own=True)

    def bind(self, wanted: Wanted, inner: Sequence[Wanted]) -> Mount:
        """Give the mount of a directory or file, with mount points for ``inner``; what is written is thrown away."""
        origin, selected, readonly = wanted.origin, wanted.selected, wanted.mount.readonly
        assert origin is not None
        assert selected is not None
        directory = selected.entry.kind == "directory"
        if inner and directory:
            source = self._with_points(wanted, origin, selected, inner)
            return Mount(wanted.target, source=source, readonly=readonly)
        if origin.layers is not None and self._machine.isolation.mounting:
            source = _below(self._stack.enter_context(self._machine.shown(origin.layers)), selected.path)
        elif not readonly:
            source = self._discarding(wanted, origin, selected) if directory else self._own_copy(selected)
        else:
            lowers = self._lowers(wanted, origin, selected)
            source = lowers[0] if len(lowers) == 1 else self._overlaid(lowers, selected)
        return Mount(wanted.target, source=source, readonly=readonly, directory=directory)

    def _with_points(self, wanted: Wanted, origin: Origin, selected: Selected, inner: Sequence[Wanted]) -> Path:
        """Give a directory in which other mounts have their places: a read-only one cannot be given them later."""
        if origin.layers is not None and self._machine.isolation.mounting:
            view = _below(self._stack.enter_context(self._machine.shown(origin.layers)), selected.path)
        else:
            view = self._discarding(wanted, origin, selected)
        for each in inner:
            path = resolve(view, os.fsencode(each.target.removeprefix(wanted.target + "/")), follow_last=True)
            point = _below(view, path)
            if not point.exists():
                (point if each.is_directory else point.parent).mkdir(parents=True, exist_ok=True)
                if not each.is_directory:
                    point.touch()
        return view

    def _lowers(self, wanted: Wanted, origin: Origin, selected: Selected) -> list[Path]:
        """Give directories, the top one first, or a file: what steps may see, all of root; a copy where need be."""
        files = origin.files
        if isinstance(files, LocalContext):
            path = _below(files.root.resolve(), selected.path)
            if path.resolve() == path:
                found = self._masked(path, selected)
                if found:
                    return found
        with self._site.copies_lock:
            copy = self._site.scratch / f"mount-{selected.entry.kind}-{wanted.content}"
            if not copy.exists():
                copy_out(selected, _made(copy), same_owner=self._machine.many_ids)
        return [copy if selected.entry.kind == "directory" else copy / os.fsdecode(selected.name)]

    def _masked(self, path: Path, selected: Selected) -> list[Path]:
        """Give a context's own file or directory, below one that hides what is hidden; nothing where that fails."""
        if selected.entry.kind != "directory":
            info = path.lstat()
            return [] if info.st_uid or info.st_gid else [path]
        hidden = hidden_paths(path, selected)
        if not hidden:
            return [] if hidden is None else [path]
        if not self._machine.isolation.mounting:
            return []
        mask = self._stack.enter_context(self._machine.temporary("mask-"))
        try:
            make_mask(path, hidden, mask)
        except OSError:  # an old kernel lets no user make whiteouts
            return []
        return [mask, path]

    def _discarding(self, wanted: Wanted, origin: Origin, selected: Selected) -> Path:
        """Give a directory as one whose changes are thrown away."""
        mounting = self._machine.isolation.mounting
        return self._overlaid(self._lowers(wanted, origin, selected) if mounting else [], selected)

    def _overlaid(self, lowers: list[Path], selected: Selected) -> Path:
        """Show directories as one whose changes are thrown away: an overlay, or else a copy of what is selected."""
        if lowers:
            with contextlib.suppress(IsolationError):  # of a file system that cannot lie below an overlay
                return self._stack.enter_context(self._machine.discarding(lowers))
        return self._own_copy(selected)

    def _own_copy(self, selected: Selected) -> Path:
        directory = _made(self._site.scratch / f"own-{self._step.number}-{self._next()}")
        copy_out(selected, directory, same_owner=self._machine.many_ids)
        return directory if selected.entry.kind == "directory" else directory / os.fsdecode(selected.name)

    def caches(self, wanted: Sequence[Wanted]) -> dict[Wanted, Path]:
        """Give the directories of cache mounts.

        All steps ask for several in one order, lest two wait for each other; a cache mounted twice is asked for once.
        """
        store = CacheMounts(self._site.cache_mounts / self._machine.isolation.namespace.kind)
        namespace = self._site.settings.arguments.get("BUILDKIT_CACHE_MOUNT_NS", "")
        by_name: dict[str, list[Wanted]] = {}
        for each in wanted:
            name = f"{namespace}/{each.mount.id or posixpath.normpath(each.mount.target)}"
            if each.selected is not None:
                name += f" {each.content}"
            by_name.setdefault(name, []).append(each)
        found: dict[Wanted, Path] = {}
        for name, those in sorted(by_name.items()):
            sharing = max((each.mount.sharing for each in those), key=["shared", "private", "locked"].index)
            path = self._cache(store, name, sharing, those[0])
            found |= dict.fromkeys(those, path)
        return found

    def _cache(self, store: CacheMounts, name: str, sharing: str, wanted: Wanted) -> Path:
        mount, told = wanted.mount, False

        def make(directory: Path) -> None:
            if wanted.selected is not None:
                copy_out(wanted.selected, directory, same_owner=self._machine.many_ids)
            if wanted.selected is None or (mount.uid, mount.gid, mount.mode) != (None, None, None):
                self._own(directory, mount, _CACHE_MODE)

        def wait() -> None:
            nonlocal told
            if self._machine.stopped.is_set():
                raise StepError(f"the build was ended while it waited for the cache of {wanted.target}")
            if not told:
                self._site.listener(Noted(self._step, f"waiting for the cache of {wanted.target}"))
                told = True

        kind: Sharing = "locked" if sharing == "locked" else "private" if sharing == "private" else "shared"
        try:
            return self._stack.enter_context(store.use(name, kind, make=make, wait=wait))
        except OSError as error:
            raise StepError(f"cannot make the cache of {wanted.target}: {error.strerror}") from error

    def secret(self, wanted: Wanted, environment: dict[str, str]) -> list[Mount]:
        """Give the mount of a secret's file and set its variable; nothing for one that is not given.

        Raises:
            StepError: it is required and not given, or cannot be read.
        """
        mount = wanted.mount
        name = mount.secret_id
        secret = self._site.settings.secrets.get(name)
        if secret is None:
            if mount.required:
                raise StepError(f"secret {name}: not found", hint=f"give it with --secret id={name},src=FILE")
            return []
        value = secret.read(name)
        if mount.env is not None:
            if b"\0" in value:
                raise StepError(f"secret {name} has a zero byte, which no variable can hold")
            environment[mount.env or name] = value.decode("utf-8", "surrogateescape")
        if not wanted.target:
            return []
        path = self._new("secret")
        path.write_bytes(value)
        self._own(path, mount, _SECRET_MODE)
        return [Mount(wanted.target, source=path, readonly=True, directory=False, own=True)]

    def agent(self, wanted: Wanted, environment: dict[str, str]) -> list[Mount]:
        """Give the mount of an SSH agent's socket and set SSH_AUTH_SOCK; nothing for one that is not given.

        Raises:
            StepError: it is required and not given.
        """
        mount = wanted.mount
        name = mount.id or "default"
        agent = self._site.settings.agents.get(name)
        if agent is None:
            if mount.required:
                hint = f"give it with --ssh {name}" + ("" if name == "default" else "=SOCKET")
                raise StepError(f"ssh agent {name}: not found", hint=hint)
            return []
        environment.setdefault("SSH_AUTH_SOCK", wanted.target)
        if agent.raw:
            return [Mount(wanted.target, source=agent.socket, directory=False)]
        from builder.execute.agent import AgentProxy  # noqa: PLC0415 - few steps have one

        path = self._new("agent")
        self._stack.enter_context(AgentProxy(path, agent.socket))
        self._own(path, mount, _AGENT_MODE)
        return [Mount(wanted.target, source=path, directory=False)]

    def _own(self, path: Path, mount: RunMount, mode: int) -> None:
        """Give a new file or directory the owner and mode that were asked for."""
        if self._machine.many_ids:
            try:
                os.chown(path, mount.uid or 0, mount.gid or 0)
            except OSError as error:
                message = f"the mount at {mount.target} cannot belong to {mount.uid or 0}:{mount.gid or 0}"
                raise IsolationError(f"{message}: {error.strerror}") from error
        path.chmod(mode if mount.mode is None else mount.mode)

    def _new(self, kind: str) -> Path:
        """Give a path in memory that nobody else sees."""
        if self._private is None:
            self._private = self._stack.enter_context(self._machine.private())
        return self._private / f"{kind}-{self._next()}"

    def _next(self) -> int:
        self._count += 1
        return self._count


def _is_inside(wanted: Wanted, outer: Wanted) -> bool:
    return wanted.target.startswith(outer.target + "/")


def _below(directory: Path, path: bytes) -> Path:
    return directory / os.fsdecode(path) if path else directory


def _made(directory: Path) -> Path:
    directory.mkdir(0o700)
    return directory
