"""Layers that are unpacked as what they change in another one on the same parent."""

from __future__ import annotations

import io
import os
import random
import stat
from functools import partial
from typing import TYPE_CHECKING

import pytest

from builder.runtime.unpacked import Unpacked
from builder.runtime.userns import Namespace
from layers.changeset.entry import Change, Entry
from layers.changeset.write import write_layer
from layers.config import chain_ids
from layers.mediatype import layer_type
from layers.model import Descriptor
from layers.store.layout import Layout
from layers.store.trees import Trees

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from layers.changeset.entry import Kind
    from layers.image import Layer
    from layers.mediatype import Compression

_ALONE = Namespace("single", 1)
"""Any user can make files in it."""
Files = dict[str, tuple[bytes, int, int] | None]
"""By path: content, mode and time; None for a whiteout. A path that ends in a slash is a directory."""


class Scene:
    """A store, and two sets of unpacked layers: one that knows differences, and one that does not."""

    def __init__(self, place: Path, compression: Compression = "gzip") -> None:
        self.layout = Layout.open(place / "store")
        self.trees = Trees(self.layout)
        self.compression = compression
        self.knowing = Unpacked(place / "knowing", _ALONE)
        self.plain = Unpacked(place / "plain", _ALONE)

    def layer(self, files: Files) -> Layer:
        changes = []
        for name in sorted(files):
            path, found = os.fsencode(name.rstrip("/")), files[name]
            if found is None:
                changes.append(Change(path, None))
                continue
            content, mode, mtime = found
            kind: Kind = "directory" if name.endswith("/") else "symlink" if content.startswith(b"->") else "file"
            entry = Entry(path, kind, mode, size=len(content) if kind == "file" else 0, mtime=mtime)
            if kind == "symlink":
                entry = entry._replace(linkname=content[2:])
            changes.append(Change(path, entry, partial(io.BytesIO, content) if kind == "file" else None))
        with self.layout.blobs.write(hashing=False) as blob:
            written = write_layer(changes, blob, self.compression)
            blob.commit(written.digest, written.size)
        self.trees.keep(written.digest, written.diff_id, written.index)
        return self.layout.layer(
            Descriptor(layer_type(self.compression), written.digest, written.size), written.diff_id
        )

    def unpack(self, layers: Sequence[Layer]) -> list[Path]:
        """Unpack with differences; what shows is what shows without."""
        chains = chain_ids(tuple(layer.diff_id for layer in layers))
        lowers = self.knowing.lower_directories(layers, chains, self.trees)
        assert merged(self.plain.lower_directories(layers, chains)) == merged(lowers)
        return lowers


def merged(lowers: Sequence[Path]) -> Mapping[str, object]:
    """Give what an overlay of directories shows, the top one first."""
    found: dict[str, object] = {}
    for lower in reversed(lowers):
        for directory, names, files in os.walk(lower):
            for name in sorted([*names, *files]):
                path = os.path.join(directory, name)
                info, relative = os.lstat(path), os.path.relpath(path, lower)
                opaque = "user.overlay.opaque" in os.listxattr(path, follow_symlinks=False)
                if not stat.S_ISDIR(info.st_mode) or opaque:
                    for each in [each for each in found if each == relative or each.startswith(f"{relative}/")]:
                        del found[each]
                if stat.S_ISCHR(info.st_mode):
                    continue
                content: object = ""
                if stat.S_ISREG(info.st_mode):
                    with open(path, "rb") as file:
                        content = file.read()
                elif stat.S_ISLNK(info.st_mode):
                    content = os.readlink(path)
                found[relative] = info.st_mode, info.st_mtime_ns, content
    return found


def many(**others: tuple[bytes, int, int] | None) -> Files:
    files: Files = {"app/": (b"", 0o755, 5)}
    files |= {f"app/{name}": (name.encode() * 9000, 0o644, 7) for name in (f"file{i:02}" for i in range(40))}
    return files | {name.replace("__", "/"): found for name, found in others.items()}


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
def test_one_file_of_many_is_unpacked_alone(tmp_path: Path, compression: Compression) -> None:
    scene = Scene(tmp_path, compression)
    base = scene.layer({"etc/": (b"", 0o755, 3), "etc/passwd": (b"root", 0o600, 3)})
    first = scene.unpack([base, scene.layer(many())])

    second = scene.unpack([base, scene.layer(many(app__file07=(b"other", 0o600, 9)))])

    assert first == second[1:]
    assert ["app", "app/file07"] == sorted(str(each.relative_to(second[0])) for each in second[0].rglob("*"))


def test_the_next_difference_lies_over_the_whole_layer(tmp_path: Path) -> None:
    """A hundred builds with a change each do not make a hundred directories to be looked through."""
    scene = Scene(tmp_path)
    base = scene.layer({"etc/": (b"", 0o755, 3)})
    scene.unpack([base, scene.layer(many())])
    for i in range(3):
        lowers = scene.unpack([base, scene.layer(many(app__file07=(b"%d" % i, 0o600, 9)))])

    assert 3 == len(lowers)


@pytest.mark.parametrize(
    "first",
    [
        many(app__gone=(b"x", 0o644, 1)),
        many(**{"app__dir/": (b"", 0o755, 1), "app__dir__a": (b"a", 0o644, 1)}),
        many(etc__passwd=(b"other", 0o644, 1)),
        many(etc__passwd=None),
        many(app__kind=(b"->file07", 0o777, 1)),
        many(**{"app__kind/": (b"", 0o755, 1)}),
    ],
    ids=["gone", "directory-gone", "replaced", "hidden", "link", "directory"],
)
def test_what_is_no_more_in_a_layer_is_seen_no_more(tmp_path: Path, first: Files) -> None:
    scene = Scene(tmp_path)
    base = scene.layer({"etc/": (b"", 0o755, 3), "etc/passwd": (b"root", 0o600, 3)})
    scene.unpack([base, scene.layer(first)])

    scene.unpack([base, scene.layer(many())])
    scene.unpack([base, scene.layer(many(app__kind=(b"a file", 0o644, 1)))])


def test_a_note_that_names_another_blob_than_lies_there_is_not_believed(tmp_path: Path) -> None:
    """A difference to something else than is there would be another layer."""
    scene = Scene(tmp_path)
    files: Files = {f"d/{i}": (b"%d" % i, 0o644, 1) for i in range(20)}
    base, first = scene.layer({"d/": (b"", 0o755, 1)}), scene.layer(files)
    stranger = scene.layer({**files, "d/1": (b"strange", 0o644, 1)})
    scene.unpack([base, first])
    blob, other = first.descriptor.digest, stranger.descriptor.digest
    (note,) = (each for each in (tmp_path / "knowing").glob("*/*.next") if str(blob) in each.read_text())
    note.write_text(note.read_text().replace(str(blob), str(other)))

    lowers = scene.unpack([base, scene.layer({**files, "d/1": (b"strange", 0o644, 1), "d/2": (b"new", 0o644, 1)})])

    assert 2 == len(lowers)  # the whole layer, not a difference


def test_a_pruned_layer_is_unpacked_again(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    base = scene.layer({"etc/": (b"", 0o755, 3)})
    scene.unpack([base, scene.layer(many())])
    changed = [base, scene.layer(many(app__file07=(b"other", 0o600, 9)))]
    chains = chain_ids(tuple(layer.diff_id for layer in changed))
    assert 3 == len(scene.unpack(changed))

    scene.knowing.prune(keep=chains)
    assert 3 == len(scene.unpack(changed))
    scene.knowing.prune(keep=chains[:1])
    assert 2 == len(scene.unpack(changed))


def test_a_blob_that_is_not_what_it_was_is_not_believed(tmp_path: Path) -> None:
    scene = Scene(tmp_path, "none")
    base = scene.layer({"etc/": (b"", 0o755, 3)})
    scene.unpack([base, scene.layer(many())])
    changed = scene.layer(many(app__file07=(b"other", 0o600, 9)))
    path = scene.layout.blobs.path(changed.descriptor.digest)
    path.write_bytes(path.read_bytes().replace(b"other", b"wrong"))

    assert scene.trees.files(changed, {b"app/file07"}) is None


@pytest.mark.parametrize("seed", range(12))
def test_differences_show_what_whole_layers_do(tmp_path: Path, seed: int) -> None:
    """Whatever changes from one layer to the next, on a parent with some of the same paths."""
    random_ = random.Random(seed)
    names = [f"{top}/{name}" for top in ("app", "app/sub", "etc") for name in ("a", "b", "c", "d", "e")]

    def some(count: int) -> Files:
        files: Files = {f"{top}/": (b"", 0o755, 5) for top in ("app", "app/sub", "etc")}
        for name in random_.sample(names, count):
            files[name] = random_.choice([(b"one", 0o644, 1), (b"two", 0o644, 1), (b"->a", 0o777, 1), None])
        return files

    scene = Scene(tmp_path)
    base, files = scene.layer(some(4)), some(14)
    scene.unpack([base, scene.layer(files)])
    for _ in range(4):
        files = {**files, random_.choice(names): random_.choice([(b"new", 0o600, 2), None])}
        files.pop(random_.choice(names), None)
        scene.unpack([base, scene.layer(files)])
