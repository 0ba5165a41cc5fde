"""What makes a step run again, and what does not."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from layers.config import ContainerConfig
from layers.platform import Platform
from tests.semantics.traps import trap
from tests.support.images import image, layer

if TYPE_CHECKING:
    from tests.semantics.bench import Bench

HOST = Platform.host()


@trap(70, 75)
def test_a_copy_is_known_by_content_and_last_name(bench: Bench) -> None:
    text = "FROM scratch\nCOPY {}/f /to/\n"
    bench.build(text.format("a/b"), {"a/b/f": "x"})

    assert 1 == bench.build(text.format("a/b"), {"a/b/f": "x", "other": "y"}).cached
    assert 1 == bench.build(text.format("c"), {"c/f": "x"}).cached
    assert 0 == bench.build(text.format("a/b"), {"a/b/f": "y"}).cached
    assert 0 == bench.build("FROM scratch\nCOPY f /to/g\n", {"f": "x"}).cached


@trap(70)
@pytest.mark.parametrize(
    "changed",
    [
        ("COPY --chown=1 d /d", [{"path": "d/f", "content": "x"}]),
        ("COPY --chmod=600 d /d", [{"path": "d/f", "content": "x"}]),
        ("COPY d /e", [{"path": "d/f", "content": "x"}]),
        ("COPY d /d", [{"path": "d/f", "content": "x", "mode": "600"}]),
        ("COPY d /d", [{"path": "d/g", "content": "x"}]),
        ("COPY d /d", [{"path": "d/f", "symlink": "x"}]),
        ("COPY d /d", [{"path": "d/f", "content": "x"}, {"path": "d/e/"}]),
    ],
    ids=["owner", "flag", "destination", "mode", "name", "kind", "directory"],
)
def test_all_that_a_copy_shows_counts(bench: Bench, changed: tuple[str, list[dict[str, Any]]]) -> None:
    bench.build("FROM scratch\nCOPY d /d\n", [{"path": "d/f", "content": "x"}])

    assert 0 == bench.build(f"FROM scratch\n{changed[0]}\n", changed[1]).cached


@trap(70)
def test_users_of_the_image_count_where_they_are_named(bench: Bench) -> None:
    for number in (5, 6):
        base = image(layer({"etc/passwd": f"web:x:{number}:{number}::/:".encode()}), platform=HOST)
        bench.put("base", base)
        built = bench.build("FROM base\nCOPY --link --chown=web f /\n", {"f": ""})
        assert (number, 0) == (built.files["f"].uid, built.cached)


@trap(71, 75)
def test_times_do_not_count(bench: Bench) -> None:
    context = bench.context("FROM scratch\nCOPY d /d\n", {"d/f": "x", "d/g/h": "y"})
    first = bench.again(context)
    for folder, names, files in os.walk(context):
        for name in [*names, *files]:
            os.utime(os.path.join(folder, name), (1_500_000_000, 1_500_000_000))
    moved = context.rename(context.with_name("moved"))

    again = bench.again(moved)

    assert (1, first.image.layers[0].diff_id) == (again.cached, again.image.layers[0].diff_id)


@trap(72)
@pytest.mark.parametrize(
    ("before", "run", "options", "cached"),
    [
        ("", "RUN echo 72", (), 1),
        ("", "RUN  echo 72", (), 1),
        ("", "RUN echo  72", (), 0),
        ("", 'RUN ["echo", "72"]', (), 0),
        ("ENV a=b\n", "RUN echo 72", (), 0),
        ("ARG a=b\n", "RUN echo 72", (), 0),
        ("ARG a\n", "RUN echo 72", (), 1),
        ("LABEL a=b\nEXPOSE 1\nCMD x\n", "RUN echo 72", (), 1),
        ("USER 5\n", "RUN echo 72", (), 0),
        ("", "RUN --network=none echo 72", (), 0),
        ("", "RUN --mount=type=tmpfs,target=/t echo 72", (), 0),
        ("", "RUN echo 72", ("--build-arg=HTTPS_PROXY=p",), 1),
        ("", "RUN echo 72", ("--label=a=b", "--build-arg=unused=1"), 1),
        ("", "RUN echo 72", ("--no-cache",), 0),
    ],
)
def test_what_a_command_depends_on(
    machine: Bench, before: str, run: str, options: tuple[str, ...], cached: int
) -> None:
    own = f"FROM busybox\nWORKDIR /case{machine.count}\n"  # no other case's steps are those of this one
    machine.build(f"{own}RUN echo 72\n")

    built = machine.build(f"{own}{before}{run}\n", (), *options)

    assert (cached + (options != ("--no-cache",))) == built.cached


@trap(73, 75)
def test_metadata_before_a_command_does_not_count(machine: Bench) -> None:
    first = machine.build('FROM busybox\nLABEL a=1\nCMD ["x"]\nRUN echo 73 > /73\n')

    second = machine.build('FROM busybox\nCMD ["y"]\nLABEL a=2 b=3\nVOLUME /v\nRUN echo 73 > /73\n')

    assert (1, first.image.layers[-1].diff_id) == (second.cached, second.image.layers[-1].diff_id)


@trap(74)
def test_a_base_is_known_by_what_it_is(bench: Bench) -> None:
    text = "FROM base\nCOPY f /\n"
    bench.put("base", image(layer({"a": b"1"}), platform=HOST))
    bench.put("same", image(layer({"a": b"1"}), platform=HOST, config=ContainerConfig(labels={"l": "x"})))
    bench.build(text, {"f": ""})

    assert 1 == bench.build(text.replace("base", "same"), {"f": ""}).cached
    bench.put("base", image(layer({"a": b"2"}), platform=HOST))
    built = bench.build(text, {"f": ""})
    assert (0, "2") == (built.cached, built.text("a"))


@trap(75)
def test_a_lost_layer_is_made_again(bench: Bench) -> None:
    built = bench.build("FROM scratch\nCOPY f /\n", {"f": "x"})
    digest = built.image.layers[0].descriptor.digest
    (bench.store / "blobs" / "sha256" / digest.encoded).unlink()

    assert 0 == bench.build("FROM scratch\nCOPY f /\n", {"f": "x"}).cached
    shutil.rmtree(bench.store / "cache")
    assert 0 == bench.build("FROM scratch\nCOPY f /\n", {"f": "x"}).cached
