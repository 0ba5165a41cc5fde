"""Each folder of tests/data/dockerfiles is a Dockerfile and what it means; a new case is a new folder."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from builder.dockerfile.parse import parse
from builder.errors import DockerfileError

if TYPE_CHECKING:
    from builder.dockerfile.instructions import Instruction
    from builder.dockerfile.parse import Dockerfile

CASES = Path(__file__).parents[2] / "data" / "dockerfiles"


@pytest.mark.parametrize("case", sorted(path.name for path in CASES.iterdir()))
def test_a_case_means_what_is_expected(case: str) -> None:
    expected = json.loads((CASES / case / "expected.json").read_text())

    assert expected == meaning((CASES / case / "Dockerfile").read_bytes())


def meaning(content: bytes) -> Any:
    """Give what a Dockerfile comes to as JSON: its instructions without what is default, or its error."""
    try:
        return _dockerfile(parse(content))
    except DockerfileError as error:
        where = error.where
        lines = [where.start, where.end] if where else None
        return {"error": error.message, "lines": lines, "hint": error.hint}


def _dockerfile(dockerfile: Dockerfile) -> Any:
    found: dict[str, Any] = {"directives": dockerfile.directives}
    if dockerfile.arguments:
        found["arguments"] = [_instruction(argument) for argument in dockerfile.arguments]
    found["stages"] = [
        [_instruction(stage.origin), *(_instruction(one) for one in stage.instructions)] for stage in dockerfile.stages
    ]
    if dockerfile.warnings:
        found["warnings"] = [[rule, where.start] for rule, _, where in dockerfile.warnings]
    return json.loads(json.dumps(found))


def _instruction(instruction: Instruction) -> dict[str, Any]:
    where = instruction.where
    return {instruction.keyword: [where.start, where.end]} | _fields(instruction)


def _fields(value: Any) -> dict[str, Any]:
    found = {}
    for field in dataclasses.fields(value):
        item = getattr(value, field.name)
        if field.name in {"where", "text"} or item in (field.default, None):
            continue
        if isinstance(item, tuple) and item and dataclasses.is_dataclass(item[0]):
            item = [_fields(one) for one in item]
        found[field.name] = item
    return found
