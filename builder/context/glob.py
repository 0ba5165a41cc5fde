"""Wildcards compiled to one automaton that reads each character of a path once.

Two dialects share the parser: Go's ``filepath.Match`` (sources of COPY and ADD) and that of moby/patternmatcher
(``.dockerignore``, ``--exclude``, ``--parents``), which adds ``**``. A backtracking engine takes exponential time on
patterns such as ``*a*a*a*b``; here the set of places where the patterns may stand is one integer, the steps between
such sets are remembered, and a path costs one dictionary look-up a character, however many patterns there are.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from layers.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class GlobError(ValueError):
    """A pattern that breaks the grammar; the message says how."""


class Wild(Enum):
    """What stands for characters that are not written out."""

    ONE = "?"
    """One character, no slash."""
    STAR = "*"
    """Any characters, no slash."""
    DIRECTORIES = "**/"
    """Nothing, or anything that ends in a slash."""
    ALL = "**"
    """Anything at all."""


@frozen
class CharacterClass:
    """``[a-z]`` or ``[^a-z]``. As in Go, a slash is a character like any other here."""

    ranges: tuple[tuple[str, str], ...]
    negated: bool = False

    def holds(self, character: str) -> bool:
        return any(low <= character <= high for low, high in self.ranges) != self.negated


Item = str | Wild | CharacterClass
"""One piece of a pattern; a ``str`` is one literal character."""


def text_of(path: bytes) -> str:
    """Give a path's characters; bytes that are no UTF-8 count as one character each, as in Go."""
    return path.decode("utf-8", "surrogateescape")


def has_wildcards(pattern: str) -> bool:
    r"""Tell whether an unescaped ``*``, ``?`` or ``[`` occurs; without one, Go takes even ``\`` as written."""
    escaped = False
    for character in pattern:
        if not escaped and character in "*?[":
            return True
        escaped = character == "\\" and not escaped
    return False


def parse_glob(pattern: str) -> list[Item]:
    r"""Read a pattern of ``filepath.Match``.

    Raises:
        GlobError: an open class, an empty or reversed range, a ``\`` at the end.
    """
    items: list[Item] = []
    at = 0
    while at < len(pattern):
        if pattern[at] == "*":
            at += 1
            _add_wild(items, Wild.STAR)
        else:
            item, at = _parse_item(pattern, at)
            items.append(item)
    return items


def parse_deep_glob(pattern: str) -> list[Item]:
    """Read a pattern of moby/patternmatcher, already cleaned and without its ``!``.

    ``**`` swallows a slash behind it. At the end it means anything; before more it means nothing or anything up to a
    slash, but at the start of an otherwise literal pattern it means anything (``**name`` matches ``my-name``).

    Raises:
        GlobError: as :func:`parse_glob`.
    """
    items: list[Item] = []
    at = 0
    while at < len(pattern):
        if pattern.startswith("**", at):
            at += 3 if pattern.startswith("**/", at) else 2
            _add_wild(items, Wild.DIRECTORIES if at < len(pattern) else Wild.ALL)
        elif pattern[at] == "*":
            at += 1
            _add_wild(items, Wild.STAR)
        else:
            item, at = _parse_item(pattern, at)
            items.append(item)
    rest = pattern[2:]
    if pattern.startswith("**") and rest[:1] not in {"", "/"} and not any(special in rest for special in "*?[]\\"):
        items[0] = Wild.ALL
    return items


def _add_wild(items: list[Item], wild: Wild) -> None:
    """Add a star; twice the same means no more than once."""
    if not items or items[-1] is not wild:
        items.append(wild)


def _parse_item(pattern: str, at: int) -> tuple[Item, int]:
    """Read what is no star; give it and where it ends."""
    character = pattern[at]
    if character == "?":
        return Wild.ONE, at + 1
    if character == "[":
        return _parse_class(pattern, at + 1)
    if character == "\\":
        if at + 1 == len(pattern):
            raise GlobError("nothing follows the last backslash")
        return pattern[at + 1], at + 2
    return character, at + 1


def _parse_class(pattern: str, at: int) -> tuple[CharacterClass, int]:
    """Read behind the ``[``. Go wants at least one range, and a backslash before a literal ``-`` or ``]``."""
    negated = pattern.startswith("^", at)
    at += negated
    ranges: list[tuple[str, str]] = []
    while not (ranges and pattern.startswith("]", at)):
        low, at = _parse_bound(pattern, at)
        high = low
        if pattern.startswith("-", at):
            high, at = _parse_bound(pattern, at + 1)
        if low > high:
            raise GlobError(f"the range {low}-{high} is reversed")
        ranges.append((low, high))
    return CharacterClass(tuple(ranges), negated), at + 1


def _parse_bound(pattern: str, at: int) -> tuple[str, int]:
    if pattern.startswith("\\", at):
        at += 1
    elif pattern.startswith(("-", "]"), at):
        raise GlobError(f'"{pattern[at]}" in [...] needs a character before it, or a backslash')
    if at >= len(pattern):
        raise GlobError('a "[" is not closed')
    return pattern[at], at + 1


class State(dict[str, "State"]):
    """Where all patterns stand after some characters; a mapping to the state after one more."""

    __slots__ = ("_machine", "_names", "_places", "hits", "live")

    def __init__(self, machine: Machine, places: int) -> None:
        super().__init__()
        self._machine = machine
        self._places = places
        self._names: dict[bytes, State] = {}
        self.hits = machine.groups_at(places, ends=True)
        """Bits of the groups with a pattern that matches what was read."""
        self.live = machine.groups_at(places, ends=False)
        """Bits of the groups with a pattern that can match something longer."""

    def __missing__(self, character: str) -> State:
        state = self._machine.step(self._places, character)
        self[character] = state
        return state

    def after(self, name: bytes) -> State:
        """Give the state after all characters of a name; the same names are found in many directories."""
        state = self._names.get(name)
        if state is None:
            state = self
            for character in text_of(name):
                state = state[character]
            self._machine.count_step()
            self._names[name] = state
        return state


class Machine:
    """All patterns as one automaton; a pattern belongs to a group, whose number is a bit in a state's ``hits``.

    A place is a position in a pattern, and one bit of an integer; a pattern's last place is its end.
    """

    _MAX_STEPS = 50_000
    """Remembered steps before all are forgotten: patterns can be made that need a new state for each character."""

    def __init__(self, patterns: Iterable[tuple[int, Sequence[Item]]]) -> None:
        self._literals: dict[str, int] = {}
        self._classes: list[tuple[CharacterClass, int]] = []
        self._not_slash_forward = self._slash_forward = 0
        self._any_stay = self._not_slash_stay = 0
        self._skip_one = self._skip_two = 0
        self._groups: dict[int, tuple[int, int]] = {}
        self._size = 0
        starts = 0
        for group, items in patterns:
            starts |= 1 << self._size
            self._add(group, items)
        self._starts = self._close(starts)
        self._forget()

    def _add(self, group: int, items: Sequence[Item]) -> None:
        first = self._size
        for item in items:
            self._add_item(item, 1 << self._size)
            self._size += 2 if item is Wild.DIRECTORIES else 1
        end = 1 << self._size
        self._size += 1
        inner, ends = self._groups.get(group, (0, 0))
        self._groups[group] = (inner | (end - (1 << first)), ends | end)

    def _add_item(self, item: Item, place: int) -> None:
        if isinstance(item, str):
            self._literals[item] = self._literals.get(item, 0) | place
        elif isinstance(item, CharacterClass):
            self._classes.append((item, place))
        elif item is Wild.ONE:
            self._not_slash_forward |= place
        elif item is Wild.STAR:
            self._skip_one |= place
            self._not_slash_stay |= place
        elif item is Wild.ALL:
            self._skip_one |= place
            self._any_stay |= place
        else:  # two places: the second is left by a slash only
            self._skip_one |= place
            self._skip_two |= place
            self._any_stay |= place << 1
            self._slash_forward |= place << 1

    def _close(self, places: int) -> int:
        """Add the places that are reached without a character."""
        while True:
            more = places | (places & self._skip_one) << 1 | (places & self._skip_two) << 2
            if more == places:
                return places
            places = more

    def _forget(self) -> None:
        self._states: dict[int, State] = {}
        self._moves: dict[str, tuple[int, int]] = {}
        self.remembered = 0
        """Steps that are remembered now."""
        self.root = State(self, 0)
        """The state before a path's first component; a slash leads from it to where every pattern starts."""
        self.root["/"] = State(self, self._starts)

    def groups_at(self, places: int, *, ends: bool) -> int:
        """Give the bits of the groups with an end, or with something before its end, in these places."""
        return sum(1 << group for group, masks in self._groups.items() if places & masks[ends])

    def count_step(self) -> None:
        """Count one more step that is remembered."""
        self.remembered += 1
        if self.remembered > self._MAX_STEPS:
            self._forget()

    def step(self, places: int, character: str) -> State:
        """Give the state that one more character leads to."""
        self.count_step()
        forward, stay = self._move(character)
        places = self._close((places & forward) << 1 | places & stay)
        state = self._states.get(places)
        if state is None:
            state = self._states[places] = State(self, places)
        return state

    def _move(self, character: str) -> tuple[int, int]:
        """Give the places that a character leads on from, and those that it stays in."""
        known = self._moves.get(character)
        if known is not None:
            return known
        forward = self._literals.get(character, 0)
        for item, place in self._classes:
            if item.holds(character):
                forward |= place
        stay = self._any_stay
        if character == "/":
            forward |= self._slash_forward
        else:
            forward |= self._not_slash_forward
            stay |= self._not_slash_stay
        self._moves[character] = (forward, stay)
        return forward, stay


class Glob:
    """One pattern of ``filepath.Match``."""

    def __init__(self, pattern: str) -> None:
        """Compile the pattern.

        Raises:
            GlobError: as :func:`parse_glob`.
        """
        self._machine = Machine([(0, parse_glob(pattern))])

    def matches(self, path: bytes) -> bool:
        """Tell whether the whole of ``path`` fits."""
        return bool(self._machine.root["/"].after(path).hits)
