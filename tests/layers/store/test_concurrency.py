"""Several processes at one store, and some of them killed."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from layers.image import Image
from layers.store import gc
from layers.store.layout import Layout
from layers.validate import validate_image

if TYPE_CHECKING:
    from pathlib import Path

BUILD = """
import sys
from pathlib import Path
from layers.reference import Reference
from layers.store.layout import Layout
from tests.support.images import image, layer
layout = Layout.open(Path(sys.argv[1]))
print("ready", flush=True)
for i in range(int(sys.argv[3])):
    with layout.using():
        shared = layer({"shared": bytes(200_000)}, "none")
        descriptor = layout.put(image(shared, layer({"own": f"{sys.argv[2]} {i}".encode()})))
        layout.tag(Reference.parse(f"{sys.argv[2]}:{i}"), descriptor)
"""


def start(root: Path, name: str, count: int) -> subprocess.Popen[bytes]:
    process = subprocess.Popen([sys.executable, "-c", BUILD, str(root), name, str(count)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert b"ready\n" == process.stdout.readline()
    process.stdout.close()
    return process


def test_no_name_is_lost_when_several_processes_write(tmp_path: Path) -> None:
    processes = [start(tmp_path, name, 15) for name in ("a", "b", "c")]

    assert [0, 0, 0] == [process.wait() for process in processes]
    layout = Layout.open(tmp_path)
    assert {f"{name}:{i}" for name in "abc" for i in range(15)} == {name.familiar for name, _ in layout.names()}
    assert [] == list((tmp_path / "tmp").iterdir())


def test_a_collector_beside_builds_takes_nothing_of_theirs(tmp_path: Path) -> None:
    layout = Layout.open(tmp_path)
    processes = [start(tmp_path, name, 15) for name in ("a", "b")]
    while any(process.poll() is None for process in processes):
        gc.collect(layout, wait=None)

    assert [0, 0] == [process.wait() for process in processes]
    assert 30 == len(layout.names())
    for name, _ in layout.names():
        validate_image(layout.image(name))


def test_killed_builds_leave_a_store_that_is_whole(tmp_path: Path) -> None:
    chance = random.Random(1)
    start(tmp_path, "whole", 1).wait()
    for i in range(10):
        process = start(tmp_path, f"p{i}", 1000)
        time.sleep(chance.uniform(0.005, 0.05))
        process.kill()
        process.wait()

    layout = Layout.open(tmp_path)
    gc.collect(layout, wait=5)
    assert "whole:0" in {name.familiar for name, _ in layout.names()}
    for name, _ in layout.names():
        found = layout.get(name)
        assert isinstance(found, Image)
        validate_image(found)
    for digest in layout.blobs.list():
        with layout.blobs.open(digest) as reader:
            reader.read()
