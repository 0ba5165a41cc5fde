"""``python -m tests.crash --all build pull``: end each command at every call by which it changes the disk.

One process imports everything once and forks for each trial, in a user namespace where it is no root.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import pkgutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import builder
import layers
from builder.runtime import syscalls
from builder.runtime.userns import enter
from tests.crash.scenes import SCENES, make_fixed
from tests.crash.trial import ERRORS, Trial, numbers
from tests.support.real_registry import real_registry

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Try, tell of each scene how many calls it has and at how many it was disturbed, and give 1 where one fails."""
    options = _parser().parse_args(arguments)
    wrong: list[str] = []
    _import_everything()
    with contextlib.ExitStack() as stack:
        registry = ""
        if any(SCENES[name].needs_registry for name in options.scenes):
            registry = stack.enter_context(real_registry())
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="crash-", dir="/var/tmp")))
        enter()
        syscalls._prctl(4, 1)
        fixed = work / "fixed"
        make_fixed(fixed, registry)
        os.environ.update({"HOME": str(work), "PYBUILD_ROOT": str(work / "no store")})
        for name in options.scenes:
            wrong += _try(name, work / name, fixed, options)
    for each in wrong:
        print(f"WRONG {each}", flush=True)
    return 1 if wrong else 0


def _import_everything() -> None:
    """Import what a command imports when it needs it, once instead of in each trial."""
    for package in (builder, layers):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    for name in ("isal.isal_zlib", "typer.rich_utils", "urllib3", "yaml", "zstandard", "concurrent.futures.thread"):
        importlib.import_module(name)


def _try(name: str, work: Path, fixed: Path, options: argparse.Namespace) -> list[str]:
    trial = Trial(SCENES[name], work, fixed)
    count, stride = len(trial.calls), 1 if options.all else options.stride
    wrong: list[str] = []
    tried = 0
    if options.list:
        for call in trial.calls:
            print(*call)
    for error in options.errors.split(","):
        for number in [options.at] if options.at else numbers(count, stride, options.start):
            if error == "kill":
                wrong += trial.kill(number)
            elif number <= count and trial.can_fail(number, error):
                wrong += trial.refuse(number, error)
            else:
                continue
            tried += 1
            if options.verbose and wrong:
                print(wrong.pop(), flush=True)
    if options.list:
        print(*sorted(trial.told), sep="\n")
    print(f"{name}: {count} calls, {tried} trials, {len(wrong)} wrong", flush=True)
    return wrong


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    parser.add_argument("scenes", nargs="*", default=list(SCENES), help=", ".join(SCENES))
    parser.add_argument("--all", action="store_true", help="at every call")
    parser.add_argument("--stride", type=int, default=20, metavar="N", help="at every Nth call, else")
    parser.add_argument("--start", type=int, default=0, metavar="N", help="beginning there")
    parser.add_argument("--at", type=int, metavar="N", help="at this call alone")
    parser.add_argument("--errors", default="kill", help=f"kill, {', '.join(ERRORS)}; several with commas")
    parser.add_argument("--list", action="store_true", help="print the calls as well")
    parser.add_argument("--verbose", action="store_true", help="tell what is wrong at once")
    return parser


if __name__ == "__main__":
    sys.exit(main())
