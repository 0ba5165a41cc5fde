"""Sizes and times as Docker shows them to people."""

from __future__ import annotations

import datetime as dt
import re

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB")
_SIZE = re.compile(r"(\d{1,18}(?:\.\d{1,18})?) ?([kmgtp]?)i?b?", re.IGNORECASE)
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h|d|w)")
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_NEVER = "0001-01-01 00:00:00 +0000 UTC"


def size(count: int, digits: int = 4) -> str:
    """Give bytes in powers of ten with so many significant digits: ``1.234MB``."""
    value = float(count)
    unit = 0
    while value >= 1000 and unit < len(_UNITS) - 1:
        value /= 1000
        unit += 1
    return f"{value:.{digits}g}{_UNITS[unit]}"


def parse_size(text: str) -> int | None:
    """Read ``512MB`` or ``1.5GB``, powers of 1024 as Docker's options are; None where it is no size."""
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        return None
    return int(float(found[1]) * 1024 ** "kmgtp".find(found[2].lower()) * 1024 if found[2] else float(found[1]))


def ago(created: str | None, now: dt.datetime | None = None) -> str:
    """Give how long ago a time was: ``About an hour ago``; ``N/A`` where nobody knows."""
    moment = parse_time(created)
    if moment is None:
        return "N/A"
    return f"{duration((now or dt.datetime.now(tz=dt.UTC)) - moment)} ago"


def duration(length: dt.timedelta) -> str:
    """Give a length of time in the one unit that suits it."""
    seconds = int(length.total_seconds())
    minutes, hours = int(seconds / 60), int(seconds / 3600 + 0.5)
    if seconds < 1:
        return "Less than a second"
    if seconds < 60:
        return f"{seconds} second{'s' * (seconds > 1)}"
    if minutes < 60:
        return "About a minute" if minutes == 1 else f"{minutes} minutes"
    if hours < 48:
        return "About an hour" if hours == 1 else f"{hours} hours"
    days = hours // 24
    if hours < 24 * 14:
        return f"{days} days"
    if hours < 24 * 60:
        return f"{days // 7} weeks"
    return f"{days // 30} months" if hours < 24 * 365 * 2 else f"{hours // 24 // 365} years"


def parse_time(text: str | None) -> dt.datetime | None:
    """Read a time of RFC 3339, and give it in UTC; None where there is none, or the one that Go writes for none."""
    if not text:
        return None
    try:
        moment = dt.datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text))
        moment = moment.astimezone(dt.UTC) if moment.tzinfo is not None else moment.replace(tzinfo=dt.UTC)
    except (ValueError, OverflowError):  # the last hours of the year 9999 have no time in UTC
        return None
    return moment if moment.year > 1 else None


def created_at(text: str | None) -> str:
    """Give a time as Go prints one: ``2026-11-23 16:34:42 +0000 UTC``."""
    moment = parse_time(text)
    return f"{moment:%Y-%m-%d %H:%M:%S} +0000 UTC" if moment else _NEVER


def rfc3339(text: str | None) -> str:
    """Give a time in whole seconds of UTC: ``2026-11-23T16:34:42Z``."""
    moment = parse_time(text)
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}" if moment else "N/A"


def point_in_time(text: str, now: dt.datetime | None = None) -> dt.datetime | None:
    """Read what ``--filter until=`` takes: a time, seconds since 1970, or how long ago; None for anything else."""
    parts = _DURATION.findall(text)
    if parts and "".join(number + unit for number, unit in parts) == text:
        try:
            length = dt.timedelta(seconds=sum(float(number) * _SECONDS[unit] for number, unit in parts))
            return (now or dt.datetime.now(tz=dt.UTC)) - length
        except OverflowError:
            return None
    if re.fullmatch(r"\d{1,11}(?:\.\d+)?", text):
        return dt.datetime.fromtimestamp(float(text), tz=dt.UTC)
    return parse_time(text)
