"""When things came to be: history times as BuildKit fills them in, and SOURCE_DATE_EPOCH."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import TYPE_CHECKING

from builder.errors import BuildError

if TYPE_CHECKING:
    from layers.config import History, ImageConfig


def rfc3339(seconds: float) -> str:
    """Give a time as configs hold it: UTC, and a fraction as Go writes it, without zeros at its end."""
    text = dt.datetime.fromtimestamp(seconds, tz=dt.UTC).isoformat().removesuffix("+00:00")
    return f"{text.rstrip('0') if '.' in text else text}Z"


def parse_epoch(text: str) -> int:
    """Read SOURCE_DATE_EPOCH: whole seconds since 1970.

    Raises:
        BuildError: something else.
    """
    try:
        seconds = int(text)
        dt.datetime.fromtimestamp(seconds, tz=dt.UTC)
    except (ValueError, OverflowError, OSError):
        hint = "SOURCE_DATE_EPOCH is a whole number of seconds since 1970-01-01"
        raise BuildError(f"invalid SOURCE_DATE_EPOCH: {text[:80]!r}", hint=hint) from None
    return seconds


def dated(config: ImageConfig, inherited: int, epoch: int | None) -> ImageConfig:
    """Give the config with the times that its new history entries lack.

    An entry without a layer gets the time of the first new layer, or else of the one before it. With an epoch, new
    entries that are younger than it, or without time, get the epoch; the base's keep theirs.

    Args:
        config: a finished config.
        inherited: how many history entries came with the base image.
        epoch: SOURCE_DATE_EPOCH in seconds.
    """
    history = _filled(config.history)
    if epoch is not None:
        limit = rfc3339(epoch)
        new = [replace(each, created=_earlier(each.created, limit)) for each in history[inherited:]]
        history = [*history[:inherited], *new]
    created = history[-1].created if history else None
    for each in history:
        created = each.created or created
    if epoch is not None:
        created = _earlier(created, rfc3339(epoch))
    return replace(config, history=tuple(history), created=created)


def _filled(history: tuple[History, ...]) -> list[History]:
    created: str | None = None
    missing = False
    for each in history:
        if each.created is None:
            missing = True
        else:
            created = each.created
            if missing:
                break
    filled: list[History] = []
    missing = False
    for each in history:
        if each.created is None:
            missing = True
        elif missing:
            created = each.created
        filled.append(each if each.created is not None else replace(each, created=created))
    return filled


def _earlier(created: str | None, limit: str) -> str:
    if created is None or _moment(created) > _moment(limit):
        return limit
    return created


def _moment(text: str) -> dt.datetime:
    """Read an RFC 3339 time; one that cannot be read is as late as can be."""
    try:
        return dt.datetime.fromisoformat(text)
    except ValueError:
        return dt.datetime.max.replace(tzinfo=dt.UTC)
