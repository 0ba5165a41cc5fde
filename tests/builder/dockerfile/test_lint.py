"""Each build check: what it finds, and what it leaves alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from builder.dockerfile.lint import BaseFacts, lint
from builder.dockerfile.parse import parse
from builder.dockerfile.plan import Plan, plan
from builder.dockerfile.rules import RULES, Checks, Finding, checks_of, violation
from builder.errors import DockerfileError
from layers.platform import Platform

if TYPE_CHECKING:
    from collections.abc import Mapping

AMD64 = Platform("linux", "amd64")
FACTS = BaseFacts({"PATH": "/bin", "JAVA_HOME": "/java"}, shell=False, platform=AMD64)


def planned(text: str, build_args: Mapping[str, str] | None = None) -> Plan:
    return plan(parse(text.encode()), target=None, build_args=build_args or {}, platform=AMD64, build_platform=AMD64)


def found(
    text: str, build_args: Mapping[str, str] | None = None, facts: BaseFacts | None = FACTS
) -> list[tuple[str, int]]:
    """Give the rules that are broken, and where."""
    return [(rule, where.start) for rule, _, where in lint(planned(text, build_args), base=lambda _: facts)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("FROM a AS Build", [("StageNameCasing", 1)]),
        ("FROM a as build", [("FromAsCasing", 1)]),
        ("from a AS build", [("FromAsCasing", 1)]),
        ("from a as build", []),
        ("From a aS build", [("ConsistentInstructionCasing", 1)]),
        ("FROM a\nRUN x \\\n\n  y", [("NoEmptyContinuation", 4)]),
        ("FROM a\nRUN x\nrun y\nRun z", [("ConsistentInstructionCasing", 3), ("ConsistentInstructionCasing", 4)]),
        ("from a\nRUN x", [("ConsistentInstructionCasing", 1)]),
        ("ARG x=1\nfrom a\nrun y", []),
        ("FROM a AS x\nFROM a AS x", [("DuplicateStageName", 2)]),
        ("FROM a AS scratch\nFROM a AS context", [("ReservedStageName", 1), ("ReservedStageName", 2)]),
        ("FROM a\nMAINTAINER me", [("MaintainerDeprecated", 2)]),
        ("FROM a\nCMD x", [("JSONArgsRecommended", 2)]),
        ('FROM a\nSHELL ["/bin/bash", "-c"]\nENTRYPOINT x', []),
        ('FROM a AS x\nSHELL ["/bin/bash", "-c"]\nFROM x\nCMD x', []),
        ('FROM a\nCMD ["x"]\nHEALTHCHECK CMD x', []),
        ("FROM a\nWORKDIR x\nWORKDIR y", [("WorkdirRelativePath", 2)]),
        ("FROM a\nWORKDIR /x\nWORKDIR y", []),
        ("FROM a AS b\nWORKDIR /x\nFROM b\nWORKDIR y", []),
        ('FROM a\nCMD ["a"]\nRUN x\nCMD ["b"]', [("MultipleInstructionsDisallowed", 2)]),
        ('FROM a AS b\nCMD ["a"]\nFROM b\nCMD ["b"]', []),
        ("FROM a\nHEALTHCHECK NONE\nHEALTHCHECK CMD x", [("MultipleInstructionsDisallowed", 2)]),
        ("FROM a\nENV k v\nLABEL k v", [("LegacyKeyValueFormat", 2), ("LegacyKeyValueFormat", 3)]),
        ("FROM a\nENV k=v", []),
        ("FROM a\nEXPOSE 80/TCP 53/udp", [("ExposeProtoCasing", 2)]),
        ("FROM a\nEXPOSE 127.0.0.1:80:80 81:81", [("ExposeInvalidFormat", 2), ("ExposeInvalidFormat", 2)]),
        ("FROM a\nARG GITHUB_TOKEN\nENV db_password=x", [("SecretsUsedInArgOrEnv", 2), ("SecretsUsedInArgOrEnv", 3)]),
        ("FROM a\nARG PUBLIC_KEY\nENV TOKEN_FILE=x KEYBOARD=y AUTHOR=z", []),
    ],
)
def test_a_check_finds_what_it_is_for(text: str, expected: list[tuple[str, int]]) -> None:
    assert expected == found(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ARG V=1\nFROM a:$V", []),
        ("ARG V\nFROM a:$V", [("InvalidDefaultArgInFrom", 2)]),
        ("ARG V\nFROM a:${V:-1}", []),
        ("ARG IMAGE=\nFROM ${IMAGE:-a}", []),
        ("ARG IMAGE=UPPER\nFROM $IMAGE", [("InvalidDefaultArgInFrom", 2)]),
        ("FROM a:${UNKNOWN:-1}", [("UndefinedArgInFrom", 1)]),
        ("FROM --platform=$TARGETPLATFORM a", [("RedundantTargetPlatform", 1)]),
        ("FROM --platform=$BUILDPLATFORM a", []),
        ("FROM --platform=linux/amd64 a", [("FromPlatformFlagConstDisallowed", 1)]),
        ("FROM --platform=linux/amd64 a AS build-amd64", []),
    ],
)
def test_checks_of_from(text: str, expected: list[tuple[str, int]]) -> None:
    assert expected == found(text)


def test_a_global_argument_without_a_default_that_could_be_expanded_is_no_finding() -> None:
    assert [] == found("ARG IMAGE=${OTHER:?}\nFROM $IMAGE", {"IMAGE": "a"})


def test_an_argument_of_from_that_nobody_declared_comes_with_what_may_be_meant() -> None:
    (finding,) = lint(planned("ARG VERSION=1\nFROM a:${VERSIN:-2}"))

    assert "FROM argument 'VERSIN' is not declared (did you mean VERSION?)" == finding.message


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("COPY $x /", ["x"]),
        ("COPY $x ${x:-y} /$z", ["x", "z"]),
        ("ENV a=1 b=$a", ["a"]),
        ("ENV a=1\nENV b=$a", []),
        ("ARG a b=$a", []),
        ("ARG a=$c b=$a", ["c"]),
        ("EXPOSE $x", ["x"]),
        ("COPY <<E /x\n$y\nE", ["y"]),
        ("WORKDIR $JAVA_HOME$PATH", []),
        ("RUN echo $x", []),
        ("RUN --mount=target=/$x true", ["x"]),
        ("ARG a\nFROM a AS c\nENV b=$a", ["a"]),
    ],
)
def test_variables_are_to_be_defined_before_they_are_used(text: str, names: list[str]) -> None:
    messages = [finding.message for finding in lint(planned(f"FROM a\n{text}"), base=lambda _: FACTS)]

    assert [f"Usage of undefined variable '${name}'" for name in names] == messages


def test_an_undefined_variable_comes_with_what_may_be_meant() -> None:
    (finding,) = lint(planned("FROM a\nENV NAME=x\nWORKDIR /$NAMR"), base=lambda _: FACTS)

    assert "Usage of undefined variable '$NAMR' (did you mean $NAME?)" == finding.message


def test_a_base_image_that_is_not_known_leaves_variables_unchecked() -> None:
    assert [] == found("FROM a\nWORKDIR /$x\nCOPY ${y:?} /", facts=None)
    assert [("UndefinedVar", 2)] == found("FROM scratch\nWORKDIR /$x", facts=None)


def test_arguments_and_variables_of_a_base_stage_are_defined() -> None:
    assert [] == found("FROM a AS b\nARG x\nENV y=1\nFROM b\nWORKDIR /$x$y")


def test_triggers_of_a_base_stage_are_checked_where_they_fire() -> None:
    assert [("UndefinedVar", 3)] == found("FROM a AS b\nONBUILD WORKDIR /$x\nFROM b")


def test_a_base_image_of_another_platform_is_told() -> None:
    facts = FACTS._replace(platform=Platform("linux", "arm64"))
    (finding,) = lint(planned("FROM a"), base=lambda _: facts)

    expected = 'Base image a was pulled with platform "linux/arm64", expected "linux/amd64" for current build'
    assert ("InvalidBaseImagePlatform", expected) == finding[:2]


def test_copying_what_dockerignore_excludes_is_told() -> None:
    text = "FROM a AS b\nCOPY ./x/ y /\nADD x https://example.com/x /\nCOPY . /\nCOPY --from=b x /\nCOPY <<x /\nx"
    messages = [finding.message for finding in lint(planned(text), ignored=lambda path: path == "x")]

    assert [f'Attempting to {verb} file "x" that is excluded by .dockerignore' for verb in ("Copy", "Add")] == messages


def test_copying_the_whole_context_is_told_where_all_of_it_is_excluded() -> None:
    findings = lint(planned("FROM a\nCOPY . /"), ignored=lambda _: True)

    assert ['Attempting to Copy file "." that is excluded by .dockerignore'] == [
        finding.message for finding in findings
    ]


def test_comments_above_stages_and_arguments_are_descriptions_where_that_is_asked_for() -> None:
    text = "# check=experimental=all\n\n# A good one\nARG A\n# wrong\nARG B C\n"
    text += "# c is fine\nFROM a AS c\n# wrong\n#\nFROM a AS d\n"

    assert [("InvalidDefinitionDescription", 6)] == found(text)


def test_checks_are_skipped_by_directive_by_comment_and_by_build_argument() -> None:
    body = "FROM a AS B\n# check=skip=JSONArgsRecommended\nCMD x\nENTRYPOINT y"

    assert [("StageNameCasing", 1), ("JSONArgsRecommended", 4)] == found(body)
    assert [("JSONArgsRecommended", 5)] == found(f"# check=skip=StageNameCasing\n{body}")
    assert [] == found(f"# check=skip=all\n{body}")
    assert [("StageNameCasing", 2)] == found(
        f"# check=skip=all\n{body}", {"BUILDKIT_DOCKERFILE_CHECK": "skip=JSONArgsRecommended"}
    )


def test_only_the_stages_asked_for_are_looked_into() -> None:
    planning = planned("FROM a AS unused\nCMD x\nFROM a AS base\nMAINTAINER x\nWORKDIR x\nFROM base\nWORKDIR y")
    rules = [finding.rule for finding in lint(planning, stages=planning.reachable())]

    assert ["MaintainerDeprecated", "WorkdirRelativePath"] == rules


def test_what_cannot_be_expanded_is_an_error_where_variables_are_known() -> None:
    with pytest.raises(DockerfileError, match="x: is not allowed to be unset"):
        found("FROM a\nWORKDIR ${x?}")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", Checks()),
        ("skip=A, B;error=TRUE", Checks(frozenset("AB"), error=True)),
        ("error=0;experimental=all", Checks(experimental=frozenset({"all"}))),
    ],
)
def test_check_options_are_read(text: str, expected: Checks) -> None:
    assert expected == Checks.parse(text)


@pytest.mark.parametrize("text", ["skip", "error=perhaps", "skp=A", ";"])
def test_unknown_check_options_are_refused(text: str) -> None:
    dockerfile = parse(f"# check={text}\nFROM a".encode())
    with pytest.raises(DockerfileError, match="failed to parse check options"):
        checks_of(dockerfile.directives, {})


def test_an_unreadable_check_in_a_comment_is_a_comment() -> None:
    assert [("JSONArgsRecommended", 3)] == found("FROM a\n# check=what\nCMD x")


def test_a_violation_names_the_rules_and_the_first_place() -> None:
    findings = lint(planned("FROM a\nCMD x\nMAINTAINER y"))
    error = violation(findings)

    assert error is not None
    assert "lint violation found for rules: JSONArgsRecommended, MaintainerDeprecated" == error.message
    assert findings[0].where == error.where
    assert violation([]) is None


def test_every_finding_is_one_of_the_rules() -> None:
    findings: tuple[Finding, ...] = lint(planned("from a as B\nCMD x\nWORKDIR y"))

    assert {finding.rule for finding in findings} <= RULES.keys()
    assert 22 == len(RULES)
