"""Find the best way this machine has to run a step: each is really tried, and the choice can be told.

From the best to the least: runc with a range of ids (root, or /etc/subuid), runc with one id and pretended owners.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

from builder.errors import BuildError, IsolationError
from builder.runtime.keeper import Keeper
from builder.runtime.rootfs import StepRoot
from builder.runtime.runc import NOT_FOUND, Runc
from builder.runtime.runtime import Process
from builder.runtime.spec import Sandbox, own_capabilities
from builder.runtime.userns import enter

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from types import TracebackType

    from builder.runtime.runtime import Mount, Runtime
    from builder.runtime.userns import Namespace

CHOICES = ("auto", "runc", "crun")
"""What ``--isolation`` may be."""

_NOTHING = Process(("/.pybuild-probe",))
"""A program that no root file system has: "not found" is the answer of a runtime that does all but run it."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One way that was tried."""

    name: str
    answer: str = ""
    """Why it is not possible; empty where it is."""

    def __str__(self) -> str:
        return f"{self.name}: {self.answer or 'works'}"


class Isolation:
    """The way that was chosen; leave the ``with`` block to end all that runs and remove what is temporary."""

    def __init__(
        self, runtime: Runtime, namespace: Namespace, keeper: Keeper, scratch: Path, attempts: tuple[Attempt, ...]
    ) -> None:
        self.runtime = runtime
        self.namespace = namespace
        self.scratch = scratch
        """Where step roots belong; it is removed in the end, also when this process is killed."""
        self.attempts = attempts
        """All that was tried, in order; the last one works."""
        self._keeper = keeper

    @property
    def notes(self) -> tuple[str, ...]:
        """What a better machine would have, for people."""
        return (*self.namespace.notes, *(str(attempt) for attempt in self.attempts[:-1]))

    def root(self, lowers: Sequence[Path], mounts: Iterable[Mount] = ()) -> StepRoot:
        """Mount a step's root file system: ``lowers``, top first, and mount points for ``mounts``."""
        return StepRoot(
            lowers, self.scratch, mounts, userxattr=not self.namespace.initial, devices=self.runtime.guards_devices
        )

    def stop(self) -> None:
        """End every step that runs, in whichever thread: its ``run`` raises CancelledError."""
        self._keeper.close()

    def close(self) -> None:
        """Stop, and remove what is temporary."""
        self.stop()
        shutil.rmtree(self.scratch, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def choose(isolation: str, directory: Path) -> Isolation:
    """Enter namespaces and find a way to run steps, with temporary files below ``directory``.

    Call it before the first thread is started. ``isolation`` is one of CHOICES; ``auto`` takes the first that works.
    ``directory`` is on the file system of the unpacked layers.

    Raises:
        IsolationError: nothing works; each attempt is named with its answer and what would help.
    """
    if isolation not in CHOICES:
        raise IsolationError(f"unknown isolation: {isolation}", hint=f"choose one of {', '.join(CHOICES)}")
    namespace = enter()
    directory.mkdir(parents=True, exist_ok=True)
    keeper = Keeper()
    scratch = Path(tempfile.mkdtemp(prefix="run-", dir=directory))
    attempts: list[Attempt] = []
    try:
        keeper.remove_afterwards(scratch)
        for runtime, name in _candidates(isolation, namespace, keeper, scratch, attempts):
            answer = _try(runtime, scratch, namespace)
            attempts.append(Attempt(name, answer))
            if not answer:
                return Isolation(runtime, namespace, keeper, scratch, tuple(attempts))
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


def _candidates(
    isolation: str, namespace: Namespace, keeper: Keeper, scratch: Path, attempts: list[Attempt]
) -> Iterator[tuple[Runtime, str]]:
    best = Sandbox(
        initial=namespace.initial, ids=namespace.ids, capabilities=own_capabilities(), cgroups=namespace.initial
    )
    for program in ("runc", "crun") if isolation == "auto" else (isolation,):
        try:
            runtime = Runc(program, best, keeper, scratch)
        except IsolationError as error:
            attempts.append(Attempt(program, f"{error.message} ({error.hint})"))
            continue
        yield runtime, f"{program} with {_ids(namespace)}"
        if best.cgroups:
            yield runtime.limited_to(replace(best, cgroups=False)), f"{program} without control groups"
        yield (
            runtime.limited_to(replace(best, cgroups=False, own_proc=False)),
            f"{program} with the /proc of the machine",
        )


def _ids(namespace: Namespace) -> str:
    return {"root": "real root", "subids": f"{namespace.ids} ids", "single": "one id"}[namespace.kind]


def _try(runtime: Runtime, scratch: Path, namespace: Namespace) -> str:
    """Run nothing in an empty root file system; give why that is not possible, or nothing."""
    said = bytearray()
    try:
        with StepRoot((), scratch, userxattr=not namespace.initial, devices=False) as step:
            done = runtime.run(_NOTHING, step.root, said.extend)
    except BuildError as error:
        return f"{error.message} ({error.hint})" if error.hint else error.message
    if done.code == NOT_FOUND:
        return ""
    return done.error or said.decode(errors="replace").strip() or f"status {done.code}"
