"""Who files belong to: users and groups looked up in the image's own /etc/passwd and /etc/group."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.context.select import resolve
from builder.errors import StepError
from builder.events import Warned
from layers.store.merged import MergedFiles, reading

if TYPE_CHECKING:
    from builder.errors import SourceRange
    from builder.execute.place import Owner
    from builder.execute.site import Site
    from builder.execute.state import BuildState
    from builder.runtime.runtime import ResolvedUser

_MAX_DATABASE = 10 << 20
"""Bytes of /etc/passwd or /etc/group that are read, as in BuildKit."""


def owner_of(site: Site, state: BuildState, text: str, where: SourceRange) -> Owner:
    """Give the ids that ``--chown`` or USER names for files.

    A name that the image does not have is 0, as in BuildKit; it is warned of.
    """
    from builder.runtime.user import resolve_owner  # noqa: PLC0415 - start-up time: only where names are looked up

    passwd, group = _databases(site, state)
    owner = resolve_owner(text, passwd, group)
    for name in owner.unknown:
        message = f"the image has no user or group {name!r}; the files will belong to {owner.uid}:{owner.gid}"
        site.listener(Warned("UnknownOwner", message, where))
    return owner.uid, owner.gid


def user_of(site: Site, state: BuildState) -> ResolvedUser:
    """Give the ids, groups and home of the USER that runs commands.

    Raises:
        StepError: the image does not have that user or group.
    """
    from builder.runtime.user import resolve_user  # noqa: PLC0415 - as above

    return resolve_user(state.container.user, *_databases(site, state))


def _databases(site: Site, state: BuildState) -> tuple[bytes, bytes]:
    """Give the contents of /etc/passwd and /etc/group; empty where the image has none."""
    files = MergedFiles(site.trees, state.layers, site.scratch)
    return _database(files, b"etc/passwd"), _database(files, b"etc/group")


def _database(files: MergedFiles, path: bytes) -> bytes:
    found = resolve(files, path)
    entry = files.get(found)
    if entry is None or entry.kind != "file":
        return b""
    kept = files.kept(found)
    if kept is not None:
        return kept
    with reading(files.open(found)) as file:
        content = file.read(min(entry.size, _MAX_DATABASE) + 1)
    if entry.size > _MAX_DATABASE:
        raise StepError(f"/{path.decode()} has more than {_MAX_DATABASE} bytes")
    return content[: entry.size]
