"""Readers of patterns and names: .dockerignore, wildcards, references, platforms, digests."""

from __future__ import annotations

from builder.context.glob import GlobError, Machine, parse_deep_glob, parse_glob
from builder.context.ignore import Ignore
from layers.digest import Digest
from layers.errors import InvalidError
from layers.platform import Platform
from layers.reference import Reference
from tests.fuzz.target import check_shown, text_of

_PATHS = (b"a/b/c", b"logs/a.log", b"\xff\n", b"/".join([b"a"] * 20))


def ignore(content: bytes) -> None:
    """Read a ``.dockerignore``, and ask it about paths; the input's own lines are paths too."""
    rules = Ignore.parse(content)
    for path in (*_PATHS, *(line.strip(b"/!") for line in content.split(b"\n")[:4])):
        excluded = rules.excludes(path)
        rules.may_contain_included(path)
        assert excluded == (rules.reason(path) is not None)


def wildcards(content: bytes) -> None:
    """Read a pattern of COPY, and one of those that know ``**``."""
    text = text_of(content)
    for parse in (parse_glob, parse_deep_glob):
        try:
            machine = Machine([(0, parse(text))])
        except GlobError as error:
            check_shown(error)
            continue
        for path in _PATHS:
            state = machine.root
            for character in "/" + path.decode("latin-1"):
                state = state[character]


def names(content: bytes) -> None:
    """Read a reference, a platform and a digest; what is read is written in a form that is read as the same."""
    text = text_of(content)
    for parse in (Reference.parse, Reference.parse_name, Digest.parse):
        try:
            found = parse(text)
        except InvalidError as error:
            check_shown(error, error.hint)
        else:
            assert found == parse(str(found))
    platform = Platform.parse(text)
    assert platform == Platform.parse(platform.full)
