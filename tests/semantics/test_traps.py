"""Every trap is proven by a test, here or where the thing itself is tested."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.semantics.traps import ELSEWHERE, TRAPS

ROOT = Path(__file__).parents[2]


def _marked() -> set[int]:
    """Give the numbers that tests of this folder prove."""
    found: set[int] = set()
    for path in Path(__file__).parent.glob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                calls = [each for each in node.decorator_list if isinstance(each, ast.Call)]
                marks = [each for each in calls if isinstance(each.func, ast.Name) and each.func.id == "trap"]
                found |= {ast.literal_eval(number) for each in marks for number in each.args}
    return found


def test_every_trap_is_proven() -> None:
    assert list(range(1, 76)) == list(TRAPS)
    assert set(TRAPS) == _marked() | {number for number, nodes in ELSEWHERE.items() if nodes}


@pytest.mark.parametrize("node", sorted({node for nodes in ELSEWHERE.values() for node in nodes}))
def test_what_is_proven_elsewhere_is_there(node: str) -> None:
    path, _, name = node.partition("::")
    name, _, case = name.removesuffix("]").partition("[")
    functions = [
        each.name for each in ast.walk(ast.parse((ROOT / path).read_text())) if isinstance(each, ast.FunctionDef)
    ]

    assert name in functions
    if case:
        assert (ROOT / path).parent.joinpath("cases", case, "Dockerfile").is_file()
