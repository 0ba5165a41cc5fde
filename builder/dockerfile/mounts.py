"""``RUN --mount=type=...,key=value,...``.

Reference: Dockerfile reference, "RUN --mount".
"""

from __future__ import annotations

import csv
import re
from typing import TYPE_CHECKING

from builder.dockerfile.suggest import did_you_mean
from builder.errors import DockerfileError
from layers.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Callable

TYPES = ("bind", "cache", "tmpfs", "secret", "ssh")
SHARING = ("shared", "private", "locked")
_SAME_KEY = {
    "src": "source", "dst": "target", "destination": "target", "ro": "readonly", "rw": "readwrite",
}  # fmt: skip
_KEYS = (
    "type", "from", "source", "target", "readonly", "readwrite", "id", "sharing", "required", "size", "mode",
    "uid", "gid", "env",
)  # fmt: skip
_ALONE = frozenset({"readonly", "readwrite", "required"})
_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([kmgtp]?)(i?b)?", re.IGNORECASE)
_MAX_ID = 2**32 - 1


@frozen
class RunMount:
    """One ``--mount``; before expansion only ``options``, ``from_stage`` and a literal ``type`` are known."""

    options: str
    """As written."""
    type: str = "bind"
    target: str = ""
    source: str = ""
    from_stage: str | None = None
    """A stage's name, a named context or an image; None is the build context, or nothing for a cache."""
    id: str = ""
    readonly: bool = True
    sharing: str = "shared"
    uid: int | None = None
    gid: int | None = None
    mode: int | None = None
    size: int = 0
    """Bytes of a tmpfs; 0 is no limit."""
    required: bool = False
    env: str | None = None
    """The variable that holds a secret; "" is the secret's id."""

    @property
    def secret_id(self) -> str:
        """The name of the secret, whichever of id, source and target gives it."""
        return self.source or self.id or self.target.rstrip("/").rsplit("/", 1)[-1]

    @property
    def secret_target(self) -> str | None:
        """Where the secret's file is to be; None where it is only a variable."""
        if self.target or self.env is not None:
            return self.target or None
        return "/run/secrets/" + self.secret_id.rstrip("/").rsplit("/", 1)[-1]


def written_mount(options: str) -> RunMount:
    """Read what can be known of a mount before its variables are: where it comes from.

    Raises:
        DockerfileError: quotes that do not close, a variable in ``from``.
    """
    source, kind = None, "bind"
    for key, value in _fields(options):
        if key == "from":
            if "$" in (value or "")[:-1]:
                raise DockerfileError(
                    "'from' doesn't support variable expansion, define alias stage instead",
                    hint="write FROM $NAME AS name above and from=name here",
                )
            source = value
        elif key == "type" and value and value.lower() in TYPES:
            kind = value.lower()
    return RunMount(options, kind, from_stage=source or None)


def read_mount(options: str, expand: Callable[[str], str]) -> RunMount:
    """Read a mount whole, each value expanded first.

    Raises:
        DockerfileError: an unknown key, type or sharing; a value that is none; keys that do not go together.
    """
    values: dict[str, str] = {}
    for key, value in _fields(options):
        name = _SAME_KEY.get(key, key)
        if name not in _KEYS:
            raise DockerfileError(
                f"unexpected key {key[:160]!r} in mount {options[:300]!r}", hint=did_you_mean(key, [*_KEYS, *_SAME_KEY])
            )
        if value is None and name not in _ALONE:
            raise DockerfileError(f"invalid field {key[:160]!r} must be a key=value pair")
        if name == "readwrite":
            name, opposite = "readonly", True
        else:
            opposite = False
        text = "true" if value is None else expand(value)
        values[name] = str(_boolean(key, text) != opposite) if name in _ALONE else text
    return _mount(options, values)


def _fields(options: str) -> list[tuple[str, str | None]]:
    """Cut the options at commas outside double quotes; give each key in lower case, and its value."""
    try:
        rows = list(csv.reader([options], strict=True))
    except csv.Error as error:
        raise DockerfileError(f"mount {options[:300]!r} cannot be read: {error}") from None
    found: list[tuple[str, str | None]] = []
    for field in rows[0] if rows else []:
        key, equals, value = field.partition("=")
        found.append((key.lower(), value if equals else None))
    return found


def _mount(options: str, values: dict[str, str]) -> RunMount:
    kind = _one_of("mount type", values.get("type", "bind"), TYPES)
    sharing = _one_of("sharing value", values["sharing"], SHARING) if "sharing" in values else ""
    mount = RunMount(
        options,
        kind,
        target=values.get("target", ""),
        source=values.get("source", ""),
        from_stage=values.get("from") or None,
        id=values.get("id", ""),
        readonly=values["readonly"] == "True" if "readonly" in values else kind not in {"cache", "tmpfs"},
        sharing=sharing or "shared",
        uid=_number("uid", values, 10),
        gid=_number("gid", values, 10),
        mode=_number("mode", values, 8),
        size=_size(values.get("size", "0")),
        required=values.get("required") == "True",
        env=values.get("env"),
    )
    _check(mount, values)
    return mount


def _check(mount: RunMount, values: dict[str, str]) -> None:
    """Refuse keys that the mount's type does not have.

    Raises:
        DockerfileError: the first of them.
    """
    kinds = {
        "required": ("secret", "ssh"),
        "size": ("tmpfs",),
        "mode": ("secret", "ssh", "cache"),
        "uid": ("secret", "ssh", "cache"),
        "gid": ("secret", "ssh", "cache"),
        "sharing": ("cache",),
    }
    for key, allowed in kinds.items():
        if key in values and mount.type not in allowed:
            raise DockerfileError(
                f"unexpected key {key!r} for mount type {mount.type!r}",
                hint=f"{key} is for {' and '.join(allowed)} mounts",
            )
    if mount.type != "secret":
        return
    if mount.from_stage:
        raise DockerfileError("secret mount should not have a from")
    if not (mount.source or mount.target or mount.id):
        raise DockerfileError(
            "invalid secret mount: one of id, source, target required", hint="--mount=type=secret,id=NAME"
        )
    if mount.source and mount.id:
        raise DockerfileError("both source and id can't be set", hint="for a secret they mean the same")


def _one_of(what: str, value: str, known: tuple[str, ...]) -> str:
    if value.lower() not in known:
        hint = did_you_mean(value, known, f"there are {', '.join(known)}")
        raise DockerfileError(f"unsupported {what} {value[:160]!r}", hint=hint)
    return value.lower()


def _boolean(key: str, value: str) -> bool:
    if value in {"1", "t", "T", "true", "TRUE", "True"}:
        return True
    if value in {"0", "f", "F", "false", "FALSE", "False"}:
        return False
    raise DockerfileError(f"invalid value for {key}: {value[:160]}", hint="true or false")


def _number(key: str, values: dict[str, str], base: int) -> int | None:
    if key not in values:
        return None
    text = values[key]
    digits = "01234567" if base == 8 else "0123456789"
    number = int(text, base) if text and len(text) < 20 and all(char in digits for char in text) else -1
    if not 0 <= number <= _MAX_ID:
        raise DockerfileError(f"invalid value {text[:160]} for {key}")
    return number


def _size(text: str) -> int:
    """Give the bytes that ``64m`` or ``1.5 GiB`` are: units of 1024."""
    found = _SIZE.fullmatch(text.strip()) if len(text) < 40 else None
    if found is None:
        raise DockerfileError(f"invalid value for size: {text[:160]}", hint="a number with k, m, g or t")
    power = " kmgtp".index(found[2].lower() or " ")
    return int(float(found[1]) * 1024**power)
