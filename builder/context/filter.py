"""What a walk leaves out, and the directories that it gives only when something in them is wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from builder.context.ignore import Cursor, Patterns

    Skip = Callable[[bytes, bool], bool]
    """Asked with a path and whether it is a directory; True leaves it out, and a directory with all that it holds."""

_Found = TypeVar("_Found", bound=tuple[Any, ...])


class Filter:
    """Patterns carried along one walk: keep what ``include`` matches (where given) and ``exclude`` does not.

    For each walk a new one. ``skip`` wants to be asked of a directory before what is in it, and of all that is in it
    before the next one.
    """

    def __init__(
        self, exclude: tuple[Patterns, Cursor] | None = None, include: tuple[Patterns, Cursor] | None = None
    ) -> None:
        """Start where the walk starts: each cursor stands at the walk's root."""
        rules = [(*rule, wanted) for rule, wanted in ((exclude, False), (include, True)) if rule is not None]
        self._above: list[tuple[bytes, list[tuple[Patterns, Cursor, bool]]]] = [(b"", rules)]
        self._hidden: set[bytes] = set()

    def skip(self, path: bytes, directory: bool) -> bool:  # noqa: FBT001 - the form of Skip
        """Tell whether the walk has no business with ``path``."""
        while not path.startswith(self._above[-1][0]):
            self._above.pop()
        prefix, rules = self._above[-1]
        name = path[len(prefix) :]
        if not directory:
            for patterns, above, wanted in rules:  # noqa: SIM110 - asked for each file: a generator takes longer
                if patterns.matches_child(above, name) is not wanted:
                    return True
            return False
        below: list[tuple[Patterns, Cursor, bool]] = []
        hidden = False
        for patterns, above, wanted in rules:
            cursor = patterns.child(above, name)
            if cursor.matched is not wanted:
                if not patterns.may_differ_below(cursor):
                    return True
                hidden = True
            below.append((patterns, cursor, wanted))
        self._above.append((path + b"/", below))
        if hidden:
            self._hidden.add(path)
        return False

    def reveal(self, found: Iterator[_Found]) -> Iterator[_Found]:
        """Hold back the directories that are not wanted themselves until something wanted is found in them.

        Of what the walk gives, the path comes first.
        """
        held: list[_Found] = []
        for each in found:
            path: bytes = each[0]
            while held and not path.startswith(held[-1][0] + b"/"):
                held.pop()
            if path in self._hidden:
                self._hidden.remove(path)
                held.append(each)
                continue
            yield from held
            held.clear()
            yield each
