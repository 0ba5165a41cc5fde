"""The life of an image, side by side with Docker's, skopeo's and umoci's."""

from __future__ import annotations

import io
import json
import re
import tarfile
from typing import TYPE_CHECKING

import pytest

from layers.platform import Platform
from layers.reference import Reference
from tests.support.images import image, layer
from tests.support.programs import Pybuild, need, run, skopeo

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.conftest import Write
    from tests.support.dockerd import Docker

pytestmark = pytest.mark.e2e

DOCKERFILE = """
FROM busybox AS base
LABEL who=me env=test
ENV A=b C="d e"
EXPOSE 80
COPY file /srv/
CMD ["sh", "-c", "echo hi"]
"""
SECOND = 'FROM app:one\nRUN echo changed > /etc/motd\nVOLUME /data\nHEALTHCHECK CMD true\nENTRYPOINT ["/bin/sh"]\n'
TEMPLATES = (
    "{{.Id}} {{.Os}}/{{.Architecture}} {{.Size}} {{.Created}}",
    "{{.Config.Env}} {{.Config.Cmd}} {{.Config.Entrypoint}} {{.Config.Labels}} {{.Config.Volumes}}",
    "{{json .Config.Env}} {{json .Config.Cmd}} {{json .RootFS.Layers}} {{json .Config.ExposedPorts}}",
    "{{range $i, $e := .Config.Env}}{{$i}}:{{$e}}\n{{end}}{{range .RootFS.Layers}}{{.}} {{else}}none{{end}}",
    '{{if eq .Os "linux"}}l{{else}}o{{end}}{{len .RootFS.Layers}}{{index .Config.Env 0 | upper}}{{join .RepoTags "+"}}',
    '{{with .Config.Healthcheck}}{{.Test}}{{end}}|{{printf "%-10s|%q" .Os .Os}}|{{.Author}}|{{.Config.User}}',
    "{{.RootFS}}|{{json .RootFS}}|{{.Config.Healthcheck}}|{{.Config.StopTimeout}}|{{.Config.Tty}}",
    "{{json .Config}}",
    '{{index .Config.Labels "who"}} {{(index (split .Id ":") 1) | truncate}}',
)


@pytest.fixture
def apps(based: Pybuild, write: Write) -> Pybuild:
    """A store with two images, one on the other, of which the second has two names."""
    based("-t", "app:one", write(DOCKERFILE, {"file": "x" * 5000}))
    based("-t", "app:two", "-t", "registry.example.com/x/app:2", write(SECOND))
    return based


def unsized(text: str) -> str:
    """Give a text without sizes."""
    return re.sub(r"\b\d+(?:\.\d+)?[kM]?B\b|\b\d{5,8}\b", "SIZE", text)


def cells(text: str) -> list[list[str]]:
    """Give the cells of a table, each row's; how wide a column is depends on the time of day."""
    return [re.split(r" {3,}", line.rstrip()) for line in text.splitlines()]


def columns(text: str) -> list[list[str]]:
    """Give the cells of a table whose rows are in no order: they are of one second."""
    head, *rows = cells(text)
    return [head, *sorted(rows)]


def aged(text: str) -> str:
    """Give a table with the passing of time taken out."""
    return re.sub(r"\d+ seconds? ago|Less than a second ago|About a minute ago|\d minutes ago", "NOW", text)


@pytest.mark.root
def test_lists_and_details_are_dockers(apps: Pybuild, docker: Docker, place: Path) -> None:
    """Every column of ``images``, ``history`` and ``inspect -f``, on the same images."""
    archive = place / "apps.tar"
    apps("save", "-o", archive, "app:one", "app:two", "registry.example.com/x/app:2")
    docker("load", "-i", str(archive))

    exact = docker("info", "-f", "{{.Driver}}").strip() == "overlay2"  # others do not count the lengths of links

    def same(*arguments: str) -> tuple[str, str]:
        both = aged(docker(*arguments)), aged(apps(*arguments).out.decode())
        return both if exact else (unsized(both[0]), unsized(both[1]))

    for arguments in (["images"], ["images", "--no-trunc"], ["images", "app"], ["images", "*/x/*"]):
        theirs, ours = same(*arguments)
        own = [row for row in columns(theirs) if "app" in row[0] or row[0] == "REPOSITORY"]
        # images of one second stand in any order
        assert sorted(own) == sorted(row for row in columns(ours) if "app" in row[0] or row[0] == "REPOSITORY")
    for form in (
        "{{.Repository}}|{{.Tag}}|{{.ID}}|{{.Size}}|{{.VirtualSize}}|{{.CreatedAt}}",
        "table {{.ID}}\\t{{.Tag}}",
    ):
        theirs, ours = same("images", "--format", form, "app")
        assert sorted(columns(theirs)) == sorted(columns(ours))
    for name in ("app:one", "app:two"):
        for options in ([], ["--no-trunc"], ["-H=false"], ["-q"], ["--format", "{{.ID}} {{.CreatedBy}} {{.Size}}"]):
            theirs, ours = same("history", *options, name)
            assert cells(theirs) == cells(ours)
        for template in TEMPLATES[:-1]:
            theirs, ours = same("inspect", "-f", template, name)
            assert theirs == ours, template
        # Go prints where a pointer in a structure leads to; what is there says more
        theirs, ours = same("inspect", "-f", "{{.Config}}", name)
        assert re.sub(r"\b0x[0-9a-f]+", "{[CMD-SHELL true] 0s 0s 0s 0}", theirs) == ours
    theirs, ours = same("images", "-q", "--no-trunc", "--filter", "label=who=me", "--filter", "since=app:one")
    assert theirs.split() == ours.split()


@pytest.mark.root
def test_what_goes_to_docker_and_comes_back_is_the_same(apps: Pybuild, docker: Docker, place: Path) -> None:
    """save - docker load - docker save - load: the ids stay."""
    ids = {name: apps.image(name).id for name in ("app:one", "app:two")}
    docker("load", input=apps("save", "app:one", "app:two").out)
    docker("save", "-o", str(place / "back.tar"), "app:one", "app:two")
    apps("rmi", "app:one", "app:two", "registry.example.com/x/app:2")

    printed = apps("load", "-i", place / "back.tar").out.decode()

    assert {"Loaded image: app:one", "Loaded image: app:two"} == set(printed.splitlines())
    assert ids == {name: apps.image(name).id for name in ids}
    apps.check_store()


@pytest.mark.root
def test_untagging_prints_what_docker_prints(apps: Pybuild, docker: Docker) -> None:
    """A name that is not the last, then the last one of an image whose layers another has."""
    docker("load", input=apps("save", "app:one", "app:two", "registry.example.com/x/app:2").out)
    apps("builder", "prune", "-af")
    for name in ("app:two", "registry.example.com/x/app:2"):
        assert docker("rmi", name) == apps("rmi", name).out.decode()


def test_skopeo_takes_and_gives(apps: Pybuild, place: Path) -> None:
    """By docker-archive and oci-archive, and out of the store as it is."""
    found = apps.image("app:two")
    apps("save", "-o", place / "docker.tar", "app:two")
    apps("save", "--format", "oci", "-o", place / "oci.tar", "app:two")

    skopeo("copy", f"docker-archive:{place}/docker.tar:app:two", f"oci-archive:{place}/back1.tar:back:1")
    skopeo("copy", f"oci-archive:{place}/oci.tar", f"docker-archive:{place}/back2.tar:back:2")
    skopeo("copy", f"oci:{apps.store}:docker.io/library/app:two", f"oci-archive:{place}/back3.tar:back:3")

    for number in (1, 2, 3):
        apps("load", "-i", place / f"back{number}.tar")
        assert found.config.diff_ids == apps.image(f"back:{number}").config.diff_ids
    assert found.digest == apps.image("back:3").digest
    apps.check_store()


def test_umoci_reads_the_store_after_everything(apps: Pybuild, place: Path) -> None:
    apps("tag", "app:one", "app:three")
    apps("rmi", "app:two")
    apps("image", "prune", "-f")
    apps("builder", "prune", "-af")
    need("umoci")

    names = run("umoci", "list", "--layout", apps.store).split()

    assert {"docker.io/library/app:one", "docker.io/library/app:three"} <= set(names)
    apps.check_store()
    fsck = apps("fsck").out.decode()
    assert "0 damaged, 0 orphans (0B); 0 broken images" in fsck


def test_unpacked_layers_go_whoever_owns_them(based: Pybuild, write: Write) -> None:
    """A step's files belong to other ids; an ordinary user may not delete those from outside."""
    based("-t", "app:1", write("FROM busybox\nRUN mkdir -m 700 /x && touch /x/f && chown -R 33:33 /x\n"))
    assert list(based.store.glob("unpacked/*/*/fs"))

    based("builder", "prune", "-f")
    assert list(based.store.glob("unpacked/*/*/fs")), "the image still has these layers"
    text = based("builder", "prune", "-a", "-f").out.decode()

    assert not list(based.store.glob("unpacked/*/*/fs"))
    assert "Total:\t0B" not in text
    based("-t", "app:2", write("FROM app:1\nRUN test $(stat -c %u /x/f) = 33\n"))


def test_after_pruning_everything_nothing_is_left(apps: Pybuild) -> None:
    apps("system", "prune", "-af")
    apps("builder", "prune", "-af")

    assert [] == list(apps.layout.blobs.list())
    assert [] == [path for path in (apps.store / "side").rglob("*") if path.is_file()]
    assert [] == apps.layout.images()


def test_a_registry_keeps_what_is_pushed(apps: Pybuild, registry: str) -> None:
    name = f"{registry}/life/app:one"
    apps("tag", "app:one", name)
    digest = apps.image(name).digest

    first = apps("push", name).out.decode()
    second = apps("push", name).out.decode()

    assert "Pushed" in first
    assert "Pushed" not in second
    assert str(digest) == json.loads(skopeo("inspect", "--tls-verify=false", f"docker://{name}"))["Digest"]
    skopeo(
        "copy", "--src-tls-verify=false", "--dest-tls-verify=false", f"docker://{name}", f"docker://{registry}/life/b:1"
    )
    apps("pull", f"{registry}/life/b:1")
    assert digest == apps.image(f"{registry}/life/b:1").digest
    assert f"{registry}/life/app" in apps("search", f"{registry}/life").out.decode()
    apps.check_store()


def test_a_private_registry_asks_for_a_login(apps: Pybuild, private_registry: str) -> None:
    name = f"{private_registry}/app:one"
    apps("tag", "app:one", name)
    assert "pybuild login" in apps.fails("push", name)
    assert "refuses" in apps.fails("login", "-u", "user", "--password-stdin", private_registry, input=b"wrong")

    apps("login", "-u", "user", "--password-stdin", private_registry, input=b"secret")
    apps("push", name)
    authfile = apps.home / ".docker" / "config.json"
    skopeo("inspect", "--tls-verify=false", "--authfile", authfile, f"docker://{name}")

    apps("logout", private_registry)
    apps.fails("pull", name)


def test_docker_itself_shares_the_logins(apps: Pybuild, private_registry: str) -> None:
    """What Docker's own command line wrote is read, and what pybuild wrote has Docker's form."""
    folder = apps.home / ".docker"
    folder.mkdir()
    auth = {"auths": {private_registry: {"auth": "dXNlcjpzZWNyZXQ="}}, "psFormat": "x"}
    (folder / "config.json").write_text(json.dumps(auth))
    apps("tag", "app:one", f"{private_registry}/shared:1")

    apps("push", f"{private_registry}/shared:1")
    apps("logout", private_registry)

    assert {"auths": {}, "psFormat": "x"} == json.loads((folder / "config.json").read_text())


def test_a_list_of_platforms_in_a_registry(apps: Pybuild, registry: str, place: Path) -> None:
    """Made of an image here and one there; read by skopeo and pulled by platform."""
    root = io.BytesIO()
    with tarfile.open(fileobj=root, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("empty"))
    apps("import", "--platform", "linux/arm64", "-", f"{registry}/list/arm:1", input=root.getvalue())
    arm = apps.layout.image(Reference.parse(f"{registry}/list/arm:1"), Platform("linux", "arm64")).digest
    apps("push", f"{registry}/list/arm:1")
    apps("rmi", f"{registry}/list/arm:1")
    name = f"{registry}/list/app:1"

    apps("manifest", "create", name, "app:one", f"{registry}/list/arm:1")
    pushed = apps("manifest", "push", name).out.decode().strip()

    raw = json.loads(skopeo("inspect", "--tls-verify=false", "--raw", f"docker://{name}"))
    assert [str(apps.image("app:one").digest), str(arm)] == [each["digest"] for each in raw["manifests"]]
    assert pushed in apps("images", "--digests").out.decode()
    skopeo("copy", "--all", "--src-tls-verify=false", f"docker://{name}", f"oci:{place}/copy:1")
    apps("manifest", "rm", name)
    apps("pull", "--platform", "linux/arm64", name)
    assert "arm64" in apps("images", "--tree").out.decode()
    overridden = ["--override-arch", "arm64", "--tls-verify=false", "--format", "{{.Architecture}}"]
    assert "arm64" == skopeo(*overridden[:2], "inspect", *overridden[2:], f"docker://{name}").strip()


@pytest.mark.root
def test_docker_pulls_the_list_and_what_it_imports_is_imported(apps: Pybuild, docker: Docker, registry: str) -> None:
    name = f"{registry}/list/both:1"
    apps("manifest", "create", name, "app:one")
    apps("manifest", "push", name)
    docker("pull", name)
    assert str(apps.image("app:one").id) == docker("inspect", "-f", "{{.Id}}", name).strip()

    root = io.BytesIO()
    with tarfile.open(fileobj=root, mode="w") as tar:
        info = tarfile.TarInfo("etc/motd")
        info.size = 5
        tar.addfile(info, io.BytesIO(b"hello"))
    options = ["-c", 'CMD ["/bin/sh"]', "-c", "ENV A=b", "-c", "EXPOSE 80", "-m", "by hand", "-"]
    theirs = docker("import", *options, input=root.getvalue()).strip()
    ours = apps("import", *options, input=root.getvalue()).out.decode().strip()
    for template in (
        "{{.RootFS.Layers}}",
        "{{.Config.Cmd}} {{.Config.Env}} {{json .Config.ExposedPorts}}",
        "{{.Comment}}",
    ):
        assert docker("inspect", "-f", template, theirs) == apps("inspect", "-f", template, ours).out.decode()


@pytest.mark.root
def test_docker_loads_what_was_built_with_zstd(pybuild: Pybuild, docker: Docker) -> None:
    """It cannot read such layers itself: the archive has them in a form that it can."""
    app = image(layer({"a": b"a" * 100_000}, "zstd"), layer(), platform=Platform.host())
    pybuild.layout.tag(Reference.parse("packed:1"), pybuild.layout.put(app))

    docker("load", input=pybuild("save", "packed:1").out)

    assert str(app.id) == docker("inspect", "-f", "{{.Id}}", "packed:1").strip()
    container = docker("create", "packed:1").strip()
    with tarfile.open(fileobj=io.BytesIO(docker("export", container).encode())) as files:
        assert {"a", "etc/motd"} <= set(files.getnames())
    docker("rm", container)
    docker("rmi", "packed:1")


def test_a_full_disk_leaves_no_half_archive(apps: Pybuild) -> None:
    """/dev/full is a disk without room."""
    error = apps.fails("save", "-o", "/dev/full", "app:one")
    assert "No space left" in error


def test_a_reader_that_goes_away_is_no_error_to_shout_about(apps: Pybuild) -> None:
    script = f"{' '.join(apps.command('save', 'app:one'))} | head -c 10 >/dev/null"
    run("sh", "-c", script, env=apps.environment())
