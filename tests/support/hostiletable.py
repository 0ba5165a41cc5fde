"""What other programs do with the corpus of hostile layers: ``python -m tests.support.hostiletable`` writes it down.

It needs the machine's root, GNU tar, umoci and a Docker engine, and takes some minutes; the tests ask those again that
are fast. An attack that gets out of another program's root gets to a canary in a directory of its own.
"""

from __future__ import annotations

import io
import json
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from layers.archive import docker, oci
from layers.changeset.apply import apply
from layers.errors import LayersError
from layers.reference import Reference
from tests.support.dockerd import dockerd
from tests.support.hostile import CORPUS, Hostile, Outside
from tests.support.images import image, layer_of_tar
from tests.support.programs import PATH

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Take = Callable[[Sequence[bytes], Path], bool]
    """Unpacks layers into ``root`` below a directory; tells whether that went well."""

TABLE = Path(__file__).parents[1] / "data" / "hostile.json"
TAKEN, REFUSED, ESCAPED = "taken", "refused", "ESCAPED"
_NAME = Reference.parse("hostile:1")
_SECONDS = 300


def outcome(take: Take, case: Hostile) -> str:
    """Tell what a program does with an attack, in a directory of its own."""
    top = Path(tempfile.mkdtemp(prefix="hostile-"))
    (top / "root").mkdir()
    outside = Outside(top / "outside")
    try:
        taken = take(case.tars(outside.path), top)
        if not outside.is_untouched() or outside.is_inside(top / "root"):
            return ESCAPED
        return TAKEN if taken else REFUSED
    finally:
        subprocess.run(["rm", "-rf", top], check=True)  # as deep as GNU tar goes, no Python follows


def by_pybuild(tars: Sequence[bytes], top: Path) -> bool:
    """Apply the layers."""
    try:
        for tar in tars:
            apply(io.BytesIO(tar), top / "root", skipped=lambda _entry, _error: None)
    except LayersError:
        return False
    return True


def by_gnu_tar(tars: Sequence[bytes], top: Path) -> bool:
    """Unpack one tar over the other; whiteouts are files like others there."""
    return all(_is_well("tar", "-x", "--xattrs", "-f", "-", "-C", str(top / "root"), input_=tar) for tar in tars)


def by_umoci(tars: Sequence[bytes], top: Path) -> bool:
    """Unpack an image."""
    found = image(*(layer_of_tar(tar, "none") for tar in tars))
    oci.write_layout([(found, [_NAME])], top / "layout")
    (top / "root").rmdir()
    return _is_well("umoci", "unpack", "--image", f"{top}/layout:{_NAME}", str(top / "root"))


def by_docker(host: str) -> Take:
    """Give what loads an image into an engine and copies all files out of a container."""

    def take(tars: Sequence[bytes], top: Path) -> bool:
        found = image(*(layer_of_tar(tar) for tar in tars))
        buffer = io.BytesIO()
        docker.write([(found, [_NAME])], buffer)
        ended = _is_well("docker", "--host", host, "load", input_=buffer.getvalue())
        if ended:
            ended = _is_well("docker", "--host", host, "create", "--name", "hostile", "hostile:1", "true")
            if ended:
                exported = ("docker", "--host", host, "export", "-o", str(top / "root" / "export.tar"), "hostile")
                ended = _is_well(*exported)
            _is_well("docker", "--host", host, "rm", "-f", "hostile")
            _is_well("docker", "--host", host, "rmi", "-f", "hostile:1")
        return ended

    return take


def _is_well(*command: str, input_: bytes = b"") -> bool:
    environment = {"PATH": PATH, "LANG": "C.UTF-8", "HOME": "/nonexistent"}
    try:
        done = subprocess.run(
            command, input=input_, capture_output=True, check=False, env=environment, timeout=_SECONDS
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


FAST: dict[str, Take] = {"pybuild": by_pybuild, "GNU tar": by_gnu_tar}
"""Those that the tests ask again."""
BY_CHANCE = {("GNU tar", "a directory onto a link out"), ("GNU tar", "a directory of mode 0 onto a link out")}
"""What a program now takes and now refuses, once in some fifty times: it holds the link back until the end, and knows
what stands in its place by the time at which that was made."""


def main() -> None:
    """Ask all of them, and write the table."""
    with dockerd() as engine:
        ways = {**FAST, "umoci": by_umoci, "docker": by_docker(engine.host)}
        table = {case.name: {name: outcome(take, case) for name, take in ways.items()} for case in CORPUS}
    TABLE.write_text(json.dumps(table, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
