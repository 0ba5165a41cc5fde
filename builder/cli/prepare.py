"""From options to what the pipeline takes: the request, and the tools to carry it out."""

from __future__ import annotations

import functools
import hashlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from builder.bases import Bases
from builder.cache.local import LocalCache, WriteOnlyCache
from builder.cli import inputs, outside
from builder.cli.exporters import Ends, exporters
from builder.context.context import LocalContext, ignore_file_for
from builder.context.ignore import Ignore
from builder.context.memo import Memo
from builder.context.remote import open_context
from builder.errors import BuildError, ContextError
from builder.execute.guard import ScanMode
from builder.execute.site import Settings
from builder.export.exporter import Output
from builder.pipeline import Request, Tools, counter
from layers.changeset.rootpath import resolve
from layers.platform import Platform
from layers.reference import Reference
from layers.store.gc import sweep
from layers.store.scratch import scratch_directory

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Callable, Mapping, Sequence

    from builder.cli.environment import Environment
    from builder.cli.options import Options
    from builder.cli.render import Renderer
    from builder.context.remote import OpenedContext
    from builder.execute.machine import Machine
    from builder.execute.origin import NamedContext
    from builder.execute.secrets import Agent
    from layers.registry.client import Client


def prepare(
    options: Options, environment: Environment, renderer: Renderer, stack: contextlib.ExitStack
) -> tuple[Request, Tools]:
    """Open the store and the context, read the Dockerfile, and put the tools together.

    What has to be closed is left to ``stack``.

    Raises:
        BuildError: an option cannot be read, or the context or Dockerfile is missing.
        LayersError: the store cannot be used.
    """
    if options.network not in {"default", "none", "host"}:
        raise BuildError(f"unknown --network {options.network!r}", hint="choose default, none or host")
    outputs = _outputs(options)
    names = tuple(Reference.parse(name) for name in options.tags)
    layout = environment.layout()
    sweep(layout)
    stack.enter_context(layout.using())
    scratch = stack.enter_context(scratch_directory(environment.store / "tmp"))
    context, dockerfile, shown = context_and_dockerfile(options, environment, scratch, stack)
    settings = _settings(options, environment, outputs, stack)
    number, client = counter(), _opened_once(environment, stack)
    bases = Bases(layout, client, options.pull, renderer, number)
    cache = LocalCache(environment.store / "cache" / "steps")
    memo_file = _memo_file(environment, options)
    tools = Tools(
        layout=layout,
        cache=WriteOnlyCache(cache) if options.no_cache else cache,
        bases=bases,
        machine=lambda: _machine(options, environment, stack),
        scratch=scratch,
        remote=functools.cache(lambda: outside.remote(environment, scratch, renderer, number)),
        cache_mounts=environment.store / "cache" / "mounts",
        memo=Memo.load(memo_file),
        memo_file=memo_file,
        listener=renderer,
        number=number,
        exporters=exporters(outputs, Ends(layout, scratch, client, settings.compression, renderer), load=options.load),
    )
    request = Request(
        dockerfile=dockerfile,
        file=shown,
        context=context,
        platform=environment.platform(options.platform),
        build_platform=Platform.host(),
        settings=settings,
        target=options.target or None,
        annotations=inputs.annotation_pairs(options.annotations),
        names=names,
        contexts=_contexts(options, environment, bases, scratch, stack),
    )
    return request, tools


def _settings(
    options: Options, environment: Environment, outputs: Sequence[Output], stack: contextlib.ExitStack
) -> Settings:
    compressed = next((each for each in outputs if each.compression is not None), None)
    return Settings(
        compression=(compressed.compression if compressed else None) or "gzip",
        level=compressed.level if compressed else None,
        rewrite_timestamp=any(each.rewrite_timestamp for each in outputs),
        network=options.network,
        hosts=inputs.extra_hosts(options.add_hosts),
        arguments=outside.with_proxies(inputs.build_arguments(options.build_args, environment.variables), environment),
        labels=inputs.pairs(options.labels, "--label"),
        secrets=inputs.secrets(options.secrets, environment.variables),
        scan=_scan_mode(options.scan),
        agents=_agents(options, environment, stack),
        shm_size=inputs.size(options.shm_size, "--shm-size"),
        limits=inputs.limits(options.ulimits),
        resources=inputs.resources(*options.limits),
        allowed=inputs.allowed(options.allow),
        terminal=_terminal() if options.debug else None,
        keep_failed=Reference.parse(options.keep_failed) if options.keep_failed else None,
        fresh_stages=inputs.stage_names(options.no_cache_filters),
    )


def _scan_mode(text: str) -> ScanMode:
    modes: tuple[ScanMode, ...] = get_args(ScanMode)
    for mode in modes:
        if text == mode:
            return mode
    raise BuildError(f"unknown --secret-scan {text!r}", hint=f"choose {', '.join(modes)}")


def _contexts(
    options: Options, environment: Environment, bases: Bases, scratch: Path, stack: contextlib.ExitStack
) -> Mapping[str, NamedContext]:
    if not options.build_contexts:
        return {}
    from builder.cli.contexts import Opener, named_contexts  # noqa: PLC0415 - most builds have none

    fetch = outside.fetch(options, environment, scratch)
    git = functools.partial(outside.git_variables, options, environment)
    opener = Opener(bases, bases.layout, scratch, fetch, git, stack)
    return named_contexts(options.build_contexts, opener)


def _agents(options: Options, environment: Environment, stack: contextlib.ExitStack) -> Mapping[str, Agent]:
    if not options.agents:
        return {}
    from builder.cli.agents import agents  # noqa: PLC0415 - most builds have none

    return agents(options.agents, environment.variables, stack)


def _outputs(options: Options) -> list[Output]:
    outputs = [Output.parse(text) for text in options.outputs]
    if options.push:
        outputs.append(Output("registry", push=True))
    return outputs


def context_and_dockerfile(
    options: Options, environment: Environment, scratch: Path, stack: contextlib.ExitStack
) -> tuple[LocalContext, bytes, str]:
    """Give the context, the Dockerfile's text and its name in messages.

    Raises:
        BuildError: one of them is missing or cannot be read.
    """
    if options.context == "-" and options.file == "-":
        raise BuildError("the context and the Dockerfile cannot both come from standard input")
    fetch = outside.fetch(options, environment, scratch)
    opened = open_context(
        options.context,
        stdin=sys.stdin.buffer,
        fetch=fetch,
        workdir=scratch,
        environment=outside.git_variables(options, environment, options.context),
    )
    if options.file == "-":
        content, path = sys.stdin.buffer.read(), opened.root / "Dockerfile"
        shown = "Dockerfile"
    elif options.file.startswith(("http://", "https://")):
        content, path = _read(fetch(options.file).path), opened.root / "Dockerfile"
        shown = "Dockerfile"
    else:
        path = opened.dockerfile or _find_dockerfile(options.file, opened)
        # One that came from standard input or a URL lies where nobody put it.
        content, shown = _read(path), "Dockerfile" if opened.dockerfile else _shown(path, opened.root)
    ignore = None
    if opened.local and (found := ignore_file_for(path, opened.root)) is not None:
        ignore = Ignore.parse(_read(found), found.name)
    return stack.enter_context(LocalContext(opened.root, ignore)), content, shown


def _find_dockerfile(wanted: str, opened: OpenedContext) -> Path:
    """Give where the Dockerfile is: as it is named, on this machine or in the context, or by its usual names."""
    given = Path(wanted)
    if wanted and given.exists() and (opened.local or given.is_absolute() or given.is_file()):
        return given
    names = [wanted] if wanted else ["Dockerfile", "dockerfile"]
    for name in names:
        path = opened.root / name if opened.local else _inside(opened.root, name)
        if path.is_file():
            return path
    if not opened.local:
        raise ContextError(f'the build context has no file "{names[0]}"', hint="name the Dockerfile with -f")
    return opened.root / names[0]


def _inside(root: Path, name: str) -> Path:
    """Give where a file of a context from elsewhere is: a link in it leads to nothing of this machine."""
    return root / os.fsdecode(resolve(root, os.fsencode(name), follow_last=True))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        hint = "name the file with -f" if path.name == "Dockerfile" else ""
        raise ContextError(f"failed to read {path}: {error.strerror}", hint=hint) from error


def _shown(path: Path, root: Path) -> str:
    """Give the name that messages use: as short as it is clear."""
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)


def _terminal() -> int:
    """Give the descriptor of the terminal for ``--debug``.

    Raises:
        BuildError: there is none.
    """
    if not sys.stdin.isatty():
        hint = "without one, --keep-failed NAME keeps what a failed step has left"
        raise BuildError("--debug needs a terminal on standard input", hint=hint)
    return sys.stdin.fileno()


def _memo_file(environment: Environment, options: Options) -> Path:
    """Give the file that remembers this context's files."""
    directory = environment.store / "cache" / "files"
    directory.mkdir(parents=True, exist_ok=True)
    name = hashlib.sha256(str(Path(options.context).absolute()).encode("utf-8", "surrogateescape")).hexdigest()[:32]
    return directory / name


def _opened_once(environment: Environment, stack: contextlib.ExitStack) -> Callable[[], Client]:
    """Give a function that gives one client, opened when it is first asked for."""

    @functools.cache
    def client() -> Client:
        return stack.enter_context(environment.client())

    return client


def _machine(options: Options, environment: Environment, stack: contextlib.ExitStack) -> Machine:
    from builder.execute.machine import Machine  # noqa: PLC0415 - only where a step runs something
    from builder.runtime.ladder import choose  # noqa: PLC0415

    isolation = stack.enter_context(choose(options.isolation, environment.store / "run"))
    if options.network == "default":
        isolation.give_network()
    return Machine(isolation, environment.store / "unpacked")
