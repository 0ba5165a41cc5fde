"""A Dockerfile's text to stages of typed instructions."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING

from builder.dockerfile.arguments import split_name
from builder.dockerfile.instructions import Arg, From
from builder.dockerfile.read import read_instruction, refuse_trigger
from builder.dockerfile.rules import Finding
from builder.dockerfile.source import read_source
from builder.errors import DockerfileError, SourceRange
from layers.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from builder.dockerfile.instructions import Instruction
    from builder.dockerfile.source import Line


@frozen
class SourceStage:
    """A stage as written: ``FROM`` and what follows up to the next."""

    index: int
    origin: From
    instructions: tuple[Instruction, ...]


@frozen
class Dockerfile:
    """A parsed Dockerfile; nothing in it is expanded."""

    directives: dict[str, str]
    """Of ``syntax``, ``escape`` and ``check`` those that are given."""
    escape: str
    arguments: tuple[Arg, ...]
    """The ARGs before the first FROM."""
    stages: tuple[SourceStage, ...]
    warnings: tuple[Finding, ...]
    source: tuple[str, ...]
    """The lines of the file, for :func:`excerpt`."""
    lines: tuple[Line, ...]
    """The logical lines, one for each instruction, with the comments above them."""


def parse(content: bytes, file: str = "Dockerfile") -> Dockerfile:
    """Parse a Dockerfile; ``file`` is the name that errors give.

    Raises:
        DockerfileError: the text breaks the grammar or an instruction's rules; says where.
    """
    with _uncollected():
        return _parse(content, file)


def _parse(content: bytes, file: str) -> Dockerfile:
    source = read_source(content, file)
    check_frontend(source.directives.get("syntax", ""), SourceRange(file, 1, 1))
    end = SourceRange(file, max(1, len(source.physical)), max(1, len(source.physical)))
    if not source.lines:
        raise DockerfileError("file with no instructions", where=end, hint="a Dockerfile begins with FROM")
    arguments: list[Arg] = []
    stages: list[tuple[From, list[Instruction]]] = []
    for line in source.lines:
        instruction = read_instruction(line, source.escape)
        if isinstance(instruction, From):
            stages.append((instruction, []))
        elif stages:
            stages[-1][1].append(instruction)
        elif isinstance(instruction, Arg):
            arguments.append(instruction)
        else:
            raise DockerfileError(
                f"no build stage in current context: {instruction.keyword} stands before FROM",
                where=line.where,
                hint="only ARG may stand before the first FROM",
            )
    if not stages:
        raise DockerfileError("dockerfile contains no stages to build", where=end, hint="add a FROM")
    return Dockerfile(
        source.directives,
        source.escape,
        tuple(arguments),
        tuple(SourceStage(i, origin, tuple(body)) for i, (origin, body) in enumerate(stages)),
        tuple(Finding("NoEmptyContinuation", "Empty continuation line", where) for where in source.empty_continuations),
        source.physical,
        source.lines,
    )


@contextmanager
def _uncollected() -> Iterator[None]:
    """Keep the collector from looking for cycles where there are none: it took a third of the time of large files."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def check_frontend(image: str, where: SourceRange | None = None) -> None:
    """Refuse a file that is written for another frontend: whatever came of it would not be what was meant.

    Raises:
        DockerfileError: ``image`` is none of docker/dockerfile, wherever it comes from.
    """
    name = image.partition(" ")[0].partition("@")[0].rpartition("/")[2].partition(":")[0]
    if name not in {"", "dockerfile", "dockerfile-upstream", "dockerfile.v0"}:
        hint = "docker/dockerfile is known, and built in whatever its version"
        raise DockerfileError(f"unsupported frontend: {image[:160]}", where=where, hint=hint)


def parse_trigger(expression: str, where: SourceRange) -> Instruction:
    """Parse what ONBUILD put off; the instruction stands where the FROM does that fires it.

    Raises:
        DockerfileError: not exactly one instruction, or one that cannot be a trigger.
    """
    try:
        return _trigger(expression, where)
    except DockerfileError as error:
        message = f"ONBUILD trigger {expression[:160]!r}: {error.message}"
        raise DockerfileError(message, where=where, hint=error.hint) from None


def _trigger(expression: str, where: SourceRange) -> Instruction:
    source = read_source(expression.encode(errors="replace"), where.file)
    if len(source.lines) != 1:
        raise DockerfileError("not exactly one instruction")
    line = source.lines[0]._replace(where=where)
    refuse_trigger(split_name(line.text)[0].upper())
    return read_instruction(line, source.escape)


def excerpt(source_lines: Sequence[str], where: SourceRange) -> str:
    """Give the lines around a place, numbered, those of the place itself marked with ``>>>``."""
    start, end = max(1, where.start), min(where.end, len(source_lines))
    if start > end:
        return ""
    around = 2 if start == end else 1
    rule = "-" * 20
    shown = [f"{where.file}:{start}", rule]
    for number in range(max(1, start - around), min(len(source_lines), end + around) + 1):
        mark = ">>>" if start <= number <= end else "   "
        shown.append(f" {number:3d} | {mark} {source_lines[number - 1]}".rstrip())
    return "\n".join([*shown, rule])
