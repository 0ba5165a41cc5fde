"""``--chmod``: an octal mode, or symbolic changes.

Spec: Dockerfile reference, "COPY --chmod"; symbolic modes as in chmod(1).
"""

from __future__ import annotations

import re

from builder.errors import DockerfileError
from layers.frozen import frozen

_CLAUSE = re.compile(r"([ugoa]*)((?:[-+=](?:[ugo]|[rwxXst]*))+)")
_ACTION = re.compile(r"([-+=])([ugo]|[rwxXst]*)")
_SHIFT = {"u": 6, "g": 3, "o": 0}
_BITS = {"r": 4, "w": 2, "x": 1}


@frozen
class Chmod:
    """A change of permissions."""

    octal: int | None
    clauses: tuple[tuple[str, str, str], ...] = ()
    """Who (``ugo``), operator and permissions, in order."""

    @classmethod
    def parse(cls, text: str) -> Chmod:
        """Read ``755``, ``u=rwX,go=rX`` and their like.

        Raises:
            DockerfileError: neither form.
        """
        if re.fullmatch(r"[0-7]{1,5}", text) and int(text, 8) <= 0o7777:
            return cls(int(text, 8))
        clauses: list[tuple[str, str, str]] = []
        for clause in text.split(","):
            found = _CLAUSE.fullmatch(clause)
            if found is None:
                hint = "use an octal mode such as 0755 or a symbolic one such as u=rwX,go=rX"
                raise DockerfileError(f"invalid chmod parameter: {text!r}", hint=hint)
            who = "ugo" if not found[1] or "a" in found[1] else found[1]
            clauses += [(who, operator, permissions) for operator, permissions in _ACTION.findall(found[2])]
        return cls(None, tuple(clauses))

    def apply(self, mode: int, *, directory: bool) -> int:
        """Give the mode after the change."""
        if self.octal is not None:
            return self.octal
        for who, operator, permissions in self.clauses:
            mode = _changed(mode, who, operator, permissions, directory=directory)
        return mode


def _changed(mode: int, who: str, operator: str, permissions: str, *, directory: bool) -> int:
    bits, mask = 0, 0
    for each in set(who):
        mask |= 7 << _SHIFT[each]
        bits |= _permissions(mode, permissions, directory=directory) << _SHIFT[each]
    if "s" in permissions:
        bits |= (0o4000 if "u" in who else 0) | (0o2000 if "g" in who else 0)
    if "t" in permissions:
        bits |= 0o1000
    if operator == "+":
        return mode | bits
    if operator == "-":
        return mode & ~bits
    return mode & ~mask | bits


def _permissions(mode: int, permissions: str, *, directory: bool) -> int:
    if permissions in _SHIFT:
        return mode >> _SHIFT[permissions] & 7
    bits = sum(_BITS[each] for each in set(permissions) if each in _BITS)
    if "X" in permissions and (directory or mode & 0o111):
        bits |= 1
    return bits
