from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import lzma
import tarfile
from typing import TYPE_CHECKING

import pytest
import zstandard

from builder.context.remote import FetchedFile, OpenedContext, open_context
from builder.errors import ContextError
from tests.builder.context.files import make

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def archive(*members: tarfile.TarInfo | str) -> bytes:
    """Make a tar; a name alone is a file that holds its own name."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as tar:
        for member in members:
            info = tarfile.TarInfo(member) if isinstance(member, str) else member
            content = info.name.encode() if info.isfile() else b""
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return target.getvalue()


def opened(spec: str, workdir: Path, *, stdin: bytes = b"", web: dict[str, bytes] | None = None) -> OpenedContext:
    def fetch(url: str) -> FetchedFile:
        path = workdir / "download"
        path.write_bytes((web or {})[url])
        return FetchedFile(path)

    return open_context(spec, stdin=io.BytesIO(stdin), fetch=fetch, workdir=workdir, environment={})


PACKERS: list[Callable[[bytes], bytes]] = [
    bytes,
    gzip.compress,
    bz2.compress,
    lzma.compress,
    lambda content: zstandard.ZstdCompressor().compress(content),
]


def test_a_directory_is_itself(tmp_path: Path) -> None:
    assert OpenedContext(tmp_path, local=True) == opened(str(tmp_path), tmp_path)


@pytest.mark.parametrize("pack", PACKERS, ids=["plain", "gzip", "bzip2", "xz", "zstd"])
@pytest.mark.parametrize("way", ["stdin", "file", "url"])
def test_a_tar_is_unpacked(tmp_path: Path, pack: Callable[[bytes], bytes], way: str) -> None:
    content = pack(archive("Dockerfile", "d/f"))
    work = tmp_path / "work"
    work.mkdir()
    (tmp_path / "ctx.tar").write_bytes(content)

    url = "https://example.com/ctx"
    spec = {"stdin": "-", "file": str(tmp_path / "ctx.tar"), "url": url}[way]
    found = opened(spec, work, stdin=content, web={url: content})

    assert "d/f" == (found.root / "d/f").read_text()
    assert found.dockerfile is None
    assert not found.local


@pytest.mark.parametrize("pack", PACKERS[:2], ids=["plain", "gzip"])
def test_a_dockerfile_alone_has_an_empty_context(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    found = opened("-", tmp_path, stdin=pack(b"FROM scratch\n"))

    assert found.dockerfile is not None
    assert b"FROM scratch\n" == found.dockerfile.read_bytes()
    assert [] == list(found.root.iterdir())


def test_a_dockerfile_comes_from_a_url(tmp_path: Path) -> None:
    found = opened("https://example.com/Dockerfile", tmp_path, web={"https://example.com/Dockerfile": b"FROM scratch"})

    assert found.dockerfile is not None


def test_a_long_dockerfile_is_taken_whole(tmp_path: Path) -> None:
    text = b"FROM scratch\n" + b"# x\n" * 100_000

    found = opened("-", tmp_path, stdin=text)

    assert found.dockerfile is not None
    assert text == found.dockerfile.read_bytes()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"FROM\0scratch", "neither a tar nor a Dockerfile"),
        (gzip.compress(archive("f"), mtime=0)[:-20], "standard input: "),
        (archive("f" * 90, "g")[:700], "cut short"),
    ],
    ids=["nothing", "blanks", "zero byte", "cut gzip", "cut tar"],
)
def test_other_content_is_an_error(tmp_path: Path, content: bytes, said: str) -> None:
    with pytest.raises(ContextError, match=said):
        opened("-", tmp_path, stdin=content)


def test_a_terminal_is_not_read(tmp_path: Path) -> None:
    class Terminal(io.BytesIO):
        def isatty(self) -> bool:
            return True

    with pytest.raises(ContextError, match="is a terminal"):
        open_context("-", stdin=Terminal(), fetch=lambda _: FetchedFile(tmp_path), workdir=tmp_path, environment={})


def test_an_empty_tar_is_an_empty_context(tmp_path: Path) -> None:
    found = opened("-", tmp_path, stdin=archive())

    assert [] == list(found.root.iterdir())
    assert found.dockerfile is None


def test_nothing_is_unpacked_outside(tmp_path: Path) -> None:
    out = tarfile.TarInfo("out")
    out.type, out.linkname = tarfile.SYMTYPE, "../.."
    content = archive("../../evil", "/evil2", out, "out/evil3")
    work = tmp_path / "a/b/work"
    work.mkdir(parents=True)
    with contextlib.suppress(ContextError):
        opened("-", work, stdin=content)

    outside = [path for path in tmp_path.rglob("evil*") if not path.is_relative_to(work / "context")]
    assert [] == outside


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("missing", "No such file"),
        ("ftp://user:secret@example.com/x", "unknown kind of URL"),
        ("file:///etc", "unknown kind of URL"),
        ("Dockerfile", "no tar"),
        ("a\0b", "null byte"),
        ("user@missing", "No such file"),
        ("https://example.com/x.git?depth=1", "unknown key"),
    ],
)
def test_what_is_no_context_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spec: str, said: str) -> None:
    make(tmp_path, "Dockerfile")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ContextError, match=said) as caught:
        opened(spec, tmp_path)

    assert "secret" not in str(caught.value)
