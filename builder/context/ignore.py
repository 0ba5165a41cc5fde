"""Patterns that choose paths as moby/patternmatcher does, and ``.dockerignore`` made of them.

The last pattern that matches decides; ``!`` turns its decision round; a pattern that matches a directory counts for all
below it. One rule is BuildKit's alone: a pattern is looked at only where it could change the decision. So ``!logs``
behind ``**/*.log`` brings nothing back: at ``logs`` nothing was excluded yet, and what is below it does not match.
"""

from __future__ import annotations

import posixpath
from dataclasses import field
from typing import TYPE_CHECKING, NamedTuple

from builder.context.glob import GlobError, Item, Machine, State, parse_deep_glob, text_of
from builder.errors import ContextError, SourceRange
from layers.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MAX_IGNORE_FILE = 1 << 20
"""Bytes of the largest ``.dockerignore`` that is read."""

_GO_BLANKS = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))


class Cursor(NamedTuple):
    """What the patterns say about one path, and all that is needed to go on to what lies below it."""

    matched: bool
    state: State
    held: int
    """Bits of the groups of patterns that matched this path or one above it."""


class Patterns:
    """A list of patterns, compiled. Matching costs the same for one pattern and for a thousand.

    Neighbours of one sign form a group: once one of them matches, the others cannot change the decision.
    """

    def __init__(self, patterns: Iterable[tuple[bool, Sequence[Item]]] = ()) -> None:
        """Take pairs of whether the pattern had a ``!``, and its parsed rest; :meth:`parse` makes them from text."""
        compiled: list[tuple[int, Sequence[Item]]] = []
        signs: list[bool] = []
        for negated, items in patterns:
            if not signs or signs[-1] is not negated:
                signs.append(negated)
            compiled.append((len(signs) - 1, items))
        self._groups = [(1 << group, negated) for group, negated in enumerate(signs)]
        self._negated = sum(bit for bit, negated in self._groups if negated)
        self._plain = sum(bit for bit, negated in self._groups if not negated)
        self._machine = Machine(compiled)
        self._decisions: dict[tuple[int, int], tuple[bool, int]] = {}

    @classmethod
    def parse(cls, texts: Iterable[str]) -> Patterns:
        """Compile patterns as they are written behind ``--exclude`` or ``--parents``; blank ones count for nothing.

        Raises:
            ContextError: a pattern breaks the grammar.
        """
        return cls([parsed for text in texts if (parsed := parse_pattern(text)) is not None])

    @property
    def root(self) -> Cursor:
        """The root, which no pattern matches."""
        return Cursor(matched=False, state=self._machine.root, held=0)

    def child(self, directory: Cursor, name: bytes) -> Cursor:
        """Go from a directory to what it holds under this name."""
        state = directory.state["/"].after(name)
        matched, held = self._decision(directory.held, state.hits)
        return Cursor(matched, state, held)

    def matches_child(self, directory: Cursor, name: bytes) -> bool:
        """Tell what :meth:`child` would; for names that nothing can be below."""
        return self._decision(directory.held, directory.state["/"].after(name).hits)[0]

    def _decision(self, above: int, hits: int) -> tuple[bool, int]:
        known = self._decisions.get((above, hits))
        if known is None:
            known = self._decisions[above, hits] = self._decide(above, hits)
        return known

    def _decide(self, above: int, hits: int) -> tuple[bool, int]:
        """Weigh the groups in their order: those that matched above, and those that match here."""
        matched, held = False, 0
        for bit, negated in self._groups:
            if above & bit or (hits & bit and negated is matched):
                matched = not negated
                held |= bit
        return matched, held

    def at(self, path: bytes) -> Cursor:
        """Go down from the root to ``path``."""
        cursor = self.root
        if path:
            for name in path.split(b"/"):
                cursor = self.child(cursor, name)
        return cursor

    def matches(self, path: bytes) -> bool:
        """Tell what the patterns decide about ``path``."""
        return self.at(path).matched

    def may_differ_below(self, directory: Cursor) -> bool:
        """Tell whether anything below could be decided otherwise than the directory itself."""
        return bool(directory.state["/"].live & (self._negated if directory.matched else self._plain))


def parse_pattern(text: str) -> tuple[bool, list[Item]] | None:
    """Read one pattern: whether it has a ``!``, and the rest; None where it is blank.

    Raises:
        ContextError: it breaks the grammar.
    """
    text = text.strip(_GO_BLANKS)
    if not text:
        return None
    cleaned = _clean(text)
    negated = cleaned.startswith("!")
    pattern = cleaned[negated:]
    if not pattern:
        raise ContextError('the pattern "!" names nothing', hint='write "!" and a pattern, to include what it matches')
    try:
        return negated, parse_deep_glob(pattern)
    except GlobError as error:
        raise ContextError(
            f'bad pattern "{text}": {error}', hint="escape a literal *, ?, [ or \\ with a backslash"
        ) from None


def _clean(path: str) -> str:
    """Give the shortest form of a path, as Go's ``filepath.Clean`` does."""
    cleaned = posixpath.normpath(path)
    return cleaned[1:] if cleaned.startswith("//") else cleaned


class Rule(NamedTuple):
    """One pattern of an ignore file and where it stands."""

    line: int
    """Counted from 1."""
    text: str
    """As it was written, without blanks around it."""
    negated: bool
    items: tuple[Item, ...]


@frozen
class Ignore:
    """A ``.dockerignore``: which paths of a context no build sees."""

    name: str
    """The file's name, for messages."""
    rules: tuple[Rule, ...]
    patterns: Patterns = field(compare=False, repr=False)

    @classmethod
    def parse(cls, text: bytes | str, name: str = ".dockerignore") -> Ignore:
        """Read an ignore file: a pattern a line, ``#`` in the first column starts a comment.

        Raises:
            ContextError: a pattern breaks the grammar (with its line), or the file is larger than ``MAX_IGNORE_FILE``.
        """
        if len(text) > MAX_IGNORE_FILE:
            raise ContextError(f"{name} has more than {MAX_IGNORE_FILE} bytes")
        if isinstance(text, bytes):
            text = text_of(text)
        rules: list[Rule] = []
        for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
            if line.startswith("#"):
                continue
            try:
                parsed = parse_pattern(_without_root(line.strip(_GO_BLANKS)))
            except ContextError as error:
                raise ContextError(error.message, where=SourceRange(name, number, number), hint=error.hint) from None
            if parsed is not None:
                rules.append(Rule(number, line.strip(_GO_BLANKS), parsed[0], tuple(parsed[1])))
        return cls(name, tuple(rules), Patterns((rule.negated, rule.items) for rule in rules))

    def excludes(self, path: bytes) -> bool:
        """Tell whether a build does not see ``path``; a directory above it that is excluded counts."""
        return self.patterns.matches(path)

    def may_contain_included(self, directory: bytes) -> bool:
        """Tell whether something below may be seen; not so if the directory is excluded and no ``!`` leads into it."""
        cursor = self.patterns.at(directory)
        return not cursor.matched or self.patterns.may_differ_below(cursor)

    def reason(self, path: bytes) -> tuple[int, str] | None:
        """Give the number and text of the last line that excludes ``path``; None where it is not excluded."""
        if not self.excludes(path):
            return None
        for rule in reversed(self.rules):
            if not rule.negated and Patterns([(False, rule.items)]).matches(path):
                return rule.line, rule.text
        return None


def _without_root(line: str) -> str:
    """Make a pattern relative to the context: clean it, and drop its leading slash; a ``!`` stays in front."""
    mark = "!" if line.startswith("!") else ""
    pattern = line[len(mark) :].strip(_GO_BLANKS)
    if pattern:
        pattern = _clean(pattern)
    return mark + (pattern[1:] if len(pattern) > 1 and pattern.startswith("/") else pattern)
