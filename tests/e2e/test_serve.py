"""``pybuild registry serve``: the store as a registry, for other people's programs and for pybuild itself."""

from __future__ import annotations

import json
import signal
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from layers.reference import Reference
from layers.validate import validate_image
from tests.support.images import ARM64, image, index, layer
from tests.support.programs import Pybuild, need, run, skopeo, until
from tests.support.real_registry import real_registry

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

    from tests.e2e.conftest import Write
    from tests.support.dockerd import Docker

pytestmark = pytest.mark.e2e


@contextmanager
def served(pybuild: Pybuild, *options: str, signalled: signal.Signals = signal.SIGTERM) -> Iterator[str]:
    """Serve the store and give ``localhost:port``; in the end it stops as it should, with nothing left behind."""
    log = pybuild.home / "serve.log"
    process = pybuild.start("registry", "serve", "--listen", "127.0.0.1:0", *options, output=log)
    try:
        until(lambda: "Serving at" in log.read_text() or process.poll() is not None, 60)
        assert process.poll() is None, log.read_text()
        yield f"localhost:{log.read_text().partition('http://127.0.0.1:')[2].split()[0]}"
    finally:
        process.send_signal(signalled)
        code = _ended(process)
    assert (130, "Traceback" in log.read_text()) == (code, False), log.read_text()
    assert [] == list((pybuild.store / "tmp").glob("*"))


def _ended(process: subprocess.Popen[bytes]) -> int:
    try:
        return process.wait(60)
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def other(place: Path) -> Pybuild:
    """Another store."""
    home = place / "other-home"
    home.mkdir()
    return Pybuild(place / "other", home)


@pytest.fixture
def app(pybuild: Pybuild, write: Write) -> str:
    """The id of an image that was built as ``app:1``."""
    context = write('FROM scratch\nCOPY a /a\nCOPY b /b\nCMD ["/a"]\n', {"a": "a" * 100_000, "b": bytes(3_000_000)})
    return pybuild("-q", "-t", "app:1", context).out.decode().strip()


@pytest.mark.root
def test_docker_pulls_what_was_built_and_pushes_what_it_has(pybuild: Pybuild, app: str, docker: Docker) -> None:
    with served(pybuild) as address:
        docker("pull", f"{address}/app:1")
        assert app == docker("image", "inspect", "--format", "{{.Id}}", f"{address}/app:1").strip()

        container = docker("create", f"{address}/app:1").strip()
        docker("commit", "-m", "changed", container, f"{address}/app:2")
        docker("push", f"{address}/app:2")
        docker("tag", f"{address}/app:2", f"{address}/ghcr.io/me/app:2")
        docker("push", f"{address}/ghcr.io/me/app:2")
        id_ = docker("image", "inspect", "--format", "{{.Id}}", f"{address}/app:2").strip()
        docker("rm", container)
        docker("rmi", "-f", f"{address}/app:1", f"{address}/app:2", f"{address}/ghcr.io/me/app:2")
        docker("pull", f"{address}/app:2")
        docker("rmi", "-f", f"{address}/app:2")

    listed = pybuild("images", "--no-trunc", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}").out.decode().splitlines()
    assert {f"app:1 {app}", f"app:2 {id_}", f"ghcr.io/me/app:2 {id_}"} == set(listed)
    assert pybuild.image("app:2").manifest_bytes == pybuild.image("ghcr.io/me/app:2").manifest_bytes
    pybuild("fsck")


def test_skopeo_lists_copies_and_deletes(pybuild: Pybuild, app: str, place: Path) -> None:
    with served(pybuild, signalled=signal.SIGHUP) as address:
        plain = ("--src-tls-verify=false", "--dest-tls-verify=false")
        skopeo("copy", "-q", *plain, f"docker://{address}/app:1", f"docker://{address}/copied:1")
        skopeo("copy", "-q", *plain, f"docker://{address}/app:1", f"oci:{place}/layout:1")
        skopeo("copy", "-q", *plain, f"oci:{place}/layout:1", f"docker://{address}/copied:2")
        tags = json.loads(skopeo("list-tags", "--tls-verify=false", f"docker://{address}/copied"))["Tags"]
        found = json.loads(skopeo("inspect", "--tls-verify=false", f"docker://{address}/app:1"))
        skopeo("delete", "--tls-verify=false", f"docker://{address}/copied:1")
        run("umoci", "unpack", "--rootless", "--image", f"{place}/layout:1", place / "bundle")

    assert ["1", "2"] == tags
    assert [str(each.descriptor.digest) for each in pybuild.image("app:1").layers] == found["Layers"]
    assert app == str(pybuild.image("app:1").id)
    assert b"a" * 100_000 == (place / "bundle" / "rootfs" / "a").read_bytes()
    assert "copied:1" not in {name.familiar for name, _ in pybuild.layout.names()}


def test_an_index_goes_through_skopeo_and_back(pybuild: Pybuild, place: Path) -> None:
    both = index(image(layer()), image(layer({"arm": b"64"}), platform=ARM64))
    pybuild.layout.tag(Reference.parse("both:1"), pybuild.layout.put(both))
    with served(pybuild) as address:
        options = ("--all", "--src-tls-verify=false", "--dest-tls-verify=false")
        skopeo("copy", "-q", *options, f"docker://{address}/both:1", f"dir:{place}/both")
        skopeo("copy", "-q", *options, f"dir:{place}/both", f"docker://{address}/again:1")

    names = {name.familiar: descriptor.digest for name, descriptor in pybuild.layout.names()}
    assert {"both:1": both.digest, "again:1": both.digest} == names


@pytest.mark.root
def test_buildah_builds_on_what_is_served_and_pushes_it_back(pybuild: Pybuild, app: str, place: Path) -> None:
    need("buildah")
    own = ("--root", str(place / "buildah"), "--runroot", str(place / "buildah-run"), "--storage-driver", "vfs")
    with served(pybuild) as address:
        container = run("buildah", *own, "from", "--tls-verify=false", f"{address}/app:1").strip()
        run("buildah", *own, "config", "--label", "by=buildah", container)
        run("buildah", *own, "commit", "--tls-verify=false", "-q", container, f"docker://{address}/app:3")

    assert {"by": "buildah"}.items() <= pybuild.image("app:3").config.config.labels.items()


def test_pybuild_pulls_builds_on_and_pushes(pybuild: Pybuild, other: Pybuild, app: str, write: Write) -> None:
    """Every image is whole where it arrives."""
    with served(pybuild, "-q") as address:
        other("pull", f"{address}/app:1")
        context = write(f"FROM {address}/app:1\nCOPY c /c\n", {"c": "c"})
        other("-t", f"{address}/me/next:1", "--push", context)
        listed = other.fails("pull", f"{address}/app:missing")

    assert app == str(other.image(f"{address}/app:1").id)
    assert 3 == len(pybuild.image("me/next:1").layers)
    assert "not found" in listed or "nothing in the store is called" in listed


def test_a_registry_mirrors_what_is_served(pybuild: Pybuild, other: Pybuild, app: str) -> None:
    """Debian's docker-registry, as a pull-through cache."""
    need("docker-registry")
    with served(pybuild) as address, real_registry(proxy_of=f"http://{address}") as mirror:
        other("pull", f"{mirror}/app:1")

    assert app == str(other.image(f"{mirror}/app:1").id)


def test_a_prune_runs_beside_pushes_and_pulls(pybuild: Pybuild, other: Pybuild, app: str) -> None:
    """Eight at once, again and again, while everything without a name is deleted: what has a name is whole."""
    layout = other.layout
    with served(pybuild, "-q") as address:
        pushed = []
        for i in range(4):
            name = Reference.parse(f"{address}/pushed:{i}")
            layout.tag(name, layout.put(image(layer({"shared": bytes(200_000)}), layer({"own": str(i).encode()}))))
            pushed.append(str(name))
        logs = [other.home / f"log{i}" for i in range(8)]
        commands = [("push", name) for name in pushed] + [("pull", f"{address}/app:1")] * 4
        running = [other.start(*command, output=log) for command, log in zip(commands, logs, strict=True)]
        try:
            while any(each.poll() is None for each in running):
                # a push that is under way is a build to it: both answers are right
                pruned = pybuild.home / "prune.log"
                assert _ended(pybuild.start("prune", "-f", output=pruned)) in {0, 1}
                assert "Traceback" not in pruned.read_text()
        finally:
            codes = [_ended(each) for each in running]

    assert [0] * 8 == codes, [log.read_text() for log in logs]
    for i in range(4):
        validate_image(pybuild.layout.image(Reference.parse(f"pushed:{i}")))
    validate_image(other.layout.image(Reference.parse(f"{address}/app:1")))


def test_a_registry_that_is_read_only_refuses_a_push(pybuild: Pybuild, other: Pybuild, app: str) -> None:
    with served(pybuild, "--read-only") as address:
        other("pull", f"{address}/app:1")
        other("tag", f"{address}/app:1", f"{address}/app:2")
        error = other.fails("push", f"{address}/app:2")

    assert "read-only" in error
    assert ["app:1"] == [name.familiar for name, _ in pybuild.layout.names()]


def test_control_c_ends_it_in_the_middle_of_a_push(pybuild: Pybuild, other: Pybuild, app: str) -> None:
    """The upload is forgotten; nothing of it is left."""
    import http.client  # noqa: PLC0415 - this test's alone

    with served(pybuild, signalled=signal.SIGINT) as address:
        connection = http.client.HTTPConnection(address, timeout=60)
        connection.request("POST", "/v2/app/blobs/uploads/")
        answer = connection.getresponse()
        answer.read()
        connection.putrequest("PATCH", answer.headers["Location"])
        connection.putheader("Content-Length", "1000000")
        connection.endheaders(b"x" * 1000)
        until(lambda: any(each.stat().st_size == 1000 for each in (pybuild.store / "tmp").glob("*")))
    connection.close()


def test_a_blob_that_the_disk_refuses_is_forgotten(pybuild: Pybuild, other: Pybuild) -> None:
    """Files may have a megabyte: the client is told, and what fits is taken afterwards."""
    need("prlimit")
    small, large = image(layer({"a": b"a"})), image(layer({"b": bytes(3 << 20)}, "none"))
    limited = replace(pybuild, prefix=("prlimit", f"--fsize={1 << 20}"))
    with served(limited) as address:
        for name, found in (("small", small), ("large", large)):
            other.layout.tag(Reference.parse(f"{address}/{name}:1"), other.layout.put(found))
        error = other.fails("push", f"{address}/large:1")
        assert [] == list((pybuild.store / "tmp").glob("*"))
        other("push", f"{address}/small:1")

    assert "the store cannot be used" in error
    assert "File too large" in (pybuild.home / "serve.log").read_text()
    assert ["small:1"] == [name.familiar for name, _ in pybuild.layout.names()]


def test_an_address_that_is_taken_is_a_plain_error(pybuild: Pybuild) -> None:
    with served(pybuild) as address:
        port = address.partition(":")[2]

        error = pybuild("registry", "serve", "--listen", f"127.0.0.1:{port}", code=1).err

    assert f"ERROR: cannot listen on 127.0.0.1:{port}: Address already in use" in error


@pytest.mark.parametrize("listen", ["nonsense", "127.0.0.1:70000", "http://localhost:1", "localhost"])
def test_an_address_that_is_none_is_a_plain_error(pybuild: Pybuild, listen: str) -> None:
    assert "invalid --listen" in pybuild.fails("registry", "serve", "--listen", listen)
