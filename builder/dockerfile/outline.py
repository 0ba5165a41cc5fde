"""What a Dockerfile offers: its targets, and what may be given to one of them; with the comments that describe them.

A comment right above a FROM or ARG describes it where it begins with the stage's or the argument's name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from builder.dockerfile.instructions import Arg, Run
from builder.dockerfile.mounts import read_mount
from builder.dockerfile.words import lex
from builder.errors import DockerfileError, SourceRange

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from builder.dockerfile.parse import Dockerfile
    from builder.dockerfile.plan import Plan, Stage


class Target(NamedTuple):
    """A stage that can be built."""

    name: str
    """"" where it has none."""
    description: str
    base: str
    """As written."""
    platform: str
    """As written; "" where FROM does not say."""
    default: bool
    """It is built where no target is asked for."""
    where: SourceRange


class Argument(NamedTuple):
    """What ``--build-arg`` may set."""

    name: str
    description: str
    value: str
    """The value that it has, a stage's default as written; "" where it has none."""
    where: SourceRange


class Secret(NamedTuple):
    """A secret, or an SSH agent's socket, that a RUN mounts."""

    name: str
    required: bool
    where: SourceRange


class Outline(NamedTuple):
    """What may be given to a target."""

    name: str
    description: str
    arguments: tuple[Argument, ...]
    secrets: tuple[Secret, ...]
    ssh: tuple[Secret, ...]


def targets(dockerfile: Dockerfile) -> tuple[Target, ...]:
    """Give the stages in order."""
    comments = _comments(dockerfile)
    last = len(dockerfile.stages) - 1
    return tuple(
        Target(
            stage.origin.name or "",
            _description(comments, stage.origin.where, stage.origin.name or ""),
            stage.origin.image,
            stage.origin.platform or "",
            stage.index == last,
            stage.origin.where,
        )
        for stage in dockerfile.stages
    )


def outline(plan: Plan) -> Outline:
    """Give what the target, and the stages that it needs, make use of: each name once, in order of its line.

    Raises:
        DockerfileError: a stage's needs lead nowhere.
    """
    dockerfile = plan.dockerfile
    comments = _comments(dockerfile)
    stages = plan.reachable()
    used = _used_globally(plan, stages)
    values = plan.global_arguments
    found = [(arg, name, values.get(name, "")) for arg in dockerfile.arguments for name, _ in arg.pairs if name in used]
    for arg in (one for stage in stages for one in stage.instructions if isinstance(one, Arg)):
        found += ((arg, name, values.get(name, "") if default is None else default) for name, default in arg.pairs)
    arguments: dict[str, Argument] = {}
    for arg, name, value in found:
        description = _description(comments, arg.where, name)
        if name not in arguments or description:
            arguments[name] = Argument(name, description, plan.build_args.get(name, value), arg.where)
    origin = plan.target.source.origin
    secrets, ssh = _mounted(stages)
    name = origin.name or ""
    return Outline(name, _description(comments, origin.where, name), tuple(arguments.values()), secrets, ssh)


def _comments(dockerfile: Dockerfile) -> Mapping[int, tuple[str, ...]]:
    return {line.where.start: line.comments for line in dockerfile.lines}


def _description(comments: Mapping[int, tuple[str, ...]], where: SourceRange, name: str) -> str:
    """Give what the first comment that begins with the name says of it."""
    beginning = f"{name} "
    found = (comment for comment in comments[where.start] if name and comment.startswith(beginning))
    return next(found, "").removeprefix(beginning)


def _used_globally(plan: Plan, stages: Iterable[Stage]) -> set[str]:
    """Give the global arguments that some FROM, or another one of them that it uses, asks for."""
    texts = {name: default or "" for arg in plan.dockerfile.arguments for name, default in arg.pairs}
    origins = [stage.source.origin for stage in stages]
    waiting = [text for origin in origins for text in (origin.image, origin.platform or "")]
    used: set[str] = set()
    while waiting:
        lexed = lex(waiting.pop(), plan.global_arguments, plan.escape)
        names = (lexed.used | lexed.unset) - used
        used |= names
        waiting += (texts[name] for name in names if name in texts)
    return used


def _mounted(stages: Iterable[Stage]) -> tuple[tuple[Secret, ...], tuple[Secret, ...]]:
    """Give the secrets and the agents that stages mount; one whose options hang on variables is left out."""
    secrets: dict[str, Secret] = {}
    ssh: dict[str, Secret] = {}
    for run in (one for stage in stages for one in stage.instructions if isinstance(one, Run)):
        for options in (mount.options for mount in run.mounts if mount.type in {"secret", "ssh"}):
            try:
                mount = read_mount(options, str)
            except DockerfileError:
                continue
            kind, name = (secrets, mount.secret_id) if mount.type == "secret" else (ssh, mount.id or "default")
            required = mount.required or (name in kind and kind[name].required)
            kind[name] = Secret(name, required, kind[name].where if name in kind else run.where)
    return tuple(secrets.values()), tuple(ssh.values())
