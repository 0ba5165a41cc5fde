"""--chmod: octal and symbolic."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.errors import DockerfileError
from builder.execute.chmod import Chmod


@pytest.mark.parametrize(
    ("text", "mode", "directory", "expected"),
    [
        ("755", 0o600, False, 0o755),
        ("4755", 0o600, False, 0o4755),
        ("u=rwX,go=rX", 0o600, False, 0o644),
        ("u=rwX,go=rX", 0o700, False, 0o755),
        ("u=rwX,go=rX", 0o600, True, 0o755),
        ("+x", 0o644, False, 0o755),
        ("go-w", 0o666, False, 0o644),
        ("a=r", 0o777, False, 0o444),
        ("u+s,g+s", 0o755, False, 0o6755),
        ("+t", 0o777, True, 0o1777),
        ("g=u", 0o740, False, 0o770),
        ("u+x-w", 0o644, False, 0o544),
    ],
)
def test_a_mode_changes_as_chmod_changes_it(text: str, mode: int, directory: bool, expected: int) -> None:  # noqa: FBT001
    assert oct(expected) == oct(Chmod.parse(text).apply(mode, directory=directory))


@pytest.mark.parametrize("text", ["", "abc", "999", "u=z", "u+", "17777x", "77777"])
def test_what_is_no_mode_is_refused_with_a_hint(text: str) -> None:
    if text == "u+":  # chmod takes it: nothing is added
        assert Chmod.parse(text).apply(0o644, directory=False) == 0o644
        return
    with pytest.raises(DockerfileError) as caught:
        Chmod.parse(text)
    assert "0755" in caught.value.hint


@given(st.integers(0, 0o7777), st.integers(0, 0o7777), st.booleans())
def test_an_octal_mode_is_the_mode_whatever_was_there(wanted: int, before: int, directory: bool) -> None:  # noqa: FBT001
    assert wanted == Chmod.parse(f"{wanted:o}").apply(before, directory=directory)


@given(st.text(alphabet="ugoa+-=rwxXst,0127 ", max_size=20), st.integers(0, 0o7777))
def test_any_text_gives_a_mode_or_the_one_error(text: str, mode: int) -> None:
    try:
        changed = Chmod.parse(text).apply(mode, directory=False)
    except DockerfileError:
        return
    assert 0 <= changed <= 0o7777
