"""The house's rules, read from the code: who imports whom, and how large things are."""

from __future__ import annotations

import ast
import functools
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LEVELS: dict[str, int] = {
    "layers.frozen": 0,
    "layers.errors": 0,
    "layers.digest": 0,
    "layers.mediatype": 0,
    "layers.platform": 0,
    "layers.reference": 0,
    "layers.jsonread": 0,
    "layers.config": 1,
    "layers.model": 1,
    "layers.image": 2,
    "layers.compression": 2,
    "layers.mutate": 3,
    "layers.validate": 3,
    "layers.changeset": 3,
    "layers.store": 4,
    "layers.registry": 4,
    "layers.archive": 4,
    "layers.serving": 5,  # serves a store, and so stands above it; it needs nothing of the registries' client
    "builder.errors": 5,
    "builder.events": 5,
    "builder.costs": 5,
    "builder.dockerfile": 6,
    "builder.context": 6,
    "builder.runtime": 6,
    "builder.cache": 6,
    "builder.export": 6,
    "builder.execute": 7,
    "builder.bases": 8,
    "builder.checks": 8,
    "builder.containers": 8,
    "builder.pipeline": 8,
    "builder.cli": 9,
    "builder.__main__": 9,
}
SEPARATE = [
    {"layers.store", "layers.registry", "layers.archive"},
    {"layers.serving", "layers.registry"},
    {"layers.serving", "layers.archive"},
    {"builder.dockerfile", "builder.context", "builder.runtime", "builder.cache", "builder.export"},
    {"builder.execute", "builder.export"},
]
ONLY_IN = {
    "subprocess": ("builder.runtime", "builder.context.remote", "builder.cli"),
    "typer": ("builder.cli",),
    "dockerfile_parse": ("builder.dockerfile.source",),
    "isal": ("layers.compression",),
    "zstandard": ("layers.compression",),
    "zlib": ("layers.compression",),
    "gzip": ("layers.compression",),
    "bz2": ("layers.compression",),
    "lzma": ("layers.compression",),
}
"""Which modules may import what; a room stands for all its modules."""
MODULES = sorted([*ROOT.glob("layers/**/*.py"), *ROOT.glob("builder/**/*.py")])


@functools.cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def room(module: str) -> str:
    return ".".join(module.split(".")[:2])


def imports(path: Path) -> list[str]:
    """Give every module that a file imports, also under TYPE_CHECKING and in functions."""
    found = []
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            if node.module in {"layers", "builder"}:
                found += [f"{node.module}.{alias.name}" for alias in node.names]
            else:
                found.append(node.module)
    return found


def within(module: str, rooms: tuple[str, ...]) -> bool:
    return any(module == each or module.startswith((f"{each}.", f"{each}_")) for each in rooms)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_point_down(path: Path) -> None:
    """A room imports rooms with a lower number, and neighbours never meet."""
    own = room(name_of(path))
    for module in imports(path):
        other = room(module)
        if other == own or not module.startswith(("layers.", "builder.")) or other == "builder.__version__":
            continue
        assert LEVELS[other] <= LEVELS[own], f"{name_of(path)} imports {module}"
        assert (own.partition(".")[0], other.partition(".")[0]) != ("layers", "builder"), f"{name_of(path)}: {module}"
        assert not any({own, other} <= group for group in SEPARATE), f"{name_of(path)} imports {module}"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_some_imports_belong_to_one_room(path: Path) -> None:
    """Processes, compression and the command line's library stay where they belong."""
    for module in imports(path):
        rooms = ONLY_IN.get(module.partition(".")[0])
        assert rooms is None or within(name_of(path), rooms), f"{name_of(path)} imports {module}"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_only_the_command_line_prints_exits_and_reads_the_environment(path: Path) -> None:
    """Everything below ``cli`` is told what it needs and returns what it found."""
    if room(name_of(path)) == "builder.cli" or name_of(path) == "builder.__main__":
        return
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id != "print", f"{name_of(path)}:{node.lineno}"
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            forbidden = {("os", "environ"), ("os", "getenv"), ("sys", "exit"), ("sys", "argv")}
            assert (node.value.id, node.attr) not in forbidden, f"{name_of(path)}:{node.lineno}"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_modules_and_functions_stay_small(path: Path) -> None:
    """No module has more than 400 lines, no function more than 60."""
    assert len(path.read_text().splitlines()) <= 400
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            assert lines <= 60, f"{name_of(path)}:{node.lineno} {node.name} has {lines} lines"


def test_every_module_has_a_level() -> None:
    """A new room is put into the table before it is built."""
    rooms = {room(name_of(path)) for path in MODULES} - {"layers", "builder", "builder.__main__"}
    assert rooms <= set(LEVELS)
