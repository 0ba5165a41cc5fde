"""Build checks, a folder of tests/data/lint for each: a Dockerfile with findings, and one that says it better.

``expected.json`` names the ``rule`` and its ``findings`` as ``[line, message]``; ``env``, ``platform``, ``build_args``
and ``good_platform`` are what the base image has, what is built, and how. ``.dockerignore`` counts where there is one.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from builder.checks import check, report
from builder.context.context import LocalContext
from builder.context.ignore import Ignore
from builder.dockerfile.parse import parse
from builder.dockerfile.plan import Plan, plan
from builder.dockerfile.rules import EXPERIMENTAL, OVERRIDE, RULES, page
from builder.errors import DockerfileError
from builder.events import Event, Warned
from layers.config import ContainerConfig
from layers.platform import Platform
from tests.support.images import AMD64, image

if TYPE_CHECKING:
    from collections.abc import Mapping

CASES = Path(__file__).parents[1] / "data" / "lint"
EACH = pytest.mark.parametrize("name", sorted(path.name for path in CASES.iterdir()))
NOT_BY_LINE = {"NoEmptyContinuation"}
"""Checks whose finding is no instruction, so that no comment stands above it."""


@dataclass
class Case:
    """One folder, and what is done with it."""

    folder: Path
    expected: dict[str, Any]
    events: list[Event] = field(default_factory=list)

    @property
    def rule(self) -> str:
        """The check that it is about."""
        rule: str = self.expected["rule"]
        return rule

    def text(self, name: str = "Dockerfile") -> str:
        """Give one of the two Dockerfiles."""
        return (self.folder / name).read_text()

    def plan(self, text: str, platform: str = "", build_args: Mapping[str, str] | None = None) -> Plan:
        """Plan a Dockerfile as the case says, with more build arguments."""
        wanted = platform or self.expected.get("platform", "linux/amd64")
        arguments = {**self.expected.get("build_args", {}), **(build_args or {})}
        return plan(
            parse(text.encode()),
            target=None,
            build_args=arguments,
            platform=Platform.parse(wanted),
            build_platform=AMD64,
        )

    def found(self, planned: Plan) -> list[tuple[str, int, str]]:
        """Give what is found: rule, line and message."""
        ignore = self.folder / ".dockerignore"
        base = image(config=ContainerConfig(env=tuple(f"{k}={v}" for k, v in self.expected.get("env", {}).items())))
        with LocalContext(self.folder, Ignore.parse(ignore.read_bytes()) if ignore.exists() else None) as context:
            findings = check(planned, context, image=lambda _: base)
        return [(rule, where.start, message) for rule, message, where in findings]


@pytest.fixture
def case(name: str) -> Case:
    return Case(CASES / name, json.loads((CASES / name / "expected.json").read_text()))


def test_every_check_has_a_case() -> None:
    assert sorted(RULES) == sorted(json.loads((path / "expected.json").read_text())["rule"] for path in CASES.iterdir())


@EACH
def test_a_case_has_the_findings_that_are_expected(case: Case) -> None:
    expected = [(line, message) for line, message in case.expected["findings"]]

    assert expected
    assert expected == [(line, text) for rule, line, text in case.found(case.plan(case.text())) if rule == case.rule]


@EACH
def test_the_better_dockerfile_has_none_of_them(case: Case) -> None:
    planned = case.plan(case.text("Dockerfile.good"), case.expected.get("good_platform", ""))

    assert [] == [finding for finding in case.found(planned) if finding[0] == case.rule]


@EACH
def test_the_directive_skips_the_check(case: Case) -> None:
    """``# check=skip=Name``; one that is on trial is off without a directive that asks for it."""
    text = case.text().removeprefix("# check=experimental=InvalidDefinitionDescription\n")
    planned = case.plan(f"# check=skip={case.rule}\n{text}")

    assert case.rule not in {rule for rule, _, _ in case.found(planned)}


@EACH
def test_the_directive_skips_all_checks(case: Case) -> None:
    text = case.text().removeprefix("# check=experimental=InvalidDefinitionDescription\n")

    assert [] == case.found(case.plan(f"# check=skip=all\n{text}"))


@EACH
def test_the_build_argument_goes_before_the_directive(case: Case) -> None:
    on = f"experimental={case.rule}" if case.rule in EXPERIMENTAL else "error=true"

    assert [] == case.found(case.plan(case.text(), build_args={OVERRIDE: "skip=all"}))
    assert case.found(case.plan(case.text(), build_args={OVERRIDE: on}))


@EACH
def test_a_comment_above_the_instruction_skips_the_check(case: Case) -> None:
    """``# check=skip=Name`` right above, for the checks of instructions that are not on trial."""
    lines = case.text().split("\n")
    for line in reversed(parse(case.text().encode()).lines):
        lines.insert(line.where.start - 1, f"# check=skip={case.rule}")
    found = {rule for rule, _, _ in case.found(case.plan("#\n" + "\n".join(lines)))}

    assert (case.rule in NOT_BY_LINE | EXPERIMENTAL) == (case.rule in found)


@EACH
def test_a_finding_is_an_error_where_the_directive_says_so(case: Case) -> None:
    planned = case.plan(case.text(), build_args={OVERRIDE: f"error=true;experimental={case.rule}"})
    with LocalContext(case.folder) as context:
        findings = check(planned, context, image=lambda _: image())

    with pytest.raises(DockerfileError, match="lint violation found for rules: ") as error:
        report(planned, findings or [case_finding(case, planned)], case.events.append)

    assert error.value.where is not None
    assert {Warned} == {type(event) for event in case.events}


def case_finding(case: Case, planned: Plan) -> Any:
    """Give a finding that needs the ignore file."""
    with LocalContext(case.folder, Ignore.parse((case.folder / ".dockerignore").read_bytes())) as context:
        return check(planned, context, image=lambda _: image())[0]


def test_exceptions_in_dockerignore_leave_copies_unchecked(tmp_path: Path) -> None:
    planned = Case(tmp_path, {}).plan("FROM scratch\nCOPY notes.txt /")
    for text, expected in (("*.txt", 1), ("*.txt\n!notes.txt", 0), ("*.txt\n!other", 0)):
        with LocalContext(tmp_path, Ignore.parse(text)) as context:
            assert expected == len(check(planned, context, image=lambda _: None))


def test_each_finding_is_told_once() -> None:
    planned = Case(CASES, {}).plan("FROM scratch\nLABEL a=$x$x b=$x c=$y")
    with LocalContext(CASES) as context:
        assert ["$x", "$y"] == [re.findall(r"\$\w", each.message)[0] for each in check(planned, context, image=_none)]


def _none(_: object) -> None:
    """Know no image."""


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("JSONArgsRecommended", "https://docs.docker.com/go/dockerfile/rule/json-args-recommended/"),
        ("FromAsCasing", "https://docs.docker.com/go/dockerfile/rule/from-as-casing/"),
        ("InvalidBaseImagePlatform", ""),
        ("UnknownOwner", ""),
    ],
)
def test_a_check_has_a_page_where_there_is_one(rule: str, expected: str) -> None:
    assert expected == page(rule)


def test_what_a_base_image_does_by_onbuild_is_checked_where_the_from_stands(tmp_path: Path) -> None:
    """As BuildKit does: its triggers are dispatched like the stage's own instructions, at the place of the FROM."""
    triggers = ("ENV a b", "WORKDIR rel", "CMD x", "ENV TOKEN=$nope")
    base = image(config=ContainerConfig(on_build=triggers))
    planned = plan(
        parse(b'ARG x=1\nFROM base\nCMD ["y"]\n'), target=None, build_args={}, platform=AMD64, build_platform=AMD64
    )
    with LocalContext(tmp_path) as context:
        found = check(planned, context, image=lambda _: base)

    rules = [
        *(
            "LegacyKeyValueFormat",
            "WorkdirRelativePath",
            "JSONArgsRecommended",
            "UndefinedVar",
            "SecretsUsedInArgOrEnv",
        ),
        "MultipleInstructionsDisallowed",
    ]
    assert {(rule, 2) for rule in rules} == {(rule, where.start) for rule, _, where in found}


def test_checks_that_a_comment_skips_are_skipped_in_triggers_too(tmp_path: Path) -> None:
    base = image(config=ContainerConfig(on_build=("WORKDIR rel",)))
    text = b"ARG x=1\n# check=skip=WorkdirRelativePath\nFROM base\n"
    planned = plan(parse(text), target=None, build_args={}, platform=AMD64, build_platform=AMD64)
    with LocalContext(tmp_path) as context:
        assert () == check(planned, context, image=lambda _: base)
