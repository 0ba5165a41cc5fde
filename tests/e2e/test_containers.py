"""Working containers: a process on an image's files, and what becomes of them."""

from __future__ import annotations

import io
import json
import os
import tarfile
from typing import TYPE_CHECKING

import pytest

from layers.platform import Platform
from tests.support import bases
from tests.support.images import MemoryLayer, image, layer_of_tar
from tests.support.programs import Pybuild, processes, until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.dockerd import Docker

pytestmark = pytest.mark.e2e


def names(tar: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(tar)) as opened:
        return [each.name for each in opened]


def test_a_command_runs_and_its_code_comes_back(based: Pybuild) -> None:
    assert b"hi\n" == based("run", "--rm", "busybox", "echo", "hi").out
    based("run", "--rm", "busybox", "sh", "-c", "exit 7", code=7)
    based("run", "--rm", "busybox", "/nope", code=127)
    based("run", "--rm", "busybox", "/etc/passwd", code=126)
    assert b"" == based("ps", "-a", "-q").out
    assert not based.left()


def test_a_container_is_what_was_asked_for(based: Pybuild, place: Path) -> None:
    (place / "shown").write_text("from outside")
    script = "echo $BASE $A $B; pwd; id -u; hostname; cat /shown; touch /shown 2>&1; ls /sys/class/net"
    options = ["-e", "A=1", "-e", "B", "-w", "/srv", "-u", "web", "--hostname", "here", "--network", "none"]

    done = based(
        "run", *options, "-v", f"{place}/shown:/shown:ro", "busybox", "sh", "-c", script, env={"B": "2"}, code=0
    )

    lines = done.out.decode().splitlines()
    assert ["busybox 1 2", "/srv", "33", "here"] == lines[:4]
    assert "from outside" in lines[4]
    assert "Read-only" in lines[4]
    assert "lo" == lines[-1]


def test_what_a_process_changes_stays_in_its_container(based: Pybuild) -> None:
    based("run", "--name", "work", "busybox", "sh", "-c", "echo new > /srv/file; rm /etc/motd; chmod 700 /srv")
    based("exec", "-w", "/srv", "work", "sh", "-c", "cat file >> copy")

    assert ["C /etc", "D /etc/motd", "C /srv", "A /srv/copy", "A /srv/file"] == based(
        "diff", "work"
    ).out.decode().splitlines()
    assert b"new\n" == based("exec", "work", "cat", "/srv/copy").out
    assert b"hello\n" == based("run", "--rm", "busybox", "cat", "/etc/motd").out
    assert "srv/file" in names(based("export", "work").out)
    assert "etc/motd" not in names(based("export", "work").out)


def test_a_container_becomes_an_image(based: Pybuild) -> None:
    based("run", "--name", "work", "busybox", "sh", "-c", "echo new > /srv/file; chown 33:33 /srv/file")

    id_ = based("commit", "-m", "why", "-a", "me", "-c", "ENV X=y", "-c", 'CMD ["cat", "/srv/file"]', "work", "app:1")

    found = based.image("app:1")
    assert str(found.id) == id_.out.decode().strip()
    assert ("me", "why") == (found.config.author, found.config.history[-1].comment)
    assert ("cat", "/srv/file") == found.config.config.cmd
    assert b"new\n" == based("run", "--rm", "app:1").out
    assert b"33\n" == based("run", "--rm", "app:1", "stat", "-c", "%u", "/srv/file").out
    based.check_store()


def test_files_are_copied_in_and_out(based: Pybuild, place: Path) -> None:
    source = place / "source"
    (source / "deep").mkdir(parents=True)
    (source / "deep" / "file").write_text("content")
    os.symlink("deep/file", source / "link")
    based("create", "--name", "work", "busybox", "true")

    based("cp", source, "work:/srv")
    based("cp", f"{source}/.", "work:/srv/new")
    based("cp", source / "deep" / "file", "work:/etc/motd")
    based("cp", "-", "work:/tmp", input=based("cp", "work:/srv/source", "-").out)

    listed = based("exec", "work", "find", "/srv", "/tmp").out.decode().split()
    assert {"/srv/source/deep/file", "/srv/source/link", "/srv/new/deep/file", "/tmp/source/deep/file"} <= set(listed)
    assert b"content" == based("exec", "work", "cat", "/etc/motd").out
    assert b"0:0\n" == based("exec", "work", "stat", "-c", "%u:%g", "/srv/source/deep/file").out
    based("cp", "work:/srv/source", place / "back")
    based("cp", "work:/etc/motd", place)
    based("cp", "work:/etc/motd", place / "renamed")
    assert "deep/file" == os.readlink(place / "back" / "link")
    contents = [(place / each).read_text() for each in ("back/deep/file", "motd", "renamed")]
    assert ["content"] * 3 == contents


@pytest.mark.parametrize(
    "arguments",
    [
        ["cp", "work:/nope", "."],
        ["cp", "/nope", "work:/"],
        ["cp", "/etc/passwd", "work:/nope/x"],
        ["cp", "a", "b"],
        ["cp", "work:/a", "work:/b"],
        ["cp", "work:/etc", "/nope/deep"],
        ["exec", "nope", "true"],
        ["logs", "nope"],
        ["rm", "nope"],
        ["commit", "work", "A"],
        ["commit", "-c", "RUN x", "work"],
        ["create", "--name", "work", "busybox", "true"],
        ["create", "--name", "-", "busybox", "true"],
        ["create", "--network", "mine", "busybox", "true"],
        ["create", "-v", "relative:/x", "busybox", "true"],
        ["create", "nope:1", "true"],
        ["run", "--entrypoint", "", "scratchy"],
        ["ps", "--filter", "x=y"],
    ],
    ids=" ".join,
)
def test_what_makes_no_sense_changes_nothing(based: Pybuild, arguments: list[str]) -> None:
    based("create", "--name", "work", "busybox", "true")
    before = based("ps", "-a").out, set(based.layout.blobs.list())
    based.fails(*arguments, code=125 if arguments[0] == "run" else 1)
    assert before[0].split()[:6] == based("ps", "-a").out.split()[:6]
    assert before[1] == set(based.layout.blobs.list())


def test_a_tar_that_is_none_is_not_copied_in(based: Pybuild) -> None:
    based("create", "--name", "work", "busybox", "true")
    based.fails("cp", "-", "work:/srv", input=os.urandom(5000))
    outside = io.BytesIO()
    with tarfile.open(fileobj=outside, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("../../escaped"))
        tar.addfile(tarfile.TarInfo("/absolute"))
    based("cp", "-", "work:/srv", input=outside.getvalue())
    assert ["A /srv/absolute"] == [line for line in based("diff", "work").out.decode().splitlines() if line[0] == "A"]


def test_a_container_runs_in_the_background_until_it_is_stopped(based: Pybuild) -> None:
    id_ = based(
        "run", "-d", "--name", "server", "busybox", "sh", "-c", "echo up; echo kept > /kept; sleep 1000"
    ).out.strip()
    until(lambda: b"up" in based("logs", "server").out)

    assert id_[:12] in based("ps").out
    assert b"kept\n" == based("exec", "server", "cat", "/kept").out
    assert "is running" in str(based("rm", "server", code=1).err)
    assert "is running" in str(based("cp", "/etc/hostname", "server:/srv", code=1).err)
    assert b"server\n" == based("stop", "-t", "0", "server").out

    assert b"" == based("ps", "-q").out
    assert b"Exited (137)" in based("ps", "-a").out
    assert b"137\n" == based("wait", "server").out
    until(lambda: not processes(str(based.store)))
    assert "A /kept" in based("diff", "server").out.decode()
    assert not based.left()


def test_what_a_running_container_has_become_is_seen(based: Pybuild, place: Path) -> None:
    based("run", "-d", "--name", "live", "busybox", "sleep", "1000")
    based("exec", "live", "sh", "-c", "echo new > /srv/file; rm /etc/motd; ln -s /etc /srv/link")

    expected = ["C /etc", "D /etc/motd", "C /srv", "A /srv/file", "A /srv/link"]
    assert expected == based("diff", "live").out.decode().splitlines()
    based("cp", "live:/srv/file", place / "copied")
    assert "new\n" == (place / "copied").read_text()
    exported = names(based("export", "live").out)
    assert ("srv/file" in exported, "etc/motd" in exported) == (True, False)
    for option in ("--pause", "--no-pause"):
        based("commit", option, "live", "made:1")
        assert b"new\n" == based("run", "--rm", "made:1", "cat", "/srv/file").out
    assert b"live\n" == based("ps", "--format", "{{.Names}}").out
    assert b"new\n" == based("exec", "live", "cat", "/srv/file").out
    based("rm", "-f", "live")
    until(lambda: not processes(str(based.store)))
    based.check_store()


def test_waiting_and_starting_again(based: Pybuild) -> None:
    based("run", "-d", "--name", "work", "busybox", "sh", "-c", "sleep 0.3; echo more >> /log; exit 4")
    assert b"4\n" == based("wait", "work").out

    based("start", "-a", "work", code=4)
    assert b"work\n" == based("start", "work").out
    based("wait", "work")

    assert b"more\n" * 3 == based("exec", "work", "cat", "/log").out


def test_a_containers_runner_that_is_killed_leaves_a_container_that_is_not_running(based: Pybuild) -> None:
    based("run", "-d", "--name", "work", "busybox", "sleep", "1000")
    container = json.loads(next((based.store / "containers").glob("*.json")).read_text().splitlines()[0])

    os.kill(container["monitor"], 9)

    until(lambda: not based("ps", "-q").out)
    based("start", "work")
    based("rm", "-f", "work")
    until(lambda: not processes(str(based.store)))


def test_what_a_container_needs_is_kept(based: Pybuild) -> None:
    based("run", "--name", "work", "busybox", "sh", "-c", "echo kept > /kept")
    assert "container work was made of it" in based.fails("rmi", "busybox")
    based("image", "prune", "-af")
    assert b"busybox" in based("images").out

    based("rmi", "-f", "busybox")
    based("builder", "prune", "-af")

    assert b"kept\n" == based("exec", "work", "cat", "/kept").out
    rows = [line.split() for line in based("system", "df").out.decode().splitlines()]
    assert ["Containers", "1", "0"] == rows[2][:3]
    assert "0 orphans" in based("fsck").out.decode()
    based("rm", "work")
    based("builder", "prune", "-af")
    assert [] == list(based.layout.blobs.list())


def test_the_list_of_containers(based: Pybuild) -> None:
    based("create", "--name", "first", "busybox", "sh", "-c", "a command that is longer than a column")
    based("run", "--name", "second", "busybox", "false", code=1)

    table = based("ps", "-a").out.decode().splitlines()
    assert "CONTAINER ID   IMAGE     COMMAND" == table[0][:32]
    assert ["second", "first"] == based("ps", "-a", "--format", "{{.Names}}").out.decode().split()
    assert b"second\n" == based("ps", "-a", "--filter", "status=exited", "--format", "{{.Names}}").out
    assert b"second\n" == based("ps", "-a", "--filter", "exited=1", "--format", "{{.Names}}").out
    assert (
        b'first "sh -c \'a command th\xe2\x80\xa6" Created\n'
        == based("container", "ls", "-a", "--filter", "name=fir", "--format", "{{.Names}} {{.Command}} {{.Status}}").out
    )
    assert 64 == len(based("ps", "-a", "--no-trunc", "-q").out.split()[0])


def test_what_a_link_leads_to_is_copied_out_under_the_links_name(based: Pybuild, place: Path) -> None:
    based("run", "--name", "work", "busybox", "sh", "-c", "ln -s /etc/motd /link; ln -s etc /directory")
    (place / "out").mkdir()
    based("cp", "work:/link", place / "out" / "kept")
    based("cp", "-L", "work:/link", place / "out")
    based("cp", "-qL", "work:/directory", place / "out")

    assert (place / "out" / "kept").is_symlink()
    assert "hello\n" == (place / "out" / "link").read_text()
    assert not (place / "out" / "link").is_symlink()
    assert (place / "out" / "directory" / "passwd").is_file()


def test_a_container_is_stopped_by_the_signal_that_is_asked_for(based: Pybuild) -> None:
    """And not before it ends, with ``-t -1``."""
    based("run", "-d", "--name", "work", "busybox", "sh", "-c", "trap 'exit 7' USR1; while :; do sleep 0.05; done")
    based("stop", "-s", "USR1", "--timeout", "-1", "work")

    assert b"7\n" == based("wait", "work").out


def test_a_container_that_runs_is_nothing_that_was_left_over(based: Pybuild) -> None:
    based("run", "-d", "--name", "work", "busybox", "sleep", "1000")

    assert " 0 left over" in based("fsck").out.decode()
    based("fsck", "--repair")
    assert b"here\n" == based("exec", "work", "echo", "here").out
    based("rm", "-f", "work")
    assert " 0 left over" in based("fsck").out.decode()


def test_inspect_shows_containers_before_images(based: Pybuild) -> None:
    based("run", "--name", "busybox", "-e", "A=1", "busybox", "sh", "-c", "exit 3", code=3)
    line = "{{.State.Status}} {{.State.ExitCode}} {{.Name}} {{.Config.Image}} {{.Path}} {{json .Mounts}}"
    assert b"exited 3 /busybox busybox sh []\n" == based("inspect", "-f", line, "busybox").out
    assert "RootFS" in json.loads(based("inspect", "--type", "image", "busybox").out)[0]
    assert "no container" in based.fails("inspect", "--type", "container", "nope")


def test_an_image_that_lies_about_its_layers_does_not_get_into_others(based: Pybuild) -> None:
    """Unpacked layers are found by their diff_ids: one who claims another's must not put his files there."""
    honest = bases.busybox()
    content = layer_of_tar(bases.busybox_tar().replace(b"hello\n", b"EVIL!\n"))
    lying = MemoryLayer(content.content, content.descriptor, honest.layers[0].diff_id)
    found = image(lying, platform=Platform.host(), config=honest.config.config)
    bases.put(based.layout, found, "lying:1")

    error = based.fails("run", "--rm", "lying:1", "cat", "/etc/motd", code=125)

    assert str(honest.layers[0].diff_id) in error
    assert b"hello\n" == based("run", "--rm", "busybox", "cat", "/etc/motd").out


def test_an_image_that_is_not_here_is_pulled(based: Pybuild, registry: str) -> None:
    name = f"{registry}/run/busybox:1"
    based("tag", "busybox", name)
    based("push", name)
    based("rmi", name)
    done = based("run", "--rm", name, "echo", "pulled")
    assert b"pulled\n" == done.out
    assert "Unable to find image" in done.err


@pytest.mark.root
def test_docker_takes_what_is_exported(based: Pybuild, docker: Docker) -> None:
    based("run", "--name", "work", "busybox", "sh", "-c", "echo new > /srv/file")
    id_ = docker("import", "-", input=based("export", "work").out).strip()
    assert "sha256" in docker("inspect", "-f", "{{.RootFS.Layers}}", id_)


@pytest.mark.parametrize("isolation", ["chroot", "proot"])
@pytest.mark.root
def test_lesser_ways_to_run_work_as_well(based: Pybuild, isolation: str) -> None:
    options = ["--isolation", isolation, "--name", "work"]
    assert b"hi\n" == based("run", *options, "busybox", "sh", "-c", "echo hi; echo new > /srv/file").out
    assert "A /srv/file" in based("diff", "work").out.decode()
