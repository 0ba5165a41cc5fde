"""What ADD unpacks, and what it takes as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from layers.platform import Platform
from tests.semantics.traps import trap
from tests.support.images import image, layer

if TYPE_CHECKING:
    from tests.semantics.bench import Bench

MEMBERS: list[dict[str, Any]] = [
    {"path": "dir/", "mode": "700", "uid": 5, "gid": 6},
    {"path": "dir/f", "content": "in it", "mode": "640", "uid": 5, "gid": 6, "mtime": 1234},
    {"path": "../evil", "content": "inside after all"},
    {"path": "link", "symlink": "/etc/passwd"},
    {"path": "hard", "hardlink": "dir/f"},
]


@trap(51)
@pytest.mark.parametrize("compression", ["", "gz", "bz2", "xz", "zst"])
def test_an_archive_is_known_by_what_is_in_it(bench: Bench, compression: str) -> None:
    files = [{"path": "no-ending", "archive": MEMBERS, "compression": compression}]

    built = bench.build("FROM scratch\nADD --chmod=777 no-ending /to\n", files)

    assert ["to", "to/dir", "to/dir/f", "to/evil", "to/hard", "to/link"] == built.paths
    entry = built.files["to/dir/f"]
    assert (0o640, 5, 6, 1234) == (entry.mode, entry.uid, entry.gid, entry.mtime)
    assert (0o755, "directory") == (built.files["to"].mode & 0o755, built.files["to"].kind)
    assert "in it" == built.text("to/dir/f")


@trap(51)
def test_a_new_owner_reaches_all_members(bench: Bench) -> None:
    built = bench.build("FROM scratch\nADD --chown=7:8 a.tar /to/\n", [{"path": "a.tar", "archive": MEMBERS}])

    assert {(7, 8)} == {(entry.uid, entry.gid) for path, entry in built.files.items() if path}


@trap(51)
@pytest.mark.parametrize(
    "file",
    [
        {"path": "f.tar.gz", "archive": MEMBERS, "compression": "gz", "cut": 40},
        {"path": "f.tar.gz", "content": "text"},
        {"path": "f.tar.gz", "base64": "H4sIAAAAAAAAA0tMBgDCQSQ1AgAAAA=="},
        {"path": "f.tar.gz", "archive": MEMBERS, "prefix": "#!/bin/sh\n"},
    ],
    ids=["cut off", "text", "compressed text", "archive behind text"],
)
def test_what_only_looks_like_an_archive_is_copied(bench: Bench, file: dict[str, Any]) -> None:
    assert ["to", "to/f.tar.gz"] == bench.build("FROM scratch\nADD f.tar.gz /to/\n", [file]).paths


@trap(51)
def test_archives_are_left_whole_where_that_is_wanted(bench: Bench) -> None:
    text = "FROM scratch\nADD --unpack=false a.tar /to/\nCOPY a.tar /copied\n"

    assert ["copied", "to", "to/a.tar"] == bench.build(text, [{"path": "a.tar", "archive": MEMBERS}]).paths


@trap(51)
def test_members_replace_files_and_merge_directories(bench: Bench) -> None:
    base = image(
        layer({"to/": b"", "to/dir/": b"", "to/dir/old": b"old", "to/link": b"a file"}), platform=Platform.host()
    )
    bench.put("base", base)
    files = [{"path": "a.tar", "archive": [*MEMBERS[:2], MEMBERS[3], {"path": ".wh.gone"}, {"path": "dir/.wh.older"}]}]

    built = bench.build("FROM base\nADD a.tar /to\n", files)

    assert ("old", "in it", "symlink") == (
        built.text("to/dir/old"),
        built.text("to/dir/f"),
        built.files["to/link"].kind,
    )
    assert 0o700 == built.files["to/dir"].mode
