"""How much work a build does, counted and not timed: a second pass over something fails here on every machine."""

from __future__ import annotations

import itertools
import json
import os
from typing import TYPE_CHECKING

import pytest

from layers.reference import Reference
from layers.store.layout import Layout
from tests.support.counting import count

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.conftest import Write
    from tests.support.counting import Work
    from tests.support.programs import Pybuild

FILES = 400
SIZE = 32 * 1024
COPY = "FROM busybox\nCOPY src /src/\n"
LONG_AGO = 1_500_000_000


def tree(write: Write, dockerfile: str = COPY) -> tuple[Path, set[str]]:
    """Write a context of 400 files in 20 directories; give it and the files' names, which nothing else has."""
    names = [f"work-{i:03}.txt" for i in range(FILES)]
    context = write(dockerfile, {f"src/d{i // 20}/{name}": f"{i:8}" * (SIZE // 8) for i, name in enumerate(names)})
    for path in context.rglob("*.txt"):
        os.utime(path, (LONG_AGO, LONG_AGO))
    return context, set(names)


def nothing_done(pybuild: Pybuild, write: Write) -> Work:
    """Count what a build costs that has nothing to do, once Python has its compiled modules."""
    context = write("FROM busybox\n")
    pybuild("build", "-q", context)
    return count(pybuild, "build", "-q", context)


def test_a_first_copy_reads_each_file_once(based: Pybuild, write: Write) -> None:
    context, names = tree(write)
    nothing = nothing_done(based, write)

    work = count(based, "build", "-q", "-t", "app", context)

    assert FILES == work.opened_of(names)
    assert work.read - nothing.read < 1.3 * FILES * SIZE
    # The layer is compressed on its way to the disk, and the index of its files is small.
    assert work.written - nothing.written < 0.5 * FILES * SIZE
    assert 0 == work.forks


@pytest.mark.parametrize(
    "step",
    [
        "COPY src/d7 src/d8 src/d19/work-399.txt /copied/",
        "COPY src/d1/*.txt /words/",
        "COPY src/d1 <<word /words/\nhello\nword",
        "ADD src /src/",
        "ADD src/d2 src/d3/work-060.txt /added/",
    ],
    ids=["several", "wildcard", "heredoc", "add", "add-several"],
)
def test_a_first_step_of_any_kind_reads_each_file_once(based: Pybuild, write: Write, step: str) -> None:
    """A file that stands by itself is opened once more by ADD, to see whether it is an archive."""
    context, names = tree(write, f"FROM busybox\n{step}\n")

    first = count(based, "build", "-q", context)
    again = count(based, "build", "-q", context)
    layer = {name for name in names if first.opened[name]}

    assert len(layer) >= 20
    assert {1} == {first.opened[name] for name in layer - {"work-060.txt"}}
    assert first.opened["work-060.txt"] <= 2
    assert 0 == again.opened_of(names)


def test_a_build_in_which_nothing_changed_reads_no_file_and_writes_little(based: Pybuild, write: Write) -> None:
    context, names = tree(write)
    based("build", "-q", "-t", "app", context)
    based("build", "-q", "-t", "app", context)
    nothing = nothing_done(based, write)

    work = count(based, "build", "-q", "-t", "app", context)

    assert 0 == work.opened_of(names)
    assert work.listed - nothing.listed <= 2 + FILES // 20
    assert work.read - nothing.read < 64 * 1024
    assert work.written < 64 * 1024
    assert 0 == work.forks


def test_files_named_one_by_one_are_not_read_where_nothing_changed(based: Pybuild, write: Write) -> None:
    """``COPY app.jar`` looks at the file as ``COPY .`` does."""
    context, names = tree(
        write, "FROM busybox\nCOPY src/d0/work-000.txt /a\nCOPY src/d1/*.txt src/d2/work-040.txt /b/\n"
    )
    based("build", "-q", "-t", "app", context)

    work = count(based, "build", "-q", "-t", "app", context)

    assert 0 == work.opened_of(names)


def test_one_changed_file_is_read_with_its_neighbours_alone(based: Pybuild, write: Write) -> None:
    """The other blocks of the layer are copied, and their files not opened: once for the key, once for the layer."""
    context, names = tree(write)
    based("build", "-q", "-t", "app", context)
    nothing = nothing_done(based, write)
    (context / "src/d7/work-150.txt").write_text("changed" * 1000)

    work = count(based, "build", "-q", "-t", "app", context)

    assert work.opened_of(names) <= FILES // 4
    assert 2 == work.opened_of({"work-150.txt"})
    # The compressed blocks are read, and of the files those beside the changed one.
    assert work.read - nothing.read < 0.5 * FILES * SIZE


def test_a_copy_onto_another_base_reads_no_file(based: Pybuild, write: Write) -> None:
    """Its files are known by their stats, and its blocks by them."""
    context, names = tree(write)
    based("build", "-q", "-t", "app", context)
    (context / "Dockerfile").write_text("FROM busybox\nWORKDIR /new\nCOPY src /src/\n")

    work = count(based, "build", "-q", "-t", "app", context)

    assert 0 == work.opened_of(names)


@pytest.mark.parametrize(
    "steps",
    [
        "COPY src/d7 src/d8 src/d19/work-399.txt /copied/",
        "COPY src /src/\nCOPY <<word src/d1 /words/\nhello\nword",
        "COPY --from=build /src /copied/",
        "COPY --from=build /src/d1 /src/d3/work-060.txt /copied/",
        "COPY src/d3/work-060.txt /copied/",
    ],
    ids=["several", "heredoc", "stage", "several-of-a-stage", "one"],
)
def test_known_files_are_not_read_again_wherever_they_come_from(based: Pybuild, write: Write, steps: str) -> None:
    """On another base, where no step is remembered; and the layer is the one that is made with nothing known."""
    first = "FROM busybox AS build\nCOPY src /src/\nFROM busybox{}\n" + steps + "\n"
    context, names = tree(write, first.format(""))
    based("build", "-q", "-t", "app", context)
    (context / "Dockerfile").write_text(first.format("\nWORKDIR /new"))

    work = count(based, "build", "-q", "-t", "warm", context)
    based("build", "-q", "--no-cache", "-t", "cold", context)

    assert [] == sorted(names.intersection(work.opened))
    assert layers_of(based, "cold")[-1] == layers_of(based, "warm")[-1]


def test_without_cache_every_file_is_read(based: Pybuild, write: Write) -> None:
    context, names = tree(write)
    based("build", "-q", "-t", "app", context)

    work = count(based, "build", "-q", "--no-cache", "-t", "app", context)

    assert FILES == work.opened_of(names)


@pytest.mark.parametrize(
    ("dockerfile", "options"),
    [
        (COPY, []),
        ("FROM busybox\nCOPY --chown=7:8 --chmod=640 src /src/\n", []),
        ("FROM busybox\nCOPY --link --parents src /copied/\n", []),
        (COPY, ["--build-arg", "SOURCE_DATE_EPOCH=1400000000", "-o", "type=image,rewrite-timestamp=true"]),
        (COPY, ["-o", "type=image,compression=zstd"]),
        (COPY, ["-o", "type=image,compression=uncompressed"]),
    ],
    ids=["plain", "owner", "link", "epoch", "zstd", "uncompressed"],
)
def test_a_layer_with_copied_blocks_is_the_one_of_a_fresh_store(
    based: Pybuild, write: Write, dockerfile: str, options: list[str]
) -> None:
    """Whatever else is written into its headers."""
    context, names = tree(write, dockerfile)
    based("build", "-q", *options, "-t", "app", context)
    (context / "src/d7/work-150.txt").write_text("changed" * 1000)
    (context / "src/d9/work-199.txt").unlink()

    work = count(based, "build", "-q", *options, "-t", "warm", context)
    based("build", "-q", "--no-cache", *options, "-t", "cold", context)

    # A block of zstd has about 6 MB, the others 1 MB.
    assert work.opened_of(names) <= FILES * 3 // 4
    assert layers_of(based, "cold") == layers_of(based, "warm")


def layers_of(pybuild: Pybuild, image: str) -> list[str]:
    """Give the digests of an image's blobs and of their contents."""
    layers = Layout.open(pybuild.store, create=False).image(Reference.parse(image)).layers
    return [f"{layer.descriptor.digest} {layer.diff_id}" for layer in layers]


def test_an_ignored_directory_costs_nothing(based: Pybuild, write: Write) -> None:
    """However much is in it: it is not even listed, where no exception can lie in it."""
    ignored = {f"node_modules/{i}/work-{i:03}.txt": "x" for i in range(300)}
    context = write("FROM busybox\nCOPY . /src/\n", {"a": "a", ".dockerignore": "node_modules\n!README.md\n"})
    based("build", "-q", context)
    without = count(based, "build", "-q", context)
    for name, content in ignored.items():
        (context / name).parent.mkdir(parents=True)
        (context / name).write_text(content)

    work = count(based, "build", "-q", context)

    assert 0 == work.opened_of({name.rpartition("/")[2] for name in ignored})
    assert work.listed <= without.listed


def test_ignored_files_beside_taken_ones_are_not_opened(based: Pybuild, write: Write) -> None:
    files = {f"d{i % 10}/work-{i:03}.dat": "x" for i in range(300)}
    context = write("FROM busybox\nCOPY . /src/\n", {**files, ".dockerignore": "**/*.dat\n!d3/work-003.dat\n"})

    work = count(based, "build", "-q", context)

    assert 1 == work.opened_of({name.rpartition("/")[2] for name in files})


@pytest.mark.parametrize("step", ["RUN echo {} > /file{}", "COPY a /copy{}"], ids=["run", "copy"])
def test_each_further_step_costs_the_same(based: Pybuild, write: Write, step: str) -> None:
    """The tenth step reads no more than the second: neither the base's index nor the layers below again."""
    numbers = itertools.count()  # what an earlier build made in the same second would be there already

    def work(steps: int) -> Work:
        lines = "\n".join(step.format(i, i) for i in itertools.islice(numbers, steps))
        return count(based, "build", "-q", "--no-cache", write(f"FROM busybox\n{lines}\n", {"a": "a"}))

    work(1)
    two, six, ten = work(2), work(6), work(10)

    if step.startswith("COPY"):  # what a RUN's own processes read is counted with ours
        assert (ten.read - two.read) / 8 < 8 * 1024
    assert (six.opened.total() - two.opened.total()) / 4 <= 40
    # One more for each layer that a step's root has more: the kernel is told of it.
    assert ten.opened.total() - six.opened.total() <= six.opened.total() - two.opened.total() + 4 * 4
    assert two.forks == ten.forks


def test_an_image_of_127_layers_is_built_and_run(based: Pybuild, write: Write) -> None:
    """As many as overlay file systems and other engines take."""
    copies = "".join(f"COPY a /copies/{i}\n" for i in range(124))
    context = write(f'FROM busybox\n{copies}RUN test "$(ls /copies | wc -l)" = 124 && echo here > /here\n', {"a": "a"})

    based("build", "-q", "-t", "deep", context)
    based("build", "-q", "-t", "again", context)

    assert 127 == len(layers_of(based, "deep"))
    assert layers_of(based, "again") == layers_of(based, "deep")


def test_commands_import_what_they_need(based: Pybuild, write: Write) -> None:
    """Each of these costs 20 to 90 ms, which every build would pay."""
    context, _ = tree(write)
    based("build", "-q", "-t", "app", context)
    heavy = {
        "urllib3",
        "yaml",
        "rich",
        "zstandard",
        "isal",
        "pydantic",
        "asyncio",
        "http.client",
    }

    build = count(based, "build", "-q", "-t", "app", context)
    version = count(based, "--version")

    assert [] == sorted(heavy.intersection(build.modules))
    assert not [name for name in version.modules if name.startswith(("typer", "click", "layers", "builder.execute"))]


def test_a_build_says_where_its_time_went(based: Pybuild, write: Write, place: Path) -> None:
    context = write("FROM busybox\nCOPY a /a\nRUN echo > /b\n", {"a": "a"})

    done = based("build", "--progress=plain", "--profile", place / "trace.json", "-t", "app", context)
    phases = {event["cat"] for event in json.loads((place / "trace.json").read_text())["traceEvents"]}

    assert {"parse", "base", "context", "unpack", "run", "diff", "layer", "compress", "hash", "export"} == phases
    (line,) = [line for line in done.err.splitlines() if line.startswith("time: ")]
    assert all(f"{phase} " in line for phase in phases)
