"""Reference: names of images as Docker reads them."""

from __future__ import annotations

import time

import pytest

from layers.digest import Digest
from layers.errors import InvalidError
from layers.reference import Reference

DIGEST = Digest.of(b"")


@pytest.mark.parametrize(
    ("text", "full", "familiar"),
    [
        ("alpine", "docker.io/library/alpine:latest", "alpine:latest"),
        ("alpine:3.20", "docker.io/library/alpine:3.20", "alpine:3.20"),
        ("grafana/grafana", "docker.io/grafana/grafana:latest", "grafana/grafana:latest"),
        ("docker.io/alpine", "docker.io/library/alpine:latest", "alpine:latest"),
        ("index.docker.io/library/alpine", "docker.io/library/alpine:latest", "alpine:latest"),
        ("library/alpine", "docker.io/library/alpine:latest", "alpine:latest"),
        ("library/a/b", "docker.io/library/a/b:latest", "library/a/b:latest"),
        ("localhost/app", "localhost/app:latest", "localhost/app:latest"),
        ("localhost:5000/app:1", "localhost:5000/app:1", "localhost:5000/app:1"),
        ("localhost:5000", "docker.io/library/localhost:5000", "localhost:5000"),
        ("ghcr.io/a/b/c", "ghcr.io/a/b/c:latest", "ghcr.io/a/b/c:latest"),
        ("[::1]:5000/app", "[::1]:5000/app:latest", "[::1]:5000/app:latest"),
        ("REGISTRY/app", "REGISTRY/app:latest", "REGISTRY/app:latest"),
        ("docker.io/foo.bar/app", "docker.io/foo.bar/app:latest", "docker.io/foo.bar/app:latest"),
        ("a__b.c-d---e", "docker.io/library/a__b.c-d---e:latest", "a__b.c-d---e:latest"),
        (f"alpine@{DIGEST}", f"docker.io/library/alpine@{DIGEST}", f"alpine@{DIGEST}"),
        (f"alpine:3.20@{DIGEST}", f"docker.io/library/alpine:3.20@{DIGEST}", f"alpine:3.20@{DIGEST}"),
    ],
)
def test_names_are_read_as_docker_reads_them(text: str, full: str, familiar: str) -> None:
    reference = Reference.parse(text)

    assert (full, familiar) == (str(reference), reference.familiar)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "repository ''"),
        ("Alpine", "repository"),
        ("a/B", "repository 'a/B'"),
        ("a//b", "repository"),
        ("/a", "repository"),
        ("a/", "repository"),
        ("-a", "repository"),
        ("a_", "repository"),
        ("a___b", "repository"),
        ("a..b/c", "registry 'a..b'"),
        ("a.b:x/c", "registry"),
        ("a:", "tag ''"),
        ("a:-x", "tag '-x'"),
        ("a:" + "x" * 129, "tag"),
        ("a:ü", "tag"),
        ("a\n", "repository"),
        ("../../etc/passwd", "registry"),
        ("a b", "repository"),
        ("a/" + "b" * 260, "repository"),
        ("https://ghcr.io/a/b", "registry 'https:'"),
        ("a@", "not a digest"),
        ("a@sha256:123", "not a digest"),
        (f"a@{DIGEST}@{DIGEST}", "not a digest"),
        ("0" * 64, "form of an image id"),
    ],
)
def test_an_error_says_which_part_is_wrong(text: str, part: str) -> None:
    with pytest.raises(InvalidError, match=part.replace(".", r"\.")):
        Reference.parse(text)


def test_a_name_may_be_read_without_adding_a_tag() -> None:
    assert ("", "docker.io/library/alpine") == (
        Reference.parse_name("alpine").tag,
        str(Reference.parse_name("alpine")),
    )


def test_the_parts_of_a_name_are_given() -> None:
    reference = Reference.parse("ghcr.io/a/b:1")

    assert ("ghcr.io", "a/b", "1") == (reference.registry, reference.repository, reference.tag)
    assert ("ghcr.io/a/b", "ghcr.io/a/b") == (reference.name, reference.familiar_name)


@pytest.mark.parametrize("text", ["a-" * 50_000 + "!", "a." * 50_000 + "/!", "a/" * 50_000 + "!", "-" * 100_000])
def test_a_long_name_is_refused_at_once(text: str) -> None:
    start = time.perf_counter()
    with pytest.raises(InvalidError):
        Reference.parse(text)

    assert time.perf_counter() - start < 1
