"""README's tables of what is supported say what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from builder.cli.app import COMMANDS, GROUPS, app
from builder.dockerfile import mounts
from builder.dockerfile.instructions import Run
from builder.dockerfile.mounts import read_mount
from builder.dockerfile.parse import parse
from builder.dockerfile.read import _READERS
from builder.dockerfile.rules import RULES
from builder.errors import DockerfileError

README = (Path(__file__).parent.parent / "README.md").read_text()
SECTION = README.partition("## What is supported")[2].partition("\n## ")[0]
ARGUMENTS = {
    "FROM": "scratch", "RUN": "x", "COPY": "a b", "ADD": "a b", "HEALTHCHECK": "CMD x", "ARG": "a", "ENV": "a=b",
    "LABEL": "a=b", "EXPOSE": "1", "VOLUME": "/a", "USER": "a", "WORKDIR": "/a", "STOPSIGNAL": "9", "SHELL": '["a"]',
    "ONBUILD": "RUN x", "MAINTAINER": "a", "CMD": "x", "ENTRYPOINT": "x",
}  # fmt: skip
VALUES = {"--mount": "target=/x", "--network": "none", "--security": "sandbox", "--retries": "1"}
KEYS = {
    "size": "1m", "mode": "600", "uid": "1", "gid": "1", "sharing": "locked", "readonly": "true", "readwrite": "true",
    "ro": "true", "rw": "true", "required": "true",
}  # fmt: skip


def table(title: str) -> list[list[str]]:
    """Give the cells of the rows below a table's head."""
    lines = SECTION.split("\n")
    start = next(number for number, line in enumerate(lines) if line.startswith(f"| {title}"))
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def code(text: str) -> list[str]:
    """Give what is set as code."""
    return re.findall(r"`([^`]+)`", text)


FLAGS = {name: code(row[1]) for row in table("instruction") for name in code(row[0])}


def test_every_instruction_is_named() -> None:
    assert set(_READERS) == set(FLAGS) == set(ARGUMENTS)


@pytest.mark.parametrize("name", sorted(FLAGS))
def test_every_flag_is_named_and_none_that_there_is_not(name: str) -> None:
    """A flag that no instruction has is answered with those that this one has."""
    if name in {"ARG", "ONBUILD"}:  # what looks like a flag would be a name, or the trigger's own
        assert not FLAGS[name]
        return
    before = "" if name == "FROM" else "FROM scratch\n"
    with pytest.raises(DockerfileError) as error:
        parse(f"{before}{name} --qqqqqqqqqq=1 {ARGUMENTS[name]}".encode())

    known = error.value.hint.removeprefix("the flags are ").split(", ") if FLAGS[name] else []
    assert sorted(FLAGS[name]) == known


@pytest.mark.parametrize(("name", "flag"), [(name, flag) for name, flags in FLAGS.items() for flag in flags])
def test_every_flag_that_is_named_is_read(name: str, flag: str) -> None:
    value = VALUES.get(flag, "1s" if name == "HEALTHCHECK" else "true")
    before = "" if name == "FROM" else "FROM scratch\n"

    parse(f"{before}{name} {flag}={value} {ARGUMENTS[name]}".encode())


def test_every_kind_of_mount_is_named() -> None:
    assert list(mounts.TYPES) == [name for row in table("mount") for name in code(row[0])]


@pytest.mark.parametrize(
    ("kind", "key"),
    [(code(row[0])[0], key) for row in table("mount") for key in ["target", "dst", "destination", *code(row[1])]],
)
def test_every_key_of_a_mount_is_read(kind: str, key: str) -> None:
    options = f"type={kind},{key}={KEYS.get(key, 'x')}" + (",id=x" if kind == "secret" and key != "id" else "")
    dockerfile = parse(f"FROM scratch\nRUN --mount={options} x".encode())
    (run,) = dockerfile.stages[0].instructions
    assert isinstance(run, Run)

    assert kind == read_mount(run.mounts[0].options, str).type


def test_every_key_of_mounts_is_named() -> None:
    named = {key for row in table("mount") for key in code(row[1])} | {"type", "target", "dst", "destination"}

    assert {*mounts._KEYS, *mounts._SAME_KEY} == named


def options() -> dict[str, list[str]]:
    """Give the options in the table, by what they are for."""
    return {row[0]: [each for each in code(row[1]) if each.startswith("--")] for row in table("options")}


def test_every_option_is_named() -> None:
    group = app()
    command = group.get_command(click.Context(group), "build")
    assert command is not None
    known = {name for each in command.params for name in each.opts if name.startswith("--")}

    assert known == {name for what, names in options().items() if what != "not supported" for name in names}


@pytest.mark.parametrize("option", options()["not supported"])
def test_an_option_that_is_not_supported_is_refused_by_its_name(
    option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        app()(args=["build", option, "."], prog_name="pybuild")

    assert 2 == end.value.code
    assert re.search(f"No such option:? '?{option}\\b|{option} is not supported", capsys.readouterr().err)


def test_the_number_of_checks_is_right() -> None:
    assert f"BuildKit's {len(RULES)}" in SECTION


def test_every_command_is_named_and_none_that_there_is_not() -> None:
    section = README.partition("## Everything else about images")[2].partition("\n## ")[0]
    rows = [line.strip("|").split("|")[0] for line in section.split("\n") if line.startswith("| `")]
    named = {name for row in rows for name in code(row)}
    grouped = {f"{group} {name}" for group, (_, targets) in GROUPS.items() for name in targets}
    for name in named:
        first = name.split()[0]
        assert name in COMMANDS or name in grouped or any(name in targets for _, targets in GROUPS.values()), first
    assert set(COMMANDS) - {"build"} <= named
