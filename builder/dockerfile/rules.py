"""Build checks as data: their names, what each is for, and which of them a Dockerfile wants.

Names and meanings are BuildKit's, so that ``# check=skip=...`` in a Dockerfile means the same here.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from builder.errors import DockerfileError, SourceRange
from layers.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


RULES: Mapping[str, str] = {
    "ConsistentInstructionCasing": "Instructions are all in upper case or all in lower case",
    "CopyIgnoredFile": "A file that .dockerignore excludes cannot be copied",
    "DuplicateStageName": "Each stage has a name of its own",
    "ExposeInvalidFormat": "EXPOSE has ports only, no address and no port of the host",
    "ExposeProtoCasing": "A protocol in EXPOSE is in lower case",
    "FromAsCasing": "AS is in the case of its FROM",
    "FromPlatformFlagConstDisallowed": "FROM --platform holds a variable, so that the image can be built for others",
    "InvalidBaseImagePlatform": "A base image is for the platform that is built",
    "InvalidDefaultArgInFrom": "Global ARGs have defaults with which FROM names an image",
    "InvalidDefinitionDescription": "A comment above a stage or an argument begins with its name",
    "JSONArgsRecommended": "CMD and ENTRYPOINT are JSON, so that signals reach the program and not a shell",
    "LegacyKeyValueFormat": "ENV and LABEL are key=value",
    "MaintainerDeprecated": "A label names the author, not MAINTAINER",
    "MultipleInstructionsDisallowed": "A stage has one CMD, one ENTRYPOINT and one HEALTHCHECK: only the last counts",
    "NoEmptyContinuation": "No empty line stands inside a continued instruction",
    "RedundantTargetPlatform": "FROM has no --platform=$TARGETPLATFORM, since that is what it does anyway",
    "ReservedStageName": "No stage is called scratch or context",
    "SecretsUsedInArgOrEnv": "Secrets are mounted: ARG and ENV end up in the image",
    "StageNameCasing": "Stages' names are in lower case",
    "UndefinedArgInFrom": "FROM uses arguments that are declared",
    "UndefinedVar": "Variables are defined before they are used",
    "WorkdirRelativePath": "The first WORKDIR is absolute: what the base image has may change",
}
"""Each check's name and what it asks for."""

_PAGES = "https://docs.docker.com/go/dockerfile/rule/"
_JOINTS = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")

EXPERIMENTAL = frozenset({"InvalidDefinitionDescription"})
"""Checks that are off unless asked for."""

OVERRIDE = "BUILDKIT_DOCKERFILE_CHECK"
"""The build argument that replaces what the Dockerfile's own directive says."""

_CHECK = re.compile(r"check[ \t]*=[ \t]*(\S+)", re.IGNORECASE)
_TRUE, _FALSE = {"1", "t", "true"}, {"0", "f", "false"}


def page(rule: str) -> str:
    """Give the address of the page that explains a check; "" where there is none."""
    if rule not in RULES or rule == "InvalidBaseImagePlatform":
        return ""
    return f"{_PAGES}{_JOINTS.sub('-', rule).lower()}/"


class Finding(NamedTuple):
    """Something that works but should be written otherwise."""

    rule: str
    """A key of :data:`RULES`."""
    message: str
    where: SourceRange


@frozen
class Checks:
    """``skip=NAME,...;experimental=NAME,...;error=true``, with ``all`` for every name."""

    skip: frozenset[str] = frozenset()
    experimental: frozenset[str] = frozenset()
    error: bool = False
    """The build fails where anything is found."""

    @classmethod
    def parse(cls, text: str) -> Checks:
        """Read a directive's value; names that no check has are of no consequence.

        Raises:
            DockerfileError: another option, or a value that is not true or false.
        """
        checks = cls()
        for option in text.strip().split(";") if text.strip() else ():
            key, equals, value = (part.strip() for part in option.partition("="))
            names = frozenset(name.strip() for name in value.split(","))
            if key == "skip" and equals:
                checks = replace(checks, skip=names)
            elif key == "experimental" and equals:
                checks = replace(checks, experimental=names)
            elif key == "error" and value.lower() in _TRUE | _FALSE:
                checks = replace(checks, error=value.lower() in _TRUE)
            else:
                raise DockerfileError(
                    f"invalid check option {option[:160]!r}",
                    hint="check=skip=NAME,...;error=true;experimental=NAME,...",
                )
        return checks

    def with_comments(self, comments: Iterable[str]) -> Checks:
        """Give the checks for an instruction below these comments: the first ``check=`` among them adds to its own."""
        for comment in comments:
            if found := _CHECK.match(comment):
                try:
                    more = Checks.parse(found[1])
                except DockerfileError:
                    return self  # a comment is a comment
                return replace(self, skip=self.skip | more.skip, experimental=self.experimental | more.experimental)
        return self

    def wants(self, rule: str) -> bool:
        """Tell whether a check is on."""
        if rule in EXPERIMENTAL:
            return bool(self.experimental & {rule, "all"})
        return not self.skip & {rule, "all"}


def checks_of(directives: Mapping[str, str], build_args: Mapping[str, str]) -> Checks:
    """Give what a Dockerfile's directives say, or the build argument in their place.

    Raises:
        DockerfileError: an option that there is not.
    """
    text = build_args.get(OVERRIDE, directives.get("check", "").partition(" ")[0])
    try:
        return Checks.parse(text)
    except DockerfileError as error:
        raise DockerfileError(f"failed to parse check options: {error.message}", hint=error.hint) from None


def violation(findings: Iterable[Finding]) -> DockerfileError | None:
    """Give the error of a build whose checks are errors; None where nothing was found."""
    found = list(findings)
    if not found:
        return None
    rules = ", ".join(sorted({finding.rule for finding in found}))
    return DockerfileError(f"lint violation found for rules: {rules}", where=found[0].where)
