"""``--check`` and ``--call``: answers without a build, a store or a runtime; and the warnings of a build."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest

from builder.cli.call import Call
from builder.errors import BuildError
from layers.config import ContainerConfig
from layers.platform import Platform
from tests.semantics.bench import Bench
from tests.support.images import image, layer

if TYPE_CHECKING:
    from pathlib import Path

BAD = "FROM scratch AS Build\nARG a=1\nCOPY f$b /\nCMD run\n"
OUTLINE = """# VERSION is what is built
ARG VERSION=1
ARG UNUSED
FROM base:${VERSION} AS base
# DEBUG switches it on
ARG DEBUG
RUN --mount=type=secret,id=token,required --mount=type=ssh make
# app the program
FROM base AS app
ARG VERSION NAME="a b"
"""


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def ask(bench: Bench, dockerfile: str, *options: str, files: Any = ()) -> tuple[int, str]:
    """Ask with a store that is not there, and must not be afterwards; give the exit code and the answer."""
    nowhere = bench.root / "nowhere"
    code, out, _ = bench.run("--root", str(nowhere), *options, bench.context(dockerfile, files))
    assert not nowhere.exists()
    return code, out


def test_a_check_shows_each_finding_with_its_page_and_lines(bench: Bench) -> None:
    code, out = ask(bench, "FROM scratch\nCMD run\n", "--check")

    assert 1 == code
    assert (
        """Check complete, 1 warning has been found!

WARNING: JSONArgsRecommended - https://docs.docker.com/go/dockerfile/rule/json-args-recommended/
JSON arguments recommended for CMD to prevent unintended behavior related to OS signals
Dockerfile:2
--------------------
   1 |     FROM scratch
   2 | >>> CMD run
--------------------
"""
        == out
    )


def test_a_check_that_finds_nothing_says_so(bench: Bench) -> None:
    expected = (0, "Check complete, no warnings found.\n")

    assert expected == ask(bench, "FROM scratch\nCOPY f /\n", "--check")
    assert expected == ask(bench, "FROM scratch\nCOPY f /\n", "--call=check")
    assert expected == ask(bench, "FROM nowhere.invalid/base\nRUN $anything\nLABEL a=$of_the_base\n", "--call=lint")


def test_a_check_looks_at_all_stages_or_at_those_of_the_target(bench: Bench) -> None:
    text = "FROM scratch AS one\nCMD run\nFROM scratch AS two\nCMD run\n"

    assert "2 warnings have been found!" in ask(bench, text, "--check")[1]
    assert "1 warning has been found!" in ask(bench, text, "--check", "--target=one")[1]


def test_a_check_knows_the_variables_of_a_base_in_the_store(bench: Bench) -> None:
    config = ContainerConfig(env=("KNOWN=1",))
    bench.put("base", image(layer(), platform=Platform.host(), config=config))
    context = bench.context("FROM base\nLABEL a=$KNOWN b=$UNKNOWN\n")

    code, out, _ = bench.run("--check", context)

    assert 1 == code
    assert "Usage of undefined variable '$UNKNOWN' (did you mean $KNOWN?)" in out
    assert "Usage of undefined variable '$KNOWN'" not in out


def test_a_check_knows_the_ignore_file(bench: Bench) -> None:
    code, out = ask(bench, "FROM scratch\nCOPY f /\n", "--check", files={".dockerignore": "f", "f": ""})

    assert 1 == code
    assert 'Attempting to Copy file "f" that is excluded by .dockerignore' in out


@pytest.mark.parametrize("options", [("--check", "--format=json"), ("--call=check,format=json",)])
def test_findings_are_json_as_buildx_writes_them(bench: Bench, options: tuple[str, ...]) -> None:
    code, out = ask(bench, BAD, *options)
    document = json.loads(out)

    assert 1 == code
    assert ["StageNameCasing", "UndefinedVar", "JSONArgsRecommended"] == [
        each["ruleName"] for each in document["warnings"]
    ]
    place = {"ranges": [{"start": {"line": 3}, "end": {"line": 3}}]}
    assert ("Usage of undefined variable '$b'", place) == (
        document["warnings"][1]["detail"],
        document["warnings"][1]["location"],
    )
    (source,) = document["sources"]
    assert ("Dockerfile", BAD) == (source["filename"], base64.b64decode(source["data"]).decode())


def test_a_dockerfile_that_cannot_be_read_fails_a_check(bench: Bench) -> None:
    context = bench.context("FROM scratch\nRUM x\n")

    code, out, err = bench.run("--check", context)
    assert (1, "") == (code, out)
    assert "ERROR: Dockerfile:2: unknown instruction: RUM\nDockerfile:2\n" in err
    assert "hint: did you mean RUN?" in err

    code, out, _ = bench.run("--check", "--format=json", context)
    error = json.loads(out)["buildError"]
    assert (1, "unknown instruction: RUM", 2) == (
        code,
        error["message"],
        error["location"]["ranges"][0]["start"]["line"],
    )


def test_targets_are_the_stages_with_what_is_said_of_them(bench: Bench) -> None:
    assert (0, "TARGET        DESCRIPTION\nbase\napp (default) the program\n") == ask(bench, OUTLINE, "--call=targets")

    code, out = ask(bench, OUTLINE, "--call=targets,format=json")
    document = json.loads(out)["targets"]
    assert (0, ["base", "app"], [None, True]) == (
        code,
        [each["name"] for each in document],
        [each.get("default") for each in document],
    )
    assert {
        "base": "base:${VERSION}",
        "location": {"ranges": [{"start": {"line": 4}, "end": {"line": 4}}]},
    }.items() <= (document[0].items())


def test_an_outline_is_what_may_be_given_to_a_target(bench: Bench) -> None:
    code, out = ask(bench, OUTLINE, "--call=outline", "--build-arg=DEBUG=9")

    assert 0 == code
    assert """TARGET:      app
DESCRIPTION: the program

BUILD ARG   VALUE   DESCRIPTION
VERSION     1       is what is built
DEBUG       9       switches it on
NAME        "a b"

SECRET   REQUIRED
token    true

SSH       REQUIRED
default
""" == out.replace(" \n", "\n")


def test_an_outline_is_json_too(bench: Bench) -> None:
    code, out = ask(bench, OUTLINE, "--call=outline,format=json", "--target=base")
    document = json.loads(out)

    assert (0, "base") == (code, document["name"])
    assert ["VERSION", "DEBUG"] == [each["name"] for each in document["args"]]
    assert [("token", True)] == [(each["name"], each["required"]) for each in document["secrets"]]
    assert ["default"] == [each["name"] for each in document["ssh"]]


@pytest.mark.parametrize(
    ("text", "form", "said"),
    [
        ("chek", "", "unknown --call 'chek'"),
        ("check,format=yaml", "", "unknown format 'yaml'"),
        ("check,colour=red", "", "unknown key 'colour'"),
        ("build", "json", "a build has no --format"),
    ],
)
def test_what_cannot_be_called_is_refused_with_a_hint(text: str, form: str, said: str) -> None:
    with pytest.raises(BuildError, match=said) as error:
        Call.parse(text, form)

    assert error.value.hint


def test_a_build_tells_its_warnings_again_at_the_end(bench: Bench) -> None:
    built = bench.build(BAD, {"f": ""})

    assert built.err.endswith(
        """
 3 warnings found:
 - StageNameCasing: Stage name 'Build' should be lowercase (line 1)
Dockerfile:1
--------------------
   1 | >>> FROM scratch AS Build
   2 |     ARG a=1
   3 |     COPY f$b /
--------------------

 - UndefinedVar: Usage of undefined variable '$b' (line 3)
Dockerfile:3
--------------------
   1 |     FROM scratch AS Build
   2 |     ARG a=1
   3 | >>> COPY f$b /
   4 |     CMD run
--------------------

 - JSONArgsRecommended: JSON arguments recommended for CMD to prevent unintended behavior related to OS signals (line 4)
Dockerfile:4
--------------------
   2 |     ARG a=1
   3 |     COPY f$b /
   4 | >>> CMD run
--------------------

"""
    )
    assert 1 == built.err.count("WARN: UndefinedVar: ")


def test_warnings_come_in_order_before_the_steps_and_not_where_it_is_quiet(bench: Bench) -> None:
    context = bench.context(BAD, {"f": ""})

    _, _, plain = bench.run("--progress=plain", context)
    _, out, quiet = bench.run("-q", context)

    assert plain.index("WARN: StageNameCasing") < plain.index("WARN: UndefinedVar") < plain.index("#1 ")
    assert ("", 1) == (quiet, len(out.splitlines()))


def test_the_metadata_file_holds_warnings_where_they_are_asked_for(bench: Bench) -> None:
    file = bench.root / "metadata.json"
    bench.build(BAD, {"f": ""}, f"--metadata-file={file}")
    assert "buildx.build.warnings" not in json.loads(file.read_text())

    bench.build(BAD, {"f": ""}, f"--metadata-file={file}", variables={"BUILDX_METADATA_WARNINGS": "true"})
    warnings = json.loads(file.read_text())["buildx.build.warnings"]

    assert 3 == len(warnings)
    assert b"UndefinedVar: Usage of undefined variable '$b' (line 3)" == base64.b64decode(warnings[1]["short"])
    assert [{"start": {"line": 3}, "end": {"line": 3}}] == warnings[1]["range"]
    assert BAD.encode() == base64.b64decode(warnings[1]["sourceInfo"]["data"])


def test_findings_fail_a_build_whose_dockerfile_says_so(bench: Bench) -> None:
    error = bench.fails("# check=error=true\nFROM scratch\nCOPY f /\nCMD run\n", {"f": ""})

    assert "ERROR: Dockerfile:4: lint violation found for rules: JSONArgsRecommended\n" in error
    assert ">>> CMD run" in error
    assert "built" not in str(list(bench.layout.names()))
    text = "# check=skip=JSONArgsRecommended;error=true\nFROM scratch\nCMD run\n"
    assert "warning" not in bench.build(text).err


def test_a_base_of_another_platform_is_told_with_its_place(bench: Bench) -> None:
    foreign = Platform("linux", "s390x")
    bench.put("base", image(layer(), platform=foreign))

    built = bench.build("FROM base\nCOPY f /\n", {"f": ""})

    expected = f'Base image base was pulled with platform "linux/s390x", expected "{Platform.host()}" for current build'
    assert f"WARN: InvalidBaseImagePlatform: {expected} (Dockerfile:1)" in built.err
    assert 1 == built.err.count("WARN: ")


def test_variables_of_a_base_in_the_store_are_defined_in_a_build(bench: Bench) -> None:
    config = ContainerConfig(env=("KNOWN=1",), shell=("/bin/bash", "-c"))
    bench.put("base", image(layer(), platform=Platform.host(), config=config))

    built = bench.build("FROM base AS one\nLABEL a=$KNOWN\nFROM one\nCMD run $KNOWN\nLABEL b=$KNOWN\n")

    assert "WARN" not in built.err


def test_stages_that_are_not_built_are_not_looked_into(bench: Bench) -> None:
    text = "FROM scratch AS unused\nLABEL a=$nothing\nCMD run\nFROM scratch\n"

    assert "WARN" not in bench.build(text).err
