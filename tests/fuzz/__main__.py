"""``python -m tests.fuzz [TARGET...] --runs N --seconds S``: try bytes that nobody thought of.

Needs atheris: ``pip install '.[fuzz]'``. Inputs that reach something new are kept in ``--corpus``, which a later run
goes on from; what broke a reader is in ``--found``. ``--minimise`` writes the smallest corpora that reach as much into
``tests/data/fuzz``, as far as there is room, from where the suite reads them.
"""

from __future__ import annotations

import argparse
import base64
import re
import subprocess
import sys
import tempfile
from hashlib import sha1
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tests.fuzz.targets import TARGETS

if TYPE_CHECKING:
    from collections.abc import Sequence

SEEDS = Path(__file__).parents[1] / "data" / "fuzz"
"""A file for each target, with small inputs that reach most of it: in each line one, in base64."""
_TIMEOUT = 120
"""Seconds after which an input counts as endless, on a machine however busy."""
_MEMORY = 2048
"""MiB that a target may have."""
_KEPT = 6_000
"""Bytes that the suite replays of each target."""


class Outcome(NamedTuple):
    """What came of one target."""

    name: str
    inputs: int
    seconds: int
    features: int
    """Edges and counts of edges that were reached."""
    error: str
    """The traceback of what should not have been raised."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Fuzz, print a table, and exit with 1 where a target broke."""
    options = _parser().parse_args(arguments)
    unknown = sorted({*options.targets} - {*TARGETS})
    if unknown:
        sys.exit(f"no such target: {', '.join(unknown)}; there are {', '.join(TARGETS)}")
    with tempfile.TemporaryDirectory(prefix="fuzz-") as scratch:
        corpus = Path(options.corpus or scratch)
        found = Path(options.found or tempfile.mkdtemp(prefix="fuzz-found-"))
        found.mkdir(parents=True, exist_ok=True)
        broken = 0
        print(f"{'target':<12} {'inputs':>10} {'seconds':>8} {'features':>8}", flush=True)
        for name in options.targets or TARGETS:
            if options.minimise:
                _minimise(name, corpus / name)
                continue
            outcome = fuzz(name, corpus / name, found, runs=options.runs, seconds=options.seconds)
            print(f"{name:<12} {outcome.inputs:>10} {outcome.seconds:>8} {outcome.features:>8}", flush=True)
            if outcome.error:
                broken += 1
                print(f"{outcome.error}\nthe input is in {found}", flush=True)
    sys.exit(min(broken, 1))


def fuzz(name: str, corpus: Path, found: Path, *, runs: int, seconds: int) -> Outcome:
    """Fuzz one target until it breaks, or until it had its inputs or its time; 0 is no limit."""
    put_seeds(name, corpus)
    log = found / f"{name}.log"
    with tempfile.NamedTemporaryFile("w", suffix=".dict") as words, log.open("wb") as output:
        words.write("".join(f'"{_escaped(word)}"\n' for word in TARGETS[name].words))
        words.flush()
        command = [
            *(sys.executable, "-m", "tests.fuzz.child", "", name, str(corpus)),
            *(f"-dict={words.name}", f"-max_len={TARGETS[name].size}", f"-artifact_prefix={found}/{name}-"),
            *(f"-runs={runs or -1}", f"-max_total_time={seconds}", f"-timeout={_TIMEOUT}", f"-rss_limit_mb={_MEMORY}"),
            *("-print_final_stats=1", "-close_fd_mask=0"),
        ]
        code = subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, check=False).returncode
    return _outcome(name, log.read_text(errors="replace"), failed=code != 0)


def _outcome(name: str, text: str, *, failed: bool) -> Outcome:
    counts = [int(count) for count in re.findall(r"^#(\d+)\t", text, re.MULTILINE)]
    counts += [int(count) for count in re.findall(r"number_of_executed_units: (\d+)", text)]
    seconds = re.findall(r"Done \d+ runs in (\d+) second", text)
    features = re.findall(r" ft: (\d+)", text)
    error = ""
    if failed:
        _, _, tail = text.partition("Uncaught Python exception")
        error = tail or text[-4000:]
    return Outcome(
        name, max(counts, default=0), int(seconds[-1]) if seconds else 0, int((features or ["0"])[-1]), error
    )


def seeds(name: str) -> list[bytes]:
    """Give the inputs that are kept of a target."""
    path = SEEDS / f"{name}.txt"
    return [base64.b64decode(line) for line in path.read_bytes().split()] if path.exists() else []


def put_seeds(name: str, corpus: Path) -> None:
    """Write a target's seeds into a corpus."""
    corpus.mkdir(parents=True, exist_ok=True)
    for content in seeds(name):
        (corpus / sha1(content).hexdigest()).write_bytes(content)  # as libFuzzer names them


def _minimise(name: str, corpus: Path) -> None:
    """Replace a target's seeds by the smallest of those inputs, of its seeds and its corpus, that reach as much."""
    put_seeds(name, corpus)
    with tempfile.TemporaryDirectory(prefix="fuzz-merge-") as scratch:
        merged, again = Path(scratch, "merged"), Path(scratch, "again")
        merged.mkdir()
        again.write_text(f'#!/bin/sh\nexec {sys.executable} -m tests.fuzz.child "$0" {name} "$@"\n')
        again.chmod(0o755)
        options = ("-merge=1", f"-max_len={TARGETS[name].size // 2}", str(merged), str(corpus))
        subprocess.run([str(again), *options], check=True, capture_output=True)
        keep(name, [path.read_bytes() for path in merged.iterdir()])


def keep(name: str, inputs: Sequence[bytes]) -> None:
    """Write the smallest of some inputs as a target's seeds, as many as there is room for."""
    kept: list[bytes] = []
    for content in sorted(inputs, key=lambda each: (len(each), each)):
        if sum(map(len, kept)) + len(content) <= _KEPT:
            kept.append(content)
    SEEDS.mkdir(exist_ok=True)
    (SEEDS / f"{name}.txt").write_bytes(b"".join(base64.b64encode(each) + b"\n" for each in kept if each))
    print(f"{name:<12} {len(kept):>10} inputs", flush=True)


def _escaped(word: str) -> str:
    """Give a word as a line of libFuzzer's dictionaries has it."""
    return "".join(chr(c) if 32 <= c < 127 and c not in b'"\\' else f"\\x{c:02x}" for c in word.encode("latin-1"))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Try bytes that nobody thought of.")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)}; default: all")
    parser.add_argument("--runs", type=int, default=0, help="inputs for each target")
    parser.add_argument("--seconds", type=int, default=60, help="for each target; 0: until it breaks")
    parser.add_argument("--corpus", help="a directory that is kept; default: a temporary one")
    parser.add_argument("--found", help="where inputs that broke a target are written; default: a temporary directory")
    parser.add_argument("--minimise", action="store_true", help="write small corpora for the suite, and do not fuzz")
    return parser


if __name__ == "__main__":
    main()
