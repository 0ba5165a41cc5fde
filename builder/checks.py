"""Build checks where a build meets them: what its base images and its ``.dockerignore`` have to say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.dockerfile.lint import BaseFacts, lint
from builder.dockerfile.rules import checks_of, violation
from builder.events import Warned

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from builder.context.select import Files
    from builder.dockerfile.plan import Plan, Stage
    from builder.dockerfile.rules import Finding
    from builder.events import Listener
    from layers.image import Image


def check(
    plan: Plan,
    context: Files,
    *,
    stages: Iterable[Stage] | None = None,
    image: Callable[[Stage], Image | None],
) -> tuple[Finding, ...]:
    """Give what is found in these stages, all by default, each once.

    ``image`` gives the image that a stage begins from, or None where nobody knows it, which leaves its variables
    unchecked.

    Raises:
        DockerfileError: a ``check=`` that cannot be read, or a word that cannot be expanded.
    """

    def base(stage: Stage) -> BaseFacts | None:
        found = image(stage)
        return None if found is None else _facts(found)

    found = lint(plan, stages=stages, base=base, ignored=_ignored(context))
    return tuple(dict.fromkeys(found))


def report(plan: Plan, found: Iterable[Finding], listener: Listener) -> None:
    """Tell of each finding.

    Raises:
        DockerfileError: something was found, and the Dockerfile says that this is an error.
    """
    findings = tuple(found)
    for rule, message, where in findings:
        listener(Warned(rule, message, where))
    error = violation(findings)
    if error is not None and checks_of(plan.dockerfile.directives, plan.build_args).error:
        raise error


def _facts(image: Image) -> BaseFacts:
    config = image.config.config
    env = {name: value for name, _, value in (variable.partition("=") for variable in config.env)}
    return BaseFacts(env, bool(config.shell), image.platform, config.on_build)


def _ignored(context: Files) -> Callable[[str], bool] | None:
    """Give who knows what ``.dockerignore`` excludes; None where nothing does, or where it has exceptions."""
    ignore = getattr(context, "ignore", None)
    if ignore is None or any(rule.negated for rule in ignore.rules):
        return None
    return lambda path: ignore.excludes(path.encode("utf-8", "surrogateescape"))
