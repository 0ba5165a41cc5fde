"""Stages, targets, global arguments and what a stage needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from builder.dockerfile.parse import parse, parse_trigger
from builder.dockerfile.plan import Plan, Stage, plan, platform_arguments, proxy_environment
from builder.errors import DockerfileError, SourceRange
from layers.platform import Platform

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

AMD64 = Platform("linux", "amd64")
ARM64 = Platform("linux", "arm64")
NOTHING: Mapping[str, str] = {}


def planned(text: str, *, target: str | None = None, build_args: Mapping[str, str] = NOTHING) -> Plan:
    dockerfile = parse(text.encode())
    return plan(dockerfile, target=target, build_args=build_args, platform=ARM64, build_platform=AMD64)


def refusal(text: str, target: str | None = None) -> DockerfileError:
    """Give the error that planning, or asking for what the target needs, ends in."""
    with pytest.raises(DockerfileError) as caught:
        planned(text, target=target).reachable()
    return caught.value


def labels(found: Sequence[Stage | str]) -> list[str]:
    return [one if isinstance(one, str) else one.label for one in found]


def test_global_arguments_see_those_before_them_and_give_way_to_build_arguments() -> None:
    found = planned("ARG A=1 B=$A\nARG C=${B}x D E=own\nFROM scratch", build_args={"A": "9", "E": "", "X": "?"})

    values = found.global_arguments
    assert ("9", "9", "9x", "") == tuple(values[name] for name in "ABCE")
    assert "D" not in values
    assert "X" not in values


def test_from_is_expanded_with_global_arguments_only() -> None:
    found = planned("ARG V=3\nFROM --platform=$BUILDPLATFORM alpine:$V AS a\nARG V=4\nFROM alpine:${V:-none} AS b")

    assert ["alpine:3", "alpine:3"] == [stage.base for stage in found.stages]
    assert [AMD64, ARM64] == [stage.platform for stage in found.stages]


def test_a_stage_takes_its_base_stage_as_written() -> None:
    """``AS Build`` is stage "build"; ``FROM Build`` is an image."""
    found = planned("FROM scratch AS Build\nFROM Build\nFROM build")

    assert ["scratch", "Build", "build"] == labels([stage.base for stage in found.stages])


def test_a_stage_named_scratch_shadows_scratch() -> None:
    found = planned("FROM alpine AS scratch\nFROM scratch")

    assert found.stages[0] is found.stages[1].base


def test_stages_on_stages_and_scratch_have_no_platform_of_their_own() -> None:
    found = planned(
        "FROM --platform=linux/s390x a AS a\nFROM --platform=linux/arm a\nFROM --platform=linux/386 scratch"
    )

    assert ["linux/s390x", "linux/s390x", "linux/arm64"] == [str(stage.platform) for stage in found.stages]


def test_a_base_stage_is_always_an_earlier_one() -> None:
    found = planned("FROM b AS a\nFROM x AS b\nFROM b AS b\nFROM b")

    assert "b" == found.stages[0].base
    assert found.stages[1] is found.stages[2].base
    assert found.stages[2] is found.stages[3].base


@pytest.mark.parametrize(("target", "index"), [(None, 2), ("one", 0), ("ONE", 0), ("two", 1)])
def test_the_target_is_a_stage_of_that_name_in_any_case_or_the_last(target: str | None, index: int) -> None:
    assert index == planned("FROM a AS one\nFROM a AS two\nFROM a", target=target).target.index


@pytest.mark.parametrize(("target", "hint"), [("0", "the stages are build, test"), ("biuld", "did you mean build?")])
def test_an_unknown_target_is_refused_with_a_hint(target: str, hint: str) -> None:
    error = refusal("FROM a AS build\nFROM a AS test", target)

    assert (f"target stage {target!r} could not be found", hint) == (error.message, error.hint)


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("ARG BASE\nFROM $BASE", "base name ($BASE) should not be blank", "give the ARG before the first FROM"),
        ("FROM $BULIDPLATFORM", "base name ($BULIDPLATFORM) should not be blank", "did you mean BUILDPLATFORM?"),
        ("FROM --platform=$X a", "platform ($X) should not be blank", ""),
        ("FROM --platform=a/b/c/d a", "failed to parse platform a/b/c/d", ""),
        ("FROM a\nCOPY --from=1 a b", "invalid stage index 1", "this is the first stage"),
        ("FROM a\nFROM a\nCOPY --from=1 a b", "invalid stage index 1", "stages before this one are 0 to 0"),
        ("FROM a\nFROM a\nCOPY --from=-1 a b", "invalid stage index -1", ""),
        ("FROM a AS x\nCOPY --from=X a b", "circular dependency detected on stage: X", ""),
        (
            "FROM a AS x\nCOPY --from=y a b\nFROM x AS y",
            "stage 'y' is used before it is defined",
            "it begins at Dockerfile:3",
        ),
        ("FROM a\nCOPY --from=$x a b", "variable expansion is not supported for --from=$x", "define a new stage"),
    ],
)
def test_references_that_lead_nowhere_are_refused(text: str, message: str, hint: str) -> None:
    error = refusal(text)

    assert message == error.message
    assert hint in error.hint
    assert error.where is not None


def test_a_stage_needs_its_base_then_what_it_copies_and_mounts_each_once() -> None:
    found = planned(
        "FROM a AS one\nFROM b AS two\nFROM one\n"
        "COPY --from=TWO x y\nCOPY --from=1 x y\nCOPY --from=nginx:1 x y\nCOPY --from=scratch x y\n"
        "RUN --mount=from=one,target=/x --mount=from=0,target=/y --mount=type=cache,target=/z true"
    )

    assert ["one", "two", "nginx:1", "0"] == labels(found.dependencies(found.target))
    assert [] == labels(planned("FROM scratch").dependencies(planned("FROM scratch").target))


def test_triggers_of_a_base_stage_and_of_an_image_add_needs() -> None:
    found = planned("FROM a AS tools\nFROM b AS base\nONBUILD COPY --from=tools x y\nFROM base")
    extra = [parse_trigger("COPY --from=image x y", found.target.where)]

    assert ["base", "tools", "image"] == labels(found.dependencies(found.target, extra))
    assert [SourceRange("Dockerfile", 4, 4)] == [one.where for one in found.triggers(found.target)]
    assert ["tools", "base", "stage-2"] == labels(found.reachable())


def test_only_what_the_target_needs_is_reached() -> None:
    text = "FROM a AS unused\nCOPY --from=9 x y\nFROM b AS used\nFROM c\nCOPY --from=used x y"

    assert ["used", "stage-2"] == labels(planned(text).reachable())


def test_the_later_of_two_stages_of_one_name_is_found_among_those_before() -> None:
    found = planned("FROM a AS x\nFROM b AS X\nFROM c AS x")

    assert [None, 0, 1, 2] == [stage and stage.index for stage in (found.find("X", before) for before in range(4))]


def test_a_lone_stage_without_name_has_no_label() -> None:
    assert [""] == labels(planned("FROM a").stages)
    assert ["x", "stage-1"] == labels(planned("FROM a AS x\nFROM b").stages)


def test_platform_arguments_say_what_is_built_and_where() -> None:
    found = platform_arguments(Platform("windows", "arm", "v7", "10.0"), AMD64, "web")

    assert ("windows(10.0)/arm/v7", "10.0", "v7") == tuple(
        found[f"TARGET{x}"] for x in ("PLATFORM", "OSVERSION", "VARIANT")
    )
    assert ("linux/amd64", "", "web") == (found["BUILDPLATFORM"], found["BUILDVARIANT"], found["TARGETSTAGE"])


def test_platform_arguments_give_way_to_build_arguments() -> None:
    assert "x" == planned("FROM a", build_args={"TARGETARCH": "x"}).global_arguments["TARGETARCH"]


@pytest.mark.parametrize(("target", "expected"), [(None, "last"), ("first", "first"), ("FIRST", "FIRST")])
def test_the_target_stage_is_an_argument(target: str | None, expected: str) -> None:
    found = planned("FROM a AS first\nFROM a AS last", target=target)

    assert expected == found.global_arguments["TARGETSTAGE"]
    assert "default" == planned("FROM a").global_arguments["TARGETSTAGE"]


def test_proxies_are_matched_in_any_case_and_set_in_both() -> None:
    found = proxy_environment({"Http_Proxy": "a", "no_proxy": "b", "OTHER": "c"})

    assert {"HTTP_PROXY": "a", "http_proxy": "a", "NO_PROXY": "b", "no_proxy": "b"} == found


@pytest.mark.parametrize(
    ("text", "build_args", "expected"),
    [
        ("FROM a", {}, None),
        ("FROM a", {"SOURCE_DATE_EPOCH": ""}, ""),
        ("ARG SOURCE_DATE_EPOCH=5\nFROM a", {}, "5"),
        ("ARG SOURCE_DATE_EPOCH=5\nFROM a", {"SOURCE_DATE_EPOCH": "6"}, "6"),
        ("FROM a\nARG SOURCE_DATE_EPOCH=5", {}, None),
    ],
)
def test_the_epoch_is_a_build_argument_or_a_global_default(
    text: str, build_args: dict[str, str], expected: str | None
) -> None:
    assert expected == planned(text, build_args=build_args).source_date_epoch


def test_an_image_that_cannot_be_found_may_have_been_meant_to_be_a_stage() -> None:
    found = planned("FROM a AS builder\nFROM bilder")

    assert ("did you mean builder?", "") == (found.hint("bilder"), found.hint("nginx"))


def test_forty_thousand_stages_are_planned_soon() -> None:
    found = planned("FROM scratch AS s\n" + "FROM s AS s\nCOPY --from=S a b\n" * 10_000)

    assert 10_001 == len(found.reachable())
    assert "Stage(index=10000" in repr(found.target)
