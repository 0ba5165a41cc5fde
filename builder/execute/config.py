"""The instructions that change only the image's config."""

from __future__ import annotations

import posixpath
from dataclasses import replace
from typing import TYPE_CHECKING

from builder.dockerfile.instructions import (
    Arg,
    Cmd,
    Entrypoint,
    Env,
    Expose,
    Healthcheck,
    Label,
    Maintainer,
    Onbuild,
    Shell,
    Stopsignal,
    User,
    Volume,
)
from builder.execute import gotext
from builder.execute.state import BuildState, with_container, with_history
from layers import config as image_config

if TYPE_CHECKING:
    from collections.abc import Iterable

ConfigInstruction = (
    Arg
    | Cmd
    | Entrypoint
    | Env
    | Expose
    | Healthcheck
    | Label
    | Maintainer
    | Onbuild
    | Shell
    | Stopsignal
    | User
    | Volume
)


def configure(state: BuildState, instruction: ConfigInstruction) -> BuildState:
    """Carry out an instruction whose variables are expanded; an ARG's values are those it has in the end."""
    match instruction:
        case Env(pairs=pairs):
            return _env(state, pairs)
        case Arg(pairs=pairs):
            return _arg(state, pairs)
        case Label(pairs=pairs):
            labels = {**state.container.labels, **dict(pairs)}
            return with_container(state, f"LABEL {_pairs(pairs)}", labels=labels)
        case User(user=user):
            return with_container(state, f"USER {user}", user=user)
        case Cmd(arguments=arguments, shell=shell):
            command = _command(state, arguments, shell=shell)
            state = with_container(state, f"CMD {gotext.quoted_list(command)}", cmd=command, args_escaped=True)
            return replace(state, cmd_set=True)
        case Entrypoint(arguments=arguments, shell=shell):
            return _entrypoint(state, arguments, shell=shell)
        case Expose(ports=ports):
            exposed = sorted({*state.container.exposed_ports, *ports})
            return with_container(state, f"EXPOSE {gotext.plain_list(ports)}", exposed_ports=tuple(exposed))
        case Volume(paths=paths):
            volumes = sorted({*state.container.volumes, *paths})
            return with_container(state, f"VOLUME {gotext.plain_list(paths)}", volumes=tuple(volumes))
        case Shell(arguments=arguments):
            return with_container(state, f"SHELL {gotext.plain_list(arguments)}", shell=arguments)
        case Stopsignal(signal=signal):
            return with_container(state, f"STOPSIGNAL {signal}", stop_signal=signal)
        case Healthcheck():
            return _healthcheck(state, instruction)
        case Onbuild(expression=expression):
            on_build = (*state.container.on_build, expression)
            return replace(state, config=replace(state.config, config=replace(state.container, on_build=on_build)))
        case Maintainer(name=name):
            state = replace(state, config=replace(state.config, author=name))
            return with_history(state, f"MAINTAINER {name}")


def _pairs(pairs: Iterable[tuple[str, str | None]]) -> str:
    return " ".join(name if value is None else f"{name}={value}" for name, value in pairs)


def _env(state: BuildState, pairs: tuple[tuple[str, str], ...]) -> BuildState:
    changed = dict(pairs)
    kept = []
    for variable in state.container.env:
        name = variable.partition("=")[0]
        kept.append(f"{name}={changed.pop(name)}" if name in changed else variable)
    env = (*kept, *(f"{name}={value}" for name, value in changed.items()))
    state = with_container(state, f"ENV {_pairs(pairs)}", env=env)
    return replace(state, environment={**state.environment, **dict(pairs)})


def _arg(state: BuildState, pairs: tuple[tuple[str, str | None], ...]) -> BuildState:
    environment = {**state.environment, **{name: value for name, value in pairs if value is not None}}
    state = with_history(state, f"ARG {_pairs(pairs)}")
    return replace(state, environment=environment, arguments={**state.arguments, **dict(pairs)})


def _command(state: BuildState, arguments: tuple[str, ...], *, shell: bool) -> tuple[str, ...]:
    return (*state.shell, " ".join(arguments)) if shell else arguments


def _entrypoint(state: BuildState, arguments: tuple[str, ...], *, shell: bool) -> BuildState:
    command = _command(state, arguments, shell=shell)
    created_by = f"ENTRYPOINT {gotext.quoted_list(command)}"
    if state.cmd_set:
        return with_container(state, created_by, entrypoint=command or None)
    return with_container(state, created_by, entrypoint=command or None, cmd=None)


def _healthcheck(state: BuildState, instruction: Healthcheck) -> BuildState:
    if instruction.test is None:
        test: tuple[str, ...] = ("NONE",)
    elif instruction.shell:
        test = ("CMD-SHELL", *instruction.test)
    else:
        test = ("CMD", *instruction.test)
    check = image_config.Healthcheck(
        test,
        instruction.interval,
        instruction.timeout,
        instruction.start_period,
        instruction.start_interval,
        instruction.retries,
    )
    text = (
        f"{{Test:{gotext.plain_list(check.test)} Interval:{gotext.duration(check.interval)}"
        f" Timeout:{gotext.duration(check.timeout)} StartPeriod:{gotext.duration(check.start_period)}"
        f" StartInterval:{gotext.duration(check.start_interval)} Retries:{check.retries}}}"
    )
    return with_container(state, f"HEALTHCHECK {text}", healthcheck=check)


def working_directory(state: BuildState, path: str) -> str:
    """Give where WORKDIR leads: relative to the one before; an absolute path stays as it is written."""
    if not path:
        return state.working_dir
    if path.startswith("/"):
        return path
    return "/" + posixpath.normpath(posixpath.join("/", state.working_dir, path)).lstrip("/")
