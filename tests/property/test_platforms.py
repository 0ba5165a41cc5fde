"""Laws of Platform."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from layers.errors import InvalidError
from layers.platform import Platform, normalise

PLATFORMS = st.builds(
    normalise,
    st.sampled_from(["linux", "windows", "darwin"]),
    st.sampled_from(["amd64", "x86_64", "arm64", "aarch64", "arm", "armhf", "386", "riscv64"]),
    st.sampled_from(["", "v1", "v2", "v3", "v5", "v6", "v7", "v8", "v8.1", "v9", "8"]),
)


@given(PLATFORMS)
def test_the_text_is_read_as_the_same(platform: Platform) -> None:
    assert platform == Platform.parse(str(platform)) == Platform.parse(platform.full)


@given(PLATFORMS)
def test_the_normal_form_of_the_normal_form_is_itself(platform: Platform) -> None:
    assert platform == normalise(platform.os, platform.architecture, platform.variant)


@given(PLATFORMS)
def test_a_platform_runs_its_own_images(platform: Platform) -> None:
    assert platform.runs(platform)


@given(PLATFORMS, PLATFORMS, PLATFORMS)
def test_who_runs_another_runs_what_that_one_runs(a: Platform, b: Platform, c: Platform) -> None:
    assert not (a.runs(b) and b.runs(c)) or a.runs(c)


@given(st.text())
def test_any_text_is_a_platform_or_refused(text: str) -> None:
    try:
        platform = Platform.parse(text)
    except InvalidError:
        return
    assert platform == Platform.parse(platform.full)
