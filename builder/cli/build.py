"""``pybuild build``."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from builder.cli import common
from builder.cli import options as opt
from builder.cli.environment import Environment
from builder.errors import BuildError, CancelledError, LeakError
from builder.runtime.interrupt import interruptible
from layers.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from builder.cli.options import Options
    from builder.cli.render import Renderer
    from builder.events import Warned
    from builder.pipeline import Request
    from layers.image import Image


def build(
    context: opt.Context,
    tags: opt.Tags = None,
    file: opt.File = "",
    build_args: opt.BuildArgs = None,
    target: opt.Target = "",
    labels: opt.Labels = None,
    annotations: opt.Annotations = None,
    no_cache: opt.NoCache = False,
    pull: opt.Pull = False,
    platform: opt.PlatformName = "",
    network: opt.Network = "default",
    add_hosts: opt.AddHosts = None,
    quiet: opt.Quiet = False,
    progress: opt.ProgressMode = "auto",
    profile: opt.Profile = "",
    iidfile: opt.IidFile = "",
    metadata_file: opt.MetadataFile = "",
    load: opt.Load = False,
    push: opt.Push = False,
    outputs: opt.Outputs = None,
    secrets: opt.Secrets = None,
    scan: opt.SecretScan = "error",
    agents: opt.Agents = None,
    build_contexts: opt.BuildContexts = None,
    shm_size: opt.ShmSize = "",
    ulimits: opt.Ulimits = None,
    cgroup_parent: opt.CgroupParent = "",
    memory: opt.Memory = "",
    memory_swap: opt.MemorySwap = "",
    cpu_shares: opt.CpuShares = 0,
    cpu_quota: opt.CpuQuota = 0,
    cpu_period: opt.CpuPeriod = 0,
    cpuset_cpus: opt.CpusetCpus = "",
    cpuset_mems: opt.CpusetMems = "",
    allow: opt.Allow = None,
    no_cache_filters: opt.NoCacheFilters = None,
    isolation: common.IsolationMode = "auto",
    runtime: common.OciRuntime = "",
    debug: opt.Debug = False,
    keep_failed: opt.KeepFailed = "",
    call: opt.CallMethod = "build",
    check: opt.Check = False,
    format: opt.Format = "",  # noqa: A002 - named for its option
    root: opt.Root = "",
) -> None:
    """Build an image from a Dockerfile.

    Example: pybuild -t app:dev --build-arg VERSION=1.2 .
    """
    names, arguments, pairs, notes, hosts, ends = map(_all, (tags, build_args, labels, annotations, add_hosts, outputs))
    more = (secrets, agents, build_contexts, ulimits, allow, no_cache_filters)
    private, sockets, named, bounds, allowed, fresh = map(_all, more)
    _build_or_answer(opt.Options(
        context, file, names, arguments, target, pairs, notes, no_cache, pull, platform, network, hosts,
        quiet, progress, iidfile, metadata_file, load, push, ends, common.way(isolation, runtime), root,
        secrets=private, agents=sockets, build_contexts=named, shm_size=shm_size, ulimits=bounds, allow=allowed,
        no_cache_filters=fresh, debug=debug, keep_failed=keep_failed, profile=profile, scan=scan,
        limits=(cgroup_parent, memory, memory_swap, cpu_shares, cpu_quota, cpu_period, cpuset_cpus, cpuset_mems),
    ), call, format, check=check)  # fmt: skip


def _all(values: Sequence[str] | None) -> tuple[str, ...]:
    return tuple(values or ())


def _build_or_answer(options: Options, call: str, form: str, *, check: bool) -> None:
    """Build, or answer ``--call`` and exit with its code."""
    if not check and not form and call == "build":
        run(options)
        return
    from builder.cli.call import Call, answer  # noqa: PLC0415 - a build asks nothing

    asked = Call.parse(call, form, check=check)
    if asked.method == "build":
        run(options)
    else:
        sys.exit(answer(asked, options, _environment(options)))


def _environment(options: Options) -> Environment:
    return Environment(root=Path(options.root) if options.root else None)


def run(options: Options) -> None:
    """Build, and write what was asked for beside the image.

    Raises:
        BuildError: says what failed, where, and how to fix it.
        LayersError: the store or a registry gave way.
    """
    from builder import pipeline  # noqa: PLC0415 - what --help does not need
    from builder.cli import warnings  # noqa: PLC0415
    from builder.cli.prepare import prepare  # noqa: PLC0415
    from builder.cli.warnings import Gathering  # noqa: PLC0415

    environment = _environment(options)
    with contextlib.ExitStack() as stack:
        mode = _mode(options, environment)
        renderer = Gathering(_renderer(mode, environment))
        stack.callback(renderer.close)
        stack.enter_context(interruptible())
        try:
            request, tools = prepare(options, environment, renderer, stack)
            image = _build(pipeline, request, tools)
        except KeyboardInterrupt:
            raise CancelledError("the build was interrupted") from None
        with contextlib.suppress(StoreError):  # what is not remembered is looked at again
            tools.memo.save(tools.memo_file)
    _report(options, environment, request, image, list(renderer.found))
    if mode == "plain":
        print(tools.costs.summary(), file=sys.stderr)
    if mode in {"plain", "tty"} and (text := warnings.summary(list(renderer.found), request.dockerfile, request.file)):
        print(text, file=sys.stderr)
    if options.profile:
        _write(options.profile, tools.costs.trace().decode())


def _build(pipeline: Any, request: Request, tools: Any) -> Image:
    """Build; an error that knows its place in the Dockerfile shows the lines there."""
    try:
        found: Image = pipeline.build(request, tools)
    except BuildError as error:
        from builder.cli.warnings import source_lines  # noqa: PLC0415 - only where something went wrong

        text = source_lines(request.dockerfile, request.file, error.where)
        if text and not isinstance(error, LeakError):
            error.add_note(text)
        raise
    return found


def _mode(options: Options, environment: Environment) -> str:
    """Give the kind of progress, whatever ``auto`` comes to."""
    mode = "quiet" if options.quiet else options.progress
    if options.debug and mode in {"auto", "tty"}:
        return "plain"  # a shell and a drawing do not share a terminal
    if mode == "auto":
        mode = "tty" if sys.stderr.isatty() and environment.variables.get("TERM") != "dumb" else "plain"
    return mode


def _renderer(mode: str, environment: Environment) -> Renderer:
    from builder.cli import render  # noqa: PLC0415

    if mode == "tty":
        from builder.cli.tty import Terminal  # noqa: PLC0415

        return Terminal(sys.stderr, color="NO_COLOR" not in environment.variables)
    if mode in {"quiet", "none"}:
        return render.Quiet(sys.stderr)
    if mode == "rawjson":
        return render.RawJson(sys.stderr)
    if mode != "plain":
        raise BuildError(f"unknown --progress {mode!r}", hint="choose auto, plain, tty, quiet or rawjson")
    return render.Plain(sys.stderr)


def _report(
    options: Options, environment: Environment, request: Request, image: Image, warned: Sequence[Warned]
) -> None:
    """Write the files that were asked for, and with ``--quiet`` the id."""
    if options.iidfile:
        _write(options.iidfile, str(image.id))
    if options.metadata_file:
        document: dict[str, Any] = {
            "containerimage.config.digest": str(image.id),
            "containerimage.descriptor": image.descriptor.to_json(),
            "containerimage.digest": str(image.digest),
        }
        if request.names:
            document["image.name"] = ",".join(str(name) for name in request.names)
        if warned and environment.variables.get("BUILDX_METADATA_WARNINGS", "").lower() in {"1", "t", "true"}:
            from builder.cli.warnings import metadata  # noqa: PLC0415

            document["buildx.build.warnings"] = metadata(warned, request.dockerfile, request.file)
        _write(options.metadata_file, json.dumps(document, indent=2) + "\n")
    if options.quiet:
        print(image.id)


def _write(path: str, text: str) -> None:
    try:
        temporary = f"{path}.{os.getpid()}.tmp"
        Path(temporary).write_text(text)
        os.replace(temporary, path)
    except OSError as error:
        raise BuildError(f"cannot write {path}: {error.strerror}") from error
