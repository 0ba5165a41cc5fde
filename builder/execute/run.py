"""RUN: a command in the image's root file system, and what it changed."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING

from builder.cache.key import cache_key
from builder.dockerfile.platforms import proxy_environment
from builder.errors import RunError, StepError
from builder.events import Measured, Noted, Output, Warned
from builder.execute import failed
from builder.execute.commit import commit, recall
from builder.execute.mounting import SCRIPTS, mounted
from builder.execute.mounts import all_unchanged, prepare_mounts
from builder.execute.owner import user_of
from builder.runtime.owners import Owners
from builder.runtime.runtime import Process
from layers.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from builder.cache.key import CacheKey
    from builder.dockerfile.instructions import Run
    from builder.events import Step
    from builder.execute.mounting import Mounted
    from builder.execute.mounts import Wanted
    from builder.execute.origin import Origin
    from builder.execute.site import Site
    from builder.execute.state import BuildState
    from builder.runtime.runtime import Exit, Network


@frozen
class Prepared:
    """A RUN with all that it depends on."""

    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    created_by: str
    key: CacheKey
    mounts: tuple[Wanted, ...] = ()


def prepare(site: Site, state: BuildState, instruction: Run, origin: Callable[[str | None], Origin]) -> Prepared:
    """Give what a RUN executes and the key of its result.

    Args:
        site: what the build works with.
        state: what the step sees.
        instruction: the RUN, expanded.
        origin: gives what a mount's ``from`` names; for None the build context.

    Raises:
        ContextError: the source of a mount is missing.
        StepError: it asks for what was not allowed.
    """
    _check_allowed(site, instruction)
    mounts = prepare_mounts(site, state, instruction, origin) if instruction.mounts else ()
    script = instruction.script
    if script is not None:
        arguments: tuple[str, ...] = (f"{SCRIPTS}/{script.name}",)
    else:
        arguments = (*state.shell, *instruction.command) if instruction.shell else instruction.command
    if not arguments:
        raise StepError("RUN [] names no program", hint='RUN ["program", "argument"]')
    meaning = {
        "arguments": arguments,
        "script": script.body if script is not None else "",
        "environment": list(state.environment.items()),
        "cwd": state.working_dir,
        "user": state.container.user,
        "network": _network(site, instruction),
        "security": instruction.security,
        "hosts": [name for name, _ in site.settings.hosts],
        "platform": str(state.config.platform),
        "mounts": [each.meaning for each in mounts],
        "limits": [[limit.name, limit.soft, limit.hard] for limit in site.settings.limits],
        "shm_size": site.settings.shm_size,
    }
    environment = {**state.environment, **proxy_environment(site.settings.arguments)}
    created_by = f"RUN {_with_arguments(state, arguments)} # buildkit"
    return Prepared(arguments, environment, created_by, cache_key("RUN", state.chain, meaning), mounts)


def cached(site: Site, state: BuildState, prepared: Prepared) -> BuildState | None:
    """Give the state after a RUN whose result is remembered."""
    return recall(site, state, prepared.created_by, prepared.key)


def run(site: Site, state: BuildState, instruction: Run, prepared: Prepared, step: Step) -> BuildState:
    """Run the command and give the state with its layer.

    Raises:
        RunError: the command ended with a status other than 0.
        StepError: a secret or an SSH agent that it requires was not given.
        IsolationError: there is no way to run it here.
    """
    machine = site.machine()
    with site.costs.phase("unpack", instruction.text):
        machine.unpack(state.layers, site.trees)
        tree = site.trees.tree(state.layers)
    with contextlib.ExitStack() as stack:
        made = mounted(
            site,
            machine,
            prepared.mounts,
            script=instruction.script,
            environment=prepared.environment,
            step=step,
        )
        process = _process(site, state, instruction, prepared, stack.enter_context(made))
        root = stack.enter_context(machine.root(state.layers, tree, process.mounts))
        process = replace(process, owners=root.foreign)
        if introduction := machine.introduction():
            site.listener(Noted(step, introduction))
        with site.costs.phase("run", instruction.text):
            ended = machine.runtime.run(process, root.path, lambda data: site.listener(Output(step, data)))
        site.listener(Measured(step, ended.max_rss))
        if ended.out_of_memory:
            site.listener(Noted(step, "a process was killed as the step reached its limit of memory"))
        if ended.code:
            failed.inspect(site, state, step, failed.Failed(process, ended, root, prepared.created_by))
            raise _failure(site, prepared.arguments, ended, instruction)
        key = prepared.key if all_unchanged(prepared.mounts) else None
        owners = Owners(process.user.uid, process.user.gid, ended.owned, ended.shown)
        changes = site.costs.timed("diff", instruction.text, root.changes(owners))
        result = commit(site, state, changes, prepared.created_by, key)
        if result.chain is not None:
            root.keep(result.chain)
    return result


def _process(site: Site, state: BuildState, instruction: Run, prepared: Prepared, made: Mounted) -> Process:
    process = Process(
        prepared.arguments,
        made.environment,
        cwd=state.working_dir,
        user=user_of(site, state),
        network=_network(site, instruction),
        security="insecure" if instruction.security == "insecure" else "sandbox",
        mounts=made.mounts,
        hosts=site.settings.hosts,
        limits=site.settings.limits,
        resources=site.settings.resources,
    )
    return replace(process, shm_size=site.settings.shm_size) if site.settings.shm_size else process


def _check_allowed(site: Site, instruction: Run) -> None:
    """Refuse what takes more of the machine than steps have unless the user allowed it.

    Raises:
        StepError: the first such thing.
    """
    allowed = site.settings.allowed
    if instruction.security == "insecure" and "security.insecure" not in allowed:
        raise StepError("RUN --security=insecure is not allowed", hint="allow it with --allow security.insecure")
    if instruction.network == "host" and site.settings.network == "none" and "network.host" not in allowed:
        hint = "the build has --network=none; allow it with --allow network.host"
        raise StepError("RUN --network=host is not allowed", hint=hint)
    for device in instruction.devices:
        name, _, required = device.partition(",")
        if "required" in required:
            raise StepError(f"RUN --device={name} is required, and steps get no devices")
        site.listener(Warned("Device", f"steps get no devices: {name} is left out", instruction.where))


def _network(site: Site, instruction: Run) -> Network:
    wanted = instruction.network if instruction.network != "default" else site.settings.network
    if wanted == "none":
        return "none"
    return "host" if wanted == "host" else "default"


def _with_arguments(state: BuildState, words: tuple[str, ...]) -> str:
    """Give the command with the stage's ARGs before it, as the history shows it."""
    shown = {name: state.environment.get(name, value or "") for name, value in state.arguments.items()}
    before = (f"|{len(shown)}", *(f"{name}={value}" for name, value in shown.items())) if shown else ()
    return " ".join((*before, *words))


def _failure(site: Site, arguments: tuple[str, ...], ended: Exit, instruction: Run) -> StepError:
    hint = ended.error
    if ended.out_of_memory:
        limit = site.settings.resources.memory
        hint = f"a process was killed as the step reached its limit of memory: --memory is {limit} bytes"
    elif ended.code == 137:
        hint = "the process was killed, perhaps for want of memory"
    return RunError(" ".join(arguments), ended.code, where=instruction.where, hint=hint)
