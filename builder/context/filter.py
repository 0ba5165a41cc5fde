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

    For each walk a new one. ``skip`` wants its questions in the walk's order: a directory before what it holds, its
    content before the next name.
    """

    def __init__(
        self, exclude: tuple[Patterns, Cursor] | None = None, include: tuple[Patterns, Cursor] | None = None
    ) -> None:
        """Start where the walk starts: each cursor stands at the walk's root."""
        self._rules = [(rule[0], wanted) for rule, wanted in ((exclude, False), (include, True)) if rule is not None]
        cursors = [rule[1] for rule in (exclude, include) if rule is not None]
        self._above: list[tuple[bytes, list[Cursor]]] = [(b"", cursors)]
        self._hidden: set[bytes] = set()

    def skip(self, path: bytes, directory: bool) -> bool:  # noqa: FBT001 - the form of Skip
        """Tell whether the walk has no business with ``path``."""
        while not path.startswith(self._above[-1][0]):
            self._above.pop()
        name = path[len(self._above[-1][0]) :]
        cursors: list[Cursor] = []
        hidden = False
        for (patterns, wanted), above in zip(self._rules, self._above[-1][1], strict=True):
            cursor = patterns.child(above, name)
            if cursor.matched is not wanted:
                if not directory or not patterns.may_differ_below(cursor):
                    return True
                hidden = True
            cursors.append(cursor)
        if directory:
            self._above.append((path + b"/", cursors))
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
