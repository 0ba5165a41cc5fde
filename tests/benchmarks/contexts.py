"""Build contexts to measure with: the same names, bytes and times on every machine."""

from __future__ import annotations

import functools
import itertools
import os
import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MTIME = 1_700_000_000
MIB = 1 << 20
_EDITS = itertools.count(os.getpid() * 1000)


def prose(random_: random.Random, size: int) -> bytes:
    """Give bytes like those of source code: gzip makes them about 3.5 times smaller."""
    letters = "etaoinshrdlucmfwypvbgkjqxz"
    words = ["".join(random_.choices(letters, k=random_.randint(2, 9))) for _ in range(3000)]
    words += ["\n    ", "\n", "(", ")", " = ", ", ", "self.", "return ", "if ", "import "] * 40
    weights = list(itertools.accumulate(1 / (1 + i % 3000) ** 0.9 for i in range(len(words))))
    out, have = [], 0
    while have < size:
        out.append(" ".join(random_.choices(words, cum_weights=weights, k=200_000)).encode())
        have += len(out[-1])
    return b"".join(out)[:size]


def sources(top: Path, count: int, seed: int) -> None:
    """Write a tree of small files as programs have them: 5 KB each in the mean, 25 in a directory."""
    random_ = random.Random(seed)
    sizes = [min(200_000, 64 + int(random_.lognormvariate(7.7, 1.15))) for _ in range(count)]
    body, at = prose(random_, sum(sizes)), 0
    for i, size in enumerate(sizes):
        folder = top / f"p{i // 500:03}" / f"m{i // 25 % 20:02}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"f{i:05}.py").write_bytes(body[at : at + size])
        at += size


def large(top: Path) -> None:
    """Write 1 GiB: half of it is like source code, half cannot be compressed."""
    random_, size = random.Random(2), 128 * MIB
    body = prose(random_, size // 4)
    for i in range(4):
        (top / f"random{i}.bin").write_bytes(random_.randbytes(size))
        (top / f"text{i}.txt").write_bytes((body[i * 4096 :] + body[: i * 4096]) * 4)


def sparse(top: Path, size: int) -> None:
    """Write one file of ``size`` bytes that takes no room on the disk."""
    with (top / "sparse.bin").open("wb") as file:
        file.truncate(size)


def ignored(top: Path, count: int) -> None:
    """Write empty files of which one in 500 is not ignored; no directory is ignored as a whole."""
    for directory, below in itertools.product(range(count // 500), range(5)):
        folder = top / f"d{directory:03}" / f"s{below}"
        folder.mkdir(parents=True)
        for file in range(100):
            os.close(os.open(folder / f"f{file:03}.dat", os.O_CREAT | os.O_WRONLY, 0o644))
    (top / ".dockerignore").write_text("# one file of each d*/s0 is left\n**/*.dat\n!**/s0/f007.dat\n")


def wide(top: Path) -> None:
    """Write 100 small files."""
    for i in range(100):
        (top / f"f{i}").write_text(f"file {i}\n" * 20)


CONTEXTS: dict[str, Callable[[Path], None]] = {
    "empty": lambda _: None,
    "small": lambda top: sources(top, 20_000, 1),
    "medium": lambda top: sources(top, 5_000, 3),
    "large": large,
    "wide": wide,
    "sparse1": lambda top: sparse(top, 1 << 30),
    "sparse20": lambda top: sparse(top, 20 << 30),
    **{f"ignored{count}": functools.partial(ignored, count=count) for count in (1_000, 10_000, 100_000, 1_000_000)},
    **{f"sources{count}": functools.partial(sources, count=count, seed=4) for count in (1_000, 10_000, 100_000)},
}


def context(work: Path, name: str) -> Path:
    """Give a context's directory, made when it is first asked for."""
    top = work / f"context-{name}"
    if not top.exists():
        part = work / f"part-{name}"
        part.mkdir(parents=True)
        # in another process: the caller's memory is measured beside what it starts
        child = os.fork()
        if child == 0:
            status = 1
            try:
                CONTEXTS[name](part)
                touch(part, MTIME)
                part.rename(top)
                status = 0
            finally:
                os._exit(status)
        assert os.waitpid(child, 0)[1] == 0
    return top


def touch(top: Path, when: int) -> None:
    """Give every file and directory one time, and then a second's rest: git would not trust a time of just now."""
    for folder, _, names in os.walk(top):
        for name in names:
            os.utime(os.path.join(folder, name), (when, when))
        os.utime(folder, (when, when))


def edit(top: Path) -> None:
    """Change one of the 20,000 files."""
    path = top / "p020" / "m10" / "f10260.py"
    path.write_bytes(b"# edit %012d\n" % next(_EDITS) + path.read_bytes()[-2000:])
