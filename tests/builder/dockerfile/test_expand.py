"""Which fields of which instruction are expanded, and with what."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from builder.dockerfile.expand import declare, expand
from builder.dockerfile.instructions import Arg, Instruction
from builder.dockerfile.parse import parse
from builder.errors import DockerfileError

ENV = {"a": "x", "spaced": "1 2", "n": "5"}


def instruction(text: str) -> Instruction:
    (found,) = parse(f"FROM scratch\n{text}\n".encode()).stages[0].instructions
    return found


def changed(text: str, env: dict[str, str] = ENV) -> dict[str, Any]:
    """Give the fields that expanding changes."""
    before = instruction(text)
    after = expand(before, env)
    return {
        field.name: getattr(after, field.name)
        for field in fields(before)
        if getattr(before, field.name) != getattr(after, field.name)
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ENV a=y b=$a $a=1 c='$a'", {"pairs": (("a", "y"), ("b", "x"), ("x", "1"), ("c", "$a"))}),
        ("ENV b one $a  two", {"pairs": (("b", "one x  two"),)}),
        ("LABEL $a=$spaced", {"pairs": (("x", "1 2"),)}),
        ("ARG a=y b=$a c", {"pairs": (("a", "y"), ("b", "y"), ("c", None))}),
        ("COPY --chown=$a --chmod=$n $a /$a/", {"chown": "x", "chmod": "5", "sources": ("x",), "destination": "/x/"}),
        ("COPY --exclude=$a a b", {}),
        ('COPY ["$spaced", "b"]', {"sources": ("1 2",)}),
        ("ADD --checksum=$a a b", {"checksum": "x"}),
        ("WORKDIR /$a", {"path": "/x"}),
        ("USER $a:$n", {"user": "x:5"}),
        ("VOLUME /$a", {"paths": ("/x",)}),
        ("STOPSIGNAL $n", {"signal": "5"}),
        ('EXPOSE $spaced "$n" ${u}', {"ports": ("5/tcp", "1/tcp", "2/tcp")}),
        ("RUN $a", {}),
        ("CMD $a", {}),
        ("ENTRYPOINT $a", {}),
        ('SHELL ["$a"]', {}),
        ("HEALTHCHECK CMD $a", {}),
        ("MAINTAINER $a", {}),
        ("ONBUILD RUN $a", {}),
    ],
)
def test_an_instruction_expands_its_own_fields_and_no_others(text: str, expected: dict[str, Any]) -> None:
    assert expected == changed(text)


def test_mounts_are_expanded_all_but_their_origin() -> None:
    (mount,) = changed("RUN --mount=type=cache,id=$a,target=/$a,from=b true")["mounts"]

    assert ("cache", "x", "/x", "b") == (mount.type, mount.id, mount.target, mount.from_stage)


def test_heredocs_are_expanded_with_the_backslash_and_keep_their_quotes() -> None:
    text = 'COPY <<-A <<"B" <<C /d/\n\t"$a" \\$a \\t \\\\\n\tA\n$a\nB\n\'$a\' $u\nC'
    (first, second, third) = changed(text)["heredocs"]

    assert '"x" $a t \\\n' == first.content == first.body
    assert "$a\n" == second.content
    assert "'x' \n" == third.content


def test_an_escape_before_a_line_end_goes_from_a_heredoc_and_the_line_end_stays() -> None:
    """As in BuildKit's shell/lex.go: `processStopOn` drops the escape and writes whatever rune follows it.

    Its testCopyHeredocSpecialSymbols has the cases: a lone escape gives an empty line, two give one, ``\\$`` a dollar.
    """
    (one, two, dollar, raw) = changed('COPY <<A <<B <<C <<"D" /d/\n\\\nA\n\\\\\nB\n\\$\nC\n\\\nD')["heredocs"]

    assert ["\n", "\\\n", "$\n", "\\\n"] == [one.content, two.content, dollar.content, raw.content]


def test_the_escape_of_the_dockerfile_counts_in_words() -> None:
    found = expand(instruction("WORKDIR `$a\\$a"), ENV, "`")

    assert "$a\\x" == getattr(found, "path", None)


def test_names_that_are_not_set_are_reported() -> None:
    unset: list[str] = []
    expand(instruction("COPY <<A $b $c /d/\n$e\nA"), ENV, unset=unset.append)

    assert ["b", "c", "e"] == unset


@pytest.mark.parametrize(
    "text",
    ["ENV b=${a", "STOPSIGNAL $a", "VOLUME $u", "EXPOSE $a", "RUN --mount=type=$a true", "COPY <<A /x\n${a:=}\nA"],
)
def test_what_only_expansion_shows_to_be_wrong_is_refused_where_it_stands(text: str) -> None:
    with pytest.raises(DockerfileError) as caught:
        expand(instruction(text), ENV)

    assert caught.value.where is not None
    assert 2 == caught.value.where.start


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ARG a", (("a", "global"),)),
        ("ARG a=own", (("a", "own"),)),
        ("ARG b=own", (("b", "given"),)),
        ("ARG b", (("b", "given"),)),
        ("ARG c", (("c", None),)),
        ("ARG e", (("e", ""),)),
        ("ARG b c=$b-$env d=$c", (("b", "given"), ("c", "given-1"), ("d", "given-1"))),
    ],
)
def test_an_arg_takes_the_build_argument_else_its_default_else_the_global_value(
    text: str, expected: tuple[tuple[str, str | None], ...]
) -> None:
    argument = instruction(text)
    assert isinstance(argument, Arg)
    build_args, global_arguments = {"b": "given", "e": ""}, {"a": "global", "b": "global", "e": "global"}

    assert expected == declare(argument, {"env": "1"}, build_args=build_args, global_arguments=global_arguments)
