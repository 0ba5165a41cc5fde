"""Variables in instructions: who expands where.

Reference: Dockerfile reference, "Environment replacement". RUN's, CMD's, ENTRYPOINT's, HEALTHCHECK's and SHELL's words
belong to a shell at run time and are left alone; so are MAINTAINER, ONBUILD, ``--exclude`` and every ``from``.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, assert_never

from builder.dockerfile import instructions as ins
from builder.dockerfile.mounts import read_mount
from builder.dockerfile.ports import single_ports
from builder.dockerfile.stopsignals import check_signal
from builder.dockerfile.words import expand_word, expand_words
from builder.errors import DockerfileError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from builder.dockerfile.heredoc import Heredoc

_NOTHING: Mapping[str, str] = {}


def expand(
    instruction: ins.Instruction,
    env: Mapping[str, str],
    escape: str = "\\",
    *,
    unset: Callable[[str], None] | None = None,
) -> ins.Instruction:
    """Give the instruction with its variables replaced, and with what only then can be checked, checked.

    Heredocs of ADD and COPY come back with their final content, EXPOSE with single ports, RUN with whole mounts.
    ``env`` holds the stage's ENV and ARG values before this line. ``unset`` is called with each name not in it.

    Raises:
        DockerfileError: a word that cannot be expanded, or a value that its instruction refuses; says where.
    """
    word = partial(expand_word, env=env, escape=escape, unset=unset)
    try:
        return _expand(instruction, env, escape, word, unset)
    except DockerfileError as error:
        raise DockerfileError(error.message, where=instruction.where, hint=error.hint) from None


def _expand(
    instruction: ins.Instruction,
    env: Mapping[str, str],
    escape: str,
    word: Callable[[str], str],
    unset: Callable[[str], None] | None,
) -> ins.Instruction:
    match instruction:
        case ins.Env() | ins.Label():
            return replace(instruction, pairs=tuple((word(key), word(value)) for key, value in instruction.pairs))
        case ins.Arg():
            return replace(instruction, pairs=declare(instruction, env, escape, unset=unset))
        case ins.Copy() | ins.Add():
            return _expand_files(instruction, env, word, unset)
        case ins.Run():
            return replace(instruction, mounts=tuple(read_mount(mount.options, word) for mount in instruction.mounts))
        case ins.Workdir():
            return replace(instruction, path=word(instruction.path))
        case ins.User():
            return replace(instruction, user=word(instruction.user))
        case ins.Volume():
            return replace(instruction, paths=tuple(_not_empty(word(path)) for path in instruction.paths))
        case ins.Stopsignal():
            signal = word(instruction.signal)
            check_signal(signal)
            return replace(instruction, signal=signal)
        case ins.Expose():
            words = [port for text in instruction.ports for port in expand_words(text, env, escape, unset=unset)]
            return replace(instruction, ports=tuple(port for text in words for port in single_ports(text)))
        case (
            ins.From()
            | ins.Cmd()
            | ins.Entrypoint()
            | ins.Shell()
            | ins.Healthcheck()
            | ins.Onbuild()
            | ins.Maintainer()
        ):
            return instruction
        case _:
            assert_never(instruction)


def _not_empty(path: str) -> str:
    if not path:
        raise DockerfileError("VOLUME specified can not be an empty string")
    return path


def _expand_files(
    instruction: ins.Copy | ins.Add,
    env: Mapping[str, str],
    word: Callable[[str], str],
    unset: Callable[[str], None] | None,
) -> ins.Copy | ins.Add:
    chown, chmod = word(instruction.chown), word(instruction.chmod)
    if isinstance(instruction, ins.Add):
        instruction = replace(instruction, checksum=word(instruction.checksum))
    return replace(
        instruction,
        chown=chown,
        chmod=chmod,
        sources=tuple(map(word, instruction.sources)),
        destination=word(instruction.destination),
        heredocs=tuple(_expand_heredoc(heredoc, env, unset) for heredoc in instruction.heredocs),
    )


def _expand_heredoc(heredoc: Heredoc, env: Mapping[str, str], unset: Callable[[str], None] | None) -> Heredoc:
    """Give a heredoc with the content of its file; its escape is the backslash, whatever the Dockerfile's is.

    It is read as a word without quotes: an escape goes and what it escapes stays, a line end too.
    """
    content = heredoc.body
    if heredoc.expand:
        content = expand_word(content, env, "\\", unset=unset, quotes=False)
    return replace(heredoc, content=content, expand=False, chomp=False)


def declare(
    instruction: ins.Arg,
    env: Mapping[str, str],
    escape: str = "\\",
    *,
    build_args: Mapping[str, str] = _NOTHING,
    global_arguments: Mapping[str, str] = _NOTHING,
    unset: Callable[[str], None] | None = None,
) -> tuple[tuple[str, str | None], ...]:
    """Give the names that an ARG of a stage declares, each with its value or None where it has none.

    ``--build-arg`` wins over the default; without a default the global value counts. Each sees those before it on the
    line, as ENV does not. ``unset`` is not called with a name that the line declares before.

    Raises:
        DockerfileError: a default that cannot be expanded; says where.
    """
    values = dict(env)
    declared: list[tuple[str, str | None]] = []
    names: set[str] = set()

    def unset_before(name: str) -> None:
        if unset and name not in names:
            unset(name)

    for name, default in instruction.pairs:
        value = build_args.get(name)
        if value is None and default is None:
            value = global_arguments.get(name)
        elif value is None and default is not None:
            value = expand_word(default, values, escape, unset=unset_before, where=instruction.where)
        if value is not None:
            values[name] = value
        declared.append((name, value))
        names.add(name)
    return tuple(declared)
