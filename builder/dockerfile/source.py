"""The text of a Dockerfile: directives, and logical lines with where they stand and what heredocs they bring.

dockerfile-parse joins continued lines. It has never heard of heredocs, takes an empty line for the end of a
continuation and an escaped escape for one, so it is given a prepared text: of instructions that go on, their own lines,
and at the end of each a mark that no continuation can follow. What it would read otherwise even so, or in time by the
square, is joined here.
"""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, NamedTuple

from builder.dockerfile.heredoc import Heredoc, heredocs_of
from builder.dockerfile.words import BLANKS
from builder.errors import DockerfileError, SourceRange
from layers.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MAX_SIZE = 16 << 20
"""Bytes of the largest Dockerfile that is read."""

_MARK = "\0"
_MAX_JOINED_THERE = 64
"""Physical lines that dockerfile-parse joins: it copies all that it has for each further one."""
_DIRECTIVE = re.compile(r"#[ \t\v\f\r]*([a-zA-Z][a-zA-Z0-9]*)[ \t\f\r]*=[ \t\f\r]*(.+?)[ \t\f\r]*")
_DIRECTIVES = frozenset({"syntax", "escape", "check"})
_BEGINNING = re.compile(r"[A-Za-z]+[ \t]+(?=\S)")
_SEPARATORS = re.compile("[\x1c-\x1f]")


class Line(NamedTuple):
    """A logical line: an instruction as written, continuations joined and comments between them dropped."""

    where: SourceRange
    text: str
    heredocs: tuple[Heredoc, ...]
    comments: tuple[str, ...]
    """The comments above it, oldest first, without ``#``; an empty one drops those above itself."""


@frozen
class Source:
    """A Dockerfile cut into logical lines."""

    directives: dict[str, str]
    """Of ``syntax``, ``escape`` and ``check`` those that are given."""
    escape: str
    lines: tuple[Line, ...]
    physical: tuple[str, ...]
    """The lines as they stand in the file, without their ends."""
    empty_continuations: tuple[SourceRange, ...]
    """Where an empty line stands inside a continued instruction: the last line of that instruction."""


def read_source(content: bytes, file: str) -> Source:
    """Cut a Dockerfile into logical lines; bytes that are no UTF-8 become U+FFFD.

    Raises:
        DockerfileError: a directive given twice, an unknown escape, a heredoc without end, too many bytes.
    """
    if len(content) > MAX_SIZE:
        raise DockerfileError(f"{file} has {len(content)} bytes, more than the {MAX_SIZE} allowed")
    physical = content.decode("utf-8-sig", "replace").split("\n")
    if not physical[-1]:
        physical.pop()
    directives, count = _directives(physical, file)
    reader = _Reader(physical, directives.get("escape", "\\"), file, count)
    reader.read()
    for at, text in zip(reader.waiting, _joined(reader.prepared, reader.escape), strict=True):
        reader.lines[at] = reader.lines[at]._replace(text=text.strip(BLANKS))
    return Source(directives, reader.escape, tuple(reader.lines), tuple(physical), tuple(reader.empty))


def _directives(physical: Sequence[str], file: str) -> tuple[dict[str, str], int]:
    """Give the directives and how many lines they take; after a ``#!`` line, ``escape`` is a comment like any other."""
    found: dict[str, str] = {}
    start = 1 if physical and physical[0].startswith("#!") else 0
    count = 0
    for number, line in enumerate(physical[start:], start + 1):
        match = _DIRECTIVE.fullmatch(line.strip(BLANKS))
        name = match[1].lower() if match else ""
        if match is None or name not in _DIRECTIVES:
            break
        where = SourceRange(file, number, number)
        if name in found:
            raise DockerfileError(f"only one {name} parser directive can be used", where=where)
        if name == "escape" and match[2] not in {"\\", "`"}:
            raise DockerfileError(f"invalid escape token {match[2][:160]!r}", where=where, hint="it is ` or \\")
        found[name] = match[2]
        count += 1
    if start:
        found.pop("escape", None)
    return found, 0 if start else count


class _Reader:
    """One pass over the physical lines; fills the prepared text, and what dockerfile-parse cannot know."""

    def __init__(self, physical: Sequence[str], escape: str, file: str, directives: int) -> None:
        self.escape = escape
        self.prepared: list[str] = []
        """The lines of instructions for dockerfile-parse to join."""
        self.lines: list[Line] = []
        self.waiting: list[int] = []
        """Which of the lines have their text in ``prepared``."""
        self.empty: list[SourceRange] = []
        self._physical = physical
        self._file = file
        self._at = directives

    def read(self) -> None:
        comments: list[str] = []
        while self._at < len(self._physical):
            line = self._physical[self._at].rstrip("\r").lstrip(BLANKS)
            self._at += 1
            if line.startswith("#"):
                comment = line[1:].strip(BLANKS)
                if not comment:
                    comments.clear()
                else:
                    comments.append(comment)
            elif line:
                above = tuple(comments) if comments else ()
                comments.clear()
                if self.escape in line or "<<" in line:
                    self._read_instruction(line, above)
                else:  # nine lines of ten, in half the time
                    where = SourceRange(self._file, self._at, self._at)
                    self.lines.append(Line(where, line.rstrip(BLANKS), (), above))

    def _read_instruction(self, line: str, comments: tuple[str, ...]) -> None:
        """Read one logical line from its first one on, and the heredocs that it begins."""
        start = self._at - 1
        first, continues = self._cut(line)
        parts = [first, *(self._continued() if continues else ())]
        joined = "".join(parts)
        text = "" if len(parts) > 1 and self._prepare(parts, joined) else joined.strip(BLANKS)
        where = SourceRange(self._file, start + 1, self._at)
        heredocs: tuple[Heredoc, ...] = ()
        if "<<" in joined:
            try:
                begun = heredocs_of(joined, self.escape)
            except DockerfileError as error:
                raise DockerfileError(error.message, where=where, hint=error.hint) from None
            heredocs = tuple([self._body(heredoc, where) for heredoc in begun])
            where = SourceRange(self._file, start + 1, self._at)
        self.lines.append(Line(where, text, heredocs, comments))

    def _continued(self) -> Iterator[str]:
        """Give each further part of a logical line, without its escape."""
        empty = False
        continues = True
        while continues and self._at < len(self._physical):
            line = self._physical[self._at].rstrip("\r")
            self._at += 1
            bare = line.lstrip(BLANKS)
            if not bare:
                empty = True
            elif not bare.startswith("#"):
                text, continues = self._cut(line)
                yield text
        if empty:
            self.empty.append(SourceRange(self._file, self._at, self._at))

    def _cut(self, line: str) -> tuple[str, bool]:
        """Take the escape away that continues a line; one after another escape continues nothing."""
        bare = line.rstrip(" \t")
        if not bare.endswith(self.escape) or bare[-2:-1] == self.escape:
            return line, False
        return bare[:-1], True

    def _prepare(self, parts: Sequence[str], joined: str) -> bool:
        """Write a logical line for dockerfile-parse where that joins it; tell whether it does."""
        beginning = _BEGINNING.match(parts[0])
        if (
            len(parts) > _MAX_JOINED_THERE
            or beginning is None
            or beginning[0].strip().lower() == "comment"  # it marks comments so
            or _SEPARATORS.search(joined)
        ):
            return False
        self.waiting.append(len(self.lines))
        self.prepared += [part + self.escape for part in parts[:-1]]
        self.prepared.append(parts[-1] + _MARK)
        return True

    def _body(self, heredoc: Heredoc, where: SourceRange) -> Heredoc:
        """Read the lines up to the heredoc's name."""
        start = self._at
        for at in range(start, len(self._physical)):
            line = self._physical[at].rstrip("\r")
            if (line.lstrip("\t") if heredoc.chomp else line) == heredoc.name:
                self._at = at + 1
                content = "".join(f"{text}\n" for text in self._physical[start:at])
                return Heredoc(heredoc.name, content, heredoc.expand, heredoc.chomp, heredoc.fd)
        raise DockerfileError(
            "unterminated heredoc", where=where, hint=f"no line below is {heredoc.name[:160]!r} and nothing else"
        )


def _joined(prepared: Sequence[str], escape: str) -> Iterator[str]:
    """Let dockerfile-parse read the prepared text, and give each instruction in one line."""
    if not prepared:
        return
    from dockerfile_parse import DockerfileParser  # noqa: PLC0415 - 25 ms that a command without a Dockerfile need not spend

    directive = f"# escape={escape}"
    text = io.BytesIO("\n".join([directive, *prepared, ""]).encode())  # a file object: it looks for files otherwise
    for entry in DockerfileParser(fileobj=text, env_replace=False).structure:
        if entry["instruction"] != "COMMENT":
            beginning = _BEGINNING.match(entry["content"])
            assert beginning is not None, escape
            yield beginning[0] + entry["value"][:-1]
