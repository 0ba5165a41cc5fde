"""Files of an image as something to copy from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layers.store.layout import Layout
from layers.store.merged import MergedFiles, reading
from layers.store.trees import Trees
from tests.support.images import image, layer

if TYPE_CHECKING:
    from pathlib import Path


def test_each_file_ends_where_it_ends(tmp_path: Path) -> None:
    """Contents lie one after the other in one scratch file; none runs on into the next."""
    files = {"d/": b"", "d/a": b"one", "d/b": b"", "d/c": b"three", "d/d": b"four"}
    layout = Layout.open(tmp_path / "store")
    layout.put(found := image(layer(files), layer({"d/c": b"3"})))
    merged = MergedFiles(Trees(layout), found.layers, tmp_path)

    contents = {}
    for change in merged.walk(b"d"):
        if change.open is not None:
            with reading(change.open()) as content:
                contents[change.path] = (content.read(2), content.read(100), content.read(1))

    assert {
        b"a": (b"on", b"e", b""),
        b"b": (b"", b"", b""),
        b"c": (b"3", b"", b""),
        b"d": (b"fo", b"ur", b""),
    } == contents
    with reading(merged.open(b"d/a")) as content:
        assert b"one" == content.read()
