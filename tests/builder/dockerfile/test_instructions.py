"""What single instructions hold, beyond the cases: commands with heredocs, mounts, durations, ports, signals."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

import pytest

from builder.dockerfile.durations import nanoseconds
from builder.dockerfile.instructions import Instruction, Run
from builder.dockerfile.mounts import RunMount, read_mount
from builder.dockerfile.parse import excerpt, parse, parse_trigger
from builder.dockerfile.ports import single_ports
from builder.dockerfile.stopsignals import check_signal
from builder.errors import DockerfileError, SourceRange

T = TypeVar("T", bound=Instruction)


def only(text: str, kind: type[T]) -> T:
    """Give the one instruction after FROM."""
    (found,) = parse(f"FROM scratch\n{text}\n".encode()).stages[0].instructions
    assert isinstance(found, kind)
    return found


def refusal(text: str) -> DockerfileError:
    """Give the error that a Dockerfile ends in."""
    with pytest.raises(DockerfileError) as caught:
        parse(text.encode())
    return caught.value


def test_a_lone_heredoc_is_the_command_itself() -> None:
    run = only("RUN <<-EOF\n\techo 1\n\tEOF", Run)

    assert ("echo 1\n",) == run.command
    assert run.script is None


def test_a_lone_heredoc_with_a_shebang_is_a_script() -> None:
    run = only("RUN <<'EOF'\n#!/usr/bin/python3\nprint()\nEOF", Run)

    assert run.script is not None
    assert ("EOF", "#!/usr/bin/python3\nprint()\n") == (run.script.name, run.script.body)


def test_heredocs_beside_words_are_left_to_the_shell() -> None:
    run = only("RUN cat <<A - 3<<-B\n#!/bin/sh\nA\n\tb\n\tB", Run)

    assert ("cat <<A - 3<<-B\n#!/bin/sh\nA\n\tb\nB",) == run.command
    assert run.script is None


def test_an_empty_name_begins_no_heredoc() -> None:
    assert ("cat <<''",) == only("RUN cat <<''", Run).command


def test_a_bare_run_is_an_empty_command() -> None:
    assert ("",) == only("RUN", Run).command
    assert () == only("RUN []", Run).command


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("target=/x", RunMount("", target="/x")),
        (
            "type=BIND,src=/a,dst=/b,from=base,rw",
            RunMount("", target="/b", source="/a", from_stage="base", readonly=False),
        ),
        ("type=bind,target=/b,readwrite=false", RunMount("", target="/b")),
        ("type=cache,destination=/c", RunMount("", "cache", "/c", readonly=False)),
        (
            "type=cache,target=/c,id=i,sharing=Locked,uid=1,gid=2,mode=0750,ro",
            RunMount("", "cache", "/c", id="i", sharing="locked", uid=1, gid=2, mode=0o750),
        ),
        ("type=tmpfs,target=/t,size=1.5g", RunMount("", "tmpfs", "/t", readonly=False, size=3 << 29)),
        ("type=secret,id=s,required", RunMount("", "secret", id="s", required=True)),
        ("type=secret,id=s,required=0,env=", RunMount("", "secret", id="s", env="")),
        ("type=ssh", RunMount("", "ssh")),
        ('"target=/a,b",type=cache', RunMount("", "cache", "/a,b", readonly=False)),
        ("type=$kind,target=$where", RunMount("", "cache", "/there", readonly=False)),
    ],
)
def test_mounts_are_read_with_each_key(options: str, expected: RunMount) -> None:
    values = {"$kind": "cache", "$where": "/there"}
    found = read_mount(options, lambda text: values.get(text, text))

    assert replace(expected, options=options) == found


@pytest.mark.parametrize(
    ("options", "message", "hint"),
    [
        ("type=bnd", "unsupported mount type 'bnd'", "did you mean bind?"),
        ("tagret=/x", "unexpected key 'tagret' in mount 'tagret=/x'", "did you mean target?"),
        ("type=cache,sharing=lock", "unsupported sharing value 'lock'", "did you mean locked?"),
        ("target", "invalid field 'target' must be a key=value pair", ""),
        ("type=bind,uid=1", "unexpected key 'uid' for mount type 'bind'", "uid is for secret and ssh and cache mounts"),
        ("type=cache,size=1", "unexpected key 'size' for mount type 'cache'", "size is for tmpfs mounts"),
        ("required", "unexpected key 'required' for mount type 'bind'", "required is for secret and ssh mounts"),
        ("type=cache,uid=x", "invalid value x for uid", ""),
        ("type=cache,mode=888", "invalid value 888 for mode", ""),
        ("type=cache,gid=4294967296", "invalid value 4294967296 for gid", ""),
        ("type=tmpfs,size=many", "invalid value for size: many", "a number with k, m, g or t"),
        ("ro=perhaps", "invalid value for ro: perhaps", "true or false"),
        ("type=secret", "invalid secret mount: one of id, source, target required", "--mount=type=secret,id=NAME"),
        ("type=secret,id=a,src=b", "both source and id can't be set", "for a secret they mean the same"),
        ("type=secret,id=a,from=b", "secret mount should not have a from", ""),
    ],
)
def test_wrong_mounts_are_refused_with_a_hint(options: str, message: str, hint: str) -> None:
    with pytest.raises(DockerfileError) as caught:
        read_mount(options, str)

    assert (message, hint) == (caught.value.message, caught.value.hint)


@pytest.mark.parametrize(
    ("options", "secret_id", "target"),
    [
        ("id=token", "token", "/run/secrets/token"),
        ("src=dir/token", "dir/token", "/run/secrets/token"),
        ("target=/etc/token", "token", "/etc/token"),
        ("id=token,env=TOKEN", "token", None),
        ("id=token,env=TOKEN,target=/t", "token", "/t"),
    ],
)
def test_secrets_are_named_by_id_source_or_target(options: str, secret_id: str, target: str | None) -> None:
    mount = read_mount(f"type=secret,{options}", str)

    assert (secret_id, target) == (mount.secret_id, mount.secret_target)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", 0),
        ("0", 0),
        ("0s", 0),
        ("1h2m3.5s", 3723_500_000_000),
        ("300ms", 300_000_000),
        ("+.5s", 500_000_000),
        ("1000us", 10**6),
    ],
)
def test_durations_are_nanoseconds(text: str, expected: int) -> None:
    assert expected == nanoseconds("interval", text)


@pytest.mark.parametrize("text", ["5", "s", "-1s", "1 s", "1d", "999us", "1s1", "9" * 30 + "h", "9" * 99 + "s"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(DockerfileError, match="--interval"):
        nanoseconds("interval", text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("80", ["80/tcp"]),
        ("53/UDP", ["53/udp"]),
        ("1-3/sctp", ["1/sctp", "2/sctp", "3/sctp"]),
        ("8080:80", ["80/tcp"]),
        ("127.0.0.1:8080:80/udp", ["80/udp"]),
        ("[::1]:8080:80", ["80/tcp"]),
        ("1.2.3.4::80", ["80/tcp"]),
        ("7000-7001:80", ["80/tcp"]),
        ("80/", ["80/tcp"]),
        ("0", ["0/tcp"]),
    ],
)
def test_ports_are_given_one_by_one(text: str, expected: list[str]) -> None:
    assert expected == single_ports(text)


@pytest.mark.parametrize(
    "text", ["", "/tcp", "x", "65536", "80/http", "3-1", "1-", "host:1:80", "1-2:80-82", "a:80", "-1", "¹", "9" * 5000]
)
def test_what_is_no_port_is_refused(text: str) -> None:
    with pytest.raises(DockerfileError, match=r"port|protocol|address"):
        single_ports(text)


@pytest.mark.parametrize("signal", ["SIGTERM", "term", "9", "SIGRTMIN+3", "rtmax-1"])
def test_signals_have_names_and_numbers(signal: str) -> None:
    check_signal(signal)


@pytest.mark.parametrize("signal", ["", "0", "SIG", "SIGTEM", "TERM ", "1.5", "RTMIN+16"])
def test_what_is_no_signal_is_refused(signal: str) -> None:
    with pytest.raises(DockerfileError, match="invalid signal"):
        check_signal(signal)


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("FROM a\nRUN --mount='type=bind,\"x' true", "cannot be read", ""),
        ("FORM scratch", "unknown instruction: FORM", "did you mean FROM?"),
        ("FROM a b", "FROM requires either one or three arguments", "FROM image [AS name]"),
        (
            "FROM a\nCOPY a",
            "COPY requires at least two arguments: sources and a destination",
            "COPY source ... destination",
        ),
        ("FROM a\nADD a <<E\nE", "ADD cannot accept a heredoc as a destination", ""),
        ("FROM a\nCOPY --link= a b", "missing a value on flag: --link", ""),
        ("FROM a\nCOPY --link=yes a b", "expecting boolean value for flag --link, not: yes", ""),
        ("FROM a\nCOPY --from a b", "missing a value on flag: --from", ""),
        ("FROM a\nWORKDIR --x /a", "unknown flag: --x", "this instruction has no flags"),
        ("FROM a\nRUN --network=nona x", "invalid network mode 'nona'", "did you mean none?"),
        ("FROM a\nARG", "ARG requires at least one argument", "ARG name[=default]"),
        ("FROM a\nEXPOSE", "EXPOSE requires at least one argument", "EXPOSE port[/protocol] ..."),
        ("FROM a\nSHELL []", "SHELL requires at least one argument", 'SHELL ["/bin/bash", "-c"]'),
        ("FROM a\nHEALTHCHECK", "HEALTHCHECK requires at least one argument", "HEALTHCHECK CMD command"),
        ("FROM a\nHEALTHCHECK RUN x", "unknown type 'RUN' in HEALTHCHECK", "HEALTHCHECK CMD command"),
        ("FROM a\nONBUILD", "ONBUILD requires at least one argument", "ONBUILD instruction"),
        ('FROM a\nCOPY ["<<E", "/"]', "heredoc '<<E' has no lines", "the JSON form takes paths only"),
        ('FROM a\nRUN [1, "<<EOF"]', "arrays must be comprised of strings only", ""),
        ('FROM a\nRUN cat <<${a:-\\"}', "matching double-quote", ""),
        ("FROM a\nENV", "ENV requires at least one argument", "ENV key=value ..."),
        ("FROM a\nENV a", "ENV must have two arguments", "ENV a=value"),
        ("FROM a\nENV =b", "ENV names can not be blank", ""),
        ("FROM a\nARG =b", "ARG names can not be blank", ""),
        ("FROM a\nUSER", "USER requires exactly one argument", ""),
        ("FROM a\nVOLUME", "VOLUME requires at least one argument", "VOLUME path ..."),
        ('FROM a\nVOLUME [""]', "VOLUME specified can not be an empty string", ""),
        ("FROM a\nHEALTHCHECK NONE x", "HEALTHCHECK NONE takes no arguments", ""),
        ("FROM a\nHEALTHCHECK CMD", "missing command after HEALTHCHECK CMD", ""),
        ("FROM a\nHEALTHCHECK --retries=-1 CMD x", "--retries is no number from 0: -1", ""),
        ("FROM a\nONBUILD FROM b", "FROM isn't allowed as an ONBUILD trigger", ""),
        ("# escape=x\nFROM a", "invalid escape token 'x'", "it is ` or \\"),
        ("ARG a", "dockerfile contains no stages to build", "add a FROM"),
        ("", "file with no instructions", "a Dockerfile begins with FROM"),
    ],
)
def test_mistakes_are_named_with_a_hint(text: str, message: str, hint: str) -> None:
    error = refusal(text)

    assert message in error.message
    assert hint in error.hint
    assert error.where is not None


def test_an_unknown_instruction_that_goes_on_is_named_whatever_it_is_called() -> None:
    """dockerfile-parse marks comments by this word."""
    assert "unknown instruction: comment" == refusal("FROM scratch\nRUN a \\\n b\ncomment a \\\nb").message


def test_a_dockerfile_beyond_all_measure_is_refused() -> None:
    assert "more than" in refusal("#" * ((16 << 20) + 1)).message


def test_a_trigger_stands_where_it_fires() -> None:
    where = SourceRange("Dockerfile", 4, 5)
    run = parse_trigger("RUN <<E\nx\nE", where)

    assert isinstance(run, Run)
    assert (where, ("x\n",)) == (run.where, run.command)


@pytest.mark.parametrize(
    "expression", ["", "RUN a\nRUN b", "FROM a", "ONBUILD RUN a", "maintainer x", "RUNN a", "RUN <<E"]
)
def test_wrong_triggers_are_refused_where_they_fire(expression: str) -> None:
    where = SourceRange("Dockerfile", 4, 5)
    with pytest.raises(DockerfileError, match="ONBUILD trigger") as caught:
        parse_trigger(expression, where)

    assert where == caught.value.where


def test_an_excerpt_marks_the_lines_and_shows_those_around() -> None:
    lines = ["FROM a", "RUN b \\", "  c", "USER d", "CMD e"]

    assert excerpt(lines, SourceRange("Dockerfile", 2, 3)).splitlines() == [
        "Dockerfile:2",
        "--------------------",
        "   1 |     FROM a",
        "   2 | >>> RUN b \\",
        "   3 | >>>   c",
        "   4 |     USER d",
        "--------------------",
    ]


def test_an_excerpt_of_lines_that_are_not_there_is_empty() -> None:
    assert "" == excerpt([], SourceRange("Dockerfile", 1, 1))
