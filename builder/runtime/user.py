"""Users and groups by the names and numbers that USER and ``--chown`` give.

The two differ on purpose, as in BuildKit: USER looks a number up in the image's /etc/passwd, ``--chown`` does not.
Content of the image's files comes in as bytes; a name in them may be any bytes but colon and newline.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from builder.errors import StepError
from builder.runtime.runtime import ResolvedUser

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_FILE = 10 << 20
"""Bytes of /etc/passwd and /etc/group that are read."""
MAX_ID = (1 << 32) - 2
"""The highest id: the one above means "do not change" to chown."""


class _User(NamedTuple):
    name: str
    uid: int
    gid: int
    home: str


class _Group(NamedTuple):
    name: str
    gid: int
    members: list[str]


class Owner(NamedTuple):
    """Who shall own a file, and which of the names asked for were not found."""

    uid: int
    gid: int
    unknown: tuple[str, ...] = ()


def resolve_user(user: str, passwd: bytes, group: bytes) -> ResolvedUser:
    """Give the user of a RUN: ``USER name``, ``uid``, ``name:group``, ``uid:gid`` in any mixture; "" is root.

    Two numbers are taken as they are. A user without a group has the one of /etc/passwd (0 for a number that is not
    there) and is in every group of /etc/group that lists him; an explicit group is his only one. HOME is from
    /etc/passwd, else ``/``.

    Raises:
        StepError: a name that the image does not have, or a number out of range.
    """
    name, _, group_name = user.partition(":")
    name = name or "0"
    number = _number(name)
    entry = _find_user(passwd, name, number)
    if entry is None and number is None:
        raise StepError(f"unable to find user {name}: no matching entries in passwd file", hint=_hint("user", name))
    home = (entry.home if entry else "") or "/"
    both = _number_or_root(name), _number_or_root(group_name)
    if both[0] is not None and both[1] is not None:
        return ResolvedUser(both[0], both[1], (), home)
    uid = entry.uid if entry else number or 0
    if group_name:
        return ResolvedUser(uid, _group_id(group_name, group), (), home)
    gid = entry.gid if entry else 0
    groups = tuple(sorted({each.gid for each in _groups(group) if entry and entry.name in each.members} - {gid}))
    return ResolvedUser(uid, gid, groups, home)


def resolve_owner(owner: str, passwd: bytes, group: bytes) -> Owner:
    """Give the owner that ``--chown=user[:group]`` names.

    A number is the user and the group; a name has its primary group, and nothing after a colon is group 0. A user name
    that the image does not have is 0, a group name it does not have is the user's group; both are listed in
    ``unknown``, to be warned of.

    Raises:
        StepError: a number out of range.
    """
    name, colon, group_name = owner.partition(":")
    unknown: list[str] = []
    uid = gid = 0
    number = _number_or_root(name) if name else 0
    if number is not None:
        uid = gid = number
    elif (entry := _find_user(passwd, name, None)) is not None:
        uid, gid = entry.uid, entry.gid
    else:
        unknown.append(name)
    if group_name:
        group_number = _number_or_root(group_name)
        named = next((each.gid for each in _groups(group) if each.name == group_name), None)
        if group_number is not None:
            gid = group_number
        elif named is not None:
            gid = named
        else:
            unknown.append(group_name)
    elif colon:
        gid = 0
    return Owner(uid, gid, tuple(unknown))


def _find_user(passwd: bytes, name: str, number: int | None) -> _User | None:
    """Give the first line that has the number or, where there is none, the name: 1000 is never someone's name."""
    if number is not None:
        return next((each for each in _users(passwd) if each.uid == number), None)
    return next((each for each in _users(passwd) if each.name == name), None)


def _group_id(name: str, group: bytes) -> int:
    number = _number(name)
    for each in _groups(group):
        if each.name == name and number is None:
            return each.gid
    if number is None:
        raise StepError(f"unable to find group {name}: no matching entries in group file", hint=_hint("group", name))
    return number


def _hint(kind: str, name: str) -> str:
    return f'the image has no {kind} "{name}": create it in a RUN before, or use a number'


def _number(text: str) -> int | None:
    """Give an id in decimal digits; None for a name.

    Raises:
        StepError: a number that is no id.
    """
    if not (text.isascii() and text.isdecimal()):
        return None
    value = int(text[:20])
    if value > MAX_ID:
        raise StepError(f"user or group {text[:40]} is out of range: ids go from 0 to {MAX_ID}")
    return value


def _number_or_root(text: str) -> int | None:
    """Give an id as ``_number`` does; root is 0, whatever the image says of him."""
    return 0 if text == "root" else _number(text)


def _users(content: bytes) -> Iterator[_User]:
    for fields in _lines(content, 4):
        uid, gid = _field_number(fields[2]), _field_number(fields[3])
        if uid is not None and gid is not None:
            yield _User(fields[0], uid, gid, fields[5] if len(fields) > 5 else "")


def _groups(content: bytes) -> Iterator[_Group]:
    for fields in _lines(content, 3):
        gid = _field_number(fields[2])
        if gid is not None:
            yield _Group(fields[0], gid, [name for name in fields[3].split(",") if name] if len(fields) > 3 else [])


def _lines(content: bytes, least: int) -> Iterator[list[str]]:
    """Give the fields of each line that has ``least`` of them; others, comments and NIS marks are skipped."""
    for line in content[:MAX_FILE].split(b"\n"):
        fields = [os.fsdecode(field.strip()) for field in line.split(b":")]
        if len(fields) >= least and fields[0] and not fields[0].startswith(("#", "+", "-")):
            yield fields


def _field_number(text: str) -> int | None:
    if not (text.isascii() and text.isdecimal() and len(text) <= 10):
        return None
    value = int(text)
    return value if value <= MAX_ID else None
