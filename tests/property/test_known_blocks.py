"""Copied blocks change nothing: a layer written with the help of earlier ones is the one that is written without."""

from __future__ import annotations

import io
import tempfile
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

from hypothesis import given
from hypothesis import strategies as st

from layers.changeset.entry import Change, Entry, Lasting
from layers.changeset.known import KnownBlocks
from layers.changeset.write import write_layer
from layers.compression.write import BLOCK_MAX

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from layers.compression import Block
    from layers.mediatype import Compression

Tree = dict[bytes, bytes | None]
"""By path: a file's content, or None for a directory."""

SMALL = 8192
"""Bytes of the longest block here, so that few bytes make many of them."""

contents = st.none() | st.tuples(st.integers(0, 20_000), st.binary(min_size=1, max_size=3)).map(
    lambda drawn: (drawn[1] * drawn[0])[: drawn[0]]
)
trees = st.dictionaries(st.integers(0, 40).map(b"%d".__mod__), contents, max_size=40)
levels = st.sampled_from([("none", None), ("gzip", None), ("gzip", 6), ("zstd", None), ("zstd", 1)])


def changes(tree: Tree, *, known: bool) -> Iterator[Change]:
    for path, content in sorted(tree.items()):
        if content is None:
            yield Change(path, Entry(path, "directory", 0o755))
            continue
        entry, opened = Entry(path, "file", 0o644, size=len(content)), partial(io.BytesIO, content)
        if known:
            yield Change(path, entry._replace(digest=sha256(content).digest()), Lasting(opened))
        else:
            yield Change(path, entry, opened)


@given(
    history=st.lists(trees, min_size=1, max_size=3),
    edits=st.lists(trees, max_size=3),
    form=levels,
    threads=st.integers(1, 3),
)
def test_a_layer_is_the_same_whatever_was_written_before(
    history: list[Tree], edits: list[Tree], form: tuple[Compression, int | None], threads: int
) -> None:
    history += [history[-1] | edit for edit in edits]
    with tempfile.TemporaryDirectory() as scratch, mock.patch.dict(BLOCK_MAX, dict.fromkeys(BLOCK_MAX, SMALL)):
        before: list[tuple[Path, Sequence[Block]]] = []
        for number, tree in enumerate(history):
            cold_sink, blob = io.BytesIO(), Path(scratch, str(number))
            cold = write_layer(changes(tree, known=False), cold_sink, *form)
            with blob.open("wb") as sink, KnownBlocks(before) as known:
                warm = write_layer(changes(tree, known=True), sink, *form, known=known, threads=threads)
            before.append((blob, warm.index.blocks))

            assert cold_sink.getvalue() == blob.read_bytes()
            assert (cold, cold.index.blocks) == (warm, warm.index.blocks)
