"""Laws of Reference and Digest."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from layers.digest import Digest
from layers.errors import InvalidError
from layers.reference import Reference

ALNUM = st.text("abcxyz019", min_size=1, max_size=5)
COMPONENTS = st.builds(
    lambda first, rest: first + "".join(separator + part for separator, part in rest),
    ALNUM,
    st.lists(st.tuples(st.sampled_from([".", "_", "__", "-", "---"]), ALNUM), max_size=2),
)
REPOSITORIES = st.lists(COMPONENTS | st.sampled_from(["library", "localhost"]), min_size=1, max_size=3).map("/".join)
REGISTRIES = st.sampled_from(["", "docker.io/", "index.docker.io/", "localhost/", "a.b/", "a:5000/", "[::1]:1/", "A/"])
TAGS = st.just("") | st.from_regex(r":[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}", fullmatch=True)
DIGESTS = st.just("") | st.binary(max_size=3).map(lambda content: f"@{Digest.of(content)}")
NAMES = (
    st.tuples(REGISTRIES, REPOSITORIES, TAGS, DIGESTS)
    # a first part with a dot is a registry, and no registry has an underscore
    .filter(lambda parts: parts[0] or "_" not in parts[1].partition("/")[0])
    .map("".join)
)


@given(NAMES)
def test_the_full_form_is_read_as_the_same(text: str) -> None:
    reference = Reference.parse(text)

    assert reference == Reference.parse(str(reference))


@given(NAMES)
def test_the_familiar_form_is_read_as_the_same(text: str) -> None:
    reference = Reference.parse(text)

    assert reference == Reference.parse(reference.familiar)


@given(st.text() | st.from_regex(r"[a-z./:@_-]*", fullmatch=True))
def test_any_text_is_a_reference_or_refused(text: str) -> None:
    try:
        reference = Reference.parse(text)
    except InvalidError:
        return
    assert reference == Reference.parse(str(reference))


@given(st.text() | st.from_regex(r"sha(256|512):[0-9a-fA-F]*", fullmatch=True))
def test_any_text_is_a_digest_or_refused(text: str) -> None:
    try:
        digest = Digest.parse(text)
    except InvalidError:
        return
    assert text == str(digest)
