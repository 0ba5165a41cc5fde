"""--build-context: what stands in the place of stages and images."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from layers.store.trees import Trees
from tests.support.programs import Pybuild, run, skopeo
from tests.support.web import web

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.conftest import Write

pytestmark = pytest.mark.e2e


def names(pybuild: Pybuild, name: str) -> set[str]:
    tree = Trees(pybuild.layout).tree(pybuild.image(name).layers)
    return {entry.path.decode() for entry in tree.walk()}


def test_a_directory_is_copied_from_with_its_own_ignore_file(pybuild: Pybuild, write: Write) -> None:
    other = write(None, {"a": "1", "b.log": "1", ".dockerignore": "*.log"})
    context = write("FROM scratch\nCOPY --from=other . /d/\nCOPY --from=other a /a", {".dockerignore": "a"})
    pybuild("-t", "a", "--build-context", f"other={other}", context)

    assert {"d", "d/a", "d/.dockerignore", "a"} == names(pybuild, "a")
    assert pybuild("-t", "a", "--build-context", f"other={other}", context).cached


def test_a_directory_beats_a_stage_of_its_name_in_every_use(based: Pybuild, write: Write) -> None:
    other = write(None, {"file": "context"})
    dockerfile = """
        FROM busybox AS Stage
        RUN false
        FROM busybox
        COPY --from=stage /file /copied
        RUN --mount=from=stage,source=file,target=/f grep -q context /f && grep -q context /copied
        FROM stage
    """
    based("-t", "a", "--build-context", f"stage={other}", "--target", "", write(dockerfile))
    assert {"file"} == names(based, "a")
    based("-t", "b", "--build-context", f"stage={other}", write(dockerfile.rpartition("FROM")[0]))
    assert "copied" in names(based, "b")


def test_an_image_takes_the_place_of_a_base(based: Pybuild, write: Write) -> None:
    context = write("FROM docker.io/library/absent:latest\nRUN test -e /etc/second\nCOPY --from=absent /etc/motd /motd")
    based("-t", "a", "--build-context", "absent=docker-image://busybox", context)

    assert "motd" in names(based, "a")


def test_a_context_for_one_platform_counts_for_it_alone(pybuild: Pybuild, write: Write) -> None:
    arm, other = write(None, {"arm": ""}), write(None, {"other": ""})
    options = ["--build-context", f"c::linux/arm64={arm}", "--build-context", f"c={other}"]
    context = write("FROM scratch\nCOPY --from=c / /")
    pybuild("-t", "a", "--platform", "linux/arm64", *options, context)
    pybuild("-t", "b", "--platform", "linux/amd64", *options, context)

    assert ({"arm"}, {"other"}) == (names(pybuild, "a"), names(pybuild, "b"))


@pytest.mark.parametrize("form", ["oci-layout://{}/layout:tag", "oci-layout://{}/layout@{}", "{}/saved.tar"])
def test_an_image_comes_from_a_layout_or_an_archive(based: Pybuild, write: Write, place: Path, form: str) -> None:
    skopeo("copy", f"oci:{based.store}:docker.io/library/busybox:latest", f"oci:{place}/layout:tag")
    skopeo("copy", f"oci:{place}/layout:tag", f"docker-archive:{place}/saved.tar:busybox:latest")
    digest = str(based.image("busybox").digest)
    context = write("FROM base\nRUN test -e /etc/second\nCOPY --from=base /etc/motd /motd")
    based("-t", "a", "--build-context", f"base={form.format(place, digest)}", context)

    assert "motd" in names(based, "a")
    based.check_store()


def test_an_archive_and_a_repository_elsewhere_are_contexts(pybuild: Pybuild, write: Write, place: Path) -> None:
    files = write(None, {"inner": "x", ".dockerignore": "*"}, "files")
    run("tar", "-C", files, "-czf", place / "files.tgz", ".")
    environment = {**os.environ, "HOME": str(place)}
    for words in ("init -q", "add .", "-c user.name=a -c user.email=a@b commit -qm x", "update-server-info"):
        subprocess.run(["git", *words.split()], cwd=files, check=True, env=environment)
    served = {"/files.tgz": (place / "files.tgz").read_bytes()}
    inner = files / ".git"
    served |= {f"/r.git/{path.relative_to(inner)}": path.read_bytes() for path in inner.rglob("*") if path.is_file()}
    with web(served) as site:
        options = ["--build-context", f"tar={site.url}/files.tgz", "--build-context", f"git={site.url}/r.git"]
        options += ["--build-context", f"local={place}/files.tgz"]
        dockerfile = "FROM scratch\n" + "\n".join(
            f"COPY --from={name} inner /{name}" for name in ("tar", "git", "local")
        )
        pybuild("-t", "a", *options, write(dockerfile))

    assert {"tar", "git", "local"} == names(pybuild, "a")


def test_what_is_not_used_is_not_opened(pybuild: Pybuild, write: Write) -> None:
    options = ["--build-context", "unused=http://127.0.0.1:1/x.tar"]
    pybuild("-t", "a", *options, write("FROM scratch\nCOPY a /", {"a": ""}))


def test_mistakes_are_named(pybuild: Pybuild, write: Write) -> None:
    context = write("FROM scratch\nCOPY --from=c a /", {"a": ""})

    assert "there is no such file or directory" in pybuild.fails("--build-context", "c=./absent", context)
    assert "invalid --build-context 'c'" in pybuild.fails("--build-context", "c", context)
    error = pybuild.fails("--build-context", f"c={write(None, {'b': ''})}", context)
    assert 'source "a" is not in "c"' in error


def test_chosen_stages_are_built_anew(based: Pybuild, write: Write) -> None:
    dockerfile = "FROM busybox AS One\nRUN true\nFROM busybox AS two\nRUN : two\nCOPY --from=one /etc/motd /m"
    context = write(dockerfile)
    based("-t", "a", context)

    cached = based("-t", "a", "--no-cache-filter", "one,other", context).cached
    assert ["RUN : two", "COPY --from=one /etc/motd /m"] == sorted(
        (title.partition("] ")[2] for title in cached), reverse=True
    )


def test_limits_and_shared_memory_reach_steps(based: Pybuild, write: Write) -> None:
    script = "RUN test $(ulimit -Sn):$(ulimit -Hn) = 100:200 && df -k /dev/shm | grep -q ' 2048 '"
    context = write(f"FROM busybox\n{script}")
    options = ["--ulimit", "nofile=100:200", "--shm-size", "2m"]
    based("-t", "a", *options, context)

    assert based("-t", "a", *options, context).cached
    assert "invalid --ulimit" in based.fails("--ulimit", "nofile=200:100", context)
    assert "invalid --shm-size" in based.fails("--shm-size", "much", context)


def test_capabilities_are_given_only_when_allowed(based: Pybuild, write: Write) -> None:
    context = write("FROM busybox\nRUN --security=insecure mount -t tmpfs none /mnt 2>&1 || mkdir /mnt")

    assert "--allow security.insecure" in based.fails(context)
    based("-t", "a", "--allow", "security.insecure", context)
    assert "unknown --allow 'all'" in based.fails("--allow", "all", context)
