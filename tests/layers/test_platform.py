"""Platform: normal forms, and which images run where."""

from __future__ import annotations

import platform as host_platform

import pytest

from layers.errors import InvalidError
from layers.platform import Platform, normalise


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("linux/amd64", Platform("linux", "amd64")),
        ("linux/x86_64", Platform("linux", "amd64")),
        ("LINUX/X86-64", Platform("linux", "amd64")),
        ("linux/amd64/v1", Platform("linux", "amd64")),
        ("linux/amd64/v3", Platform("linux", "amd64", "v3")),
        ("linux/aarch64", Platform("linux", "arm64")),
        ("linux/arm64/v8", Platform("linux", "arm64")),
        ("linux/arm64/v9", Platform("linux", "arm64", "v9")),
        ("linux/arm", Platform("linux", "arm", "v7")),
        ("linux/arm/6", Platform("linux", "arm", "v6")),
        ("linux/armhf", Platform("linux", "arm", "v7")),
        ("linux/armel", Platform("linux", "arm", "v6")),
        ("linux/i686", Platform("linux", "386")),
        ("linux/riscv64", Platform("linux", "riscv64")),
        ("macos/arm64", Platform("darwin", "arm64")),
        ("windows(10.0.17763)/amd64", Platform("windows", "amd64", "", "10.0.17763")),
    ],
)
def test_a_platform_is_read_in_normal_form(text: str, expected: Platform) -> None:
    """As containerd's platforms package normalises it."""
    assert expected == Platform.parse(text)


@pytest.mark.parametrize(
    "text", ["", "/", "linux/", "/amd64", "a/b/c/d", "linux/amd 64", "li(nux/amd64", "amd46", "foo"]
)
def test_what_is_no_platform_is_refused(text: str) -> None:
    with pytest.raises(InvalidError, match="not a platform"):
        Platform.parse(text)


def test_a_system_alone_means_this_machines_architecture() -> None:
    assert Platform("windows", Platform.host().architecture, Platform.host().variant) == Platform.parse("windows")


def test_an_architecture_alone_means_linux() -> None:
    assert Platform("linux", "s390x") == Platform.parse("s390x")


def test_local_is_this_machine() -> None:
    assert Platform.host() == Platform.parse("local") == normalise("linux", host_platform.machine(), "")


@pytest.mark.parametrize(
    ("host", "image", "runs"),
    [
        ("linux/amd64", "linux/amd64", True),
        ("linux/amd64", "linux/arm64", False),
        ("linux/amd64", "windows/amd64", False),
        ("linux/amd64", "linux/amd64/v3", False),
        ("linux/amd64/v3", "linux/amd64", True),
        ("linux/arm/v7", "linux/arm/v6", True),
        ("linux/arm/v6", "linux/arm/v7", False),
        ("linux/arm64", "linux/arm/v7", False),
        ("windows(10.0.1)/amd64", "windows(10.0.2)/amd64", False),
        ("windows(10.0.1)/amd64", "windows/amd64", True),
    ],
)
def test_an_image_runs_on_the_same_system_and_no_older_variant(host: str, image: str, *, runs: bool) -> None:
    assert runs is Platform.parse(host).runs(Platform.parse(image))


def test_the_newest_variant_that_runs_is_preferred() -> None:
    images = [Platform.parse(f"linux/arm/{variant}") for variant in ("v5", "v8", "v6", "v7")]

    assert Platform.parse("linux/arm/v7") == max(images, key=Platform.parse("linux/arm/v7").preference)


def test_the_full_text_has_the_systems_version() -> None:
    platform = Platform.parse("windows(10.0.17763)/amd64")

    assert ("windows/amd64", "windows(10.0.17763)/amd64") == (str(platform), platform.full)
