"""Durations as Go writes them: ``1h2m3.5s``, ``300ms``."""

from __future__ import annotations

import re

from builder.errors import DockerfileError

_UNITS = {"ns": 1, "us": 10**3, "µs": 10**3, "μs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_PART = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)")
_WHOLE = re.compile(rf"[+-]?(?:0|(?:{_PART.pattern})+)")
_MILLISECOND = 10**6
_MAX = 2**63 - 1


def nanoseconds(flag: str, text: str) -> int:
    """Give a duration's nanoseconds; 0 where the text is empty or says so.

    Raises:
        DockerfileError: no duration, or less than a millisecond.
    """
    if not text:
        return 0
    if len(text) > 64 or not _WHOLE.fullmatch(text):
        raise DockerfileError(f"--{flag} is no duration: {text[:160]}", hint="write 30s, 5m or 1h30m")
    from fractions import Fraction  # noqa: PLC0415 - start-up time: only where there is one

    total = int(sum(Fraction(number.rstrip(".") or "0") * _UNITS[unit] for number, unit in _PART.findall(text)))
    if total and (text.startswith("-") or total < _MILLISECOND):
        raise DockerfileError(f"--{flag} cannot be less than 1ms: {text}")
    if total > _MAX:
        raise DockerfileError(f"--{flag} is too long: {text}")
    return total
