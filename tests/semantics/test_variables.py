"""Which variables are seen where, and what they come to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from layers.config import ContainerConfig
from layers.platform import Platform
from tests.semantics.traps import trap
from tests.support.images import image, layer

if TYPE_CHECKING:
    from tests.semantics.bench import Bench

HOST = Platform.host()


@trap(9)
def test_env_sees_what_was_before_its_line(bench: Bench) -> None:
    built = bench.build("FROM scratch\nENV abc=hello\nENV abc=bye def=$abc\nENV ghi=$abc\n")

    assert {"abc": "bye", "def": "hello", "ghi": "bye"} == built.env


@trap(9)
def test_arg_sees_what_is_before_it_on_its_line(bench: Bench) -> None:
    built = bench.build("ARG x=scr y=${x}atch\nFROM $y\nARG a=1 b=$a\nLABEL l=$a$b\n")

    assert {"l": "11"} == built.labels


@trap(10)
def test_global_args_are_for_from_until_a_stage_names_them(bench: Bench) -> None:
    text = "ARG v=1\nARG w=2\nFROM scratch AS s\nLABEL before=[$v]\nARG v\nARG w=own\nLABEL v=$v w=$w\n"

    assert {"before": "[]", "v": "1", "w": "own"} == bench.build(text).labels
    assert {"before": "[]", "v": "9", "w": "8"} == bench.build(text, (), "--build-arg=v=9", "--build-arg=w=8").labels


@trap(11)
def test_a_stage_on_a_stage_has_its_variables(bench: Bench) -> None:
    text = (
        "FROM scratch AS one\nARG a=1\nENV e=2\nCOPY f /\n"
        "FROM scratch AS other\nCOPY --from=one /f /\nLABEL other=[$a$e]\n"
        "FROM one\nLABEL own=$a$e\nCOPY --from=other f /g\n"
    )

    assert {"own": "12"} == bench.build(text, {"f": ""}).labels
    assert {"other": "[]"} == bench.build(text, {"f": ""}, "--target=other").labels


@trap(12)
def test_arg_after_env_wins_and_leaves_the_image_alone(machine: Bench) -> None:
    built = machine.build("FROM busybox\nENV v=env\nARG v=arg\nLABEL l=$v\nRUN echo $v > /v\nENV w=$v\n")

    assert ("arg", "arg\n") == (built.labels["l"], built.text("v"))
    assert ("env", "arg") == (built.env["v"], built.env["w"])


@trap(13)
def test_build_args_may_be_empty_or_come_from_outside(bench: Bench) -> None:
    text = "FROM scratch\nARG k=default\nLABEL k=[$k]\n"

    assert {"k": "[]"} == bench.build(text, (), "--build-arg=k=").labels
    assert {"k": "[out]"} == bench.build(text, (), "--build-arg=k", variables={"k": "out"}).labels
    assert {"k": "[default]"} == bench.build(text, (), "--build-arg=k").labels


@trap(14)
@pytest.mark.parametrize(
    ("platform", "expected"),
    [
        ("linux/arm/v7", "linux/arm/v7 arm v7"),
        ("linux/arm64", "linux/arm64 arm64 "),
        ("linux/amd64", "linux/amd64 amd64 "),
    ],
)
def test_platform_args_are_seen_once_declared(bench: Bench, platform: str, expected: str) -> None:
    text = (
        "FROM scratch\nLABEL before=[$TARGETARCH]\nARG TARGETPLATFORM TARGETARCH TARGETVARIANT BUILDPLATFORM\n"
        'LABEL l="$TARGETPLATFORM $TARGETARCH $TARGETVARIANT" b=$BUILDPLATFORM\n'
    )

    labels = bench.build(text, (), f"--platform={platform}").labels

    assert {"before": "[]", "l": expected, "b": str(HOST)} == labels


@trap(14)
def test_a_default_of_ones_own_goes_before_the_platform(bench: Bench) -> None:
    assert {"l": "mine"} == bench.build("FROM scratch\nARG TARGETARCH=mine\nLABEL l=$TARGETARCH").labels


@trap(15)
def test_proxies_reach_commands_and_nothing_else(machine: Bench) -> None:
    text = "FROM busybox\nLABEL p=[$HTTP_PROXY]\nRUN env | grep -i proxy | sort > /found\n"

    built = machine.build(text, (), "--build-arg=http_proxy=http://p:1", "--build-arg=No_Proxy=here")
    again = machine.build(text, (), "--build-arg=HTTP_PROXY=http://q:2")

    assert "HTTP_PROXY=http://p:1\nNO_PROXY=here\nhttp_proxy=http://p:1\nno_proxy=here\n" == built.text("found")
    assert "[]" == built.labels["p"]
    assert not [entry for entry in [*built.history, *built.config["Env"]] if "://" in entry]
    assert 1 == again.cached


@trap(16)
def test_unset_variables_are_nothing_but_stay_in_titles(bench: Bench) -> None:
    built = bench.build("FROM scratch\nENV dir=sub\nCOPY f$nothing /$dir/$nothing\nLABEL l=[$nothing]\n", {"f": ""})

    assert ["sub", "sub/f"] == built.paths
    assert {"l": "[]"} == built.labels
    assert "[2/2] COPY f$nothing /sub/$nothing\n" in built.err
    assert "COPY f /sub/ # buildkit" in built.history


@trap(16)
def test_a_base_that_comes_to_nothing_is_an_error(bench: Bench) -> None:
    error = bench.fails("ARG BASE\nFROM ${BASE}")

    assert "ERROR: Dockerfile:2: base name (${BASE}) should not be blank" in error


@trap(17)
def test_special_names_are_one_character_or_one_number(bench: Bench) -> None:
    built = bench.build('FROM scratch\nLABEL a="[$1x]" b="[$@]" c="[$?]" d="[$10]"\n')

    assert {"a": "[x]", "b": "[]", "c": "[]", "d": "[]"} == built.labels


@trap(17)
@pytest.mark.parametrize("word", ["${x~y}", "${x:=y}", "${x", "${}"])
def test_an_unknown_modifier_is_an_error(bench: Bench, word: str) -> None:
    assert "ERROR: Dockerfile:2: failed to process" in bench.fails(f"FROM scratch\nLABEL l={word}")


@trap(18)
def test_commands_are_not_expanded(machine: Bench) -> None:
    text = (
        'FROM busybox\nARG x=1\nMAINTAINER $x\nCMD echo $x\nENTRYPOINT ["$x"]\nCMD echo $x\nHEALTHCHECK CMD ["$x"]\n'
        'RUN ["/bin/sh", "-c", "echo \'$x\' > /f"]\nSHELL ["/bin/sh", "$x"]\n'
    )

    built = machine.build(text)

    assert "$x" == built.document["author"]
    assert (["/bin/sh", "-c", "echo $x"], ["$x"]) == (built.config["Cmd"], built.config["Entrypoint"])
    assert (["CMD", "$x"], ["/bin/sh", "$x"]) == (built.config["Healthcheck"]["Test"], built.config["Shell"])
    assert "$x\n" == built.text("f")


@trap(26)
def test_the_base_gives_its_variables(bench: Bench) -> None:
    bench.put("base", image(layer(), platform=HOST, config=ContainerConfig(env=("PATH=/x", "a=1"))))

    built = bench.build("FROM base\nENV b=${a}2 PATH=$PATH:/y\n")

    assert ["PATH=/x:/y", "a=1", "b=12"] == built.config["Env"]
