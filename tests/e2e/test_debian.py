"""A whole Debian as the base: packages, users, owners, capabilities, as root and as an ordinary user."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from layers.store.trees import Trees
from tests.support import bases
from tests.support.programs import need, run

if TYPE_CHECKING:
    from pathlib import Path

    from layers.changeset.entry import Entry
    from layers.changeset.tree import Tree
    from tests.e2e.conftest import Write
    from tests.support.dockerd import Docker
    from tests.support.programs import Pybuild

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

CONTROL = """\
Package: our-service
Version: 1.0
Architecture: all
Maintainer: nobody <nobody@example.com>
Depends: adduser
Description: a service with a user of its own
"""
POSTINST = """\
#!/bin/sh
set -e
adduser --system --group --no-create-home --home /var/lib/our-service our-service
install -d -o our-service -g our-service -m 0750 /var/lib/our-service
echo state > /var/lib/our-service/state
chown our-service:adm /var/lib/our-service/state
"""
DOCKERFILE = f"""
FROM {bases.DEBIAN} AS built
COPY our-service.deb /tmp/
RUN dpkg --install /tmp/our-service.deb && rm /tmp/our-service.deb
RUN useradd --create-home --uid 1234 --shell /bin/bash worker && passwd --delete worker
RUN cp /bin/cat /usr/local/bin/bind && setcap cap_net_bind_service=+ep /usr/local/bin/bind \\
 && cp /bin/cat /usr/local/bin/become && chown root:worker /usr/local/bin/become && chmod 6750 /usr/local/bin/become
RUN mkdir -p /srv/tree/a/b && touch /srv/tree/a/file /srv/tree/a/b/file && ln -s /nowhere /srv/tree/a/link \\
 && chown -R 4000:5000 /srv/tree && ln /srv/tree/a/file /srv/tree/hard
RUN rm -rf /usr/share/doc /usr/share/man && mkdir /usr/share/doc && echo only > /usr/share/doc/this \\
 && mv /etc/skel /etc/skeleton && rm /etc/motd /usr/bin/perl || true
RUN chown worker:worker /srv/tree && mkfifo /srv/pipe && chmod 0640 /srv/pipe
USER worker
WORKDIR /home/worker
RUN id > who && echo mine > mine
CMD ["bash", "-c", "id -un; getcap /usr/local/bin/bind; cat who"]
"""


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Path:
    context = tmp_path_factory.mktemp("debian")
    make_package(context)
    (context / "Dockerfile").write_text(DOCKERFILE)
    return context


@pytest.fixture(scope="module")
def built(debian: Pybuild, context: Path) -> Pybuild:
    """The Debian with what the Dockerfile makes of it."""
    debian("-t", "built:1", context)
    return debian


def make_package(context: Path) -> None:
    need("dpkg-deb")
    package = context / "package"
    for path, text in {"DEBIAN/control": CONTROL, "DEBIAN/postinst": POSTINST, "etc/our-service.conf": "a=1\n"}.items():
        (package / path).parent.mkdir(parents=True, exist_ok=True)
        (package / path).write_text(text)
    (package / "DEBIAN/postinst").chmod(0o755)
    (package / "DEBIAN").chmod(0o755)
    run("dpkg-deb", "--root-owner-group", "--build", package, context / "our-service.deb")


@pytest.fixture(scope="module")
def tree(built: Pybuild) -> Tree:
    return Trees(built.layout).tree(built.image("built:1").layers)


def described(tree: Tree, path: str) -> tuple[str, int, int, int]:
    entry = found(tree, path)
    return entry.kind, entry.mode, entry.uid, entry.gid


def found(tree: Tree, path: str) -> Entry:
    entry = tree.get(tree.resolve(path.encode()))
    assert entry is not None, path
    return entry


def test_the_base_is_a_whole_debian(debian: Pybuild) -> None:
    tree = Trees(debian.layout).tree(debian.image(bases.DEBIAN).layers)

    assert len(tree) > 8000
    assert ("file", 0o640, 0, 42) == described(tree, "etc/shadow")


def test_a_packages_own_user_owns_its_files(tree: Tree) -> None:
    """What its postinst did with adduser and chown."""
    kind, mode, user, group = described(tree, "var/lib/our-service")

    assert ("directory", 0o750) == (kind, mode)
    assert 100 <= user < 1000
    assert user == described(tree, "var/lib/our-service/state")[2]
    assert 100 <= group < 1000
    assert ("file", 0o644, user, 4) == described(tree, "var/lib/our-service/state")
    assert ("file", 0o644, 0, 0) == described(tree, "etc/our-service.conf")
    assert tree.get(b"tmp/our-service.deb") is None


def test_accounts_keep_their_owners_and_modes(tree: Tree) -> None:
    assert ("directory", 1234, 1234) == (described(tree, "home/worker")[0], *described(tree, "home/worker")[2:])
    assert ("file", 0o640, 0, 42) == described(tree, "etc/shadow")
    assert ("file", 0o644, 1234, 1234) == described(tree, "home/worker/mine")


def test_setuid_files_and_capabilities_are_kept(tree: Tree) -> None:
    """As the kernel of any machine reads them: version 2, without an id of our namespace."""
    capability = found(tree, "usr/local/bin/bind").xattrs["security.capability"]

    assert ("file", 0o6750, 0, 1234) == described(tree, "usr/local/bin/become")
    assert bytes.fromhex("0100000200040000000000000000000000000000") == capability


def test_owners_of_a_whole_tree_change(tree: Tree) -> None:
    assert ("directory", 0o755, 4000, 5000) == described(tree, "srv/tree/a/b")
    assert ("file", 0o644, 4000, 5000) == described(tree, "srv/tree/a/b/file")
    assert ("symlink", 4000, 5000) == ((entry := tree.get(b"srv/tree/a/link")) and (entry.kind, entry.uid, entry.gid))
    assert ("directory", 1234, 1234) == (described(tree, "srv/tree")[0], *described(tree, "srv/tree")[2:])
    assert tree.source(b"srv/tree/hard") == tree.source(b"srv/tree/a/file")
    assert ("fifo", 0o640, 0, 0) == described(tree, "srv/pipe")


def test_removed_trees_are_gone(tree: Tree) -> None:
    assert [b"this"] == tree.children(b"usr/share/doc")
    assert tree.get(b"usr/share/man") is None
    assert tree.get(b"etc/skel") is None
    assert [b".bash_logout", b".bashrc", b".profile"] == tree.children(b"etc/skeleton")


def test_the_layers_hold_what_changed_and_no_more(built: Pybuild) -> None:
    """A mode that changes copies one file; nothing of the base comes along."""
    trees = Trees(built.layout)
    layers = built.image("built:1").layers
    paths = [{entry.path for entry in trees.index(layer).entries} for layer in layers]

    assert {b"home", b"home/worker", b"home/worker/who", b"home/worker/mine"} == paths[-1]
    assert b"usr/share/.wh.man" in paths[6]
    assert sum(len(each) for each in paths[1:]) < 400


def test_a_second_build_does_nothing(built: Pybuild, context: Path) -> None:
    before = built.image("built:1").digest

    done = built("-t", "built:1", context)

    assert len(done.cached) == 9
    assert before == built.image("built:1").digest


def test_the_store_is_sound(built: Pybuild) -> None:
    built.check_store()
    assert [] == built.left()


def test_umoci_reads_all_of_it(built: Pybuild, place: Path, write: Write) -> None:
    """As gzip: it knows no zstd, in which the base is."""
    need("umoci")
    output = f"type=oci,tar=false,dest={place}/layout,compression=gzip,force-compression=true"
    built("-t", "built:gzip", "-o", output, write("FROM built:1\n"))

    run("umoci", "unpack", "--rootless", "--image", f"{place}/layout:docker.io/library/built:gzip", place / "bundle")

    assert "only\n" == (place / "bundle/rootfs/usr/share/doc/this").read_text()


@pytest.mark.root
def test_docker_runs_the_result(built: Pybuild, docker: Docker, place: Path, write: Write) -> None:
    output = f"type=docker,dest={place}/debian.tar,compression=gzip,force-compression=true"
    built("-o", output, "-t", "e2e/debian:1", write("FROM built:1\n"))

    docker("load", "-i", f"{place}/debian.tar")

    said = docker("run", "--rm", "--network=none", "e2e/debian:1").splitlines()
    assert "worker" == said[0]
    assert "/usr/local/bin/bind cap_net_bind_service=ep" == said[1]
    assert said[2].startswith("uid=1234(worker) gid=1234(worker)")
    script = "dpkg --verify; stat -c '%U:%G' /var/lib/our-service/state; ls -l /usr/local/bin/become"
    checked = docker("run", "--rm", "--network=none", "--user=root", "e2e/debian:1", "sh", "-c", script)
    assert "our-service:adm" in checked
    assert "-rwsr-s--- 1 root worker" in checked
