"""How a Dockerfile is cut into instructions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.semantics.traps import trap

if TYPE_CHECKING:
    from tests.semantics.bench import Bench


@trap(1)
def test_continued_lines_are_joined_as_they_stand(bench: Bench) -> None:
    text = 'FROM scratch\n  ENV a=1 \\   \n# a comment\n    b=2 \\\n  c=3\nLABEL l=x\\\\\nLABEL m="a\\\n  b"\n'

    built = bench.build(text)

    assert {"a": "1", "b": "2", "c": "3"} == built.env
    assert {"l": "x\\", "m": "a  b"} == built.labels


@trap(2)
@pytest.mark.parametrize("before", ["# escape=`\n", "# syntax=docker/dockerfile:1\n# Escape = `\n"])
def test_directives_stand_at_the_top(bench: Bench, before: str) -> None:
    assert {"a": "\\x y"} == bench.build(f"{before}FROM scratch\nENV a=\\x` `\ny").env


@trap(2)
@pytest.mark.parametrize(
    "before", ["#\n# escape=`\n", "# unknown=1\n# escape=`\n", "\n# escape=`\n", "# text\n# escape=`\n"]
)
def test_directives_end_at_the_first_line_that_is_none(bench: Bench, before: str) -> None:
    assert {"a": "` y"} == bench.build(f"{before}FROM scratch\nENV a=`\\ \\\ny").env


@trap(2)
def test_a_directive_twice_is_an_error(bench: Bench) -> None:
    error = bench.fails("# escape=`\n# Escape=\\\nFROM scratch")

    assert "ERROR: Dockerfile:2: " in error
    assert "only one escape" in error


@trap(2)
@pytest.mark.parametrize(
    "frontend",
    [
        "docker/dockerfile:1.7-labs",
        "mirror.example.com/docker/dockerfile@sha256:0",
        "docker/dockerfile-upstream:master",
    ],
)
def test_the_frontend_is_built_in(bench: Bench, frontend: str) -> None:
    assert {"a": "b"} == bench.build(f"# syntax={frontend}\nFROM scratch\nENV a=b\n").env


@trap(2)
def test_another_frontend_is_refused(bench: Bench) -> None:
    error = bench.fails("# syntax=example.com/mopy:1\napiVersion: v1\n")
    assert "ERROR: Dockerfile:1: unsupported frontend: example.com/mopy:1\n" in error

    error = bench.fails("FROM scratch\n", (), "--build-arg=BUILDKIT_SYNTAX=example.com/mopy:1")
    assert "ERROR: unsupported frontend: example.com/mopy:1\n" in error


@trap(3)
def test_what_is_no_json_is_another_form(bench: Bench) -> None:
    built = bench.build("FROM scratch\nCMD ['a', 'b']\nVOLUME ['/a']\n")

    assert ["/bin/sh", "-c", "['a', 'b']"] == built.config["Cmd"]
    assert {"[/a]": {}} == built.config["Volumes"]
    assert 'ERROR: Dockerfile:2: bad pattern "[f,"' in bench.fails("FROM scratch\nCOPY ['f', 'd']\n")


@trap(3)
@pytest.mark.parametrize("text", ["CMD [1]", "CMD [null]", 'COPY ["a", ["b"]]', "VOLUME [true]"])
def test_json_of_something_else_than_strings_is_an_error(bench: Bench, text: str) -> None:
    error = bench.fails(f"FROM scratch\n{text}")

    assert "ERROR: Dockerfile:2: when using JSON array syntax, arrays must be comprised of strings only" in error


@trap(4)
def test_flags_end_at_two_dashes_and_switches_take_truth(bench: Bench) -> None:
    text = "FROM scratch\nCOPY --link=false --chmod=600 -- --odd /a\nCOPY --chown='1:2' --link=TRUE f /b\n"

    built = bench.build(text, {"--odd": "odd", "f": "f"})

    assert (0o600, 1, 2) == (built.files["a"].mode, built.files["b"].uid, built.files["b"].gid)


@trap(4)
@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ("--link=", "missing a value on flag: --link"),
        ("--link=yes", "expecting boolean value for flag --link, not: yes"),
        ("--chown=1 --chown=2", "duplicate flag specified: --chown"),
        ("--chown", "missing a value on flag: --chown"),
        ("--chwon=1", "unknown flag: --chwon"),
        ("--from=a --checksum=b", "unknown flag: --checksum"),
    ],
)
def test_wrong_flags_are_errors(bench: Bench, flags: str, said: str) -> None:
    assert f"ERROR: Dockerfile:2: {said}" in bench.fails(f"FROM scratch\nCOPY {flags} a b")


@trap(5)
def test_without_an_equals_sign_the_rest_is_one_value(bench: Bench) -> None:
    built = bench.build("FROM scratch\nENV one two  three=4\nLABEL five six seven\nENV a=b c='d e'\n")

    assert {"one": "two  three=4", "a": "b", "c": "d e"} == built.env
    assert {"five": "six seven"} == built.labels


@trap(5)
def test_the_two_forms_do_not_mix(bench: Bench) -> None:
    assert "ERROR: Dockerfile:2: can't find = in 'c'" in bench.fails("FROM scratch\nENV a=b c")


@trap(6)
def test_a_heredoc_ends_at_its_name_alone(bench: Bench) -> None:
    text = (
        "FROM scratch\nENV x=1\nCOPY <<ONE <<-TWO <<'THREE' /d/\nONE \n ONE\n$x\nONE\n\tindented\n  TWO\n\tTWO\n"
        "$x\nTHREE\nENV after=1\n"
    )

    built = bench.build(text)

    assert "ONE \n ONE\n1\n" == built.text("d/ONE")
    assert "indented\n  TWO\n" == built.text("d/TWO")
    assert "$x\n" == built.text("d/THREE")
    assert {"x": "1", "after": "1"} == built.env


@trap(6)
def test_only_files_and_commands_have_heredocs(bench: Bench) -> None:
    assert ["/bin/sh", "-c", "cat <<EOF"] == bench.build("FROM scratch\nCMD cat <<EOF\n").config["Cmd"]
    assert "heredoc '<<EOF' has no lines" in bench.fails('FROM scratch\nCOPY ["<<EOF", "/"]\nx\nEOF\n')
    assert "unterminated heredoc" in bench.fails("FROM scratch\nCOPY <<EOF /\nx\n EOF\n")


@trap(7)
def test_heredocs_of_a_command(machine: Bench) -> None:
    text = r"""
FROM busybox
RUN <<EOF
echo "$0 one" > /one
echo 'two' >> /one
EOF
RUN <<SCRIPT
#!/bin/busybox sh
echo "$0" > /script
stat -c %a "$0" >> /script
touch /dev/pipes/other 2>/dev/null || echo "read-only" >> /script
SCRIPT
RUN cat <<A - > /both
$HOME
A
RUN tr a-z A-Z <<'B' > /quoted
$home
B
SHELL ["/bin/sh", "-c", "echo $0 > /shell", "name"]
RUN <<EOF
the text
EOF
"""

    built = machine.build(text)

    assert "/bin/sh one\ntwo\n" == built.text("one")
    assert "/dev/pipes/SCRIPT\n755\nread-only\n" == built.text("script")
    assert ("/root\n", "$HOME\n") == (built.text("both"), built.text("quoted"))
    assert "name\n" == built.text("shell")
    assert not [path for path in built.paths if path.startswith("dev")]


@trap(8)
def test_a_heredoc_is_a_file(bench: Bench) -> None:
    text = """# escape=`
FROM scratch
ENV x="a b"
COPY --chown=5:6 <<EOF <<"RAW" /d/
"$x" '${y:-z}' \\t \\$x `
EOF
$x \\t
RAW
COPY <<name /d/other
content
name
"""

    built = bench.build(text)

    assert "\"a b\" 'z' t $x `\n" == built.text("d/EOF")
    assert "$x \\t\n" == built.text("d/RAW")
    assert (0o644, 5, 6) == (built.files["d/EOF"].mode, built.files["d/EOF"].uid, built.files["d/EOF"].gid)
    assert ("content\n", 0) == (built.text("d/other"), built.files["d/other"].uid)
