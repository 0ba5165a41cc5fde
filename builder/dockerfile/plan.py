"""Which stages there are, what each begins from, and what it needs; nothing of a stage but its FROM is expanded."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import defaultdict
from dataclasses import field
from typing import TYPE_CHECKING

from builder.dockerfile.expand import declare
from builder.dockerfile.instructions import Arg, Copy, From, Instruction, Onbuild, Run
from builder.dockerfile.parse import check_frontend, parse_trigger
from builder.dockerfile.platforms import platform_arguments, proxy_environment
from builder.dockerfile.suggest import did_you_mean
from builder.dockerfile.words import lex
from builder.errors import DockerfileError
from layers.errors import InvalidError
from layers.frozen import frozen
from layers.platform import Platform

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from builder.dockerfile.parse import Dockerfile, SourceStage
    from builder.errors import SourceRange

__all__ = ["SCRATCH", "Plan", "Stage", "plan", "platform_arguments", "proxy_environment"]

SCRATCH = "scratch"
"""The base without files, unless an earlier stage has that name."""


@frozen(eq=False)
class Stage:
    """A stage with its FROM resolved; each is itself alone, so stages are keys of a dict."""

    index: int
    name: str | None
    """In lower case."""
    base: Stage | str = field(repr=False)
    """An earlier stage, the text of an image's name, or :data:`SCRATCH`."""
    platform: Platform
    """What FROM asks for, else the base stage's, else the target's."""
    source: SourceStage = field(repr=False)
    label: str
    """What progress calls the stage: its name, ``stage-N``, or "" where it is the only one."""

    @property
    def instructions(self) -> tuple[Instruction, ...]:
        """What follows FROM, as written."""
        return self.source.instructions

    @property
    def where(self) -> SourceRange:
        """Where its FROM stands."""
        return self.source.origin.where

    @property
    def bottom(self) -> Stage:
        """The stage that begins from no other, and that this one is built on; itself where it is that."""
        return self.base.bottom if isinstance(self.base, Stage) else self


@frozen
class Plan:
    """A Dockerfile's stages for one target and platform."""

    dockerfile: Dockerfile
    target: Stage
    stages: tuple[Stage, ...]
    global_arguments: Mapping[str, str]
    """Values of the ARGs before the first FROM and of the platform arguments, after ``--build-arg``."""
    build_args: Mapping[str, str]
    platform: Platform
    build_platform: Platform
    _named: Mapping[str, Sequence[int]] = field(repr=False)
    _triggers: dict[Stage, tuple[Instruction, ...]] = field(default_factory=dict, repr=False)

    @property
    def escape(self) -> str:
        """The Dockerfile's escape character."""
        return self.dockerfile.escape

    @property
    def source_date_epoch(self) -> str | None:
        """The text of SOURCE_DATE_EPOCH as a build argument or as a global ARG's value; None where neither is there."""
        if "SOURCE_DATE_EPOCH" in self.build_args:
            return self.build_args["SOURCE_DATE_EPOCH"]
        return self.global_arguments.get("SOURCE_DATE_EPOCH") or None

    def find(self, name_or_index: str, before: int, *, numbers: bool = True) -> Stage | None:
        """Give the last stage of that name, in any case, among those before a stage; ``numbers`` allows an index too.

        Where the name is only a later stage's there is none. FROM has its own rule: see :attr:`Stage.base`.
        """
        if numbers and re.fullmatch(r"[+-]?[0-9]{1,9}", name_or_index):
            index = int(name_or_index)
            return self.stages[index] if 0 <= index < min(before, len(self.stages)) else None
        indexes = self._named.get(name_or_index.lower(), ())
        earlier = bisect_left(indexes, before)
        return self.stages[indexes[earlier - 1]] if earlier else None

    def source(self, stage: Stage, name: str, where: SourceRange, *, numbers: bool = True) -> Stage | str:
        """Give what ``from=name`` means in a stage: an earlier stage, or the text of an image's or context's name.

        ``numbers`` is for COPY; a RUN's mounts know names only.

        Raises:
            DockerfileError: a stage that is not earlier, an index without a stage, a variable.
        """
        lexed = lex(name, {}, self.escape, where=where)
        if lexed.text != name:
            raise DockerfileError(
                f"variable expansion is not supported for --from={name[:160]}",
                where=where,
                hint="define a new stage with FROM using ARG from global scope",
            )
        found = self.find(name, stage.index, numbers=numbers)
        if found is not None:
            return found
        if numbers and re.fullmatch(r"[+-]?[0-9]+", name):
            hint = f"stages before this one are 0 to {stage.index - 1}" if stage.index else "this is the first stage"
            raise DockerfileError(f"invalid stage index {name[:160]}", where=where, hint=hint)
        later = self.find(name, len(self.stages), numbers=False)
        if later is None:
            return name
        if later is stage:
            raise DockerfileError(f"circular dependency detected on stage: {name}", where=where)
        raise DockerfileError(
            f"stage {name!r} is used before it is defined", where=where, hint=f"it begins at {later.where}"
        )

    def triggers(self, stage: Stage) -> tuple[Instruction, ...]:
        """Give what the base stage's own ONBUILDs do here, in order; an image's are in its config.

        Raises:
            DockerfileError: a trigger that is not one instruction.
        """
        if isinstance(stage.base, str):
            return ()
        if stage not in self._triggers:
            expressions = [one.expression for one in stage.base.instructions if isinstance(one, Onbuild)]
            self._triggers[stage] = tuple(parse_trigger(expression, stage.where) for expression in expressions)
        return self._triggers[stage]

    def dependencies(self, stage: Stage, extra: Iterable[Instruction] = ()) -> tuple[Stage | str, ...]:
        """Give the stages, and the names of images or contexts, that a stage needs, its base first, each once.

        ``extra`` are the ONBUILD triggers of the base image; those of a base stage are known. scratch is no need.

        Raises:
            DockerfileError: as :meth:`source` and :meth:`triggers`.
        """
        found: dict[Stage | str, None] = {stage.base: None}
        for instruction in (*self.triggers(stage), *extra, *stage.instructions):
            if isinstance(instruction, Copy) and instruction.from_stage:
                found[self.source(stage, instruction.from_stage, instruction.where)] = None
            elif isinstance(instruction, Run):
                for mount in instruction.mounts:
                    if mount.from_stage:
                        found[self.source(stage, mount.from_stage, instruction.where, numbers=False)] = None
        found.pop(SCRATCH, None)
        return tuple(found)

    def reachable(self) -> tuple[Stage, ...]:
        """Give the stages that the target needs, itself too, by index; an image's triggers may need more.

        Raises:
            DockerfileError: as :meth:`dependencies`.
        """
        found: set[Stage] = set()
        waiting = [self.target]
        while waiting:
            stage = waiting.pop()
            if stage not in found:
                found.add(stage)
                waiting += (one for one in self.dependencies(stage) if isinstance(one, Stage))
        return tuple(sorted(found, key=lambda stage: stage.index))

    def hint(self, image: str) -> str:
        """Give the hint for an image that cannot be found: perhaps a stage was meant."""
        names = {stage.name: stage for stage in self.stages if stage.name}
        if image in names and names[image].base != image:
            return f"the stage of that name begins at {names[image].where}: a FROM knows only stages above it"
        if image.lower() in names:
            return f"did you mean {image.lower()}? Stages' names are in lower case, and FROM takes them as written"
        return did_you_mean(image, [stage.name for stage in self.stages if stage.name])


def plan(
    dockerfile: Dockerfile,
    *,
    target: str | None,
    build_args: Mapping[str, str],
    platform: Platform,
    build_platform: Platform,
) -> Plan:
    """Resolve every FROM and choose the target: the stage of that name in any case, or the last.

    Raises:
        DockerfileError: no such target, a base without name, a platform that is none; says where. Another frontend.
    """
    check_frontend(build_args.get("BUILDKIT_SYNTAX", ""))
    automatic = platform_arguments(platform, build_platform, target or dockerfile.stages[-1].origin.name or "")
    automatic = {name: build_args.get(name, value) for name, value in automatic.items()}
    arguments = global_arguments(dockerfile.arguments, automatic, build_args, dockerfile.escape)
    stages = _stages(dockerfile, arguments, platform)
    named: defaultdict[str, list[int]] = defaultdict(list)
    for stage in stages:
        if stage.name:
            named[stage.name].append(stage.index)
    return Plan(dockerfile, _target(stages, target), stages, arguments, build_args, platform, build_platform, named)


def global_arguments(
    declarations: Iterable[Arg], automatic: Mapping[str, str], build_args: Mapping[str, str], escape: str
) -> dict[str, str]:
    """Give the values that FROM sees; each ARG sees those before it, on its own line too.

    Raises:
        DockerfileError: a default that cannot be expanded.
    """
    values = dict(automatic)
    for declaration in declarations:
        declared = declare(declaration, values, escape, build_args=build_args)
        values.update((name, value) for name, value in declared if value is not None)
    return values


def _stages(dockerfile: Dockerfile, arguments: Mapping[str, str], target_platform: Platform) -> tuple[Stage, ...]:
    stages: list[Stage] = []
    by_name: dict[str, Stage] = {}
    alone = len(dockerfile.stages) == 1
    for source in dockerfile.stages:
        origin = source.origin
        image = _expanded(origin.image, "base name", origin, arguments, dockerfile.escape)
        base = by_name.get(image, image)  # as written: "FROM Build" is no stage "build"
        platform = _platform(origin, arguments, dockerfile.escape, target_platform)
        if isinstance(base, Stage):
            platform = base.platform
        elif base == SCRATCH:
            platform = target_platform
        label = "" if alone else origin.name or f"stage-{source.index}"
        stages.append(Stage(source.index, origin.name, base, platform, source, label))
        if origin.name:
            by_name[origin.name] = stages[-1]
    return tuple(stages)


def _platform(origin: From, arguments: Mapping[str, str], escape: str, target_platform: Platform) -> Platform:
    if origin.platform is None:
        return target_platform
    text = _expanded(origin.platform, "platform", origin, arguments, escape)
    try:
        return Platform.parse(text)
    except InvalidError as error:
        raise DockerfileError(f"failed to parse platform {text[:160]}", where=origin.where, hint=error.hint) from None


def _expanded(text: str, what: str, origin: From, arguments: Mapping[str, str], escape: str) -> str:
    """Expand a word of FROM, and insist that something is left of it."""
    lexed = lex(text, arguments, escape, where=origin.where)
    if lexed.text:
        return lexed.text
    hints = (did_you_mean(name, arguments) for name in sorted(lexed.unset))
    hint = next(filter(None, hints), "give the ARG before the first FROM a default, or set it with --build-arg")
    raise DockerfileError(f"{what} ({text[:160]}) should not be blank", where=origin.where, hint=hint)


def _target(stages: tuple[Stage, ...], target: str | None) -> Stage:
    if not target:
        return stages[-1]
    names = [stage.name for stage in stages if stage.name]
    found = next((stage for stage in reversed(stages) if stage.name == target.lower()), None)
    if found is None:
        otherwise = f"the stages are {', '.join(dict.fromkeys(names))}"[:300] if names else "no stage has a name"
        raise DockerfileError(
            f"target stage {target[:160]!r} could not be found", hint=did_you_mean(target, names, otherwise)
        )
    return found
