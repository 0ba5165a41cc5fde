"""``--change``: an image's config as Dockerfile instructions change it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.errors import BuildError
from layers.config import ContainerConfig

if TYPE_CHECKING:
    from collections.abc import Sequence

    from builder.dockerfile.instructions import Instruction
    from builder.execute.state import BuildState


def changed(changes: Sequence[str], config: ContainerConfig | None = None) -> ContainerConfig:
    """Give the config that instructions lead to, one after the other.

    Raises:
        BuildError: one cannot be read, or changes more than the config.
    """
    if not changes:
        return config or ContainerConfig()
    from builder.execute.state import BuildState  # noqa: PLC0415 - most have no changes
    from layers.config import ImageConfig  # noqa: PLC0415 - likewise
    from layers.platform import Platform  # noqa: PLC0415 - likewise

    config = config or ContainerConfig()
    variables = {name: value for name, _, value in (each.partition("=") for each in config.env)}
    state = BuildState(ImageConfig(Platform.host(), config), environment=variables)
    for change in changes:
        try:
            state = _change(state, change)
        except BuildError as error:
            raise BuildError(f"--change {change!r}: {error.message}", hint=error.hint) from error
    return state.container


def _change(state: BuildState, change: str) -> BuildState:
    from builder.dockerfile.parse import parse  # noqa: PLC0415 - see above

    parsed = parse(f"FROM scratch\n{change}\n".encode(errors="replace"), "--change")
    if len(parsed.stages) > 1 or not parsed.stages[0].instructions:
        raise BuildError("it is no instruction that changes a config")
    for instruction in parsed.stages[0].instructions:
        state = _apply(state, instruction)
    return state


def _apply(state: BuildState, written: Instruction) -> BuildState:
    from builder.dockerfile import instructions as ins  # noqa: PLC0415 - see above
    from builder.dockerfile.expand import expand  # noqa: PLC0415 - likewise
    from builder.execute.config import configure, working_directory  # noqa: PLC0415 - likewise
    from builder.execute.state import with_container  # noqa: PLC0415 - likewise

    match written:
        case ins.From() | ins.Run() | ins.Copy() | ins.Add() | ins.Arg() | ins.Shell() | ins.Maintainer():
            raise BuildError(f"{type(written).__name__.upper()} is not a valid change command")
        case _:
            instruction = expand(written, state.environment)
    match instruction:
        case ins.Workdir(path=path):
            return with_container(state, "", working_dir=working_directory(state, path))
        case ins.From() | ins.Run() | ins.Copy() | ins.Add():
            raise AssertionError(instruction)  # expanding leaves an instruction what it is
        case _:
            return configure(state, instruction)
