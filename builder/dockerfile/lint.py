"""Build checks: what works, but surprises somebody some day.

Rules are told in :data:`builder.dockerfile.rules.RULES`; the words of each message are the ones that people know.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from builder.dockerfile import instructions as ins
from builder.dockerfile.arguments import is_old_form, plain_words, quoted_words, split_name
from builder.dockerfile.expand import declare, expand
from builder.dockerfile.flags import split_flags
from builder.dockerfile.parse import parse_trigger
from builder.dockerfile.plan import Plan, Stage, global_arguments, platform_arguments
from builder.dockerfile.ports import is_mapping, protocol_of
from builder.dockerfile.rules import Checks, Finding, checks_of
from builder.dockerfile.suggest import nearest
from builder.dockerfile.words import expand_words, lex
from builder.errors import DockerfileError, SourceRange
from layers.errors import InvalidError
from layers.platform import Platform
from layers.reference import Reference

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from builder.dockerfile.source import Line

_RESERVED = frozenset({"context", "scratch"})
_SECRET = re.compile(
    r"(?:_|^)(?:apikey|auth|credentials?|key|password|pword|passwd|secret|token)(?:_|$)", re.IGNORECASE
)
_NO_SECRET = re.compile(r"(?:_|^)(?:public|file|version)(?:_|$)", re.IGNORECASE)
_REMOTE = re.compile(r"(?:https?|git|ssh)://|git@", re.IGNORECASE)
_ANY_NAME = "any file's name"


class BaseFacts(NamedTuple):
    """What checks ask of a base image."""

    env: Mapping[str, str]
    shell: bool
    """Its config has a shell of its own."""
    platform: Platform | None
    """The platform of the image that was chosen."""
    triggers: tuple[str, ...] = ()
    """Its ONBUILDs: what they do here is looked at as if it stood behind the FROM, as BuildKit does."""


def lint(
    plan: Plan,
    *,
    stages: Iterable[Stage] | None = None,
    base: Callable[[Stage], BaseFacts | None] | None = None,
    ignored: Callable[[str], bool] | None = None,
    checks: Checks | None = None,
) -> tuple[Finding, ...]:
    """Give what is found in a Dockerfile, by line.

    ``stages`` are those whose instructions are looked at, all by default; ``base`` tells of the image that a stage
    begins from, or None where it is not known, which leaves its variables unchecked. ``ignored`` tells whether
    .dockerignore excludes a path, and is left out where it has exceptions. ``checks`` replaces the directive.

    Raises:
        DockerfileError: a ``check=`` that cannot be read, or a word that cannot be expanded.
    """
    checks = checks or checks_of(plan.dockerfile.directives, plan.build_args)
    linter = _Linter(plan, checks, base or (lambda _: None), ignored)
    linter.look_at_text()
    linter.look_at_stages()
    chosen = plan.stages if stages is None else sorted(stages, key=lambda stage: stage.index)
    for stage in chosen:
        linter.look_into(stage)
    return tuple(sorted(linter.found, key=lambda finding: finding.where))


@dataclass(slots=True)
class _State:
    """What holds at one place of a stage."""

    env: dict[str, str]
    known: bool
    """The base image's variables are known."""
    shell: bool
    declared: set[str] = field(default_factory=set)
    workdir: bool = False
    last: dict[str, SourceRange] = field(default_factory=dict)
    """Where CMD, ENTRYPOINT and HEALTHCHECK last stood in this stage."""

    def inherited(self) -> _State:
        """Give what a stage that begins from this one begins with."""
        return _State(dict(self.env), self.known, self.shell, set(self.declared), self.workdir)


class _Linter:
    """One look at one Dockerfile."""

    def __init__(
        self,
        plan: Plan,
        checks: Checks,
        base: Callable[[Stage], BaseFacts | None],
        ignored: Callable[[str], bool] | None,
    ) -> None:
        self.found: list[Finding] = []
        self._plan = plan
        self._escape = plan.escape
        self._checks = checks
        self._base = base
        self._ignored = ignored
        self._lines = {line.where.start: line for line in plan.dockerfile.lines}
        self._states: dict[Stage, _State] = {}

    def _report(self, rule: str, message: str, where: SourceRange, at: SourceRange | None = None) -> None:
        """Note a finding, unless the comments above it, or above ``at``, say otherwise."""
        line = self._lines.get((at or where).start)
        checks = self._checks.with_comments(line.comments) if line else self._checks
        if checks.wants(rule):
            self.found.append(Finding(rule, message, where))

    def look_at_text(self) -> None:
        """Check what only the text shows: cases, comments, old forms of writing."""
        for rule, message, where in self._plan.dockerfile.warnings:
            self._report(rule, message, where)
        for line in self._plan.dockerfile.lines:
            name, rest = split_name(line.text)
            words = plain_words(split_flags(rest, self._escape)[1])
            match name.upper():
                case "MAINTAINER":
                    message = "Maintainer instruction is deprecated in favor of using label"
                    self._report("MaintainerDeprecated", message, line.where)
                case "FROM" if len(words) == 3:
                    self._look_at_as(name, words[1], words[2], line)
                    self._look_at_description("FROM", [words[2].lower()], line)
                case "ARG":
                    names = [word.partition("=")[0] for word in quoted_words(rest, self._escape)]
                    self._look_at_description("ARG", names, line)
        self._look_at_casing()

    def _look_at_as(self, keyword: str, as_keyword: str, stage: str, line: Line) -> None:
        if stage != stage.lower():
            self._report("StageNameCasing", f"Stage name '{stage}' should be lowercase", line.where)
        for case in (str.lower, str.upper):
            if keyword == case(keyword) and as_keyword != case(as_keyword):
                message = f"'{as_keyword}' and '{keyword}' keywords' casing do not match"
                self._report("FromAsCasing", message, line.where)

    def _look_at_description(self, keyword: str, names: list[str], line: Line) -> None:
        if line.comments and line.comments[-1].split(" ")[0] not in names:
            example = names[0] if len(names) == 1 else "<arg_key>"
            message = f"Comment for {keyword} should follow the format: `# {example} <description>`"
            self._report("InvalidDefinitionDescription", message, line.where)

    def _look_at_casing(self) -> None:
        """Check that names of instructions, global ARGs apart, are in the case of most of them; a tie is upper case."""
        count = len(self._plan.dockerfile.arguments)
        names = [(split_name(line.text)[0], line.where) for line in self._plan.dockerfile.lines[count:]]
        lower = sum(name == name.lower() for name, _ in names)
        upper = sum(name == name.upper() for name, _ in names)
        case, word = (str.lower, "lowercase") if lower > upper else (str.upper, "uppercase")
        for name, where in names:
            if name != case(name):
                message = f"Command '{name}' should match the case of the command majority ({word})"
                self._report("ConsistentInstructionCasing", message, where)

    def look_at_stages(self) -> None:
        """Check each FROM: names, arguments, platforms."""
        names: set[str] = set()
        for stage in self._plan.stages:
            if stage.name in _RESERVED:
                message = f'Stage name should not use the same name as reserved stage "{stage.name}"'
                self._report("ReservedStageName", message, stage.where)
            if stage.name in names:
                message = f'Duplicate stage name "{stage.name}", stage names should be unique'
                self._report("DuplicateStageName", message, stage.where)
            if stage.name:
                names.add(stage.name)
        self._look_at_defaults()
        declared = {name for arg in self._plan.dockerfile.arguments for name, _ in arg.pairs}
        declared |= self._plan.global_arguments.keys()
        for stage in self._plan.stages:
            self._look_at_from(stage, declared)

    def _look_at_defaults(self) -> None:
        """Check that FROM names an image without any build argument."""
        plan = self._plan
        automatic = platform_arguments(plan.platform, plan.build_platform, plan.target.name or "")
        automatic = {name: plan.build_args.get(name, value) for name, value in automatic.items()}
        try:
            arguments = global_arguments(plan.dockerfile.arguments, automatic, {}, self._escape)
        except DockerfileError:
            return  # ${name:?} and its like: there is no default then
        for stage in plan.stages:
            image = stage.source.origin.image
            try:
                Reference.parse_name(lex(image, arguments, self._escape).text)
            except (DockerfileError, InvalidError):
                message = f"Default value for ARG {image} results in empty or invalid base image name"
                self._report("InvalidDefaultArgInFrom", message, stage.where)

    def _look_at_from(self, stage: Stage, declared: set[str]) -> None:
        origin, values = stage.source.origin, self._plan.global_arguments
        image = lex(origin.image, values, self._escape)
        platform = lex(origin.platform or "", values, self._escape)
        for name in sorted((image.unset | platform.unset) - declared):
            meant = nearest(name, declared)
            message = f"FROM argument '{name}' is not declared" + (f" (did you mean {meant}?)" if meant else "")
            self._report("UndefinedArgInFrom", message, stage.where)
        if not origin.platform:
            return
        if platform.used == {"TARGETPLATFORM"} and not platform.unset and platform.text == values["TARGETPLATFORM"]:
            message = (
                f"Setting platform to predefined {origin.platform} in FROM is redundant as this is the default behavior"
            )
            self._report("RedundantTargetPlatform", message, stage.where)
        if not platform.used and not platform.unset:
            constant = Platform.parse(platform.text)
            if not any(part in (stage.name or "") for part in (constant.os, constant.architecture)):
                message = f'FROM --platform flag should not use constant value "{platform.text}"'
                self._report("FromPlatformFlagConstDisallowed", message, stage.where)

    def look_into(self, stage: Stage) -> None:
        """Check a stage's instructions, after those of the stages that it begins from."""
        chain: list[Stage] = []
        here: Stage | str = stage
        while isinstance(here, Stage) and here not in self._states:
            chain.append(here)
            here = here.base
        for one in reversed(chain):
            facts = self._facts(one)
            state = self._states[one] = self._first_state(one, facts)
            inherited = [parse_trigger(each, one.where) for each in facts.triggers] if facts else []
            for instruction in (*self._plan.triggers(one), *inherited, *one.instructions):
                try:
                    self._look_at(instruction, state)
                except DockerfileError:
                    if state.known:
                        raise

    def _facts(self, stage: Stage) -> BaseFacts | None:
        """Give what is known of the image that a stage begins from; None for another stage too."""
        if isinstance(stage.base, Stage):
            return None
        return BaseFacts({}, shell=False, platform=None) if stage.base == "scratch" else self._base(stage)

    def _first_state(self, stage: Stage, facts: BaseFacts | None) -> _State:
        if isinstance(stage.base, Stage):
            return self._states[stage.base].inherited()
        if facts is None:
            return _State({"PATH": ""}, known=False, shell=False)
        found, wanted = facts.platform, stage.platform
        if found and (found.os, found.architecture) != (wanted.os, wanted.architecture):
            pulled = f'Base image {stage.base} was pulled with platform "{found.full}"'
            message = f'{pulled}, expected "{wanted.full}" for current build'
            self._report("InvalidBaseImagePlatform", message, stage.where)
        return _State({"PATH": "", **facts.env}, known=True, shell=facts.shell)

    def _look_at(self, instruction: ins.Instruction, state: _State) -> None:
        """Check one instruction, and carry on what it sets."""
        where = instruction.where
        unset = partial(self._report_unset, state=state, where=where, seen=set())
        match instruction:
            case ins.Arg():
                values = self._plan.global_arguments
                declared = declare(
                    instruction,
                    state.env,
                    self._escape,
                    build_args=self._plan.build_args,
                    global_arguments=values,
                    unset=unset,
                )
                for name, value in declared:
                    self._look_at_secret("ARG", name, where)
                    state.declared.add(name)
                    if value is not None:
                        state.env[name] = value
            case ins.Expose():
                self._look_at_ports(instruction, state.env, unset)
            case ins.Cmd() | ins.Entrypoint() | ins.Healthcheck():
                self._look_at_command(instruction, state)
            case ins.Shell():
                state.shell = True
            case _:
                self._look_at_expanded(expand(instruction, state.env, self._escape, unset=unset), state)

    def _look_at_expanded(self, instruction: ins.Instruction, state: _State) -> None:
        where = instruction.where
        match instruction:
            case ins.Env() | ins.Label():
                self._look_at_form(instruction)
                if isinstance(instruction, ins.Env):
                    for name, _ in instruction.pairs:
                        self._look_at_secret("ENV", name, where)
                    state.env.update(instruction.pairs)
            case ins.Workdir(path=path):
                if not state.workdir and not path.startswith("/"):
                    message = f'Relative workdir "{path}" can have unexpected results if the base image changes'
                    self._report("WorkdirRelativePath", message, where)
                state.workdir = True
            case ins.Copy(from_stage=None, sources=sources):
                self._look_at_sources("Copy", sources, where)
            case ins.Add(sources=sources):
                self._look_at_sources("Add", [source for source in sources if not _REMOTE.match(source)], where)

    def _report_unset(self, name: str, *, state: _State, where: SourceRange, seen: set[str]) -> None:
        if not state.known or name in state.declared or name in seen:
            return
        seen.add(name)
        meant = nearest(name, state.env)
        message = f"Usage of undefined variable '${name}'" + (f" (did you mean ${meant}?)" if meant else "")
        self._report("UndefinedVar", message, where)

    def _look_at_command(self, instruction: ins.Cmd | ins.Entrypoint | ins.Healthcheck, state: _State) -> None:
        name, where = split_name(instruction.text)[0], instruction.where
        if earlier := state.last.get(instruction.keyword):
            message = f"Multiple {name} instructions should not be used in the same stage"
            message += " because only the last one will be used"
            self._report("MultipleInstructionsDisallowed", message, earlier, at=where)
        state.last[instruction.keyword] = where
        if instruction.shell and not state.shell and not isinstance(instruction, ins.Healthcheck):
            message = f"JSON arguments recommended for {name} to prevent unintended behavior related to OS signals"
            self._report("JSONArgsRecommended", message, where)

    def _look_at_form(self, instruction: ins.Env | ins.Label) -> None:
        name, rest = split_name(instruction.text)
        if is_old_form(quoted_words(split_flags(rest, self._escape)[1], self._escape)):
            message = f'"{name} key=value" should be used instead of legacy "{name} key value" format'
            self._report("LegacyKeyValueFormat", message, instruction.where)

    def _look_at_secret(self, keyword: str, name: str, where: SourceRange) -> None:
        if _SECRET.search(name) and not _NO_SECRET.search(name):
            message = f'Do not use ARG or ENV instructions for sensitive data ({keyword} "{name}")'
            self._report("SecretsUsedInArgOrEnv", message, where)

    def _look_at_ports(self, instruction: ins.Expose, env: Mapping[str, str], unset: Callable[[str], None]) -> None:
        for text in instruction.ports:
            for port in expand_words(text, env, self._escape, unset=unset, where=instruction.where):
                protocol = protocol_of(port)
                if protocol != protocol.lower():
                    message = f"Defined protocol '{port}' in EXPOSE instruction should be lowercase"
                    self._report("ExposeProtoCasing", message, instruction.where)
                if is_mapping(port):
                    message = f"EXPOSE instruction should not define an IP address or host-port mapping, found '{port}'"
                    self._report("ExposeInvalidFormat", message, instruction.where)

    def _look_at_sources(self, verb: str, sources: Iterable[str], where: SourceRange) -> None:
        if self._ignored is None:
            return
        for source in sources:
            path = posixpath.normpath(source)
            asked = _ANY_NAME if path in {".", "/"} else path.lstrip("/")
            if self._ignored(asked):
                message = f'Attempting to {verb} file "{path}" that is excluded by .dockerignore'
                self._report("CopyIgnoredFile", message, where)
