"""The values of secrets, looked for in all that a build puts into its image.

A step may read a secret; what it writes is the image's, for good. So each new layer, config and entry of the history is
searched for the values, as they are and in base64, before it is stored. What is remembered of earlier builds is not
searched again: it was when it was made, for the secrets of that build. Values are never written down, hashed or not.
"""

from __future__ import annotations

import base64
import re
from dataclasses import field, replace
from typing import TYPE_CHECKING, Literal

from builder.errors import LeakError, StepError
from builder.events import Warned
from layers.changeset.search import Search
from layers.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from builder.errors import SourceRange
    from builder.events import Listener
    from builder.execute.secrets import Secret
    from builder.execute.state import BuildState

ScanMode = Literal["error", "warn", "off"]

_SHORTEST = 8
"""Bytes: shorter values are in half of all programs."""
_WORD = re.compile(rb"[A-Za-z]{1,15}")
"""A name or a word: no token of that length has letters only, and a user's name is often given as a secret."""
_DIFFERENT = 5
"""Bytes that differ from one another: eight zeros are no secret."""
RULE = "SecretInImage"
"""The name of the warning."""
_HINT = (
    "mount the secret in the one RUN that needs it and write it nowhere; "
    "if this is no leak, build with --secret-scan=warn or off"
)


@frozen
class Guard:
    """Looks for values at one place of a Dockerfile; the default looks for nothing."""

    values: tuple[tuple[str, bytes], ...] = field(default=(), repr=False)
    """Ids of secrets, and what of each is looked for."""
    listener: Listener | None = None
    """Who is told of what is found; None makes it an error."""
    where: SourceRange | None = None
    told: set[str] = field(default_factory=set)
    """What the listener knows already."""

    def at(self, where: SourceRange) -> Guard:
        """Give the guard of one instruction."""
        return replace(self, where=where) if self.values else self

    def search(self) -> LayerSearch | None:
        """Give what looks at a layer; None where there is nothing to look for."""
        return LayerSearch(self) if self.values else None

    def check_history(self, created_by: str) -> None:
        """Look at what is to be an entry of the history.

        Raises:
            LeakError: it has a secret's value, and that is an error.
        """
        self._check("the history of the image", (created_by,))

    def check_config(self, before: BuildState, after: BuildState) -> None:
        """Look at what an instruction has changed of the config, and at the history that it has added.

        Raises:
            LeakError: as :meth:`check_history`.
        """
        if not self.values:
            return
        old = before.container.to_json()
        for key, value in after.container.to_json().items():
            if old.get(key) != value:
                self._check(f"the config of the image ({key})", set(_strings(value)) - set(_strings(old.get(key))))
        for entry in after.config.history[len(before.config.history) :]:
            self.check_history(entry.created_by)

    def check_pairs(self, option: str, pairs: Mapping[str, str]) -> None:
        """Look at labels or annotations that an option gives.

        Raises:
            LeakError: as :meth:`check_history`.
        """
        self._check(f"what {option} says", _strings(dict(pairs)))

    def _check(self, place: str, texts: Iterable[str]) -> None:
        for text in texts if self.values else ():
            content = text.encode("utf-8", "surrogateescape")
            for name, value in self.values:
                if value in content:
                    self.tell(name, place)

    def tell(self, name: str, place: str) -> None:
        """Say that a secret's value is in a place: by an error, or else to the listener, once.

        Raises:
            LeakError: there is no listener.
        """
        for _, value in self.values:
            place = place.replace(value.decode(errors="backslashreplace"), "***")
        message = f"the value of secret {name!r} is in {place}"
        if self.listener is None:
            raise LeakError(message, where=self.where, hint=_HINT)
        if message not in self.told:
            self.told.add(message)
            self.listener(Warned(RULE, message, self.where))


class LayerSearch(Search):
    """Looks at one layer; ``found`` tells whether anything was there."""

    def __init__(self, guard: Guard) -> None:
        super().__init__(guard.values, self._tell)
        self.found = False
        self._guard = guard

    def _tell(self, name: str, path: bytes) -> None:
        self.found = True
        self._guard.tell(name, f"/{path.decode(errors='backslashreplace')} of the step's layer")


def guard_of(secrets: Mapping[str, Secret], mode: ScanMode, listener: Listener) -> Guard:
    """Give what looks for the values of these secrets; one that cannot be read is in no layer either."""
    if mode == "off":
        return Guard()
    values: list[tuple[str, bytes]] = []
    for name, secret in secrets.items():
        try:
            value = secret.read(name).strip()
        except StepError:
            continue
        if _is_worth_it(value):
            values += ((name, each) for each in (value, *_in_base64(value)))
    return Guard(tuple(values), listener if mode == "warn" else None)


def _is_worth_it(value: bytes) -> bool:
    """Tell whether finding a value says that it was leaked."""
    return len(value) >= _SHORTEST and len(set(value)) >= _DIFFERENT and not _WORD.fullmatch(value)


def _in_base64(value: bytes) -> Iterator[bytes]:
    """Give what base64 of any text with the value in it must hold, wherever in the text the value begins."""
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + value).rstrip(b"=")
        partial = (before + len(value)) % 3 != 0  # the last character depends on what follows
        yield encoded[(0, 2, 3)[before] : len(encoded) - partial]


def _strings(value: object) -> Iterator[str]:
    """Give every string in a JSON value, keys too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, each in value.items():
            yield key
            yield from _strings(each)
    elif isinstance(value, list):
        for each in value:
            yield from _strings(each)
