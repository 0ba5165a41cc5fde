"""A second build looks and does nothing; a change is seen where it matters, and from there on."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from tests.support import bases
from tests.support.programs import Pybuild, remove

if TYPE_CHECKING:
    from pathlib import Path

    from layers.digest import Digest
    from tests.e2e.conftest import Write

pytestmark = pytest.mark.e2e

DOCKERFILE = """
FROM busybox AS build
ARG VERSION=1
COPY source /src
RUN cat /src/* > /made && echo $VERSION >> /made
FROM busybox
WORKDIR /app
COPY --from=build /made .
COPY last .
RUN date > date
LABEL last=1
"""
FILES: dict[str, str | bytes] = {
    "source/a": "a",
    "source/b": "b",
    "last": "last",
    "ignored.log": "1",
    ".dockerignore": "*.log",
}
STEPS = ["COPY source", "RUN cat", "WORKDIR", "COPY --from", "COPY last", "RUN date"]


@pytest.fixture
def context(write: Write) -> Path:
    return write(DOCKERFILE, FILES)


def cached(pybuild: Pybuild, *arguments: str | Path) -> list[str]:
    """Build, and give which of STEPS were known."""
    titles = pybuild("-t", "app", *arguments).cached
    return [step for step in STEPS if any(step in title for title in titles)]


def digest(pybuild: Pybuild) -> Digest:
    return pybuild.image("app").digest


def test_the_second_build_does_nothing_but_look(based: Pybuild, context: Path) -> None:
    assert [] == cached(based, context)
    first = digest(based)

    began = time.monotonic()
    assert STEPS == cached(based, context)

    assert first == digest(based)
    assert time.monotonic() - began < 5


def test_a_touched_or_ignored_file_is_no_change(based: Pybuild, context: Path) -> None:
    """Content counts; neither times nor the place of the context do."""
    cached(based, context)
    first = digest(based)
    os.utime(context / "source/a", (1, 1))
    (context / "ignored.log").write_text("2")
    (context / "not-copied").write_text("x")
    moved = context.rename(context.with_name("moved"))

    assert STEPS == cached(based, moved)
    assert first == digest(based)


def test_a_changed_file_misses_from_there_on(based: Pybuild, context: Path) -> None:
    cached(based, context)

    (context / "last").write_text("LAST")
    assert STEPS[:4] == cached(based, context)
    (context / "source/a").write_text("A")
    assert ["WORKDIR"] == cached(based, context)


def test_a_file_changed_without_its_size_and_time_is_seen(based: Pybuild, context: Path) -> None:
    cached(based, context)
    before = (context / "last").stat()
    (context / "last").write_text("LAST")
    os.utime(context / "last", ns=(before.st_atime_ns, before.st_mtime_ns))

    assert STEPS[:4] == cached(based, context)


def test_a_mode_is_a_change(based: Pybuild, context: Path) -> None:
    cached(based, context)
    (context / "last").chmod(0o755)

    assert STEPS[:4] == cached(based, context)


def test_a_result_that_is_the_same_is_found_again(based: Pybuild, context: Path) -> None:
    """A RUN of the first stage that makes the same file leaves the second stage alone."""
    cached(based, context)
    (context / "source/a").rename(context / "source/0")

    assert STEPS[2:] == cached(based, context)


def test_an_argument_misses_where_it_is_used(based: Pybuild, context: Path) -> None:
    cached(based, context)

    assert ["COPY source", "WORKDIR"] == cached(based, "--build-arg", "VERSION=2", context)
    assert STEPS == cached(based, "--build-arg", "OTHER=2", context)


def test_labels_on_the_command_line_keep_all_steps(based: Pybuild, context: Path) -> None:
    cached(based, context)

    assert STEPS == cached(based, "--label", "a=b", context)
    assert "b" == based.image("app").config.config.labels["a"]


def test_no_cache_does_all_anew_and_remembers_it(based: Pybuild, context: Path) -> None:
    cached(based, context)
    first = based.image("app").config.diff_ids

    assert [] == cached(based, "--no-cache", context)
    again = based.image("app").config.diff_ids

    assert STEPS == cached(based, context)
    assert again == based.image("app").config.diff_ids
    assert first[:-1] == again[:-1] or first != again


def test_another_base_misses_everything(based: Pybuild, context: Path) -> None:
    cached(based, context)
    based("-t", "other-base", "-", input=b"FROM busybox\nRUN echo other > /other\n")
    text = (context / "Dockerfile").read_text().replace("FROM busybox", "FROM other-base")
    (context / "Dockerfile").write_text(text)

    assert [] == cached(based, context)


def test_a_blob_that_is_gone_is_made_again(based: Pybuild, context: Path) -> None:
    cached(based, context)
    first = based.image("app")
    based.layout.blobs.delete(first.layers[-2].descriptor.digest)

    assert "COPY last" not in cached(based, context)
    assert first.config.diff_ids == based.image("app").config.diff_ids


def test_the_unpacked_layers_are_only_a_copy(based: Pybuild, context: Path) -> None:
    cached(based, context)
    remove(based.store / "unpacked")
    (context / "last").write_text("LAST")

    assert STEPS[:4] == cached(based, context)


def test_a_damaged_record_is_a_miss(based: Pybuild, context: Path) -> None:
    cached(based, context)
    for path in (based.store / "cache").rglob("*"):
        if path.is_file():
            path.write_bytes(b"damage")

    assert [] == cached(based, context)
    based.image("app")


def test_two_builds_with_an_epoch_are_the_same_to_the_last_bit(place: Path, write: Write) -> None:
    """In two stores, two directories, at two times, on one thread or several."""
    dockerfile = DOCKERFILE.replace("RUN date > date", "RUN echo date > date") + "RUN mkdir -p x/y && ln date x/y/z\n"
    seen = []
    for number, compression in enumerate(("gzip", "gzip", "zstd", "zstd")):
        pybuild = Pybuild(place / f"store{number}", place / f"home{number}")
        pybuild.home.mkdir()
        bases.put(pybuild.layout, bases.busybox(), bases.BUSYBOX)
        context = write(dockerfile, FILES)
        for path in [*context.rglob("*"), context]:
            os.utime(path, (1_650_000_000, 1_650_000_000 + (number if path.is_dir() else 0)))
        target = place / f"{number}.tar"
        spec = f"type=oci,dest={target},rewrite-timestamp=true,compression={compression}"
        pybuild("-t", "app", "-o", spec, context, env={"SOURCE_DATE_EPOCH": "1600000000"})
        seen.append(target.read_bytes())
        assert "2020-09-13T12:26:40Z" == pybuild.image("app").config.created
        time.sleep(0.5)

    assert seen[0] == seen[1]
    assert seen[2] == seen[3]
    assert seen[0] != seen[2]
