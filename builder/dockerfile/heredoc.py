"""Heredocs: ``<<NAME`` in ADD, COPY and RUN, and the lines up to ``NAME``.

Reference: Dockerfile reference, "Here-Documents".
"""

from __future__ import annotations

import re

from builder.dockerfile.arguments import json_words, split_name
from builder.dockerfile.flags import split_flags
from builder.dockerfile.words import BLANKS, lex
from builder.errors import DockerfileError
from layers.frozen import frozen

_WORD = re.compile(r"(\d*)<<(-?)\s*([^<]*)")
_NAME = re.compile(r"""(["']?)([\w.-]+)\1""")
_PLAIN = re.compile(rf"""[^<"'$\\]*+(?:<<-?(["']?)[\w.-]++\1(?![^{BLANKS}])[^<"'$\\]*+)*+""")
"""A line in which nothing divides words but blanks, and nothing joins them."""
_BLANKS = re.compile(f"[{BLANKS}]+")
_LEADING_TABS = re.compile(r"^\t+", re.MULTILINE)
_INSTRUCTIONS = frozenset({"add", "copy", "run"})


@frozen
class Heredoc:
    """``[fd]<<[-]NAME``, lines, ``NAME``."""

    name: str
    content: str
    """The lines as written, each with its end."""
    expand: bool
    """No part of the name is quoted, so variables in the content count (ADD and COPY only)."""
    chomp: bool
    """``<<-``: tabs in front of lines do not count."""
    fd: int

    @property
    def body(self) -> str:
        """The content without the tabs that ``<<-`` takes away."""
        return _LEADING_TABS.sub("", self.content) if self.chomp else self.content


def heredoc_of(word: str) -> Heredoc | None:
    """Read a word as the beginning of a heredoc; its content is still empty."""
    found = _WORD.fullmatch(word) if "<<" in word else None
    if found is None or not found[3]:
        return None
    if name := _NAME.fullmatch(found[3]):  # any other takes ten times as long
        return Heredoc(name[2], "", expand=not name[1], chomp=bool(found[2]), fd=int(found[1][:9] or 0))
    bare = lex(found[3], {}, keep_unset=True).words
    if len(bare) != 1:
        return None
    quoted = lex(found[3], {}, keep_unset=True, keep_quotes=True).words
    expand = _count_quotes(bare[0]) == _count_quotes(quoted[0])
    return Heredoc(bare[0], "", expand=expand, chomp=bool(found[2]), fd=int(found[1][:9] or 0))


def heredocs_of(line: str, escape: str) -> list[Heredoc]:
    """Give the heredocs that a logical line begins, in order, still without content.

    Raises:
        DockerfileError: a name that is no word.
    """
    if "<<" not in line or not _may_have(line, escape):
        return []
    if _PLAIN.fullmatch(line):
        return [heredoc for word in _BLANKS.split(line) if "<<" in word and (heredoc := heredoc_of(word))]
    try:
        words = lex(line, {}, keep_quotes=True, keep_escapes=True, keep_unset=True).words
    except DockerfileError:
        return []  # no words, no heredocs: a RUN's text may well be something only its shell understands
    return [heredoc for word in words if (heredoc := heredoc_of(word))]


def _may_have(line: str, escape: str) -> bool:
    """Tell whether the instruction is one of those with heredocs, and not in JSON form."""
    name, rest = split_name(line)
    if name.lower() == "onbuild":
        name, rest = split_name(split_flags(rest, escape)[1])
    if name.lower() not in _INSTRUCTIONS:
        return False
    try:
        return json_words(split_flags(rest, escape)[1]) is None
    except DockerfileError:
        return False


def _count_quotes(text: str) -> int:
    return text.count("'") + text.count('"')
