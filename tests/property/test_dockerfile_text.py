"""Laws of reading Dockerfiles: whatever the bytes, an answer or a DockerfileError, and soon."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, TypeVar

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from builder.dockerfile.expand import expand
from builder.dockerfile.parse import excerpt, parse, parse_trigger
from builder.dockerfile.plan import plan
from builder.dockerfile.source import Source, read_source
from builder.dockerfile.words import BLANKS, expand_word, expand_words, lex
from builder.errors import DockerfileError, SourceRange
from layers.platform import Platform

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
NAMES = [
    "FROM",
    "RUN",
    "COPY",
    "ADD",
    "ENV",
    "LABEL",
    "ARG",
    "WORKDIR",
    "USER",
    "CMD",
    "ENTRYPOINT",
    "EXPOSE",
    "VOLUME",
]
NAMES += ["SHELL", "STOPSIGNAL", "HEALTHCHECK", "ONBUILD", "MAINTAINER", "from", "Run", "NONE"]
PIECES = [
    *NAMES, " ", "  ", "\t", "\n", "\n", "\r\n", "\\", "\\\n", "\\ \n", "\\\\\n", "`", "`\n", "#", "# x\n",
    "# escape=`\n", "# check=skip=all\n", "<<", "<<E", "<<-E", '<<"E"', "\nE\n", "\n\tE\n", "--", "--from=0",
    "--mount=type=bind,from=a", "=", "$", "${", "}", "a", "$a", "${a:-", "${a#*}", "${a/b/c}", "'", '"', "[", "]",
    '["a", "b"]', ",", ":", "/", "80/tcp", "scratch", "AS b", "\x0b", "\x0c", "\xa0", "\x1c", "\0", "é", "\ufeff",
    "CMD x", "type=cache,target=", "uid=1",
]  # fmt: skip
dockerfiles = st.lists(st.sampled_from(PIECES), max_size=40).map("".join)
with_stage = dockerfiles.map(lambda text: f"FROM scratch\n{text}")
ENV = {"a": "x y", "b": "", "PATH": "/bin"}


def attempt(function: Callable[..., T], *arguments: object, **named: object) -> T | DockerfileError:
    """Give the answer, or the one error that may be raised."""
    try:
        return function(*arguments, **named)
    except DockerfileError as error:
        return error


@given(content=st.binary(max_size=200) | dockerfiles.map(str.encode) | with_stage.map(str.encode))
def test_any_bytes_are_a_dockerfile_or_an_error_that_says_where(content: bytes) -> None:
    dockerfile = attempt(parse, content)
    if isinstance(dockerfile, DockerfileError):
        assert dockerfile.where is not None
        return
    for stage in dockerfile.stages:
        for instruction in stage.instructions:
            assert 1 <= instruction.where.start <= instruction.where.end <= len(dockerfile.source)
            assert ">>>" in excerpt(dockerfile.source, instruction.where)


@given(text=with_stage)
def test_whatever_parses_can_be_planned_and_expanded_or_says_why_not(text: str) -> None:
    failed = attempt(plan_and_expand, text)

    assert failed is None or (failed.where is not None and failed.message != "")


def plan_and_expand(text: str) -> None:
    linux = Platform("linux", "amd64")
    dockerfile = parse(text.encode())
    planned = plan(dockerfile, target=None, build_args={"a": "1"}, platform=linux, build_platform=linux)
    for stage in planned.stages:
        planned.dependencies(stage)
        for instruction in stage.instructions:
            expand(instruction, ENV, dockerfile.escape)


@given(text=dockerfiles)
def test_triggers_parse_or_say_why_not(text: str) -> None:
    where = SourceRange("Dockerfile", 3, 4)

    assert where == attempt(parse_trigger, text, where).where


@given(text=with_stage, escape=st.sampled_from("\\`"))
def test_logical_lines_are_joined_as_buildkit_joins_them(text: str, escape: str) -> None:
    """dockerfile-parse and the prepared text together come to what the rule says when it is written out plainly."""
    text = f"# escape={escape}\n" + text.replace("<<", "<")
    source = attempt(read_source, text.encode(), "Dockerfile")
    assume(not isinstance(source, DockerfileError))

    assert isinstance(source, Source)
    assert joined_plainly(text, escape) == [line.text for line in source.lines]


def joined_plainly(text: str, escape: str) -> list[str]:
    continuation = re.compile(rf"(^|[^{re.escape(escape)}]){re.escape(escape)}[ \t]*\Z")
    found: list[str] = []
    open_line: str | None = None
    for physical in text.split("\n"):
        line = physical.rstrip("\r")
        if line.lstrip(BLANKS)[:1] in {"", "#"}:
            continue
        line = line.lstrip(BLANKS) if open_line is None else line
        match = continuation.search(line)
        open_line = (open_line or "") + (line[: match.end(1)] if match else line)
        if match is None:
            found.append(open_line.strip(BLANKS))
            open_line = None
    return [*found, open_line.strip(BLANKS)] if open_line is not None else found


@given(text=dockerfiles, escape=st.sampled_from("\\`"))
def test_words_are_expanded_or_refused(text: str, escape: str) -> None:
    words = attempt(expand_words, text, ENV, escape)
    if isinstance(words, DockerfileError):
        assert "failed to process" in words.message
    else:
        assert all(words)


@given(text=st.text(alphabet=st.characters(exclude_characters="$<\\'\"", exclude_categories=["Cs"])))
def test_text_without_special_characters_is_itself(text: str) -> None:
    lexed = lex(text, ENV)

    assert text == lexed.text
    assert [word for word in re.split(f"[{BLANKS}]+", text) if word] == lexed.words


@given(value=st.text(max_size=30))
def test_a_value_is_never_read_again(value: str) -> None:
    assert f"<{value}>" == expand_word('<"$v">', {"v": value})


MEGABYTE = 1_000_000


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"RUN apt-get update && \\\n    apt-get install -y curl && \\\n    # why\n    true\n", id="runs"),
        pytest.param(b"ENV NAME=value OTHER='quoted text' THIRD=$NAME\n", id="env"),
        pytest.param(b"COPY --chown=1000:1000 --from=0 source/ destination/\n", id="copies"),
        pytest.param(b"# comment\n", id="comments"),
        pytest.param(b"RUN --mount=type=cache,target=/var/cache/apt apt-get install -y curl\n", id="mounts"),
        pytest.param(b"RUN <<EOF\n" + b"echo hello\n" * 20 + b"EOF\n", id="heredocs"),
    ],
)
def test_a_megabyte_of_ordinary_lines_takes_seconds_at_most(content: bytes) -> None:
    """A second on an idle machine; five, so that a busy one does not fail."""
    dockerfile = b"FROM scratch\n" + content * (MEGABYTE // len(content))
    start = time.process_time()
    parse(dockerfile)

    assert time.process_time() - start < 5


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"RUN x \\\n" + b"\\\n" * (MEGABYTE // 2), id="empty continuations"),
        pytest.param(b"RUN x \\\n" + b" y z w \\\n" * (MEGABYTE // 9), id="one long instruction"),
        pytest.param(b"RUN " + b"\\ " * (MEGABYTE // 2) + b"x", id="escapes"),
        pytest.param(b"RUN " + b"[" * MEGABYTE, id="brackets"),
        pytest.param(b"RUN" + b" " * MEGABYTE + b"x", id="blanks"),
        pytest.param(b"ENV " + b"a=b " * (MEGABYTE // 4), id="pairs"),
        pytest.param(b"ENV a=" + b'"' * MEGABYTE, id="quotes"),
        pytest.param(b"COPY " + b"<<E " * (MEGABYTE // 4) + b"/\n", id="heredocs without end"),
        pytest.param(b"RUN " + b"<" * MEGABYTE, id="angles"),
        pytest.param(b"RUN " + b"--a" * (MEGABYTE // 3), id="one long flag"),
        pytest.param(b"A" * MEGABYTE, id="one long name"),
        pytest.param(b"# a = " + b" " * MEGABYTE + b"b c", id="a directive full of blanks"),
        pytest.param(b"# c\n" * (MEGABYTE // 4), id="comments"),
        pytest.param(b"HEALTHCHECK --interval=" + b"1" * MEGABYTE + b"s CMD x", id="a long duration"),
        pytest.param(b"EXPOSE " + b"1" * MEGABYTE, id="a long port"),
    ],
)
def test_no_megabyte_takes_time_by_the_square(content: bytes) -> None:
    start = time.process_time()
    for text in (content, b"FROM scratch\n" + content):
        dockerfile = attempt(parse, text)
        if not isinstance(dockerfile, DockerfileError):
            for instruction in dockerfile.stages[0].instructions:
                attempt(expand, instruction, ENV)

    assert time.process_time() - start < 10


@pytest.mark.parametrize(
    "word",
    [
        pytest.param("${v#" + "*a" * 5000 + "b}", id="stars in front"),
        pytest.param("${v%%" + "*a?" * 5000 + "b}", id="stars behind"),
        pytest.param("${v//*a*b/x}", id="replace with stars"),
        pytest.param("${v//a/xx}" * 100, id="many replacements"),
        pytest.param("${x:-" * 100_000, id="open braces"),
        pytest.param("${v//a/${v//a/${v//a/${v//a/x}}}}", id="replacements in one another"),
        pytest.param("${v#" + "?" * 400_000 + "}", id="a pattern longer than the value"),
        pytest.param("$x" * 400_000, id="many variables"),
        pytest.param("'" * 400_000, id="single quotes"),
    ],
)
def test_no_word_takes_time_by_the_square(word: str) -> None:
    start = time.process_time()
    attempt(expand_words, word, {"v": "a" * 100_000})

    assert time.process_time() - start < 5


def test_variables_that_double_each_other_come_to_an_end() -> None:
    """Forty lines of ENV a=$a$a are a terabyte."""
    value: str | DockerfileError = "x"
    for _ in range(40):
        if isinstance(value, str):
            value = attempt(expand_word, "$a$a", {"a": value})

    assert isinstance(value, DockerfileError)
    assert "come to more than" in value.message
