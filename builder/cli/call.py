"""``--call``: what a Dockerfile says of itself, without a build: its checks, its arguments, its targets.

Neither a store nor a runtime is needed, and no base image is pulled: variables of one that the store does not have are
left unchecked.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from builder.cli import inputs
from builder.cli.prepare import context_and_dockerfile
from builder.cli.warnings import ranges, source, source_lines
from builder.dockerfile.outline import outline, targets
from builder.dockerfile.parse import parse
from builder.dockerfile.plan import Plan, Stage, plan
from builder.dockerfile.rules import RULES, page
from builder.dockerfile.suggest import did_you_mean
from builder.errors import BuildError, DockerfileError
from layers.errors import LayersError
from layers.frozen import frozen
from layers.platform import Platform

if TYPE_CHECKING:
    from collections.abc import Sequence

    from builder.cli.environment import Environment
    from builder.cli.options import Options
    from builder.context.context import LocalContext
    from builder.dockerfile.rules import Finding
    from builder.errors import SourceRange
    from layers.image import Image

METHODS = ("build", "check", "outline", "targets")
FORMATS = ("text", "json")


@frozen
class Call:
    """What ``--call`` asks for."""

    method: str
    """One of :data:`METHODS`."""
    json: bool = False

    @classmethod
    def parse(cls, text: str, form: str = "", *, check: bool = False) -> Call:
        """Read ``method[,format=json]``; ``form`` is what ``--format`` says, ``check`` is ``--check``.

        Raises:
            BuildError: another method, format or key; a format for a build.
        """
        method, *options = text.split(",")
        for option in options:
            key, _, value = option.partition("=")
            if key != "format":
                raise BuildError(f"unknown key {key!r} in --call {text!r}", hint="write --call check,format=json")
            form = value
        method = "check" if check or method == "lint" else method or "build"
        if method not in METHODS:
            hint = did_you_mean(method, METHODS, f"choose {', '.join(METHODS)}")
            raise BuildError(f"unknown --call {method!r}", hint=hint)
        if form not in {"", *FORMATS}:
            raise BuildError(f"unknown format {form!r} of --call", hint="choose text or json")
        if form and method == "build":
            raise BuildError("a build has no --format", hint="it is for --call check, outline or targets")
        return cls(method, form == "json")


@frozen
class _Source:
    """A Dockerfile that was read, and what belongs to it."""

    context: LocalContext
    content: bytes
    file: str
    options: Options
    environment: Environment

    def plan(self) -> Plan:
        """Parse and plan.

        Raises:
            DockerfileError: says where.
        """
        arguments = inputs.build_arguments(self.options.build_args, self.environment.variables)
        return plan(
            parse(self.content, self.file),
            target=self.options.target or None,
            build_args=arguments,
            platform=self.environment.platform(self.options.platform),
            build_platform=Platform.host(),
        )


def answer(asked: Call, options: Options, environment: Environment) -> int:
    """Print the answer on standard output and give the exit code: 1 where checks found something.

    Raises:
        BuildError: the Dockerfile cannot be read, or says what cannot be.
    """
    with contextlib.ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pybuild-")))
        context, content, file = context_and_dockerfile(options, environment, scratch, stack)
        read = _Source(context, content, file, options, environment)
        try:
            if asked.method == "check":
                return _check(read, as_json=asked.json)
            print(_targets(read, as_json=asked.json) if asked.method == "targets" else _outline(read, asked.json))
        except BuildError as error:
            if shown := source_lines(content, file, error.where):
                error.add_note(shown)
            raise
    return 0


def _check(read: _Source, *, as_json: bool) -> int:
    from builder.checks import check  # noqa: PLC0415 - an outline needs none

    try:
        planned = read.plan()
        stages = planned.reachable() if read.options.target else None
        found: Sequence[Finding] = check(
            planned, read.context, stages=stages, image=functools.partial(_stored, read.environment)
        )
    except DockerfileError as error:
        if not as_json:
            raise
        print(_json(_check_document(read, (), error)))
        return 1
    if as_json:
        print(_json(_check_document(read, found)))
    else:
        print(_check_text(read, found))
    return 1 if found else 0


def _check_text(read: _Source, found: Sequence[Finding]) -> str:
    if not found:
        return "Check complete, no warnings found."
    count = "1 warning has" if len(found) == 1 else f"{len(found)} warnings have"
    lines = [f"Check complete, {count} been found!"]
    for rule, message, where in found:
        lines += ["", f"WARNING: {' - '.join(filter(None, (rule, page(rule))))}", message]
        lines.append(source_lines(read.content, read.file, where))
    return "\n".join(lines)


def _check_document(read: _Source, found: Sequence[Finding], error: DockerfileError | None = None) -> dict[str, Any]:
    warnings = [
        {"ruleName": rule, "description": RULES[rule]}
        | ({"url": page(rule)} if page(rule) else {})
        | {"detail": message, "location": _location(where)}
        for rule, message, where in found
    ]
    document: dict[str, Any] = {"warnings": warnings, "sources": [source(read.content, read.file)]}
    if error is not None:
        document["buildError"] = {"message": error.message, "location": _location(error.where)}
    return document


def _stored(environment: Environment, stage: Stage) -> Image | None:
    """Give the image that a stage begins from where the store has it; nothing is made where there is no store."""
    from layers.image import Index  # noqa: PLC0415 - only where there is a store
    from layers.reference import Reference  # noqa: PLC0415

    if not isinstance(stage.base, str) or not (environment.store / "oci-layout").exists():
        return None
    try:
        found = environment.layout().get(Reference.parse(stage.base))
        return found.image(stage.platform) if isinstance(found, Index) else found
    except LayersError:
        return None


def _targets(read: _Source, *, as_json: bool) -> str:
    found = targets(parse(read.content, read.file))
    if as_json:
        documents = [
            _filled(name=one.name, default=one.default, description=one.description, base=one.base,
                    platform=one.platform, location=_location(one.where))
            for one in found
        ]  # fmt: skip
        return _json({"targets": documents, "sources": [base64.b64encode(read.content).decode()]})
    rows = [("TARGET", "DESCRIPTION")]
    for one in found:
        default = "(default)" if one.default else ""
        rows.append((" ".join(filter(None, (one.name, default))), one.description))
    return _table(rows, 1)


def _outline(read: _Source, as_json: bool) -> str:
    found = outline(read.plan())
    mounted = (("secrets", "SECRET", found.secrets), ("ssh", "SSH", found.ssh))
    if as_json:
        document: dict[str, Any] = _filled(name=found.name, description=found.description)
        document["args"] = [
            _filled(name=one.name, description=one.description, value=one.value, location=_location(one.where))
            for one in found.arguments
        ]
        for key, _, several in mounted:
            document[key] = [
                _filled(name=one.name, required=one.required, location=_location(one.where)) for one in several
            ]
        document["sources"] = [base64.b64encode(read.content).decode()]
        return _json(_filled(**document))
    tables = []
    if found.name or found.description:
        head = [("TARGET:", found.name or "(default)")]
        head += [("DESCRIPTION:", found.description)] if found.description else []
        tables.append(_table(head, 1))
    if found.arguments:
        rows = [("BUILD ARG", "VALUE", "DESCRIPTION")]
        rows += [(one.name, one.value, one.description) for one in found.arguments]
        tables.append(_table(rows, 3))
    for _, title, several in mounted:
        if several:
            rows2 = [(title, "REQUIRED"), *((one.name, "true" if one.required else "") for one in several)]
            tables.append(_table(rows2, 3))
    return "\n\n".join(tables)


def _location(where: SourceRange | None) -> dict[str, Any]:
    return {"ranges": ranges(where)} if where else {}


def _filled(**values: Any) -> dict[str, Any]:
    """Give what is not empty."""
    return {key: value for key, value in values.items() if value}


def _table(rows: Sequence[tuple[str, ...]], gap: int) -> str:
    """Give rows with their columns below each other."""
    widths = [max(len(row[column]) for row in rows) + gap for column in range(len(rows[0]) - 1)]
    return "\n".join(
        "".join(f"{cell:<{width}}" for cell, width in zip(row, [*widths, 0], strict=True)).rstrip() for row in rows
    )


def _json(document: Any) -> str:
    return json.dumps(document, indent=2)
