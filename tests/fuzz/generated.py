"""``python -m tests.fuzz.generated --files 100000``: parse Dockerfiles that were made up, and count the work.

Each is parsed, planned and expanded, or refused with its place. Of some the body is repeated: twice as many lines may
take twice as many calls, and no more. Calls are counted, Python's and C's, so that a busy machine changes nothing.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.fuzz.dockerfiles import dockerfile
from tests.fuzz.target import attempt

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_WORDS = (
    *(
        "a",
        "b/c",
        "/",
        "$a",
        "${a:-x}",
        "${c%%x*}",
        "${c//x/y}",
        '"q w"',
        "'s'",
        "\\ ",
        "é",
        "80/tcp",
        "9",
        "x=y",
        "--",
    ),
    *("--from=0", "--chown=1:2", "--link", "--mount=type=cache,target=/c", "--network=none", "[", '["a","b"]', "\\"),
)
_NAMES = (
    *("RUN", "COPY", "ADD", "ENV", "LABEL", "ARG", "WORKDIR", "USER", "CMD", "ENTRYPOINT", "EXPOSE", "VOLUME", "SHELL"),
    *("STOPSIGNAL", "HEALTHCHECK", "HEALTHCHECK CMD", "ONBUILD RUN", "ONBUILD COPY", "MAINTAINER", "run", "Env"),
)
_EACH = 100
"""Of so many files that are not refused one is repeated."""
_TIMES = 8
_SLACK = 1.1
"""What a line may cost more for being one of many, by calls."""


class Tally(NamedTuple):
    """What came of all files."""

    files: int
    size: int
    refused: int
    repeated: int
    worst: float
    """Calls of a repeated body, for each call of the body alone and each repetition."""


def generate(rng: random.Random) -> tuple[str, str]:
    """Give the beginning of a Dockerfile, and lines that may be repeated behind it."""
    head = rng.choice(("", "", "", "# escape=`\n", "# syntax=docker/dockerfile:1\n", "ARG v=1\n"))
    return f"{head}FROM {rng.choice(('scratch', 'a AS b', '--platform=linux/arm64 a'))}\n", "".join(
        _line(rng) for _ in range(rng.randint(1, 12))
    )


def _line(rng: random.Random) -> str:
    kind = rng.randrange(12)
    if kind == 0:
        return rng.choice(("\n", "# comment\n", "  \t\n", "#\n"))
    words = " ".join(rng.choice(_WORDS) for _ in range(rng.randint(1, 5)))
    name = rng.choice(_NAMES)
    if kind == 1:
        mark = rng.choice(("EOF", '"EOF"', "-EOF"))
        return f"{rng.choice(('RUN', 'COPY', 'ADD'))} <<{mark} /x\n{words}\n\t$a\nEOF\n"
    if kind == 2:
        return f"{name} {words} \\\n  # between\n\n  {rng.choice(_WORDS)}\n"
    if kind < 8:  # most are as people write them
        return rng.choice((f"ENV a={rng.choice(_WORDS[:8])} k=v\n", "RUN make all\n", "COPY a /b\n", "WORKDIR /w\n"))
    return f"{name} {words}\n"


def run(files: int, seed: int, *, each: int = _EACH) -> Tally:
    """Parse so many files and give what came of them; one of ``each`` that are not refused is repeated.

    Raises:
        AssertionError: a repeated body took more calls than its repetitions explain.
    """
    rng = random.Random(seed)
    size = refused = repeated = 0
    worst = 0.0
    for number in range(files):
        head, body = generate(rng)
        content = (head + body).encode()
        size += len(content)
        if is_refused(content):
            refused += 1
        elif (number - refused) % each == 0:
            ratio = growth(head, body)
            assert ratio <= _SLACK, (ratio, head + body)
            repeated += 1
            worst = max(worst, ratio)
    return Tally(files, size, refused, repeated, worst)


def is_refused(content: bytes) -> bool:
    """Tell whether a Dockerfile is refused; the place is checked on the way."""
    refused = False

    def read(data: bytes) -> None:
        nonlocal refused
        refused = True
        dockerfile(data)
        refused = False

    attempt(read, content)
    return refused


def growth(head: str, body: str) -> float:
    """Give the calls for a repeated body, by those for as many bodies of their own, without those for the head."""
    first, second = (calls(partial(is_refused, (head + body * times).encode())) for times in (_TIMES, 2 * _TIMES))
    return (second - first) / first


def calls(function: Callable[[], Any]) -> int:
    """Count the functions that are called, of Python and of C."""
    count = 0

    def note(_frame: Any, event: str, _argument: Any) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    sys.setprofile(note)
    try:
        function()
    finally:
        sys.setprofile(None)
    return count


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, and print what came of it."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.generated", description="Parse made-up Dockerfiles.")
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    started = time.process_time()
    tally = run(options.files, options.seed)
    print(
        f"{tally.files} Dockerfiles, {tally.size} bytes, {tally.refused} refused, no other error; "
        f"{tally.repeated} repeated, at most {tally.worst:.3f} times the work by calls; "
        f"{time.process_time() - started:.0f} s of processor time"
    )


if __name__ == "__main__":
    main()
