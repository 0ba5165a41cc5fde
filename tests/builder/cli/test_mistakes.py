"""What the command line says of mistakes in a Dockerfile: where, the lines there, and what was probably meant."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.semantics.bench import Bench

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.mark.parametrize(
    ("line", "message", "hint"),
    [
        ("CPOY a b", "unknown instruction: CPOY", "did you mean COPY?"),
        ("entrypont x", "unknown instruction: entrypont", "did you mean ENTRYPOINT?"),
        ("&& make", "unknown instruction: &&", "is an escape missing at the end of the line above?"),
        ("COPY --form=a b c", "unknown flag: --form", "did you mean --from?"),
        ("ADD --cheksum=a b c", "unknown flag: --cheksum", "did you mean --checksum?"),
        ("RUN --moutn=type=cache x", "unknown flag: --moutn", "did you mean --mount?"),
        ("ENV --x a=b", "unknown flag: --x", "this instruction has no flags"),
        ("FROM --platfrom=x a", "unknown flag: --platfrom", "did you mean --platform?"),
        ("HEALTHCHECK --intervall=5s CMD x", "unknown flag: --intervall", "did you mean --interval?"),
        ("RUN --mount=type=bind,taget=/x y", "unexpected key 'taget' in mount", "did you mean target?"),
        ("RUN --mount=type=cahce,target=/x y", "unsupported mount type 'cahce'", "did you mean cache?"),
        (
            "RUN --mount=type=cache,target=/x,sharing=lokced y",
            "unsupported sharing value 'lokced'",
            "did you mean locked?",
        ),
        ("RUN --network=hots y", "invalid network mode 'hots'", "did you mean host?"),
        ("RUN --security=insecur y", "invalid security mode 'insecur'", "did you mean insecure?"),
        ("HEALTHCHECK CDM x", "unknown type 'CDM' in HEALTHCHECK", "HEALTHCHECK CMD command, or HEALTHCHECK NONE"),
        ("COPY a", "COPY requires at least two arguments", "COPY source ... destination"),
        ("RUN []", "RUN [] names no program", 'RUN ["program", "argument"]'),
        ("SHELL /bin/sh", "SHELL requires the arguments to be in JSON form", 'SHELL ["/bin/bash", "-c"]'),
        ("STOPSIGNAL SIGTREM", "invalid signal: SIGTREM", "did you mean"),
        ("LABEL a=${b:=c}", "unsupported modifier (:=) in substitution", "there are :- "),
        ("COPY --from=biuld a b", "biuld", "did you mean build?"),
        ("COPY --from=later a b", "stage 'later' is used before it is defined", "it begins at Dockerfile:4"),
        ("COPY --from=9 a b", "invalid stage index 9", "stages before this one are 0 to 0"),
        ("COPY missing.txt b", 'source "missing.txt" is not in the build context', 'did you mean "mising.txt"?'),
        ("COPY hidden b", 'source "hidden" is not in the build context', '.dockerignore line 2 ("hid*") excludes it'),
        ("COPY https://example.com/x b", "source can't be a URL for COPY", "ADD fetches URLs"),
        ("EXPOSE 99999999", "99999999", ""),
    ],
)
def test_an_instruction(bench: Bench, line: str, message: str, hint: str) -> None:
    text = f"FROM scratch AS build\nFROM scratch\n{line}\nFROM scratch AS later\nFROM build\nCOPY --from=1 / /\n"

    error = bench.fails(text, {".dockerignore": "# ours\nhid*", "hidden": "", "mising.txt": ""})
    first, *rest = error.splitlines()

    assert first.startswith("ERROR: Dockerfile:3: ")
    assert message in first
    assert "Dockerfile:3" == rest[0]
    assert f"   3 | >>> {line}" in rest
    assert (not hint) or any(each.startswith("hint: ") and hint in each for each in rest), error


def test_a_target(bench: Bench) -> None:
    error = bench.fails("FROM scratch AS build\nFROM scratch AS test\n", (), "--target=buidl")

    assert "ERROR: target stage 'buidl' could not be found\nhint: did you mean build?\n" == error


def test_an_argument_of_from(bench: Bench) -> None:
    error = bench.fails("ARG VERSION=1\nFROM $VERSOIN\n")

    assert error.startswith("ERROR: Dockerfile:2: base name ($VERSOIN) should not be blank\n")
    assert "hint: did you mean VERSION?" in error


def test_an_undefined_variable_is_warned_of_with_what_may_be_meant(bench: Bench) -> None:
    built = bench.build("FROM scratch\nARG VERSION=1\nLABEL v=$VERSOIN\n")

    assert (
        "WARN: UndefinedVar: Usage of undefined variable '$VERSOIN' (did you mean $VERSION?) (Dockerfile:3)"
        in built.err
    )


def test_a_line_of_several_is_marked_whole(bench: Bench) -> None:
    error = bench.fails("FROM scratch\nENV a=b \\\n  c\nLABEL d=e\n")

    assert (
        """Dockerfile:2
--------------------
   1 |     FROM scratch
   2 | >>> ENV a=b \\
   3 | >>>   c
   4 |     LABEL d=e
--------------------
"""
        in error
    )


def test_a_bad_pattern_of_the_ignore_file_says_where(bench: Bench) -> None:
    error = bench.fails("FROM scratch\nCOPY . /\n", {".dockerignore": "ok\n[\n"})

    assert error.startswith("ERROR: .dockerignore:2: ")


@pytest.mark.parametrize("size", [1 << 20])
def test_a_dockerfile_of_a_megabyte_is_read_or_refused_at_once(bench: Bench, size: int) -> None:
    for text in (
        "FROM scratch\nLABEL a=" + "$" * size,
        "FROM scratch\nENV " + "a" * size,
        "FROM " + "${a:-" * (size // 5),
    ):
        code, _, err = bench.run(bench.context(text))
        assert code in {0, 1}
        assert len(err) < 3 * size
