"""The ways by which a layer of somebody else comes in, each through the command line: none may let it out.

``python -m tests.support.hostileroutes`` sends the corpus every way, some 2,000 commands, and prints what got out.
Each way gives ``taken`` or the first line of the error, and fails where the program does.
"""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from layers.archive import docker, oci
from layers.reference import Reference
from tests.support import bases
from tests.support.hostile import CORPUS, Hostile, Outside
from tests.support.images import image, layer, layer_of_tar
from tests.support.programs import Pybuild, remove
from tests.support.registry import Registry
from tests.support.web import web

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Route = Callable[["Pybuild", Sequence[bytes], Path], str]

TAKEN = "taken"
RUNGS = ("runc", "crun", "chroot", "proot")
_NAME = Reference.parse("hostile:1")
_SECONDS = 300


def way_out(name: str, case: Hostile) -> str:
    """Send an attack one way, in a directory of its own; give what is wrong with what came of it."""
    top = Path(tempfile.mkdtemp(prefix="hostile-", dir="/var/tmp"))
    outside = Outside(top / "outside")
    (top / "home").mkdir()
    (top / "work").mkdir()
    try:
        ROUTES[name](Pybuild(top / "store", top / "home"), case.tars(outside.path), top / "work")
    except AssertionError as error:
        return str(error)
    else:
        if outside.is_inside(top / "work") or not outside.is_untouched():
            return "it got out"
        return ""
    finally:
        remove(top)


def ends(pybuild: Pybuild, *arguments: str | Path) -> str:
    """Run a command, which does or refuses, and give the error."""
    done = subprocess.run(
        pybuild.command(*arguments),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        cwd=pybuild.home,
        env=pybuild.environment(),
        timeout=_SECONDS,
    )
    error = done.stderr.decode(errors="replace")
    assert done.returncode in {0, 1}, f"{done.returncode}: {error}"
    assert "Traceback" not in error, error
    if not done.returncode:
        return TAKEN
    lines = [line for line in error.splitlines() if "ERROR: " in line or line.startswith("Error: ")]
    assert lines, error
    return lines[-1].rpartition("ERROR: ")[2]


def _context(directory: Path, dockerfile: str) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "Dockerfile").write_text(dockerfile)
    return directory


def _layout(tars: Sequence[bytes], directory: Path) -> Path:
    """Write an image of these layers as an OCI layout; it has one more at the bottom."""
    found = image(layer({"etc/": b"", "x": b"of the base"}), *(layer_of_tar(tar, "none") for tar in tars))
    oci.write_layout([(found, [_NAME])], directory / "layout")
    return directory / "layout"


def add(pybuild: Pybuild, tars: Sequence[bytes], work: Path) -> str:
    """ADD each tar to the same place, and write the image's files into a directory."""
    lines = "".join(f"ADD {i}.tar /place/\n" for i, _ in enumerate(tars))
    context = _context(work / "context", f"FROM scratch\n{lines}")
    for i, tar in enumerate(tars):
        (context / f"{i}.tar").write_bytes(tar)
    return ends(pybuild, "build", context, "-o", f"type=local,dest={work / 'root'}")


def base(pybuild: Pybuild, tars: Sequence[bytes], work: Path) -> str:
    """FROM an OCI layout, and write the image's files into a directory."""
    context = _context(work / "context", "FROM base\n")
    given = f"base=oci-layout://{_layout(tars, work)}"
    return ends(pybuild, "build", context, "--build-context", given, "-o", f"type=local,dest={work / 'root'}")


def from_registry(pybuild: Pybuild, tars: Sequence[bytes], work: Path) -> str:
    """FROM a registry, and write the image's files into a directory."""
    with Registry() as registry:
        registry.add(image(layer({"etc/": b"", "x": b"of the base"}), *(layer_of_tar(each) for each in tars)))
        context = _context(work / "context", f"FROM {registry.address}/app:1\n")
        return ends(pybuild, "build", context, "-o", f"type=local,dest={work / 'root'}")


def add_url(pybuild: Pybuild, tars: Sequence[bytes], work: Path) -> str:
    """ADD --unpack each tar from a web server to the same place, and write the image's files into a directory."""
    with web({f"/{i}.tar": tar for i, tar in enumerate(tars)}) as site:
        lines = "".join(f"ADD --unpack {site.url}/{i}.tar /place/\n" for i, _ in enumerate(tars))
        context = _context(work / "context", f"FROM scratch\n{lines}")
        return ends(pybuild, "build", context, "-o", f"type=local,dest={work / 'root'}")


def copied(pybuild: Pybuild, tars: Sequence[bytes], work: Path) -> str:
    """COPY all of an image, and write the files of the copy as a tar, which is unpacked by the test."""
    context = _context(work / "context", "FROM scratch\nCOPY --from=base / /copy/\n")
    given = f"base=oci-layout://{_layout(tars, work)}"
    ended = ends(pybuild, "build", context, "--build-context", given, "-o", f"type=tar,dest={work / 'out.tar'}")
    if ended == TAKEN:
        _contents(work / "out.tar", work / "root")
    return ended


def _contents(tar: Path, directory: Path) -> None:
    """Write what the files of a tar hold side by side: where they would lie does not matter."""
    directory.mkdir()
    with tarfile.open(tar, errors="surrogateescape") as found:
        for i, member in enumerate(found):
            content = found.extractfile(member) if member.isreg() else None
            if content is not None:
                (directory / str(i)).write_bytes(content.read())


def imported(pybuild: Pybuild, tars: Sequence[bytes], work: Path) -> str:
    """Import the last tar as an image."""
    (work / "given.tar").write_bytes(tars[-1])
    return ends(pybuild, "import", work / "given.tar", "hostile:1")


def loaded(pybuild: Pybuild, tars: Sequence[bytes], work: Path) -> str:
    """Load an archive, make a container of its image, and copy all files out of that, also as a tar."""
    found = image(*(layer_of_tar(tar) for tar in tars))
    buffer = io.BytesIO()
    docker.write([(found, [_NAME])], buffer)
    (work / "image.tar").write_bytes(buffer.getvalue())
    ended = ends(pybuild, "load", "-i", work / "image.tar")
    if ended == TAKEN:
        ended = ends(pybuild, "create", "--name", "hostile", "hostile:1", "true")
    if ended == TAKEN:
        ended = ends(pybuild, "cp", "hostile:/", work / "root")
        if ends(pybuild, "export", "-o", work / "out.tar", "hostile") == TAKEN:
            _contents(work / "out.tar", work / "exported")
        ends(pybuild, "rm", "-f", "hostile")
    return ended


def ran(isolation: str) -> Route:
    """Give the way of a RUN step in such an image, by one of the rungs."""

    def run(pybuild: Pybuild, tars: Sequence[bytes], work: Path) -> str:
        bases.put(pybuild.layout, bases.busybox(), bases.BUSYBOX)
        program = '["/busybox/bin/busybox", "true"]'
        lines = f"FROM base\nCOPY --from=busybox / /busybox/\nRUN {program}\n"
        context = _context(work / "context", lines)
        given = f"base=oci-layout://{_layout(tars, work)}"
        out = f"type=local,dest={work / 'root'}"
        return ends(pybuild, "build", context, "--build-context", given, "--isolation", isolation, "-o", out)

    return run


ROUTES: dict[str, Route] = {
    "ADD": add,
    "FROM": base,
    "FROM a registry": from_registry,
    "ADD a URL": add_url,
    "COPY --from": copied,
    "import": imported,
    "load, cp, export": loaded,
    **{f"RUN by {rung}": ran(rung) for rung in RUNGS},
}


def main() -> None:
    """Send the corpus every way; exit with 1 where anything is wrong."""
    wrong = 0
    for case in CORPUS:
        for name in ROUTES:
            if found := way_out(name, case):
                wrong += 1
                print(f"{case.name} by {name}: {found}")
    print(f"{len(CORPUS)} attacks, {len(ROUTES)} ways, {wrong} of them wrong")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
