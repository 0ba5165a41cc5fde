"""Targets, and what may be given to one."""

from __future__ import annotations

from builder.dockerfile.outline import Outline, outline, targets
from builder.dockerfile.parse import parse
from builder.dockerfile.plan import plan
from layers.platform import Platform

AMD64 = Platform("linux", "amd64")
TEXT = """# syntax=docker/dockerfile:1
# VERSION of Go
ARG VERSION=1.22
ARG FLAVOUR=-alpine IMAGE=golang:$VERSION$FLAVOUR
ARG UNUSED=1

# base is not what this says
# base has the compiler
FROM $IMAGE AS base
RUN --mount=type=secret,id=netrc,required --mount=type=ssh --mount=type=secret,id=$x,uid=$y true
FROM base AS Build
# not the name
ARG UNUSED
# TAGS to build with
#
ARG TAGS=a OTHER
RUN --mount=type=secret,target=/root/netrc --mount=type=secret,target=/token --mount=type=ssh,id=git true
FROM --platform=$BUILDPLATFORM scratch
ARG NOTHING UNUSED=$own
"""


def outlined(target: str | None, **build_args: str) -> Outline:
    dockerfile = parse(TEXT.encode())
    return outline(plan(dockerfile, target=target, build_args=build_args, platform=AMD64, build_platform=AMD64))


def test_targets_are_the_stages_with_what_is_said_of_them() -> None:
    assert [
        ("base", "is not what this says", "$IMAGE", "", False, 9),
        ("build", "", "base", "", False, 11),
        ("", "", "scratch", "$BUILDPLATFORM", True, 18),
    ] == [(*found[:-1], found.where.start) for found in targets(parse(TEXT.encode()))]


def test_the_arguments_of_a_target_are_those_that_it_or_its_bases_use() -> None:
    found = outlined("build", OTHER="x")

    assert [
        ("VERSION", "of Go", "1.22"),
        ("FLAVOUR", "", "-alpine"),
        ("IMAGE", "", "golang:1.22-alpine"),
        ("UNUSED", "", "1"),
        ("TAGS", "", "a"),
        ("OTHER", "", "x"),
    ] == [argument[:3] for argument in found.arguments]
    assert [("NOTHING", ""), ("UNUSED", "$own")] == [(one.name, one.value) for one in outlined(None).arguments]


def test_secrets_and_agents_are_named_once_and_required_where_one_mount_says_so() -> None:
    found = outlined("build")

    assert [("netrc", True, 10), ("token", False, 17)] == [
        (secret.name, secret.required, secret.where.start) for secret in found.secrets
    ]
    assert ["default", "git"] == [secret.name for secret in found.ssh]
