"""Scenes of unpacked layers: each gets a directory and gives what JSON can hold."""

from __future__ import annotations

import io
import os
import tarfile
import threading
from typing import TYPE_CHECKING, Any

from builder.runtime import userns
from builder.runtime.overlay import overlay
from builder.runtime.unpacked import Unpacked
from layers.config import chain_ids
from layers.errors import LayersError
from tests.builder.runtime.scenes import machine, shell
from tests.support.images import MemoryLayer, layer, layer_of_tar

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from layers.digest import Digest


def plain(*names: str) -> MemoryLayer:
    """Give a layer of files that hold their own names; a name that ends in a slash is a directory."""
    return layer({name: b"" if name.endswith("/") else name.encode() for name in names}, "none")


def chain(layers: Sequence[MemoryLayer]) -> tuple[Digest, ...]:
    return chain_ids(tuple(each.diff_id for each in layers))


FIRST = plain("etc/", "etc/one", "etc/two", "gone/", "gone/file", "opaque/", "opaque/old")
SECOND = plain("etc/", "etc/three", "etc/.wh.one")
THIRD = plain("etc/.wh.three", ".wh.gone", "opaque/", "opaque/.wh..wh..opq", "opaque/new")


def listing(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir())


def unpacking(directory: Path) -> Any:
    """Unpack two layers, then one more on top; look at it mounted and unmounted."""
    namespace = userns.enter()
    unpacked = Unpacked(directory / "unpacked", namespace)
    layers = [FIRST, SECOND, THIRD]
    bottom = unpacked.lower_directories(layers[:2], chain(layers)[:2])
    lowers = unpacked.lower_directories(layers, chain(layers))
    again = unpacked.lower_directories(layers, chain(layers))
    for name in ("upper", "work", "root"):
        (directory / name).mkdir()
    overlay(
        lowers,
        directory / "root",
        upper=directory / "upper",
        work=directory / "work",
        userxattr=unpacked.userxattr,
    )
    return {
        "bottom": [len(bottom), listing(bottom[0])],
        "count": len(lowers),
        "same": lowers == again and lowers[1] == bottom[0],
        "mounted": listing(directory / "root"),
        "beside": sorted(each.name for each in lowers[0].parent.parent.iterdir() if each.name.startswith(".")),
    }


def owners(directory: Path) -> Any:
    """Unpack files of many owners, a device and a setuid program."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, uid, mode, kind in (
            ("a", 0, 0o644, tarfile.REGTYPE),
            ("b", 33, 0o4755, tarfile.REGTYPE),
            ("c", 65534, 0o755, tarfile.DIRTYPE),
            ("d", 0, 0o600, tarfile.CHRTYPE),
        ):
            info = tarfile.TarInfo(name)
            info.uid, info.gid, info.mode, info.type = uid, uid, mode, kind
            info.devmajor, info.devminor = 1, 3
            tar.addfile(info)
    layers = [layer_of_tar(buffer.getvalue(), "none")]
    unpacked = Unpacked(directory / "unpacked", userns.enter())
    (root,) = unpacked.lower_directories(layers, chain(layers))
    return {path.name: [path.lstat().st_uid, oct(path.lstat().st_mode & 0o7777)] for path in sorted(root.iterdir())}


def keeping(directory: Path) -> Any:
    """Run a step on unpacked layers, keep what it did, and run another one on it; keep the same once more."""
    with machine(directory) as box:
        unpacked = Unpacked(directory / "unpacked", box.isolation.namespace)
        layers = [FIRST, SECOND]
        made = plain("made-by-step")
        lowers = unpacked.lower_directories(layers, chain(layers))
        kept = chain([*layers, made])
        results = []
        for _ in range(2):
            with box.isolation.root([*lowers, box.base]) as root:
                box.isolation.runtime.run(shell("echo x >/etc/step; rm /etc/two"), root.root, lambda _: None)
                root.unmount()
                results.append(str(unpacked.keep_upper(root.upper, kept[-1], kept[-2])))
        above = unpacked.lower_directories([*layers, made], kept)
        box.base.joinpath("etc/two").unlink(missing_ok=True)
        done, _ = box.step(shell("ls /etc"), above)
        return {"same": len(set(results)), "count": len(above), "names": done["output"].split()}


def other_boot(directory: Path) -> Any:
    """What was written before the machine was started is written anew."""
    unpacked = Unpacked(directory / "unpacked", userns.enter())
    (root,) = unpacked.lower_directories([FIRST], chain([FIRST]))
    (root / "etc/one").write_text("lost in a crash")
    note = root.parent / "note"
    note.write_text(note.read_text().replace('"boot": "', '"boot": "x'))
    (root,) = unpacked.lower_directories([FIRST], chain([FIRST]))
    return (root / "etc/one").read_text()


def failing(directory: Path) -> Any:
    """Unpack a layer whose blob is another one's; then the right one."""
    unpacked = Unpacked(directory / "unpacked", userns.enter())
    broken = MemoryLayer(SECOND.content, FIRST.descriptor, FIRST.diff_id)
    try:
        unpacked.lower_directories([broken], chain([FIRST]))
    except LayersError as error:
        name = type(error).__name__
    left = [each.name for each in (directory / "unpacked").glob("*/*") if not each.name.endswith(".lock")]
    (root,) = unpacked.lower_directories([FIRST], chain([FIRST]))
    return {"error": name, "left": left, "then": listing(root)}


def at_the_same_time(directory: Path) -> Any:
    """Ask for one directory from eight threads; count how often its layer is opened."""
    namespace = userns.enter()
    opened: list[int] = []

    class Counted(MemoryLayer):
        def open(self) -> Any:
            opened.append(1)
            return super().open()

    counted = Counted(FIRST.content, FIRST.descriptor, FIRST.diff_id)

    def ask() -> None:
        Unpacked(directory / "unpacked", namespace).lower_directories([counted], chain([FIRST]))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(opened)


def pruning(directory: Path) -> Any:
    unpacked = Unpacked(directory / "unpacked", userns.enter())
    layers = [FIRST, SECOND]
    unpacked.lower_directories(layers[:1], chain(layers)[:1])
    unpacked.lower_directories(layers, chain(layers))
    freed = unpacked.prune({chain(layers)[0]})
    left = [name for name in os.listdir(directory / "unpacked" / userns.enter().kind) if not name.endswith(".lock")]
    return {"freed": freed, "left": left, "kept": chain(layers)[0].encoded}
