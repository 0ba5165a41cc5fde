"""The same Dockerfiles in every way that RUN has: what each keeps of owners, modes, devices and all else."""

from __future__ import annotations

import dataclasses
import functools
import gzip
import json
import shutil
import subprocess
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from layers.store.trees import Trees
from tests.e2e import test_debian
from tests.support import bases, confined, material
from tests.support.programs import need

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.confined import Confined
    from tests.support.dockerd import Docker
    from tests.support.programs import Pybuild

pytestmark = [pytest.mark.e2e, pytest.mark.root, pytest.mark.xdist_group("docker")]

View = dict[bytes, tuple[object, ...]]
"""What a merged file system is, by path."""
WAYS = {
    "root": "runc",
    "subids": "runc",
    "single": "runc",
    "container": "chroot",
    "container-user": "proot",
}
"""Who runs pybuild and where, and what runs the steps there."""
NOT_KEPT = {
    "container-user": ["home/worker/who", "usr/local/bin/bind"],
}
"""What is not as a root of the machine makes it: what ``id`` says to a user, and capabilities of files."""
SMALL = f"""
FROM {bases.BUSYBOX}
RUN echo worker:x:1234:1234::/home/worker:/bin/sh >> /etc/passwd && mkdir -p /home/worker \\
 && echo mine > /home/worker/f && chown -R worker:web /home/worker
RUN mkdir -p /srv/tree/a && touch /srv/tree/a/x /srv/tree/y && ln -s y /srv/tree/link && chown -R 33:44 /srv/tree
RUN chown -h 5:6 /srv/tree/link && chown 7:9 /srv/tree/y && chown 33:8 /srv/tree/a/x && ln /srv/tree/y /srv/hard
RUN cp /bin/busybox /bin/other && chown web:0 /bin/other && chmod 6755 /bin/other && chown 1:1 /etc/motd
COPY files.tar /tmp/
RUN mkdir /out && tar -x -f /tmp/files.tar -C /out && rm /tmp/files.tar
RUN rm -rf /usr/share && mkdir -p /usr/share/new && mv /etc/second /etc/third && rm -rf /bin/vi && mkfifo -m 620 /pipe
RUN --mount=type=cache,target=/cache echo kept > /cache/kept && mkdir -p /usr/local
RUN --mount=type=cache,target=/cache cp /cache/kept /usr/local/kept
RUN --mount=type=secret,id=token,target=/run/token wc -c < /run/token > /size; test -s /run/token
RUN --mount=type=tmpfs,target=/scratch echo lost > /scratch/x
USER web
WORKDIR /srv/web
USER root
RUN chown web:web /srv/web
USER web
RUN echo own > own && mkdir sub && echo > sub/f
"""
SECRET = "a secret that is in no layer"


@pytest.fixture(scope="module")
def library() -> Iterator[Path]:
    """pybuild where everybody can read it."""
    with tempfile.TemporaryDirectory(prefix="pybuild-copy-", dir="/var/tmp") as name:
        path = Path(name)
        path.chmod(0o755)
        yield confined.copy_of_pybuild(path)


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Path:
    context = tmp_path_factory.mktemp("ladder")
    test_debian.make_package(context)
    material_for(context)
    return context


def material_for(context: Path) -> None:
    """Put what :data:`SMALL` needs into a context."""
    pieces: list[dict[str, Any]] = [
        {"path": "d/", "uid": 50, "gid": 60},
        {"path": "d/file", "content": "x", "uid": 51, "gid": 61, "mode": "4755"},
        {"path": "d/link", "symlink": "file", "uid": 52, "gid": 62},
        {"path": "d/hard", "hardlink": "d/file"},
    ]
    context.mkdir(exist_ok=True)
    (context / "files.tar").write_bytes(material.tar_of(pieces))


@pytest.fixture(scope="module")
def ways(library: Path, docker: Docker, context: Path) -> Iterator[Callable[[str], Confined]]:
    """Give pybuild in one of :data:`WAYS`, with a store of its own that has busybox."""
    need("runc", "proot", "setpriv", "unshare")
    with ExitStack() as stack:

        @functools.cache
        def way(name: str) -> Confined:
            uid = {"root": 0, "container": 0, "container-user": 1000}.get(name, confined.nobody())
            place = stack.enter_context(confined.place_of(uid))
            if name == "root":
                prefix: tuple[str, ...] = ()
            elif name.startswith("container"):
                prefix = confined.in_container(docker, place, library, uid=uid)
            else:
                prefix = confined.as_nobody(place, subordinate=name == "subids")
            made = confined.Confined(place / "store", place / "home", prefix=prefix, library=library)
            bases.put(made.layout, bases.busybox(), bases.BUSYBOX)
            shutil.copytree(context, place / "context")
            confined.give(place, uid)
            return made

        yield way


@pytest.fixture(scope="module")
def large(ways: Callable[[str], Confined], debian: Pybuild) -> View:
    """What a root of the machine makes of a Debian."""
    return large_in(ways("root"), debian)


def large_in(pybuild: Confined, debian: Pybuild) -> View:
    found = debian.image(bases.DEBIAN)
    bases.put(pybuild.layout, found, bases.DEBIAN)
    confined.give(pybuild.store / "blobs", pybuild.store.stat().st_uid)
    build(pybuild, "large", "auto", test_debian.DOCKERFILE)
    return view(pybuild, "large")


def build(pybuild: Pybuild, name: str, isolation: str, dockerfile: str) -> str:
    """Build, and give the log."""
    context = pybuild.store.parent / "context"
    (context / "Dockerfile").write_text(dockerfile)
    (context / "token").write_text(SECRET)
    options = ("--isolation", isolation, "--secret", f"id=token,src={context}/token", "--progress", "plain")
    return pybuild("-t", name, *options, context).err


def view(pybuild: Pybuild, name: str) -> View:
    """Give the merged file system of an image, but for times; hard links as the file they lead to."""
    tree = Trees(pybuild.layout).tree(pybuild.image(name).layers)
    seen = {}
    for entry in tree.walk():
        unstable = entry.path.startswith((b"var/log/", b"var/cache/"))
        content = () if unstable or entry.kind == "directory" else (entry.size, entry.digest[:4].hex(), entry.linkname)
        seen[entry.path] = (entry.kind, oct(entry.mode), entry.uid, entry.gid, *content, dict(entry.xattrs))
    return seen


def differing(expected: View, actual: View) -> list[str]:
    """Give what is not the same, a line for each path."""
    paths = sorted(path for path in {*expected, *actual} if expected.get(path) != actual.get(path))
    return [f"{path!r}: {expected.get(path)} is {actual.get(path)}" for path in paths]


def grep(text: str, directory: Path) -> str:
    """Give the files that hold a text."""
    return subprocess.run(["grep", "-rlF", text, directory], capture_output=True, text=True, check=False).stdout


@pytest.fixture(scope="module")
def small(ways: Callable[[str], Confined]) -> View:
    """What a root of the machine makes."""
    build(ways("root"), "small", "auto", SMALL)
    return view(ways("root"), "small")


@pytest.mark.parametrize("name", WAYS)
def test_a_small_image_is_the_same(ways: Callable[[str], Confined], small: View, name: str) -> None:
    log = build(ways(name), "small", "auto", SMALL)

    assert name == "root" or f"isolation: {WAYS[name]}" in log
    assert [] == differing(small, view(ways(name), "small"))


@pytest.mark.parametrize("name", WAYS)
def test_packages_accounts_and_capabilities_are_the_same(
    ways: Callable[[str], Confined], debian: Pybuild, large: View, name: str
) -> None:
    """A package with a user of its own, on a whole Debian; what is not the same is in the README."""
    if name != "root":
        found = differing(large, large_in(ways(name), debian))
        assert NOT_KEPT.get(name, []) == [line.split("'")[1] for line in found], found


@pytest.mark.parametrize("name", WAYS)
def test_nobody_finds_the_secret(ways: Callable[[str], Confined], small: View, name: str) -> None:
    """Neither in a blob nor anywhere else in the store."""
    pybuild = ways(name)

    for layer in pybuild.image("small").layers:
        with layer.open() as blob:
            assert SECRET.encode() not in gzip.decompress(blob.read())
    assert "" == grep(SECRET, pybuild.store)
    assert [] == pybuild.left()


@pytest.mark.parametrize("name", WAYS)
def test_info_says_what_each_way_answers(ways: Callable[[str], Confined], name: str) -> None:
    """The first that works is the one that builds take; what does not work says why."""
    document = json.loads(ways(name)("info", "--format", "json").out)

    found = {each["Name"]: each for each in document["Isolation"]}
    assert ["runc", "crun", "chroot", "proot"] == list(found)
    assert WAYS[name] == next(each for each in found if found[each]["Works"])
    assert all(each["Answer"] for each in found.values())
    if name.startswith("container"):
        assert "hostUsers: false" in found["runc"]["Answer"]


def test_owners_are_pretended_where_nobody_can_write_them_down(ways: Callable[[str], Confined], library: Path) -> None:
    """Here as the name of the socket would be too long: chown succeeds, and files belong to the user of their step."""
    way = ways("single")
    long = dataclasses.replace(way, store=way.store.parent / ("long-" * 20), library=library)
    bases.put(long.layout, bases.busybox(), bases.BUSYBOX)
    confined.give(long.store, confined.nobody())
    build(
        long, "pretended", "auto", f"FROM {bases.BUSYBOX}\nRUN echo > /f && chown 5:6 /f\nUSER web\nRUN echo > /tmp/g\n"
    )

    found = view(long, "pretended")
    assert [(0, 0), (33, 33)] == [found[path][2:4] for path in (b"f", b"tmp/g")]


def test_a_restricted_pod_builds_by_proot(docker: Docker, library: Path) -> None:
    """Without a capability, without a way to gain one, as a user that no image has, who chowns to any other."""
    with confined.place_of(100000) as place:
        options = ("--cap-drop=ALL", "--security-opt=no-new-privileges")
        prefix = confined.in_container(docker, place, library, uid=100000, options=options)
        pybuild = confined.Confined(place / "store", place / "home", prefix=prefix, library=library)
        bases.put(pybuild.layout, bases.busybox(), bases.BUSYBOX)
        (place / "context").mkdir()
        confined.give(place, 100000)

        log = build(pybuild, "app", "auto", f"FROM {bases.BUSYBOX}\nRUN echo > /f && chown 1000:1000 /f && echo > /g\n")

        assert "isolation: proot, owners written down" in log
        assert [(1000, 1000), (0, 0)] == [view(pybuild, "app")[path][2:4] for path in (b"f", b"g")]


def test_a_container_that_allows_namespaces_builds_by_runc_with_its_own_proc(docker: Docker, library: Path) -> None:
    """Where /proc is partly covered, as Docker's is, the kernel mounts no second one."""
    with confined.place_of(1000) as place:
        options = ("--security-opt=seccomp=unconfined", "--security-opt=apparmor=unconfined")
        prefix = confined.in_container(docker, place, library, uid=1000, options=options)
        pybuild = confined.Confined(place / "store", place / "home", prefix=prefix, library=library)
        bases.put(pybuild.layout, bases.busybox(), bases.BUSYBOX)
        (place / "context").mkdir()
        confined.give(place, 1000)
        script = "mkdir /d && echo > /d/f && chown -R 5:6 /d && ln /d/f /d/hard && test -e /proc/self/status"
        step = f"RUN {script}\nRUN --mount=type=tmpfs,target=/t rm /d/hard\n"

        log = build(pybuild, "app", "runc", f"FROM {bases.BUSYBOX}\n{step}")

        assert "isolation: runc with the /proc of the machine, owners written down" in log
        found = view(pybuild, "app")
        assert [(5, 6), (5, 6)] == [found[path][2:4] for path in (b"d", b"d/f")]
        assert b"d/hard" not in found


def test_a_store_on_an_overlay_has_runc_on_plain_directories(ways: Callable[[str], Confined], small: View) -> None:
    """As in a container whose store is no volume: an overlay lies on no other; the image is the same."""
    root = ways("root")
    top = root.store.parent / "overlay"
    for name in ("lower", "upper", "work", "merged"):
        (top / name).mkdir(parents=True)
    options = f"lowerdir={top}/lower,upperdir={top}/upper,workdir={top}/work"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, top / "merged"], check=True)
    try:
        store = top / "merged/store"
        pybuild = dataclasses.replace(root, store=store, library=root.library)
        bases.put(pybuild.layout, bases.busybox(), bases.BUSYBOX)
        shutil.copytree(root.store.parent / "context", top / "merged/context")

        log = build(pybuild, "small", "auto", SMALL)

        assert "isolation: runc with real root (overlay: an overlay cannot be mounted: " in log
        assert [] == differing(small, view(pybuild, "small"))
        assert [] == [each for each in pybuild.left() if not each.startswith("overlay ")]
    finally:
        subprocess.run(["umount", top / "merged"], check=True)
