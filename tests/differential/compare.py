"""What tells two images apart: file systems path by path, configs field by field, histories entry by entry."""

from __future__ import annotations

import itertools
import re
import time
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.support.merging import File, Merged

_DAY = 24 * 60 * 60
_NOW = "now"


class Difference(NamedTuple):
    """One thing that is not the same; ``at`` is ``/path field``, ``config Field`` or ``history number field``."""

    at: str
    ours: Any
    theirs: Any


def differences(ours: Merged, theirs: Merged, *, history: bool = True) -> list[Difference]:
    """Give all differences between two images."""
    found = [*_files(ours, theirs), *_config(ours.config, theirs.config)]
    if history:
        found += _history(ours.config, theirs.config)
    return found


def _files(ours: Merged, theirs: Merged) -> Iterator[Difference]:
    our_names, their_names = ours.names(), theirs.names()
    for path in sorted(ours.files.keys() | theirs.files.keys()):
        shown = "/" + _text(path)
        one, other = ours.files.get(path), theirs.files.get(path)
        if one is None or other is None or one.kind != other.kind:
            yield Difference(f"{shown} kind", one.kind if one else None, other.kind if other else None)
            continue
        yield from _fields(shown, _seen(one, our_names[path]), _seen(other, their_names[path]))
        ours_at, theirs_at = _time(one), _time(other)
        # The time of a directory is defined where it was copied, not where its content changed.
        if ours_at != theirs_at and not (one.kind == "directory" and theirs_at == _NOW):
            yield Difference(f"{shown} mtime", ours_at, theirs_at)


def _seen(file: File, names: frozenset[bytes]) -> dict[str, Any]:
    return {
        "mode": f"{file.mode:04o}" if file.kind != "symlink" else "",
        "owner": f"{file.uid}:{file.gid}",
        "size": file.size,
        "content": file.sha256,
        "target": _text(file.target),
        "device": list(file.device),
        "xattrs": {name: _text(value) for name, value in sorted(file.xattrs.items())},
        "names": sorted(_text(name) for name in names),
    }


def _time(file: File) -> int | str:
    return _NOW if abs(time.time() - file.mtime) < _DAY else file.mtime


def _config(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Iterator[Difference]:
    yield from _fields("config", _given(ours["config"]), _given(theirs["config"]))
    for name in ("architecture", "author", "os", "variant"):
        if ours.get(name) != theirs.get(name):
            yield Difference(f"config {name}", ours.get(name), theirs.get(name))


def _given(config: Mapping[str, Any]) -> dict[str, Any]:
    """Give the fields that say something: null, false and empty texts do not, and Image is an id of Docker's own."""
    return {
        name: value for name, value in config.items() if name != "Image" and (isinstance(value, dict | list) or value)
    }


def _as_older(created_by: str) -> str:
    """Give a history entry in the words of the older BuildKit, where they are others for every Dockerfile.

    It leaves out ``--chown`` and ``--chmod``, gives ARG its default and not its value (which RUN's entries show), and
    prints EXPOSE and HEALTHCHECK as other types of Go.
    """
    if created_by.startswith(("COPY ", "ADD ")):
        return re.sub(r"(?<= )--(chown|chmod)=\S+ ", "", created_by)
    if created_by.startswith("EXPOSE ["):
        return f"EXPOSE map[{' '.join(f'{port}:{{}}' for port in sorted(set(created_by[8:-1].split())))}]"
    name, _, _ = created_by.partition(" ")
    return name if name in {"ARG", "HEALTHCHECK"} else created_by


def _history(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Iterator[Difference]:
    entries: list[list[dict[str, Any]]] = [list(each["history"]) for each in (ours, theirs)]
    for number, pair in enumerate(itertools.zip_longest(*entries, fillvalue={})):
        shown = [{name: value for name, value in each.items() if name != "created"} for each in pair]
        for each in shown:
            each["created_by"] = _as_older(each.get("created_by", ""))
        yield from _fields(f"history {number}", *shown)


def _fields(where: str, ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Iterator[Difference]:
    for name in sorted(ours.keys() | theirs.keys()):
        if ours.get(name) != theirs.get(name):
            yield Difference(f"{where} {name}", ours.get(name), theirs.get(name))


def _text(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")
