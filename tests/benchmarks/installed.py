"""pybuild as people install it: what is measured is neither editable nor without compiled modules."""

from __future__ import annotations

import functools
import json
import shutil
import subprocess
import sys
from pathlib import Path

_ROOT = Path(__file__).parent.parent.parent
_PARTS = ("pyproject.toml", "README.md", "LICENSE", "builder", "layers")
_ASK = """
import importlib.util, json, os, builder, layers
files = [builder.__file__, layers.__file__]
compiled = all(os.path.exists(importlib.util.cache_from_source(each)) for each in files)
print(json.dumps({"directory": os.path.dirname(os.path.dirname(files[0])), "compiled": compiled}))
"""


@functools.cache
def installed(work: Path) -> Path:
    """Give the program: the one on PATH if it is installed as people do, else this tree in a venv below ``work``.

    Raises:
        RuntimeError: it cannot be installed there; says why.
    """
    found = shutil.which("pybuild")
    if found is not None and (reason := _unfit(Path(found))) is None:
        return Path(found)
    venv = work / "venv"
    print(f"installing this tree in {venv}: {reason if found else 'there is no pybuild on PATH'}", flush=True)
    return _install(venv, work / "source")


def _unfit(program: Path) -> str | None:
    """Say what keeps a program from being measured; None where nothing does."""
    with program.open("rb") as script:
        line = script.readline()
    if not line.startswith(b"#!"):
        return f"{program} is no script of Python"
    python = line[2:].decode().split()
    done = subprocess.run([*python, "-I", "-c", _ASK], capture_output=True, text=True, cwd="/", check=False)
    if done.returncode:
        return f"{program} does not find its modules"
    answer = json.loads(done.stdout)
    if (Path(answer["directory"]) / "pyproject.toml").exists():
        return f"{program} is installed editable, which finds its modules more slowly"
    return None if answer["compiled"] else f"the modules of {program} are not compiled"


def _install(venv: Path, source: Path) -> Path:
    shutil.rmtree(venv, ignore_errors=True)
    shutil.rmtree(source, ignore_errors=True)
    source.mkdir(parents=True)
    for name in _PARTS:
        part = _ROOT / name
        if part.is_dir():
            shutil.copytree(part, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(part, source / name)
    for command in (
        [sys.executable, "-m", "venv", str(venv)],
        [str(venv / "bin/python"), "-m", "pip", "install", "--quiet", str(source)],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"cannot install pybuild to measure it: {done.stderr[-800:]}")
    program = venv / "bin" / "pybuild"
    if (reason := _unfit(program)) is not None:
        raise RuntimeError(reason)
    return program
