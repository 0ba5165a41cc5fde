"""A build from its Dockerfile to its image: parse, plan, find the bases, carry out the stages, finish, export."""

from __future__ import annotations

import itertools
import threading
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import field, replace
from typing import TYPE_CHECKING

from builder.checks import check, report
from builder.costs import Costs
from builder.dockerfile import instructions as ins
from builder.dockerfile.parse import parse, parse_trigger
from builder.dockerfile.plan import SCRATCH, Plan, Stage, plan
from builder.errors import BuildError, CancelledError, IsolationError, StepError
from builder.events import Step, StepCached, reported
from builder.execute import copy
from builder.execute.arriving import Arrivals
from builder.execute.guard import guard_of
from builder.execute.origin import NamedContexts, Origin
from builder.execute.site import Site
from builder.execute.stage import StageRun
from builder.execute.state import from_image, from_scratch, from_stage
from builder.execute.times import dated, parse_epoch
from layers import mutate
from layers.frozen import frozen
from layers.store.trees import Trees

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from builder.bases import Bases
    from builder.cache.cache import Cache
    from builder.context.memo import Memo
    from builder.context.select import Files
    from builder.events import Listener
    from builder.execute.guard import Guard
    from builder.execute.machine import Machine
    from builder.execute.origin import NamedContext
    from builder.execute.remote import Remote
    from builder.execute.site import Settings
    from builder.execute.state import BuildState
    from builder.export.exporter import Exporter
    from layers.image import Image, Layer
    from layers.mutate import Family
    from layers.platform import Platform
    from layers.reference import Reference
    from layers.store.layout import Layout


@frozen
class Request:
    """What is to be built."""

    dockerfile: bytes
    file: str
    """The Dockerfile's name in messages."""
    context: Files
    platform: Platform
    build_platform: Platform
    settings: Settings
    target: str | None = None
    annotations: Mapping[str, str] = field(default_factory=dict)
    media_types: Family = "oci"
    names: tuple[Reference, ...] = ()
    contexts: Mapping[str, NamedContext] = field(default_factory=dict)
    """``--build-context``, by name."""


@frozen
class Tools:
    """What a build works with."""

    layout: Layout
    cache: Cache
    bases: Bases
    machine: Callable[[], Machine]
    """Makes what runs processes; called at most once, while there is one thread."""
    scratch: Path
    remote: Callable[[], Remote]
    """Gives what reaches other machines for ADD; the same at each call."""
    cache_mounts: Path
    """Where the directories of cache mounts are kept."""
    memo: Memo
    memo_file: Path
    """Where the memo is saved after a build that went well."""
    listener: Listener
    number: Callable[[], int]
    exporters: Sequence[Exporter] = ()
    costs: Costs = field(default_factory=Costs)
    """Where the time goes."""


def build(request: Request, tools: Tools) -> Image:
    """Build an image and bring it where it was asked to go.

    Raises:
        BuildError: says what failed, where in the Dockerfile, and how to fix it.
        LayersError: the store or a registry gave way.
    """
    settings, costs = request.settings, tools.costs
    with costs.phase("parse", request.file):
        dockerfile = parse(request.dockerfile, request.file)
    planned = plan(
        dockerfile,
        target=request.target,
        build_args=settings.arguments,
        platform=request.platform,
        build_platform=request.build_platform,
    )
    if planned.source_date_epoch is not None:
        settings = replace(settings, epoch=parse_epoch(planned.source_date_epoch))
    guard = guard_of(settings.secrets, settings.scan, tools.listener)
    guard.check_pairs("--label", settings.labels)
    guard.check_pairs("--annotation", request.annotations)
    state = _Build(request, tools, planned, settings, guard).run()
    image = finish(request, settings, state)
    for exporter in tools.exporters:
        with reported(tools.listener, Step(tools.number(), exporter.title)), costs.phase("export", exporter.title):
            exporter.export(image, request.names)
    return image


def finish(request: Request, settings: Settings, state: BuildState) -> Image:
    """Give the image of a finished state: times filled in, ``--label`` and ``--annotation`` set."""
    container = replace(state.container, labels={**state.container.labels, **settings.labels})
    config = dated(replace(state.config, config=container), state.inherited, settings.epoch)
    return mutate.assemble(config, state.layers, media_types=request.media_types, annotations=request.annotations)


class _Build:
    """The stages of one build, each begun as soon as those it needs are done."""

    def __init__(self, request: Request, tools: Tools, planned: Plan, settings: Settings, guard: Guard) -> None:
        self._request = request
        self._tools = tools
        self._plan = planned
        self._stopped = threading.Event()
        self._machine: Machine | IsolationError | None = None
        self._states: dict[int, Future[BuildState]] = {}
        self._triggers: dict[Stage, tuple[ins.Instruction, ...]] = {}
        self._arrivals = Arrivals(tools.layout, self._unpack)
        self._site = Site(
            layout=tools.layout,
            cache=tools.cache,
            context=request.context,
            trees=Trees(tools.layout),
            machine=self._running_machine,
            scratch=tools.scratch,
            guard=guard,
            costs=tools.costs,
            memo=tools.memo,
            listener=tools.listener,
            settings=settings,
            stage=lambda index: self._states[index].result(),
            image=lambda name: self._image(name, request.platform),
            named=NamedContexts(request.contexts),
            remote=tools.remote,
            cache_mounts=tools.cache_mounts,
        )

    def run(self) -> BuildState:
        """Carry out all stages that the target needs and give the target's state.

        What the build checks find is told before anything is carried out.
        """
        with self._arrivals.until():
            return self._run()

    def _run(self) -> BuildState:
        self._prepare_machine(self._plan.reachable())
        stages = self._needed()
        report(
            self._plan, check(self._plan, self._request.context, stages=stages, image=self._base), self._tools.listener
        )
        self._prepare_machine(stages)
        if len(stages) == 1:
            return self._stage(stages[0])
        with ThreadPoolExecutor(max_workers=len(stages)) as pool:
            try:
                for stage in stages:
                    self._states[stage.index] = Future()
                running = [pool.submit(self._fulfil, stage) for stage in stages]
                done, _ = wait(running, return_when=FIRST_EXCEPTION)
                _raise_first(done)
            except BaseException:
                self._stop()
                raise
        return self._states[self._plan.target.index].result()

    def _needed(self) -> list[Stage]:
        """Give the stages to carry out, each after those it needs; pull the bases and read their triggers."""
        order: dict[Stage, None] = {}

        def visit(stage: Stage) -> None:
            if stage in order:
                return
            if self._in_place_of(stage) is not None:
                self._triggers[stage] = ()
                order[stage] = None
                return
            triggers = self._plan.triggers(stage)
            if isinstance(stage.base, str) and stage.base != SCRATCH and self._files_named(stage) is None:
                try:
                    image = self._image(stage.base, stage.platform, self._arriving(stage))
                except BuildError as error:
                    error.where = error.where or stage.where
                    error.hint = self._plan.hint(stage.base) or error.hint
                    raise
                triggers = tuple(parse_trigger(each, stage.where) for each in image.config.config.on_build)
            self._triggers[stage] = triggers
            for needed in self._plan.dependencies(stage, triggers):
                if isinstance(needed, Stage):
                    visit(needed)
            order[stage] = None

        visit(self._plan.target)
        return list(order)

    def _base(self, stage: Stage) -> Image | None:
        """Give the image that a stage begins from."""
        if not isinstance(stage.base, str) or self._files_named(stage) or self._in_place_of(stage):
            return None
        return self._image(stage.base, stage.platform)

    def _image(self, name: str, platform: Platform, arriving: Callable[[Image], None] | None = None) -> Image:
        """Give the image of a name: that of a context of this name, else a base image."""
        named = self._site.named.find(name, platform)
        if named is None:
            with self._tools.costs.phase("base", name):
                return self._tools.bases.image(name, platform, arriving)
        if named.image is None:
            raise StepError(f"the context {name} has files and is no image")
        return named.image(platform)

    def _arriving(self, base: Stage) -> Callable[[Image], None] | None:
        """Give what unpacks a stage's base while it is pulled, where a step will run on it."""
        if not isinstance(self._machine, IsolationError | None) and any(
            isinstance(each, ins.Run)
            for stage in self._plan.reachable()
            if stage.bottom is base
            for each in stage.instructions
        ):
            return self._arrivals.begin
        return None

    def _unpack(self, layers: Sequence[Layer]) -> None:
        self._running_machine().unpack(layers, self._site.trees)

    def _in_place_of(self, stage: Stage) -> NamedContext | None:
        """Give the context that stands in the place of a whole stage, being called as it is."""
        return self._site.named.find(stage.name, stage.platform) if stage.name else None

    def _files_named(self, stage: Stage) -> NamedContext | None:
        """Give the context of files that a stage begins from."""
        if not isinstance(stage.base, str) or stage.base == SCRATCH:
            return None
        named = self._site.named.find(stage.base, stage.platform)
        return named if named is not None and named.files is not None else None

    def _prepare_machine(self, stages: Sequence[Stage]) -> None:
        """Enter namespaces, where a stage will want to run something and while there are no threads."""
        if self._machine is not None:
            return
        todo = (each for stage in stages for each in (*stage.instructions, *self._triggers.get(stage, ())))
        if any(isinstance(each, ins.Run) for each in todo):
            try:
                self._machine = self._tools.machine()
            except IsolationError as error:
                self._machine = error  # perhaps every RUN's result is known

    def _running_machine(self) -> Machine:
        if isinstance(self._machine, IsolationError):
            raise IsolationError(self._machine.message, hint=self._machine.hint)
        assert self._machine is not None
        return self._machine

    def _fulfil(self, stage: Stage) -> None:
        try:
            self._states[stage.index].set_result(self._stage(stage))
        except BaseException as error:
            self._states[stage.index].set_exception(error)
            raise

    def _stage(self, stage: Stage) -> BuildState:
        named = self._in_place_of(stage)
        if named is not None:
            return self._from_context(named, stage, stage.name or "")
        if (files := self._files_named(stage)) is not None:
            state = self._from_context(files, stage, str(stage.base))
        elif isinstance(stage.base, Stage):
            state = from_stage(self._states[stage.base.index].result())
        elif stage.base == SCRATCH:
            state = from_scratch(stage.platform)
        else:
            state = from_image(self._image(stage.base, stage.platform), stage.platform)
        run = StageRun(self._site, self._plan, stage, self._tools.number, self._stopped)
        return run.run(state, self._triggers[stage])

    def _from_context(self, named: NamedContext, stage: Stage, name: str) -> BuildState:
        """Give the state of what begins from a context: its image, or its files in a layer."""
        if named.image is not None:
            return from_image(named.image(stage.platform), stage.platform)
        assert named.files is not None
        everything = ins.Copy(where=stage.where, text=f"context {name}", sources=("/",), destination="/")
        state, origin = from_scratch(stage.platform), Origin(named.files(), f'"{name}"')
        taken = copy.prepare(self._site, state, everything, origin)
        step = Step(self._tools.number(), f"[context {name}] load", stage.where)
        known = copy.cached(self._site, state, taken)
        if known is not None:
            self._tools.listener(StepCached(step))
            return known
        with reported(self._tools.listener, step):
            return copy.copy(self._site, state, everything, taken)

    def _stop(self) -> None:
        self._stopped.set()
        if self._machine is not None and not isinstance(self._machine, IsolationError):
            self._machine.stop()


def _raise_first(done: set[Future[None]]) -> None:
    """Raise what a stage failed of; that others were ended because of it is not worth telling."""
    errors = [error for future in done if (error := future.exception()) is not None]
    causes = [error for error in errors if not isinstance(error, CancelledError)]
    if errors:
        raise (causes or errors)[0]


def counter() -> Callable[[], int]:
    """Give a function that counts from 1, for several threads."""
    numbers = itertools.count(1)
    return lambda: next(numbers)
