"""Secrets and agents that steps may use and no image ever holds."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from builder.errors import StepError
from layers.frozen import frozen

if TYPE_CHECKING:
    from pathlib import Path

_MAX_SECRET = 500 << 10
"""Bytes of the largest secret, as in BuildKit."""


@frozen
class Secret:
    """What ``--secret`` gives: a file that is read when it is needed, or a value."""

    path: Path | None = None
    value: bytes = field(default=b"", repr=False)

    def read(self, name: str) -> bytes:
        """Give the secret's bytes.

        Raises:
            StepError: its file cannot be read, or it is too large.
        """
        value = self.value
        if self.path is not None:
            try:
                with open(self.path, "rb") as file:
                    value = file.read(_MAX_SECRET + 1)
            except OSError as error:
                raise StepError(f"secret {name}: cannot read {self.path}: {error.strerror}") from error
        if len(value) > _MAX_SECRET:
            raise StepError(f"secret {name} has more than {_MAX_SECRET} bytes")
        return value


@frozen
class Agent:
    """What ``--ssh`` gives: the socket of an agent."""

    socket: Path
    raw: bool = False
    """Whether steps get the socket itself and may ask whatever they like."""
