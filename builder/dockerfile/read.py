"""A logical line to a typed instruction: what each instruction takes, and what it refuses."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from builder.dockerfile import instructions as ins
from builder.dockerfile.arguments import json_words, pairs, plain_words, quoted_words, split_name
from builder.dockerfile.durations import nanoseconds
from builder.dockerfile.flags import Flags, split_flags
from builder.dockerfile.heredoc import Heredoc, heredoc_of
from builder.dockerfile.mounts import written_mount
from builder.dockerfile.suggest import did_you_mean
from builder.dockerfile.words import BLANKS
from builder.errors import DockerfileError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from builder.dockerfile.flags import Kind
    from builder.dockerfile.source import Line
    from builder.errors import SourceRange

_STAGE_NAME = re.compile(r"[a-z][a-z0-9-_.]*")
_BLANKS = re.compile(f"[{BLANKS}]+")
_NETWORKS = ("default", "none", "host")
_SECURITY = ("sandbox", "insecure")


_NO_FLAGS = Flags((), {})


class _Parts(NamedTuple):
    """A line cut at its joints."""

    name: str
    """In upper case."""
    flags: list[str]
    rest: str
    heredocs: tuple[Heredoc, ...]
    where: SourceRange
    text: str
    escape: str

    def read_flags(self, texts: str = "", switches: str = "", lists: str = "") -> Flags:
        """Read the flags of an instruction that has these; names are divided by blanks."""
        if not self.flags:
            return _NO_FLAGS
        kinds: dict[str, Kind] = dict.fromkeys(texts.split(), "string")
        kinds.update(dict.fromkeys(switches.split(), "bool"))
        kinds.update(dict.fromkeys(lists.split(), "strings"))
        return Flags(self.flags, kinds)


def read_instruction(line: Line, escape: str) -> ins.Instruction:
    """Read one logical line.

    Raises:
        DockerfileError: an unknown instruction or flag, arguments that it does not take; with where it stands.
    """
    name, rest = split_name(line.text)
    reader = _READERS.get(name.upper())
    if reader is None:
        hint = did_you_mean(name, _READERS, "is an escape missing at the end of the line above?")
        raise DockerfileError(f"unknown instruction: {name[:160]}", where=line.where, hint=hint)
    try:
        flags, rest = split_flags(rest, escape)
        return reader(_Parts(name.upper(), flags, rest, line.heredocs, line.where, line.text, escape))
    except DockerfileError as error:
        raise DockerfileError(error.message, where=line.where, hint=error.hint) from None


def _from(parts: _Parts) -> ins.From:
    words = plain_words(parts.rest)
    if len(words) == 3 and words[1].lower() == "as":
        name = words[2].lower()
        if not _STAGE_NAME.fullmatch(name):
            raise DockerfileError(
                f"invalid name for build stage: {words[2][:160]!r}",
                hint="a name begins with a letter and holds letters, digits, - _ and .",
            )
    elif len(words) == 1:
        name = ""
    else:
        raise DockerfileError("FROM requires either one or three arguments", hint="FROM image [AS name]")
    flags = parts.read_flags("platform")
    return ins.From(words[0], name or None, flags.text("platform") or None, where=parts.where, text=parts.text)


def _run(parts: _Parts) -> ins.Run:
    arguments, shell = _command(parts.rest)
    if not parts.flags:
        return ins.Run(arguments, shell, parts.heredocs, where=parts.where, text=parts.text)
    flags = parts.read_flags("network security", lists="mount device")
    return ins.Run(
        arguments,
        shell,
        parts.heredocs,
        tuple(written_mount(options) for options in flags.texts("mount")),
        _choice("network mode", flags.text("network", "default"), _NETWORKS),
        _choice("security mode", flags.text("security", "sandbox"), _SECURITY),
        flags.texts("device"),
        where=parts.where,
        text=parts.text,
    )


def _choice(what: str, value: str, known: tuple[str, ...]) -> str:
    if value not in known:
        hint = did_you_mean(value, known, f"there are {', '.join(known)}")
        raise DockerfileError(f"invalid {what} {value[:160]!r}", hint=hint)
    return value


def _command(rest: str) -> tuple[tuple[str, ...], bool]:
    """Give the words of the JSON form, or the text of the shell form; and whether a shell is to read it."""
    words = json_words(rest)
    if words is not None:
        return tuple(words), False
    return ((rest,) if rest else ()), True


def _copy(parts: _Parts) -> ins.Copy:
    sources, destination, heredocs = _paths(parts)
    if not parts.flags:
        return ins.Copy(sources, destination, heredocs=heredocs, where=parts.where, text=parts.text)
    flags = parts.read_flags("from chown chmod", "link parents", "exclude")
    return ins.Copy(
        sources,
        destination,
        flags.text("from") or None,
        flags.text("chown"),
        flags.text("chmod"),
        flags.true("link"),
        flags.true("parents"),
        flags.texts("exclude"),
        heredocs,
        where=parts.where,
        text=parts.text,
    )


def _add(parts: _Parts) -> ins.Add:
    sources, destination, heredocs = _paths(parts)
    if not parts.flags:
        return ins.Add(sources, destination, heredocs=heredocs, where=parts.where, text=parts.text)
    flags = parts.read_flags("chown chmod checksum", "link unpack keep-git-dir", "exclude")
    return ins.Add(
        sources,
        destination,
        flags.text("chown"),
        flags.text("chmod"),
        flags.true("link"),
        flags.texts("exclude"),
        heredocs,
        flags.text("checksum"),
        flags.given("unpack"),
        flags.given("keep-git-dir"),
        where=parts.where,
        text=parts.text,
    )


def _paths(parts: _Parts) -> tuple[tuple[str, ...], str, tuple[Heredoc, ...]]:
    """Give sources, destination, and the heredocs among the sources."""
    words = json_words(parts.rest)
    if words is None:
        words = plain_words(parts.rest)
    if len(words) < 2:
        raise DockerfileError(
            f"{parts.name} requires at least two arguments: sources and a destination",
            hint=f"{parts.name} source ... destination",
        )
    *sources, destination = words
    if heredoc_of(destination):
        raise DockerfileError(f"{parts.name} cannot accept a heredoc as a destination")
    bodies = {heredoc.name: heredoc for heredoc in parts.heredocs}
    paths: list[str] = []
    heredocs: list[Heredoc] = []
    for source in sources:
        begun = heredoc_of(source)
        if begun is None:
            paths.append(source)
        elif begun.name in bodies:
            heredocs.append(bodies[begun.name])
        else:
            raise DockerfileError(f"heredoc {source[:160]!r} has no lines", hint="the JSON form takes paths only")
    return tuple(paths), destination, tuple(heredocs)


def _env(parts: _Parts) -> ins.Env:
    parts.read_flags()
    return ins.Env(pairs(parts.rest, "ENV", parts.escape), where=parts.where, text=parts.text)


def _label(parts: _Parts) -> ins.Label:
    parts.read_flags()
    return ins.Label(pairs(parts.rest, "LABEL", parts.escape), where=parts.where, text=parts.text)


def _arg(parts: _Parts) -> ins.Arg:
    found: list[tuple[str, str | None]] = []
    for word in quoted_words(parts.rest, parts.escape):
        name, equals, value = word.partition("=")
        if not name:
            raise DockerfileError("ARG names can not be blank")
        found.append((name, value if equals else None))
    if not found:
        raise DockerfileError("ARG requires at least one argument", hint="ARG name[=default]")
    return ins.Arg(tuple(found), where=parts.where, text=parts.text)


def _one_text(parts: _Parts) -> str:
    """Give all that follows the name as one argument, blanks and all."""
    parts.read_flags()
    if not parts.rest:
        raise DockerfileError(f"{parts.name} requires exactly one argument")
    return parts.rest


def _workdir(parts: _Parts) -> ins.Workdir:
    return ins.Workdir(_one_text(parts), where=parts.where, text=parts.text)


def _user(parts: _Parts) -> ins.User:
    return ins.User(_one_text(parts), where=parts.where, text=parts.text)


def _stopsignal(parts: _Parts) -> ins.Stopsignal:
    return ins.Stopsignal(_one_text(parts), where=parts.where, text=parts.text)


def _maintainer(parts: _Parts) -> ins.Maintainer:
    return ins.Maintainer(_one_text(parts), where=parts.where, text=parts.text)


def _cmd(parts: _Parts) -> ins.Cmd:
    parts.read_flags()
    arguments, shell = _command(parts.rest)
    return ins.Cmd(arguments, shell, where=parts.where, text=parts.text)


def _entrypoint(parts: _Parts) -> ins.Entrypoint:
    parts.read_flags()
    arguments, shell = _command(parts.rest)
    return ins.Entrypoint(arguments, shell, where=parts.where, text=parts.text)


def _expose(parts: _Parts) -> ins.Expose:
    parts.read_flags()
    ports = plain_words(parts.rest)
    if not ports:
        raise DockerfileError("EXPOSE requires at least one argument", hint="EXPOSE port[/protocol] ...")
    return ins.Expose(tuple(sorted(ports)), where=parts.where, text=parts.text)


def _volume(parts: _Parts) -> ins.Volume:
    parts.read_flags()
    words = json_words(parts.rest)
    paths = tuple(path.strip(BLANKS) for path in (plain_words(parts.rest) if words is None else words))
    if not paths:
        raise DockerfileError("VOLUME requires at least one argument", hint="VOLUME path ...")
    if not all(paths):
        raise DockerfileError("VOLUME specified can not be an empty string")
    return ins.Volume(paths, where=parts.where, text=parts.text)


def _shell(parts: _Parts) -> ins.Shell:
    parts.read_flags()
    words = json_words(parts.rest)
    hint = 'SHELL ["/bin/bash", "-c"]'
    if words is None and parts.rest:
        raise DockerfileError(f"SHELL requires the arguments to be in JSON form: {parts.rest[:160]}", hint=hint)
    if not words:
        raise DockerfileError("SHELL requires at least one argument", hint=hint)
    return ins.Shell(tuple(words), where=parts.where, text=parts.text)


def _healthcheck(parts: _Parts) -> ins.Healthcheck:
    kind, *following = _BLANKS.split(parts.rest, maxsplit=1)
    command = following[0] if following else ""
    if not kind:
        raise DockerfileError(
            "HEALTHCHECK requires at least one argument", hint="HEALTHCHECK CMD command, or HEALTHCHECK NONE"
        )
    if kind.upper() == "NONE":
        if command:
            raise DockerfileError("HEALTHCHECK NONE takes no arguments")
        return ins.Healthcheck(None, where=parts.where, text=parts.text)
    flags = parts.read_flags("interval timeout start-period start-interval retries")
    if kind.upper() != "CMD":
        raise DockerfileError(
            f"unknown type {kind[:160]!r} in HEALTHCHECK", hint="HEALTHCHECK CMD command, or HEALTHCHECK NONE"
        )
    test, shell = _command(command)
    if not test:
        raise DockerfileError("missing command after HEALTHCHECK CMD")
    return ins.Healthcheck(
        test,
        shell,
        nanoseconds("interval", flags.text("interval")),
        nanoseconds("timeout", flags.text("timeout")),
        nanoseconds("start-period", flags.text("start-period")),
        nanoseconds("start-interval", flags.text("start-interval")),
        _retries(flags.text("retries")),
        where=parts.where,
        text=parts.text,
    )


def _retries(text: str) -> int:
    if not text:
        return 0
    if not re.fullmatch(r"\+?[0-9]{1,10}", text) or int(text) >= 2**31:
        raise DockerfileError(f"--retries is no number from 0: {text[:160]}")
    return int(text)


def _onbuild(parts: _Parts) -> ins.Onbuild:
    parts.read_flags()
    name = split_name(parts.rest)[0].upper()
    if not name:
        raise DockerfileError("ONBUILD requires at least one argument", hint="ONBUILD instruction")
    refuse_trigger(name)
    expression = re.sub(r"\A\s*ONBUILD\s*", "", parts.text, flags=re.IGNORECASE)
    bodies = "".join(f"\n{heredoc.content}{heredoc.name}" for heredoc in parts.heredocs)
    return ins.Onbuild(expression + bodies, where=parts.where, text=parts.text)


def refuse_trigger(name: str) -> None:
    """Refuse what ONBUILD cannot put off.

    Raises:
        DockerfileError: FROM, MAINTAINER and ONBUILD itself.
    """
    if name == "ONBUILD":
        raise DockerfileError("chaining ONBUILD via ONBUILD ONBUILD isn't allowed")
    if name in {"FROM", "MAINTAINER"}:
        raise DockerfileError(f"{name} isn't allowed as an ONBUILD trigger")


_READERS: Mapping[str, Callable[[_Parts], ins.Instruction]] = {
    "ADD": _add,
    "ARG": _arg,
    "CMD": _cmd,
    "COPY": _copy,
    "ENTRYPOINT": _entrypoint,
    "ENV": _env,
    "EXPOSE": _expose,
    "FROM": _from,
    "HEALTHCHECK": _healthcheck,
    "LABEL": _label,
    "MAINTAINER": _maintainer,
    "ONBUILD": _onbuild,
    "RUN": _run,
    "SHELL": _shell,
    "STOPSIGNAL": _stopsignal,
    "USER": _user,
    "VOLUME": _volume,
    "WORKDIR": _workdir,
}
