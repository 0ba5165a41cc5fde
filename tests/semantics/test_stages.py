"""Which stages there are, what they begin from, and what a base puts off."""

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


@trap(19)
def test_from_looks_a_stage_up_as_written(bench: Bench) -> None:
    text = "FROM scratch AS Build\nCOPY f /\nFROM {}\nCOPY --from=Build /f /g\n"

    assert ["f", "g"] == bench.build(text.format("build"), {"f": ""}).paths
    error = bench.fails(text.format("Build"), {"f": ""})
    assert "ERROR: Dockerfile:3: " in error
    assert "hint: did you mean build? " in error


@trap(20)
def test_copy_takes_numbers_and_mounts_take_names(machine: Bench) -> None:
    stages = "FROM scratch\nCOPY f /\nFROM busybox\n"

    built = machine.build(f"{stages}COPY --from=0 /f /g\n", {"f": "here"})
    error = machine.fails(f"{stages}RUN --mount=from=0,target=/m cat /m/f\n", {"f": "here"})

    assert "here" == built.text("g")
    assert "ERROR: Dockerfile:4: " in error
    assert ">>> RUN" in error


@trap(21)
def test_only_earlier_stages_are_seen(bench: Bench) -> None:
    error = bench.fails("FROM scratch AS a\nCOPY --from=b f /\nFROM scratch AS b\nFROM a")
    assert "ERROR: Dockerfile:2: stage 'b' is used before it is defined" in error
    assert "hint: it begins at Dockerfile:3" in error

    error = bench.fails("FROM scratch AS a\nCOPY --from=a f /\n")
    assert "ERROR: Dockerfile:2: circular dependency detected on stage: a" in error

    error = bench.fails("FROM scratch AS a\nCOPY --from=1 f /\nFROM a")
    assert "ERROR: Dockerfile:2: invalid stage index 1" in error


@trap(21)
def test_another_name_is_an_image(bench: Bench) -> None:
    bench.put("other", image(layer({"x": b"from the image"}), platform=HOST))

    built = bench.build("FROM scratch\nCOPY --from=other /x /\n")

    assert "from the image" == built.text("x")


@trap(21)
def test_a_named_context_goes_before_stages_and_images(bench: Bench) -> None:
    files = {"f": "stage", "named/f": "named context"}
    context = bench.context("FROM scratch AS other\nCOPY f /\nFROM scratch\nCOPY --from=other /f /\n", files)

    assert "stage" == bench.again(context).text("f")
    assert "named context" == bench.again(context, f"--build-context=other={context}/named").text("f")


@trap(22)
def test_the_later_stage_of_a_name_counts(bench: Bench) -> None:
    text = (
        "FROM scratch AS a\nCOPY one /f\nFROM scratch AS b\nCOPY --from=a f /\nFROM scratch AS a\nCOPY two /f\n"
        "FROM a\nCOPY --from=a f /g\nCOPY --from=b f /h\n"
    )

    built = bench.build(text, {"one": "1", "two": "2"})

    assert ("2", "2", "1") == (built.text("f"), built.text("g"), built.text("h"))


@trap(23)
def test_triggers_run_after_from_and_are_gone(bench: Bench) -> None:
    triggers = ("COPY f /triggered", "ENV a=1", "LABEL l=$a")
    bench.put("base", image(layer(), platform=HOST, config=ContainerConfig(on_build=triggers)))

    built = bench.build("FROM base\nENV a=2\n", {"f": ""})

    assert "triggered" in built.paths
    assert ({"a": "2"}, {"l": "1"}) == (built.env, built.labels)
    assert "OnBuild" not in built.config
    assert "COPY f /triggered # buildkit" in built.history


@trap(23)
def test_triggers_of_a_stage_run_in_the_stages_on_it(bench: Bench) -> None:
    text = (
        "FROM scratch AS source\nCOPY f /\nFROM scratch AS base\nONBUILD COPY --from=source /f /triggered\n"
        "FROM base AS mine\nFROM mine\n"
    )

    built = bench.build(text, {"f": ""})
    assert ["triggered"] == built.paths
    assert not [entry for entry in built.history if "ONBUILD" in entry]

    kept = bench.build(text, {"f": ""}, "--target=base")
    assert ["COPY --from=source /f /triggered"] == kept.config["OnBuild"]
    assert [] == kept.paths
    assert not kept.document.get("history")


@trap(24)
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ONBUILD RUN true", "chaining ONBUILD via ONBUILD ONBUILD isn't allowed"),
        ("FROM scratch", "FROM isn't allowed as an ONBUILD trigger"),
        ("maintainer me", "MAINTAINER isn't allowed as an ONBUILD trigger"),
    ],
)
def test_some_instructions_are_no_triggers(bench: Bench, text: str, said: str) -> None:
    assert f"ERROR: Dockerfile:2: {said}" in bench.fails(f"FROM scratch\nONBUILD {text}")


@trap(24)
@pytest.mark.parametrize("trigger", ["RUN a\nRUN b", "RUM a", "", "ONBUILD RUN a"])
def test_a_trigger_is_read_where_it_fires(bench: Bench, trigger: str) -> None:
    bench.put("base", image(layer(), platform=HOST, config=ContainerConfig(on_build=(trigger,))))

    assert "ERROR: Dockerfile:2: ONBUILD trigger " in bench.fails("# first line\nFROM base")


@trap(25)
def test_scratch_and_bases_without_path_get_one(bench: Bench) -> None:
    path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    bench.put("base", image(layer(), platform=HOST, config=ContainerConfig(env=("a=1",))))

    scratch, based = bench.build("FROM scratch").config, bench.build("FROM base").config

    assert ([path], "/") == (scratch["Env"], scratch["WorkingDir"])
    assert ["a=1", path] == based["Env"]
    assert not based.get("WorkingDir")


@trap(26)
def test_labels_of_the_command_line_are_for_the_target_and_win(bench: Bench) -> None:
    bench.put(
        "base", image(layer(), platform=HOST, config=ContainerConfig(labels={"a": "base", "b": "base"}, user="u"))
    )

    built = bench.build("FROM base\nLABEL a=file c=file\n", (), "--label=a=line", "--label=d=line")

    assert {"a": "line", "b": "base", "c": "file", "d": "line"} == built.labels
    assert "u" == built.config["User"]


@trap(27)
def test_only_what_the_target_needs_is_built(bench: Bench) -> None:
    text = (
        "FROM scratch AS one\nCOPY f /\nFROM nowhere.invalid/x AS unused\nCOPY $f ${f /\n"
        "FROM one AS Wanted\nCOPY f /g\nFROM nowhere.invalid/y\nRUN true\n"
    )

    assert ["f", "g"] == bench.build(text, {"f": ""}, "--target=WANTED").paths
    assert "ERROR: target stage '0' could not be found" in bench.fails(text, {"f": ""}, "--target=0")
