"""The ids of a process, and what the calls that change them make of them.

Spec: credentials(7); setuid(2), setreuid(2), setresuid(2), setfsuid(2), setgroups(2); execve(2); capabilities(7),
"Effect of user ID changes on capabilities".
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

STAYS = 0xFFFFFFFF
"""An id that is not to be changed; no id."""
_MOST_GROUPS = 65536


class Ids(NamedTuple):
    """User ids or group ids."""

    real: int
    effective: int
    saved: int
    files: int
    """By which files are opened, and to which new ones belong."""


class Credentials(NamedTuple):
    """All ids of a process."""

    users: Ids
    groups: Ids
    supplementary: tuple[int, ...] = ()
    keeps: bool = False
    """Whether it is to keep its capabilities when it stops being root."""
    kept: bool = False
    """Whether it has kept them."""

    @property
    def may_change(self) -> bool:
        """Whether it may take any ids."""
        return self.users.effective == 0 or self.kept


def of_user(uid: int, gid: int, supplementary: Sequence[int]) -> Credentials:
    """Give those that a process begins with."""
    return Credentials(Ids(uid, uid, uid, uid), Ids(gid, gid, gid, gid), tuple(sorted(supplementary)))


def executed(before: Credentials, uid: int | None, gid: int | None) -> Credentials:
    """Give what execve leaves: of a file that has a setuid bit, ``uid`` is its owner; so with ``gid``."""
    users, groups = before.users, before.groups
    user = users.effective if uid is None else uid
    group = groups.effective if gid is None else gid
    return Credentials(Ids(users.real, user, user, user), Ids(groups.real, group, group, group), before.supplementary)


def changed(before: Credentials, name: str, arguments: Sequence[int]) -> Credentials:
    """Give what a call (setuid, setgid, setreuid ...) leaves; for setgroups, ``arguments`` are the groups.

    Raises:
        OSError: the error that the call has.
    """
    if name == "setgroups":
        return _with_groups(before, arguments)
    of_users = name.endswith("uid")
    ids = before.users if of_users else before.groups
    asked = [each & STAYS for each in arguments]
    verb = name.removesuffix("uid").removesuffix("gid")
    after = _VERBS[verb](ids, asked, before.may_change)
    if not of_users:
        return before._replace(groups=after)
    was_root, is_root = 0 in ids[:3], 0 in after[:3]
    kept = before.kept or (was_root and not is_root and before.keeps)
    return before._replace(users=after, kept=kept)


def _with_groups(before: Credentials, groups: Sequence[int]) -> Credentials:
    if not before.may_change:
        raise _error(errno.EPERM)
    if len(groups) > _MOST_GROUPS or STAYS in groups:
        raise _error(errno.EINVAL)
    return before._replace(supplementary=tuple(sorted(groups)))


def _set(ids: Ids, asked: Sequence[int], may: bool) -> Ids:  # noqa: FBT001 - as the others
    wanted = asked[0]
    if wanted == STAYS:
        raise _error(errno.EINVAL)
    if may:
        return Ids(wanted, wanted, wanted, wanted)
    if wanted not in {ids.real, ids.saved}:
        raise _error(errno.EPERM)
    return ids._replace(effective=wanted, files=wanted)


def _set_two(ids: Ids, asked: Sequence[int], may: bool) -> Ids:  # noqa: FBT001
    real, effective = asked[:2]
    if not may and (
        real not in {STAYS, ids.real, ids.effective} or effective not in {STAYS, ids.real, ids.effective, ids.saved}
    ):
        raise _error(errno.EPERM)
    after = ids.effective if effective == STAYS else effective
    is_saved = real != STAYS or effective not in {STAYS, ids.real}
    return Ids(ids.real if real == STAYS else real, after, after if is_saved else ids.saved, after)


def _set_three(ids: Ids, asked: Sequence[int], may: bool) -> Ids:  # noqa: FBT001
    wanted = asked[:3]
    if not may and not {*wanted} <= {STAYS, ids.real, ids.effective, ids.saved}:
        raise _error(errno.EPERM)
    real, effective, saved = (old if new == STAYS else new for old, new in zip(ids, wanted, strict=False))
    if (real, effective, saved) == ids[:3] and wanted[1] in {STAYS, ids.files}:  # nothing is to change
        return ids
    return Ids(real, effective, saved, effective)


def _set_files(ids: Ids, asked: Sequence[int], may: bool) -> Ids:  # noqa: FBT001
    wanted = asked[0]
    return ids._replace(files=wanted) if wanted != STAYS and (may or wanted in ids) else ids


_VERBS = {"set": _set, "setre": _set_two, "setres": _set_three, "setfs": _set_files}


def _error(number: int) -> OSError:
    return OSError(number, os.strerror(number))
