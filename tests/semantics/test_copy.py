"""Where COPY puts what, and as whose."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from layers.platform import Platform
from tests.semantics.traps import trap
from tests.support.images import image, layer_of_tar
from tests.support.material import tar_of

if TYPE_CHECKING:
    from tests.semantics.bench import Bench

HOST = Platform.host()
MTIME = 1_000_000_000


def base(bench: Bench, *files: dict[str, Any]) -> None:
    """Put a base image of these files into the store."""
    bench.put("base", image(layer_of_tar(tar_of(files)), platform=HOST))


@trap(38)
@pytest.mark.parametrize(
    ("destination", "expected"),
    [
        ("/d", "d"),
        ("/d/", "d/f"),
        ("/d/.", "d/f"),
        ("/there", "there/f"),
        ("d/e", "srv/d/e"),
        (".", "srv/f"),
        ("/", "f"),
    ],
)
def test_a_slash_makes_the_destination_a_directory(bench: Bench, destination: str, expected: str) -> None:
    base(bench, {"path": "there/"})

    built = bench.build(f"FROM base\nWORKDIR /srv\nCOPY f {destination}\n", {"f": "x"})

    assert "x" == built.text(expected)


@trap(39)
def test_several_sources_without_a_slash_leave_the_last(bench: Bench) -> None:
    built = bench.build("FROM scratch\nCOPY a b /d\n", {"a": "1", "b": "2"})

    assert (["d"], "2") == (built.paths, built.text("d"))


@trap(40)
def test_a_directory_brings_what_is_in_it(bench: Bench) -> None:
    files = {"dir1/a": "", "dir1/sub/b": "", "dir2/c": "", "dir2/sub/d": ""}

    assert ["x", "x/a", "x/sub", "x/sub/b"] == bench.build("FROM scratch\nCOPY dir1 /x\n", files).paths
    merged = bench.build("FROM scratch\nCOPY dir* /x/\n", files).paths
    assert ["x", "x/a", "x/c", "x/sub", "x/sub/b", "x/sub/d"] == merged


@trap(41)
@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("*.txt", ["a.txt", "b.txt"]),
        ("**/*.txt", ["c.txt"]),
        ("[ab].txt", ["a.txt", "b.txt"]),
        ("?.txt", ["a.txt", "b.txt"]),
        ("[[]*", ["[x]"]),
        ("no*thing", []),
        ("s*/../a.txt", ["a.txt"]),
    ],
)
def test_wildcards_are_those_of_go(bench: Bench, source: str, expected: list[str]) -> None:
    files = {"a.txt": "", "b.txt": "", "sub/c.txt": "", "sub/deep/d.txt": "", "[x]": ""}

    built = bench.build(f"FROM scratch\nCOPY {source} /out/\n", files)

    assert expected == [path.removeprefix("out/") for path in built.paths if path.startswith("out/")]


@trap(41)
def test_a_missing_plain_source_is_an_error(bench: Bench) -> None:
    error = bench.fails("FROM scratch\nCOPY notes.txt /\n", {"note.txt": ""})

    assert 'ERROR: Dockerfile:2: source "notes.txt" is not in the build context' in error
    assert 'hint: did you mean "note.txt"?' in error


@trap(42)
@pytest.mark.parametrize("source", ["/f", "../f", "../../f", "/../f", "sub/../../f", "./f"])
def test_sources_end_at_the_context(bench: Bench, source: str) -> None:
    assert ["g"] == bench.build(f"FROM scratch\nCOPY {source} /g\n", {"f": "", "sub/x": ""}).paths


@trap(43)
def test_named_links_are_followed_and_others_copied(bench: Bench) -> None:
    base(bench, {"path": "real/"}, {"path": "to-dir", "symlink": "real"}, {"path": "to-file", "symlink": "/etc/new"})
    files = [
        {"path": "f", "content": "x"},
        {"path": "link", "symlink": "f"},
        {"path": "out", "symlink": "../../f"},
        {"path": "dir/inner", "symlink": "../f"},
    ]

    built = bench.build("FROM base\nCOPY link out /to-dir/\nCOPY f /to-file\nCOPY dir /dir\n", files)

    assert ("x", "x", "x") == (built.text("real/link"), built.text("real/out"), built.text("etc/new"))
    assert ("symlink", "symlink") == (built.files["to-dir"].kind, built.files["to-file"].kind)
    assert b"../f" == built.files["dir/inner"].linkname


@trap(43)
def test_with_link_the_destinations_links_are_replaced(bench: Bench) -> None:
    base(bench, {"path": "real/", "mode": "700"}, {"path": "to-dir", "symlink": "real"})

    built = bench.build("FROM base\nCOPY --link f /to-dir/\n", {"f": "x"})

    assert ("directory", "x") == (built.files["to-dir"].kind, built.text("to-dir/f"))
    assert "real/f" not in built.files


@trap(44)
def test_directories_merge(bench: Bench) -> None:
    base(
        bench,
        {"path": "d/", "mode": "700", "uid": 5, "mtime": 1},
        {"path": "d/sub/", "mode": "700", "uid": 5, "mtime": 1},
        {"path": "d/sub/old", "content": "old"},
    )
    files = [
        {"path": "s/", "mode": "711", "mtime": 7},
        {"path": "s/sub/", "mode": "750", "mtime": 8},
        {"path": "s/sub/f"},
    ]

    built = bench.build("FROM base\nCOPY s /d\nCOPY s /new\n", files)

    entries = {path: (entry.mode, entry.uid, entry.mtime) for path, entry in built.files.items()}
    assert ((0o700, 5, 7), (0o750, 0, 8)) == (entries["d"], entries["d/sub"])
    assert ((0o755, 0, 7), (0o750, 0, 8)) == (entries["new"], entries["new/sub"])
    assert "old" == built.text("d/sub/old")


@trap(44)
@pytest.mark.parametrize(
    ("copy", "said"),
    [
        ("s /file", "cannot copy to non-directory: /file"),
        ("s/f /file/below", "cannot copy to non-directory: /file"),
        ("over-dir /", "cannot replace to directory /dir with file"),
        ("over-file /", "cannot copy to non-directory: /file"),
        ("over-link /", "cannot copy to non-directory: /link"),
    ],
)
def test_files_and_directories_do_not_replace_each_other(bench: Bench, copy: str, said: str) -> None:
    base(bench, {"path": "file"}, {"path": "dir/"}, {"path": "link", "symlink": "dir"})
    files = {"s/f": "", "over-dir/dir": "", "over-file/file/x": "", "over-link/link/x": ""}

    assert f"ERROR: Dockerfile:2: {said}" in bench.fails(f"FROM base\nCOPY {copy}\n", files)


@trap(45)
def test_modes_and_owners_reach_parents(bench: Bench) -> None:
    text = (
        "FROM scratch\nCOPY --chown=5:6 f /a/b/f\nCOPY --chmod=640 f /c/d/f\nCOPY --chmod=u=rwx,go=r f /e/f\n"
        "COPY --chmod=711 s /s\n"
    )

    built = bench.build(text, {"f": "", "s/sub/g": ""})

    entries = {path: (entry.mode, entry.uid, entry.gid) for path, entry in built.files.items()}
    assert {(0o755, 5, 6)} == {entries["a"], entries["a/b"]}
    assert {(0o640, 0, 0)} == {entries["c"], entries["c/d"], entries["c/d/f"]}
    assert (0o755, 0o744) == (entries["e"][0], entries["e/f"][0])
    assert {0o711} == {entries[path][0] for path in ("s", "s/sub", "s/sub/g")}


@trap(46)
def test_owners_of_the_context_are_dropped_and_those_of_stages_kept(bench: Bench) -> None:
    base(bench, {"path": "owned", "uid": 7, "gid": 8}, {"path": "dir/f", "uid": 9, "gid": 9})
    copies = ("tool /", "--from=s /owned /", "--from=s --chown=1 /owned /mine", "--from=s /dir /d")
    text = "FROM base AS s\nFROM scratch\n" + "".join(f"COPY {each}\n" for each in copies)

    built = bench.build(text, [{"path": "tool", "mode": "6755"}])

    entries = {path: (entry.mode, entry.uid, entry.gid) for path, entry in built.files.items()}
    assert (0o6755, 0, 0) == entries["tool"]
    assert ((7, 8), (1, 1), (9, 9)) == (entries["owned"][1:], entries["mine"][1:], entries["d/f"][1:])


@trap(47)
def test_setuid_survives_chown(bench: Bench) -> None:
    built = bench.build(
        "FROM scratch\nCOPY --chown=5:6 tool /a\nCOPY --chown=5 --chmod=4711 f /b\n",
        [{"path": "tool", "mode": "4755"}, {"path": "f"}],
    )

    assert (0o4755, 0o4711) == (built.files["a"].mode, built.files["b"].mode)


@trap(48)
def test_linked_layers_stand_alone(bench: Bench) -> None:
    base(bench, {"path": "tmp/", "mode": "1777"}, {"path": "tmp/old"})

    built = bench.build("FROM base\nCOPY --link --chmod=600 f /tmp/a/f\n", {"f": ""})

    assert ["tmp", "tmp/a", "tmp/a/f"] == list(built.layer())
    assert (0o600, "tmp/old" in built.files) == (built.files["tmp/a/f"].mode, True)
    assert 0o755 == bench.build("FROM base\nCOPY --link f /tmp/f\n", {"f": ""}).files["tmp"].mode


@trap(49)
@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a/b/f.txt", ["a", "a/b", "a/b/f.txt"]),
        ("a/./b/f.txt", ["b", "b/f.txt"]),
        ("./a/b/*.txt", ["a", "a/b", "a/b/f.txt"]),
        ("**/*.txt", ["a", "a/b", "a/b/f.txt", "a/e.txt"]),
        ("no*thing", []),
    ],
)
def test_parents_are_kept(bench: Bench, source: str, expected: list[str]) -> None:
    built = bench.build(f"FROM scratch\nCOPY --parents {source} /o/\n", {"a/b/f.txt": "", "a/e.txt": "", "g": ""})

    assert expected == [path.removeprefix("o/") for path in built.paths if path.startswith("o/")]


@trap(49)
def test_parents_is_for_paths_that_are_there_and_for_copy(bench: Bench) -> None:
    assert "ERROR: Dockerfile:2: " in bench.fails("FROM scratch\nCOPY --parents a/b /\n")
    assert "unknown flag: --parents" in bench.fails("FROM scratch\nADD --parents a/b /\n")


@trap(50)
def test_excluded_files_are_left_out(bench: Bench) -> None:
    files = {"s/a.md": "", "s/keep.md": "", "s/b.txt": "", "s/deep/c.md": "", "s/deep/s/x": "", "top.md": ""}
    text = "FROM scratch\nENV x=b.txt\nCOPY --exclude=*.md --exclude=!keep.md --exclude=**/x --exclude=$x s /s\n"

    built = bench.build(text + "COPY --exclude=*.md top.md /\n", files)

    assert ["s/b.txt", "s/deep", "s/deep/c.md", "s/deep/s", "s/keep.md", "top.md"] == [
        p for p in built.paths if p != "s"
    ]


@trap(54)
@pytest.mark.parametrize("source", ["https://example.com/f", "http://example.com/f", "git@example.com:a/b.git"])
def test_copy_takes_no_urls(bench: Bench, source: str) -> None:
    error = bench.fails(f"FROM scratch\nCOPY {source} /\n")

    assert f"ERROR: Dockerfile:2: source can't be a URL for COPY: {source}" in error
    assert "hint: ADD fetches" in error


@trap(55)
def test_the_ignore_file(bench: Bench) -> None:
    ignore = (
        "# comment\n #no-comment\n*.log\n!keep.log\n/build/\n!build/kept\n**/tmp\ndocs/**\n!docs/README\nDockerfile\n"
    )
    files = {
        ".dockerignore": ignore, "a.log": "", "keep.log": "", "#no-comment": "", "sub/b.log": "", "build/out": "",
        "build/kept": "", "sub/tmp/x": "", "docs/guide": "", "docs/README": "", "src/f": "",
    }  # fmt: skip

    built = bench.build("FROM scratch\nCOPY . /\n", files)

    expected = [
        ".dockerignore",
        "build",
        "build/kept",
        "docs",
        "docs/README",
        "keep.log",
        "src",
        "src/f",
        "sub",
        "sub/b.log",
    ]
    assert expected == built.paths


@trap(55)
def test_an_ignore_file_of_the_dockerfile_goes_first(bench: Bench) -> None:
    files = {".dockerignore": "a", "Dockerfile.dockerignore": "b", "a": "", "b": ""}

    assert ["d", "d/a"] == bench.build("FROM scratch\nCOPY [ab] /d/\n", files).paths


@trap(55)
def test_the_line_that_hides_a_source_is_named(bench: Bench) -> None:
    error = bench.fails(
        "FROM scratch\nCOPY dist/app.whl /\n", {".dockerignore": "# build\n\ndist\n", "dist/app.whl": ""}
    )

    assert 'ERROR: Dockerfile:2: source "dist/app.whl" is not in the build context' in error
    assert 'hint: .dockerignore line 3 ("dist") excludes it; add "!dist/app.whl" below it' in error
