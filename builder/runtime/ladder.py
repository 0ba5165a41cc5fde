"""Find the best way this machine has to run a step: each is really tried, and the choice can be told.

From the best to the least: runc with a range of ids (root, or /etc/subuid), runc with one id and pretended owners,
chroot where a container's root may neither mount nor unshare, proot where there is no root at all. What has worked is
remembered until the machine is started anew or changes.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

from builder.errors import BuildError, IsolationError
from builder.runtime.chroot import Chroot
from builder.runtime.keeper import Keeper
from builder.runtime.network import OwnNetwork
from builder.runtime.proot import Proot
from builder.runtime.remembered import Remembered
from builder.runtime.rootfs import StepRoot
from builder.runtime.roots import DirectoryRoots, OverlayRoots
from builder.runtime.runc import NOT_FOUND, Runc
from builder.runtime.runtime import Process
from builder.runtime.spec import Sandbox, own_capabilities
from builder.runtime.unpacked import Unpacked
from builder.runtime.userns import enter, outside

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from types import TracebackType

    from builder.runtime.roots import Roots
    from builder.runtime.runtime import Mount, Runtime
    from builder.runtime.userns import Namespace

CHOICES = ("auto", "runc", "crun", "chroot", "proot")
"""What ``--isolation`` may be, besides a runtime."""
RUNTIMES = ("runc", "crun", "youki")
"""The OCI runtimes that may be asked for by name; all others by their paths."""

_NOTHING = Process(("/.pybuild-probe",))
"""A program that no root file system has: "not found" is the answer of a runtime that does all but run it."""
_WHO = Process(("/bin/sh", "-c", "exec id -u"), {"PATH": os.defpath})
"""Something that the machine itself has, and that asks who it is: where that works, tracing works."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One way that was tried."""

    name: str
    answer: str = ""
    """Why it is not possible; empty where it is."""

    def __str__(self) -> str:
        return f"{self.name}: {self.answer or 'works'}"


@dataclass(frozen=True, slots=True)
class _Way:
    """One way to run steps."""

    name: str
    runtime: Runtime
    overlay: bool
    """Whether roots are overlays; else plain directories."""
    own_ids: bool
    """Whether files can belong to several users."""
    note: str = ""


class Isolation:
    """The way that was chosen; leave the ``with`` block to end all that runs and remove what is temporary."""

    def __init__(
        self,
        way: _Way,
        namespace: Namespace | None,
        keeper: Keeper,
        scratch: Path,
        attempts: tuple[Attempt, ...],
        *,
        remembered: Remembered,
    ) -> None:
        self.runtime = way.runtime
        self.mounting = way.overlay
        """Whether this process can mount what it likes, overlays among it."""
        self._network: OwnNetwork | None = None
        self._said_of_network = ""
        self.private = namespace is not None
        """Whether what this process mounts is seen by nobody outside."""
        self.namespace = namespace if namespace is not None else outside(single=not way.own_ids)
        """Where this process is; without ``mounting`` it is not one of its own."""
        self.attempts = attempts
        """All that was tried, in order; the last one works."""
        self.scratch = scratch
        """It is removed in the end, also when this process is killed."""
        self._way = way
        self._keeper = keeper
        self._remembered = remembered

    @property
    def notes(self) -> tuple[str, ...]:
        """What a better machine would have, for people."""
        return (
            *self.namespace.notes,
            *(str(attempt) for attempt in self.attempts[:-1]),
            *filter(None, [self._way.note, self._said_of_network]),
        )

    def give_network(self) -> None:
        """Begin to make a network of its own for the steps, where it can be had; call it while there is one thread."""
        if self.namespace.initial or not isinstance(self.runtime, Runc):
            return
        try:
            self._network = OwnNetwork(self._keeper, self.scratch)
        except IsolationError as error:
            self._said_of_network = f"the network is the machine's: {error.message}"

    @property
    def network(self) -> str:
        """Which network steps have by default, and why; to be asked after :meth:`await_network`."""
        reason = "root shares it with the steps" if self.namespace.initial else f"{self.runtime.name} can give no other"
        return self._said_of_network or f"the network is the machine's: {reason}"

    def await_network(self) -> None:
        """Wait until the steps' network works; where it does not, they have the machine's."""
        if self._network is None or self._said_of_network or not isinstance(self.runtime, Runc):
            return
        problem = self._network.answer()
        if not problem:
            self.runtime.network = self._network
        said = f"the network is the machine's, as slirp4netns says: {problem}"
        self._said_of_network = said if problem else "the network is their own, by slirp4netns"

    def roots(self, unpacked: Path) -> Roots:
        """Give what makes the steps' root file systems; layers that can be kept are kept unpacked in ``unpacked``."""
        if self.mounting:
            kept = Unpacked(unpacked, self.namespace)
            devices = self.runtime.guards_devices
            return OverlayRoots(kept, self.scratch, devices=devices, own_ids=self._way.own_ids)
        # A chroot puts what it mounts there by itself.
        mount_points = not isinstance(self.runtime, Chroot)
        return DirectoryRoots(self.scratch, mount_points=mount_points, own_ids=self._way.own_ids)

    def root(self, lowers: Sequence[Path], mounts: Iterable[Mount] = ()) -> StepRoot:
        """Mount a step's root file system: ``lowers``, top first, and mount points for ``mounts``."""
        devices = self.runtime.guards_devices
        return StepRoot(lowers, self.scratch, mounts, userxattr=not self.namespace.initial, devices=devices)

    def stop(self) -> None:
        """End every step that runs, in whichever thread: its ``run`` raises CancelledError."""
        self._keeper.close()

    def close(self) -> None:
        """Stop, and remove what is temporary."""
        self.stop()
        if self._network is not None:
            self._network.close()
        shutil.rmtree(self.scratch, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, IsolationError):
            self._remembered.forget()
        self.close()


def choose(isolation: str, directory: Path) -> Isolation:
    """Enter namespaces and find a way to run steps, with temporary files below ``directory``.

    Call it before the first thread is started. ``isolation`` is one of CHOICES, of RUNTIMES, or the path of an OCI
    runtime; ``auto`` takes the first that works. ``directory`` is on the file system of the unpacked layers.

    Raises:
        IsolationError: nothing works; each attempt is named with its answer and what would help.
    """
    if isolation not in {*CHOICES, *RUNTIMES} and "/" not in isolation:
        raise IsolationError(f"unknown isolation: {isolation}", hint=f"choose one of {', '.join(CHOICES)}")
    attempts: list[Attempt] = []
    namespace = None
    directory.mkdir(parents=True, exist_ok=True)
    remembered = Remembered(directory.with_name(f"{directory.name}-works"), isolation)
    if isolation not in {"chroot", "proot"}:
        try:
            namespace = enter()
        except IsolationError as error:
            attempts.append(Attempt("namespaces", _told(error)))
    keeper = Keeper()
    scratch = Path(tempfile.mkdtemp(prefix="run-", dir=directory))
    try:
        keeper.remove_afterwards(scratch)
        for way in _ways(isolation, namespace, keeper, scratch, attempts):
            known = remembered.works(way.name)
            answer = "" if known else _try(way, scratch, namespace)
            attempts.append(Attempt(way.name, answer))
            if not answer:
                if not known:
                    remembered.add(way.name)
                return Isolation(way, namespace, keeper, scratch, tuple(attempts), remembered=remembered)
    except BaseException:
        _drop(keeper, scratch)
        raise
    _drop(keeper, scratch)
    raise IsolationError(
        "no way to run a process works here: " + "; ".join(map(str, attempts)),
        hint="a build without RUN works all the same",
    )


def _drop(keeper: Keeper, scratch: Path) -> None:
    keeper.close()
    shutil.rmtree(scratch, ignore_errors=True)


def _ways(
    isolation: str, namespace: Namespace | None, keeper: Keeper, scratch: Path, attempts: list[Attempt]
) -> Iterator[_Way]:
    """Give the ways to be tried, the best first; what is not even there comes into ``attempts``."""
    if namespace is not None:
        yield from _ways_of_runc(isolation, namespace, keeper, scratch, attempts)
    # Real root outside a container would give a step the whole machine: so only where namespaces are refused.
    if isolation == "chroot" or (isolation == "auto" and namespace is None and os.geteuid() == 0):
        note = "steps are not isolated and have no /proc; mounts are copies, and a tmpfs has no size"
        own_ids = "CAP_CHOWN" in own_capabilities()
        yield _Way("chroot", Chroot(keeper), overlay=False, own_ids=own_ids, note=note)
    if isolation in {"auto", "proot"}:
        note = "steps are not isolated; read-only mounts are copies, and a tmpfs has no size"
        try:
            proot = Proot(keeper, scratch, recording=True)
            yield _Way("proot, owners written down", proot, overlay=False, own_ids=False, note=note)
            proot, note = Proot(keeper, scratch), f"{note}; new files belong to the user of their step"
            yield _Way("proot", proot, overlay=False, own_ids=False, note=note)
        except IsolationError as error:
            attempts.append(Attempt("proot", _told(error)))


def _ways_of_runc(
    isolation: str, namespace: Namespace, keeper: Keeper, scratch: Path, attempts: list[Attempt]
) -> Iterator[_Way]:
    best = Sandbox(
        initial=namespace.initial, ids=namespace.ids, capabilities=own_capabilities(), cgroups=namespace.initial
    )
    overlay = True
    try:
        StepRoot((), scratch, userxattr=not namespace.initial).close()
    except IsolationError as error:
        attempts.append(Attempt("overlay", _told(error)))
        overlay = False
    for program in ("runc", "crun") if isolation == "auto" else (isolation,):
        try:
            runtime = Runc(program, best, keeper, scratch)
        except IsolationError as error:
            attempts.append(Attempt(program, _told(error)))
            continue
        name = runtime.name
        sandboxes = {f"{name} with {_ids(namespace)}": best}
        if best.single:
            sandboxes = {f"{name} with one id, owners written down": replace(best, recording=True)} | sandboxes
        if best.cgroups:
            sandboxes[f"{name} without control groups"] = replace(best, cgroups=False)
        last = replace(best, cgroups=False, own_proc=False)
        if best.single:
            sandboxes[f"{name} with the /proc of the machine, owners written down"] = replace(last, recording=True)
        sandboxes[f"{name} with the /proc of the machine"] = last
        for name, sandbox in sandboxes.items():
            yield _Way(name, runtime.limited_to(sandbox), overlay, own_ids=not sandbox.single)


def _ids(namespace: Namespace) -> str:
    return {"root": "real root", "subids": f"{namespace.ids} ids", "single": "one id"}[namespace.kind]


def _told(error: BuildError) -> str:
    return f"{error.message} ({error.hint})" if error.hint else error.message


def _try(way: _Way, scratch: Path, namespace: Namespace | None) -> str:
    """Run nothing in an empty root file system; give why that is not possible, or nothing."""
    said = bytearray()
    try:
        if isinstance(way.runtime, Proot):
            # It looks for the program before it traces, so there has to be one.
            done, expected = way.runtime.run(_WHO, Path("/"), said.extend), 0
        elif way.overlay and namespace is not None:
            with StepRoot((), scratch, userxattr=not namespace.initial, devices=False) as step:
                done, expected = way.runtime.run(_NOTHING, step.root, said.extend), NOT_FOUND
        else:
            with tempfile.TemporaryDirectory(prefix="try-", dir=scratch) as home:
                root = Path(home) / "fs"
                root.mkdir()
                done, expected = way.runtime.run(_NOTHING, root, said.extend), NOT_FOUND
    except BuildError as error:
        return _told(error)
    if done.code == expected:
        return ""
    return done.error or said.decode(errors="replace").strip() or f"status {done.code}"
