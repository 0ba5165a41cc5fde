"""Readers of Dockerfiles and of what stands in them."""

from __future__ import annotations

import contextlib

from builder.dockerfile.expand import expand
from builder.dockerfile.lint import BaseFacts, lint
from builder.dockerfile.mounts import read_mount, written_mount
from builder.dockerfile.outline import outline, targets
from builder.dockerfile.parse import excerpt, parse, parse_trigger
from builder.dockerfile.plan import plan
from builder.dockerfile.words import expand_word, expand_words
from builder.errors import DockerfileError, SourceRange
from layers.platform import Platform
from tests.fuzz.target import text_of

_AMD64 = Platform("linux", "amd64")
_HERE = SourceRange("Dockerfile", 1, 1)
_ENV = {"a": "x y", "b": "", "c": "x" * 40, "HOME": "/root/a.tar.gz", "PATH": "/bin:/usr/bin"}


def _place(error: DockerfileError) -> SourceRange:
    assert error.where, error
    return error.where


def dockerfile(content: bytes) -> None:
    """Parse and plan a Dockerfile, check it, and expand each instruction."""
    try:
        parsed = parse(content)
    except DockerfileError as error:
        excerpt(content.decode(errors="replace").split("\n"), _place(error))
        raise
    targets(parsed)
    planned = plan(parsed, target=None, build_args={}, platform=_AMD64, build_platform=_AMD64)
    for stage in planned.stages:
        for instruction in stage.instructions:
            with contextlib.suppress(DockerfileError):
                expand(instruction, _ENV, planned.escape)
    outline(planned)
    facts = BaseFacts(_ENV, shell=False, platform=_AMD64)
    for finding in lint(planned, base=lambda _: facts, ignored=lambda _: True):
        assert finding.message


def trigger(content: bytes) -> None:
    """Parse what an image's ONBUILD holds, and expand it."""
    expand(parse_trigger(text_of(content), _HERE), _ENV)


def word(content: bytes) -> None:
    """Expand a word, as one and as several, with either escape; values are never read again."""
    text = text_of(content)
    for escape in "\\`":
        for quotes in (True, False):
            with contextlib.suppress(DockerfileError):
                expand_word(text, _ENV, escape, quotes=quotes)
        with contextlib.suppress(DockerfileError):
            expand_words(text, _ENV, escape)


def mount(content: bytes) -> None:
    """Read the value of ``RUN --mount``."""
    text = text_of(content)
    written_mount(text)
    read_mount(text, lambda value: expand_word(value, _ENV))
