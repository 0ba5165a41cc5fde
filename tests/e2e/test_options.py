"""The options of ``pybuild build``, each where it shows."""

from __future__ import annotations

import io
import json
import os
import pty
import subprocess
import sys
import tarfile
from typing import TYPE_CHECKING

import pytest

from layers.store.layout import Layout
from layers.store.trees import Trees
from tests.support import bases
from tests.support.programs import Pybuild, run, schema

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.conftest import Write

pytestmark = pytest.mark.e2e


def text_of(pybuild: Pybuild, name: str, path: str, *arguments: str) -> str:
    """Give a file's content out of an image, by a build that exports nothing else."""
    target = pybuild.home / "taken"
    dockerfile = f"FROM scratch\nCOPY --from={name} {path} /file\n".encode()
    pybuild("-o", target, *arguments, "-", input=dockerfile)
    return (target / "file").read_text()


def test_the_id_and_the_digests_are_written_to_files(based: Pybuild, write: Write, place: Path) -> None:
    """With -q the id alone is printed."""
    files = (place / "id", place / "metadata")
    done = based(
        "-t",
        "app:1",
        "-t",
        "app:2",
        "-q",
        f"--iidfile={files[0]}",
        f"--metadata-file={files[1]}",
        write("FROM busybox\n"),
    )
    image, metadata = based.image("app:1"), json.loads(files[1].read_text())

    assert (f"{image.id}\n".encode(), "") == (done.out, done.err)
    assert str(image.id) == files[0].read_text() == metadata["containerimage.config.digest"]
    assert str(image.digest) == metadata["containerimage.digest"]
    assert "docker.io/library/app:1,docker.io/library/app:2" == metadata["image.name"]
    schema("content-descriptor.json").validate(metadata["containerimage.descriptor"])
    assert image.digest == based.image("app:2").digest


def test_only_the_target_and_what_it_needs_is_built(based: Pybuild, write: Write) -> None:
    context = write(
        "FROM busybox AS one\nRUN echo 1 > /1\nFROM busybox AS broken\nRUN false\n"
        "FROM one AS Two\nRUN echo 2 > /2\nFROM broken\n"
    )

    done = based("-t", "app", "--target", "two", context)

    assert "2\n" == text_of(based, "app", "/2")
    assert not [step for step in done.steps if "RUN false" in step]


def test_build_arguments_come_from_the_line_and_the_environment(based: Pybuild, write: Write) -> None:
    context = write("ARG BASE=no-such\nFROM $BASE\nARG A=default B C=c D\nRUN echo $A-$B-$C-${D-unset} > /values\n")

    based(
        "-t", "app", "--build-arg", "BASE=busybox", "--build-arg", "A=",
        "--build-arg", "B", "--build-arg", "D", context,
        env={"B": "b b", "C": "not asked for"},
    )  # fmt: skip

    assert "-b b-c-unset\n" == text_of(based, "app", "/values")


def test_labels_and_annotations(based: Pybuild, write: Write) -> None:
    based(
        "-t", "app", "--label", "a=1=2", "--label", "base=over", "--label", "empty", "--annotation", "x=y",
        "--annotation", "manifest:z=w", write("FROM busybox\nLABEL a=0 b=0\n"),
    )  # fmt: skip
    image = based.image("app")

    assert {"base": "over", "a": "1=2", "b": "0", "empty": ""} == dict(image.config.config.labels)
    assert {"x": "y", "z": "w"} == dict(image.manifest.annotations)


def test_pull_asks_for_a_newer_base(pybuild: Pybuild, write: Write, registry: str) -> None:
    name = f"{registry}/pull:1"
    context = write(f"FROM {name}\nRUN cat /etc/motd > /copy\n")
    bases.put(pybuild.layout, bases.busybox(), name)
    pybuild("push", name)
    pybuild("-t", "app", context)
    other = Pybuild(pybuild.store.with_name("other"), pybuild.home)
    bases.put(other.layout, bases.busybox(), "busybox")
    other("-t", name, "--push", "-", input=b"FROM busybox\nRUN echo newer > /etc/motd\n")

    pybuild("-t", "app", context)
    assert "hello\n" == text_of(pybuild, "app", "/copy")
    pybuild("-t", "app", "--pull", context)
    assert "newer\n" == text_of(pybuild, "app", "/copy")


def test_a_platform_is_chosen(based: Pybuild, write: Write) -> None:
    context = write("FROM scratch\nARG TARGETPLATFORM TARGETARCH\nLABEL p=$TARGETPLATFORM a=$TARGETARCH\nWORKDIR /w\n")

    based("-t", "app", "--platform", "linux/arm64", context)
    based("-t", "default", context, env={"DOCKER_DEFAULT_PLATFORM": "linux/riscv64"})

    image = based.image("app")
    assert ("linux", "arm64") == (image.platform.os, image.platform.architecture)
    assert {"p": "linux/arm64", "a": "arm64"} == dict(image.config.config.labels)
    assert "riscv64" == based.image("default").platform.architecture


def test_steps_have_the_network_that_is_asked_for(based: Pybuild, write: Write) -> None:
    def devices(*options: str, dockerfile: str = "FROM busybox\nRUN ls /sys/class/net > /net\n") -> list[str]:
        based("-t", "app", *options, write(dockerfile))
        return text_of(based, "app", "/net").split()

    assert ["lo"] == devices("--network=none")
    assert sorted(os.listdir("/sys/class/net")) == sorted(devices("--network=host"))
    assert ["lo"] == devices(dockerfile="FROM busybox\nRUN --network=none ls /sys/class/net > /net\n")


def test_hosts_are_added_for_steps_and_do_not_stay(based: Pybuild, write: Write) -> None:
    context = write("FROM busybox\nRUN cat /etc/hosts > /hosts\n")

    based("-t", "app", "--add-host", "db:10.1.2.3", "--add-host", "six=fd00::1", context)

    text = text_of(based, "app", "/hosts")
    assert "10.1.2.3\tdb" in text
    assert "fd00::1\tsix" in text
    tree = Trees(based.layout).tree(based.image("app").layers)
    assert tree.get(b"etc/hosts") is None


@pytest.mark.parametrize("mode", ["plain", "rawjson", "quiet", "auto"])
def test_progress_goes_to_standard_error(based: Pybuild, write: Write, mode: str) -> None:
    context = write("FROM busybox\nRUN echo out; echo err >&2; printf 'no end'\n")

    first, second = (based("--progress", mode, context) for _ in range(2))

    assert b"" == first.out == second.out
    if mode == "rawjson":
        documents = [json.loads(line) for line in first.err.splitlines()]
        names = [vertex["name"] for each in documents for vertex in each.get("vertexes", ())]
        assert any("RUN echo out" in name for name in names)
        assert any("logs" in each for each in documents)
        assert any(
            vertex.get("cached") for line in second.err.splitlines() for vertex in json.loads(line).get("vertexes", ())
        )
    elif mode == "quiet":
        assert "" == first.err == second.err
    else:
        lines = [line.split(" ", 2)[-1] for line in first.err.splitlines()]
        assert {"out", "err", "no end"} <= set(lines)
        assert 1 == len(second.cached)


def on_terminal(pybuild: Pybuild, *arguments: str | Path, **variables: str) -> tuple[int, str]:
    """Run on a terminal; give the exit code and all that it showed."""
    terminal, side = pty.openpty()
    process = subprocess.Popen(
        pybuild.command(*arguments),
        stdin=subprocess.DEVNULL,
        stdout=side,
        stderr=side,
        cwd=pybuild.home,
        env=pybuild.environment({"TERM": "xterm", **variables}),
    )
    os.close(side)
    read = bytearray()
    try:
        while data := os.read(terminal, 1 << 16):
            read += data
    except OSError:  # the other side is closed
        pass
    finally:
        os.close(terminal)
    return process.wait(), read.decode()


def test_a_terminal_shows_running_steps_and_keeps_finished_ones(based: Pybuild, write: Write) -> None:
    context = write("FROM busybox\nRUN echo line one; sleep 1; echo line two\nRUN true\n")

    code, shown = on_terminal(based, context)
    again, second = on_terminal(based, "--progress", "tty", context, NO_COLOR="1")

    assert (0, 0) == (code, again)
    assert "line one" in shown
    assert "\x1b[J" in shown
    assert "=> CACHED [2/3] RUN echo" in second
    assert "\x1b[34m" not in second


def test_a_terminal_shows_the_end_of_a_failing_step(based: Pybuild, write: Write) -> None:
    code, shown = on_terminal(based, write("FROM busybox\nRUN echo because of this; exit 4\n"))

    assert 1 == code
    assert "because of this" in shown.partition("ERROR")[2]
    assert "exit code: 4" in shown


def test_a_dumb_terminal_gets_plain_lines(based: Pybuild, write: Write) -> None:
    _, shown = on_terminal(based, write("FROM busybox\nRUN true\n"), TERM="dumb")

    assert "\x1b" not in shown
    assert "#1 [2/2] RUN true" in shown


def test_the_dockerfile_is_where_f_says(based: Pybuild, write: Write) -> None:
    """Relative to here, or to the context; or on standard input."""
    context = write(
        "FROM busybox\nLABEL from=default\n", {"docker/other": "FROM busybox\nLABEL from=other\n", "a": "a"}
    )

    def label(*arguments: str | Path, **more: bytes | Path) -> str:
        based("-t", "app", *arguments, **more)  # type: ignore[arg-type] # input is bytes, cwd a path
        return based.image("app").config.config.labels["from"]

    assert "default" == label(".", cwd=context)
    assert "other" == label("-f", "docker/other", ".", cwd=context)
    assert "other" == label("-f", context / "docker/other", context)
    assert "other" == label("-f", "docker/other", context)
    assert "stdin" == label("-f", "-", context, input=b"FROM busybox\nCOPY a /\nLABEL from=stdin\n")


def test_a_lower_case_dockerfile_is_found(based: Pybuild, write: Write) -> None:
    based(write(None, {"dockerfile": "FROM busybox\n"}))


def test_standard_input_is_a_dockerfile_or_a_tar(based: Pybuild, write: Write, place: Path) -> None:
    based("-t", "one", "-", input=b"FROM busybox\nRUN echo 1 > /1\n")
    context = write("FROM busybox\nCOPY a /\n", {"a": "from the tar\n", "other": "FROM busybox\nCOPY a /b\n"})
    for option in ("", "-z", "-j", "-J"):
        run("tar", "-C", context, "-cf", place / "context.tar", *([option] if option else []), ".")
        based("-t", "two", "-", input=(place / "context.tar").read_bytes())
        assert "from the tar\n" == text_of(based, "two", "/a")
    based("-t", "three", "-f", "other", "-", input=(place / "context.tar").read_bytes())

    assert "1\n" == text_of(based, "one", "/1")
    assert "from the tar\n" == text_of(based, "three", "/b")


def test_a_tar_that_leads_outside_is_harmless(pybuild: Pybuild, place: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in {"../outside": b"x", "/absolute": b"x", "Dockerfile": b"FROM scratch\nCOPY . /\n"}.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        link = tarfile.TarInfo("passwd")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)

    pybuild("-t", "app", "-", input=buffer.getvalue())

    assert not (pybuild.store / "tmp" / "outside").exists()
    assert not os.path.exists("/absolute")
    tree = Trees(pybuild.layout).tree(pybuild.image("app").layers)
    entry = tree.get(b"passwd")
    assert entry is None or entry.kind == "symlink"


def test_ignore_files(based: Pybuild, write: Write) -> None:
    """One that is named for its Dockerfile takes the place of the general one."""
    files: dict[str, str | bytes] = {
        "a.log": "", "b.txt": "", "keep.log": "", "d/c.log": "", "d/e.txt": "",
        ".dockerignore": "**/*.log\n!keep.log\n",
        "special.Dockerfile": "FROM scratch\nCOPY . /all/\n", "special.Dockerfile.dockerignore": "*\n!b.txt\n",
    }  # fmt: skip
    context = write("FROM scratch\nCOPY . /all/\n", files)

    def names(*options: str) -> set[bytes]:
        based("-t", "app", *options, context)
        tree = Trees(based.layout).tree(based.image("app").layers)
        return {entry.path.removeprefix(b"all/") for entry in tree.walk(b"all") if entry.kind == "file"}

    general = names()
    assert {b"b.txt", b"keep.log", b"d/e.txt"} <= general
    assert not {b"a.log", b"d/c.log"} & general
    assert {b"b.txt"} == names("-f", "special.Dockerfile")


def test_the_store_is_where_it_is_said(write: Write, place: Path) -> None:
    """--root, else PYBUILD_ROOT, else below XDG_DATA_HOME, else below the home."""
    (place / "home").mkdir()
    context = write("FROM scratch\nLABEL a=b\n")

    class Bare(Pybuild):
        def command(self, *arguments: str | Path) -> list[str]:
            return [sys.executable, "-m", "builder", *(str(each) for each in arguments)]

    bare = Bare(place / "nowhere", place / "home")
    bare("-t", "app", context)
    bare("-t", "app", context, env={"XDG_DATA_HOME": str(place / "data")})
    bare("-t", "app", context, env={"XDG_DATA_HOME": str(place / "no"), "PYBUILD_ROOT": str(place / "root")})
    bare("-t", "app", "--root", place / "given", context, env={"PYBUILD_ROOT": str(place / "no")})

    found = [place / "home/.local/share/pybuild", place / "data/pybuild", place / "root", place / "given"]
    assert 1 == len({Layout.open(path, create=False).names()[0][1].digest for path in found})
    assert not (place / "no").exists()
    assert not (place / "nowhere").exists()


def test_build_is_the_command_when_none_is_named(based: Pybuild, write: Write) -> None:
    context = write("FROM busybox\n")
    based("-t", "one", context)
    based("build", "-t", "two", context)

    assert based.image("one").digest == based.image("two").digest


def test_an_image_without_a_name_is_kept_by_its_id(based: Pybuild, write: Write) -> None:
    identity = based("-q", write("FROM busybox\nRUN echo unnamed > /unnamed\n")).out.decode().strip()

    assert identity[7:19] in based("images").out.decode()
