"""Configs that mean harm, or are of odd types, through what uses a config.

``python -m tests.support.hostileconfigs`` sends each through a build, a container and what shows an image, and prints
what went wrong: each ends, or is refused in words.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from layers.archive import oci
from layers.digest import Digest
from layers.image import Image
from layers.reference import Reference
from tests.support.hostileroutes import TAKEN, ends
from tests.support.images import image, layer
from tests.support.programs import Pybuild, remove

if TYPE_CHECKING:
    from collections.abc import Mapping

_NAME = Reference.parse("hostile:1")
_LONG = "x" * (1 << 20)

TOP: dict[str, Mapping[str, Any]] = {
    "architecture of odd type": {"architecture": 5},
    "architecture that leads up": {"architecture": "../../../x", "os": "linux"},
    "time of words": {"created": "yesterday\n"},
    "history of odd types": {"history": [5, None, {"created_by": {}}]},
    "history of another length": {"history": [{"created_by": "x"}] * 1000},
    "diff_ids of odd types": {"rootfs": {"type": "layers", "diff_ids": [5]}},
    "diff_ids that lead up": {"rootfs": {"type": "layers", "diff_ids": ["sha256:../../../../etc/passwd"]}},
    "config of odd type": {"config": ["x"]},
}
CONFIGS: dict[str, Mapping[str, Any]] = {
    "user that leads up": {"User": "../../etc/passwd"},
    "user beyond ids": {"User": "99999999999999999999:4294967295"},
    "user with a line break": {"User": "root\nevil:x:0:0"},
    "user of odd type": {"User": 0},
    "user of a mebibyte": {"User": _LONG},
    "env without a sign": {"Env": ["NAME", "=x", "", "A=\0"]},
    "env with a NUL": {"Env": ["A=a\0b"]},
    "env of odd types": {"Env": [5, None]},
    "env of a mebibyte": {"Env": [f"A={_LONG}"]},
    "env a hundred thousand times": {"Env": [f"A{i}=x" for i in range(100_000)]},
    "env for the loader": {"Env": ["LD_PRELOAD=/evil.so", "PATH=", "HOME=../..", "IFS=/", "BASH_ENV=/evil"]},
    "entrypoint of words": {"Entrypoint": "/bin/sh"},
    "entrypoint of odd types": {"Entrypoint": [5, {}], "Cmd": [None]},
    "entrypoint with a NUL": {"Entrypoint": ["/bin/\0sh"]},
    "directory that leads up": {"WorkingDir": "../../../../../etc"},
    "directory through /proc": {"WorkingDir": "/proc/self/root/etc"},
    "directory with a NUL": {"WorkingDir": "/a\0b"},
    "directory of a mebibyte": {"WorkingDir": f"/{_LONG}"},
    "volumes that lead up": {"Volumes": {"../../etc": {}, "": {}, "/": {}}},
    "volumes of odd type": {"Volumes": ["/x"]},
    "ports of odd kinds": {"ExposedPorts": {"99999/icmp": {}, "x": 5, "": None}},
    "labels of odd types": {"Labels": {"a": 5, "b": None}},
    "labels that draw": {"Labels": {"\x1b[2J": "\x1b]0;evil\x07"}},
    "signal of words": {"StopSignal": "SIGEVIL; true"},
    "health of odd types": {"Healthcheck": {"Test": "x", "Interval": "soon", "Retries": -1}},
    "ONBUILD of odd kinds": {"OnBuild": ["FROM evil", "ONBUILD RUN x", "", "RUN <<X", "COPY --from=evil / /"]},
    "ONBUILD of odd types": {"OnBuild": [5]},
    "shell of odd types": {"Shell": [5]},
    "shell of nothing": {"Shell": [], "OnBuild": ["RUN true"]},
}
ALL = {**TOP, **{name: {"config": config} for name, config in CONFIGS.items()}}


def made(change: Mapping[str, Any]) -> Image:
    """Give an image whose config was changed at the top."""
    good = image(layer())
    config = json.dumps(json.loads(good.config_bytes) | dict(change)).encode()
    manifest = json.loads(good.manifest_bytes)
    manifest["config"] |= {"digest": str(Digest.of(config)), "size": len(config)}
    return Image(json.dumps(manifest).encode(), config, good.layers)


def write(change: Mapping[str, Any], directory: Path) -> None:
    """Write such an image as a layout that is as it should be in all else."""
    found = made(change)
    blobs = directory / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    good = image(layer())
    oci.write_layout([(good, [_NAME])], directory)
    for content in (found.config_bytes, found.manifest_bytes):
        (blobs / Digest.of(content).encoded).write_bytes(content)
    index = json.loads((directory / "index.json").read_bytes())
    digest = Digest.of(found.manifest_bytes)
    index["manifests"][0] |= {"digest": str(digest), "size": len(found.manifest_bytes)}
    (directory / "index.json").write_text(json.dumps(index))


def way_out(change: Mapping[str, Any], pybuild: Pybuild, work: Path) -> list[str]:
    """Send a config through everything; give how each command ended."""
    write(change, work / "layout")
    (work / "context").mkdir()
    (work / "context" / "Dockerfile").write_text("FROM base\nWORKDIR sub\nCOPY Dockerfile .\nENV B=$A\n")
    given = f"base=oci-layout://{work / 'layout'}"
    ended = [
        ends(pybuild, "build", work / "context", "--build-context", given, "-o", f"type=local,dest={work / 'out'}")
    ]
    ended.append(ends(pybuild, "load", "-i", work / "layout"))
    if ended[-1] == TAKEN:
        commands = (
            ("inspect", "hostile:1"),
            ("history", "hostile:1"),
            ("images",),
            ("create", "--name", "c1", "hostile:1", "x"),
        )
        ended += [ends(pybuild, *each) for each in commands]
        if ended[-1] == TAKEN:
            ended += [ends(pybuild, "export", "-o", work / "out.tar", "c1"), ends(pybuild, "rm", "c1")]
    return ended


def main() -> None:
    """Send all of them; exit with 1 where anything is wrong."""
    wrong = 0
    for name, change in ALL.items():
        top = Path(tempfile.mkdtemp(prefix="hostile-", dir="/var/tmp"))
        (top / "home").mkdir()
        (top / "work").mkdir()
        try:
            ended = way_out(change, Pybuild(top / "store", top / "home"), top / "work")
            print(f"{name}: {'; '.join(each[:90] for each in ended)}")
        except AssertionError as error:
            wrong += 1
            print(f"{name}: WRONG: {str(error)[-600:]}")
        finally:
            remove(top)
    print(f"{len(ALL)} configs, {wrong} of them wrong")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
