"""A stage: its instructions one after the other, each from a state to the next."""

from __future__ import annotations

import contextlib
import functools
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from builder.dockerfile import instructions as ins
from builder.dockerfile.expand import declare, expand
from builder.dockerfile.plan import Plan, Stage
from builder.dockerfile.words import lex
from builder.errors import BuildError, CancelledError, DockerfileError, StepError
from builder.events import Step, StepCached, reported
from builder.execute import copy
from builder.execute.config import configure
from builder.execute.origin import Origin, context_origin, layers_origin
from layers.errors import LayersError
from layers.frozen import frozen

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Sequence

    from builder.errors import SourceRange
    from builder.execute.site import Site
    from builder.execute.state import BuildState

_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")
"""What a variable's value may hold and no line of progress shall."""
_LAYERED = (ins.Run, ins.Copy, ins.Add, ins.Workdir)


@frozen
class StageRun:
    """One stage on its way."""

    site: Site
    plan: Plan
    stage: Stage
    number: Callable[[], int]
    """Gives the next step's number."""
    stopped: threading.Event
    """Set when another stage failed, or the user ended the build."""

    def run(self, state: BuildState, triggers: Sequence[ins.Instruction]) -> BuildState:
        """Carry out the base's triggers and the stage's own instructions.

        Raises:
            BuildError: the first that fails; says where.
        """
        todo = [*triggers, *self.stage.instructions]
        total = 1 + sum(isinstance(each, _LAYERED) for each in todo)
        position = 1
        for instruction in todo:
            if self.stopped.is_set():
                raise CancelledError("the build was ended")
            position += isinstance(instruction, _LAYERED)
            try:
                state = self._instruction(state, instruction, f"{position}/{total}")
            except BuildError as error:
                error.where = error.where or instruction.where
                raise
            except LayersError as error:
                raise StepError(error.message, where=instruction.where, hint=error.hint) from error
        return state

    def _instruction(self, state: BuildState, written: ins.Instruction, position: str) -> BuildState:
        if isinstance(written, ins.Arg):
            return self._arg(state, written)
        instruction = expand(written, state.environment, self.plan.escape)
        step = functools.partial(self._step, written, self._title(state, written, position))
        site = replace(self.site, guard=self.site.guard.at(written.where)) if self.site.guard.values else self.site
        match instruction:
            case ins.Run():
                from builder.execute import run  # noqa: PLC0415 - start-up time: only where there is one

                mounts = functools.partial(self._origin, where=instruction.where, numbers=False)
                ready = run.prepare(site, state, instruction, mounts)
                return step(
                    lambda: run.cached(site, state, ready), lambda s: run.run(site, state, instruction, ready, s)
                )
            case ins.Copy():
                origin = self._origin(instruction.from_stage, where=instruction.where)
                with site.costs.phase("context", instruction.text):
                    taken = copy.prepare(site, state, instruction, origin)
                return step(
                    lambda: copy.cached(site, state, taken), lambda _: copy.copy(site, state, instruction, taken)
                )
            case ins.Add():
                from builder.execute import add  # noqa: PLC0415 - as above

                with site.costs.phase("context", instruction.text):
                    added = add.prepare(site, state, instruction)
                return step(lambda: add.cached(site, state, added), lambda _: add.add(site, state, instruction, added))
            case ins.Workdir():
                from builder.execute import workdir  # noqa: PLC0415 - as above

                made = workdir.prepare(site, state, instruction)
                return step(lambda: workdir.cached(site, made), lambda _: workdir.workdir(site, made, instruction))
            case ins.From() | ins.Arg():
                raise AssertionError(instruction)  # the parser makes a stage of one, and the other is done above
            case _:
                configured = configure(state, instruction)
                site.guard.check_config(state, configured)
                return configured

    def _arg(self, state: BuildState, instruction: ins.Arg) -> BuildState:
        """Declare ARGs: a build argument wins over the default, and without one the global value counts."""
        declared = declare(
            instruction,
            state.environment,
            self.plan.escape,
            build_args=self.plan.build_args,
            global_arguments=self.plan.global_arguments,
        )
        configured = configure(state, replace(instruction, pairs=declared))
        self.site.guard.at(instruction.where).check_config(state, configured)
        return configured

    def _origin(self, name: str | None, *, where: SourceRange, numbers: bool = True) -> Origin:
        """Give what ``from`` names: a context of that name, else a stage or an image; without it the build context."""
        site = self.site
        if not name:
            return context_origin(site)
        source = self.plan.source(self.stage, name, where, numbers=numbers)
        called, platform = (source.name or "", source.platform) if isinstance(source, Stage) else (source, None)
        named = site.named.find(called, platform or self.plan.platform) if called else None
        if named is not None and named.files is not None:
            return Origin(named.files(), f'"{name}"')
        if isinstance(source, Stage):
            return layers_origin(site, site.stage(source.index).layers, name)
        try:
            return layers_origin(site, site.image(source).layers, name)
        except BuildError as error:
            error.hint = self.plan.hint(source) or error.hint
            raise

    def _title(self, state: BuildState, instruction: ins.Instruction, position: str) -> str:
        """Give a step's name: its text with the values of those variables that are set, the others as written."""
        text = instruction.text
        with contextlib.suppress(DockerfileError):  # a command's own shell may read what no instruction can hold
            text = lex(text, state.environment, self.plan.escape, keep_unset=True, keep_quotes=True).text
        place = " ".join(part for part in (self.stage.label, position) if part)
        return f"[{place}] {_CONTROL.sub(' ', text)}"

    def _step(
        self,
        instruction: ins.Instruction,
        title: str,
        recall: Callable[[], BuildState | None],
        carry_out: Callable[[Step], BuildState],
    ) -> BuildState:
        """Take the step's remembered result, or carry it out, and report which."""
        known = None if (self.stage.name or "") in self.site.settings.fresh_stages else recall()
        step = Step(self.number(), title, instruction.where)
        if known is not None:
            self.site.listener(StepCached(step))
            return known
        with reported(self.site.listener, step):
            return carry_out(step)
