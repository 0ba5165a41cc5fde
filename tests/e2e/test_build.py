"""Whole builds by the command line, and what other people's programs make of the results."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from layers.store.trees import Trees
from tests.support import bases
from tests.support.programs import Pybuild, need, remove, run, skopeo

if TYPE_CHECKING:
    from collections.abc import Iterator

    from layers.changeset.tree import Tree
    from layers.image import Image
    from tests.e2e.conftest import Write

pytestmark = pytest.mark.e2e

FULL = r"""
# syntax=docker/dockerfile:1
ARG BASE=busybox
FROM ${BASE} AS build
ARG VERSION
WORKDIR /src
COPY . .
RUN echo "$VERSION" > version && mkdir -p out/deep && cp main.txt out/deep && ln -s deep/main.txt out/link
RUN <<EOT
  set -e
  ln out/deep/main.txt out/hard
  echo here >> out/heredoc
EOT

FROM build AS unused
RUN false

FROM busybox
COPY --from=build --chown=web:web /src/out /srv/out
COPY --chmod=4755 tool /bin/tool
RUN rm /etc/second && rm -rf /usr/share/doc && mkdir /usr/share/doc && echo new > /usr/share/doc/file \
    && chown 33:44 /etc/motd && chmod 2750 /srv && : > "/tmp/a b"
ADD archive.tar.gz /added/
COPY <<EOT /etc/config
VERSION=1
EOT
ENV LANG=C.UTF-8
LABEL title="an example"
EXPOSE 80
VOLUME /data
USER web
WORKDIR /home/web
HEALTHCHECK --interval=5s CMD true
STOPSIGNAL SIGINT
ENTRYPOINT ["/bin/sh", "-c"]
CMD ["id -u; cat /srv/out/deep/main.txt"]
"""


@pytest.fixture(scope="module")
def built() -> Iterator[Pybuild]:
    """The command line with what the Dockerfile makes, as ``app:1``; for looking only."""
    place = Path(tempfile.mkdtemp(prefix="pybuild-e2e-", dir="/var/tmp"))
    need("runc")
    pybuild = Pybuild(place / "store", place / "home")
    bases.put(pybuild.layout, bases.busybox(), bases.BUSYBOX)
    files = {"Dockerfile": FULL, "main.txt": "main\n", "tool": "#!/bin/sh\necho tool\n", ".dockerignore": "*.log\n"}
    for folder in ("home", "context"):
        (place / folder).mkdir()
    for name, text in {**files, "x.log": "no", "member": "member\n"}.items():
        (place / "context" / name).write_text(text)
    run("tar", "--owner=5", "--group=6", "-czf", "archive.tar.gz", "member", cwd=place / "context")
    try:
        pybuild("-t", "app:1", "--build-arg", "VERSION=7", place / "context")
        yield pybuild
    finally:
        remove(place)


def tree_of(pybuild: Pybuild, image: Image) -> Tree:
    return Trees(pybuild.layout).tree(image.layers)


def test_an_image_has_what_its_dockerfile_says(built: Pybuild) -> None:
    image = built.image("app:1")
    tree = tree_of(built, image)
    container = image.config.config

    def described(path: str) -> tuple[str, int, int, int]:
        entry = tree.get(path.encode())
        assert entry is not None, path
        return entry.kind, entry.mode, entry.uid, entry.gid

    assert ("file", 0o644, 33, 33) == described("srv/out/deep/main.txt")
    assert ("symlink", 33, 33) == (described("srv/out/link")[0], *described("srv/out/link")[2:])
    assert ("file", 0o4755, 0, 0) == described("bin/tool")
    assert ("file", 0o644, 33, 44) == described("etc/motd")
    assert ("directory", 0o2750, 0, 0) == described("srv")
    assert ("file", 0o644, 5, 6) == described("added/member")
    assert ("directory", 0o755, 33, 33) == described("home/web")
    assert ("file", 0o644, 0, 0) == described("etc/config")
    assert tree.get(b"etc/second") is None
    assert [b"file"] == tree.children(b"usr/share/doc")
    assert [b"a b"] == tree.children(b"tmp")
    assert tree.get(b"proc") is None
    assert tree.get(b"etc/resolv.conf") is None
    assert ("web", "/home/web", "SIGINT") == (container.user, container.working_dir, container.stop_signal)
    assert ("BASE=busybox", "LANG=C.UTF-8") == container.env[1:]
    assert {"base": "busybox", "title": "an example"} == dict(container.labels)
    assert (("/bin/sh", "-c"), ("id -u; cat /srv/out/deep/main.txt",)) == (container.entrypoint, container.cmd)


def test_the_history_names_each_step(built: Pybuild) -> None:
    history = [each.created_by for each in built.image("app:1").config.history if each.comment]

    assert "COPY --chown=web:web /src/out /srv/out # buildkit" == history[0]
    assert 'ENTRYPOINT ["/bin/sh" "-c"]' == history[-2]


def test_a_build_leaves_nothing_but_the_store(built: Pybuild) -> None:
    assert [] == built.left()
    assert [] == list(built.home.iterdir())
    built.check_store()


def test_skopeo_reads_the_image_in_the_store(built: Pybuild) -> None:
    image = built.image("app:1")

    found = json.loads(skopeo("inspect", f"oci:{built.store}:docker.io/library/app:1"))

    assert str(image.digest) == found["Digest"]
    assert [str(layer.descriptor.digest) for layer in image.layers] == found["Layers"]


def test_umoci_unpacks_the_image_and_runc_runs_it(built: Pybuild, place: Path) -> None:
    """The store is an image layout, and its layers are what other programs take them for."""
    need("umoci", "runc")
    bundle, options = place / "bundle", [] if os.geteuid() == 0 else ["--rootless"]
    run("umoci", "unpack", *options, "--image", f"{built.store}:docker.io/library/app:1", bundle)
    root = bundle / "rootfs"

    assert "main\n" == (root / "srv/out/deep/main.txt").read_text()
    assert (root / "srv/out/hard").stat().st_ino == (root / "srv/out/deep/main.txt").stat().st_ino
    assert not (root / "etc/second").exists()
    assert ["file"] == os.listdir(root / "usr/share/doc")
    assert "tool\n" == contained(place, bundle, "/bin/tool")


def contained(place: Path, bundle: Path, *command: str) -> str:
    """Run a command in a bundle that umoci has made; give what it prints."""
    config = json.loads((bundle / "config.json").read_text())
    config["process"] |= {"args": list(command), "terminal": False, "user": {"uid": 0, "gid": 0}, "cwd": "/"}
    (bundle / "config.json").write_text(json.dumps(config))
    # Control groups are not for everyone, and not what is tried here.
    return run("runc", "--root", place / "runc", "--rootless=true", "run", "--bundle", bundle, f"e2e-{place.name}")


def test_skopeo_copies_the_image_as_it_is(built: Pybuild, place: Path) -> None:
    """With every blob's digest checked on the way."""
    image = built.image("app:1")

    skopeo("copy", "-q", f"oci:{built.store}:docker.io/library/app:1", f"dir:{place}/out")

    assert image.manifest_bytes == (place / "out" / "manifest.json").read_bytes()


def test_a_build_without_run_needs_no_runtime(pybuild: Pybuild, write: Write) -> None:
    """Nothing but Python: no runc, no namespaces."""
    context = write("FROM scratch\nCOPY a /\nWORKDIR /w\nUSER 5:6\nCOPY a b/\n", {"a": "a"})

    pybuild("-t", "plain", context, env={"PATH": "/nonexistent"})

    tree = tree_of(pybuild, pybuild.image("plain"))
    assert [b"a", b"w"] == tree.children(b"")
    assert [b"b"] == tree.children(b"w")
    assert not (pybuild.store / "unpacked").exists()


def test_the_program_is_installed_as_pybuild(place: Path) -> None:
    """Beside the Python that the tests run with."""
    program = Path(sys.executable).parent / "pybuild"

    assert run(program, "--version", cwd=place).startswith("pybuild version ")
