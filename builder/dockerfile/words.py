"""Words of an instruction: quotes, escapes and variables, as a shell reads them.

Reference: Dockerfile reference, "Environment replacement". Text is read once from left to right; what a variable holds
is never read again, and what all of them hold together is bounded.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from builder.dockerfile.patterns import replace, trim_prefix, trim_suffix
from builder.errors import DockerfileError, SourceRange

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

BLANKS = "\t\n\v\f\r \x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000"
"""Unicode's white space; Python's own also counts the separators 1C to 1F, a Dockerfile does not."""

MAX_EXPANSION = 1 << 20
"""Characters that one word may come to: ``ENV a=$a$a`` doubles with every line."""

_MAX_DEPTH = 64
_SPLIT = re.compile(f"[{BLANKS}]+")
_NAME = re.compile(r"\d+|[@*#?\-$!]|\w*")
_HEREDOC = re.compile(r"<(?:<[\t\r ]*)?")


class Lexed(NamedTuple):
    """What a word or line came to."""

    text: str
    words: list[str]
    used: set[str]
    """Variables that were asked for and set."""
    unset: set[str]
    """Variables that were asked for and not set, defaults or not."""


def expand_word(
    text: str,
    env: Mapping[str, str],
    escape: str = "\\",
    *,
    unset: Callable[[str], None] | None = None,
    where: SourceRange | None = None,
    quotes: bool = True,
) -> str:
    """Give the text with quotes and escapes taken away and variables replaced; blanks stay as they are.

    ``unset`` is called with the name of each variable that is not in ``env``, in order of name. With ``quotes=False``
    quotes are text like any other, as in a heredoc.

    Raises:
        DockerfileError: an open quote or brace, a bad modifier, ``${name:?message}`` without a value.
    """
    if not any(char in text for char in ("$", escape)) and not (quotes and ("'" in text or '"' in text)):
        return text
    lexed = lex(text, env, escape, quotes=quotes, where=where)
    if unset:
        for name in sorted(lexed.unset):
            unset(name)
    return lexed.text


def expand_words(
    text: str,
    env: Mapping[str, str],
    escape: str = "\\",
    *,
    unset: Callable[[str], None] | None = None,
    where: SourceRange | None = None,
) -> list[str]:
    """Give the words of the expanded text: what a variable holds is split as well, what stands in quotes is not.

    Raises:
        DockerfileError: as :func:`expand_word`.
    """
    lexed = lex(text, env, escape, where=where)
    if unset:
        for name in sorted(lexed.unset):
            unset(name)
    return lexed.words


def lex(
    text: str,
    env: Mapping[str, str],
    escape: str = "\\",
    *,
    quotes: bool = True,
    keep_quotes: bool = False,
    keep_escapes: bool = False,
    keep_unset: bool = False,
    where: SourceRange | None = None,
) -> Lexed:
    """Read a text and give it whole, in words, and with the names that it asked for.

    ``keep_quotes`` and ``keep_escapes`` leave these characters in, ``keep_unset`` leaves ``$name`` of an unset name.

    Raises:
        DockerfileError: as :func:`expand_word`.
    """
    lexer = _Lexer(text, env, escape, quotes=quotes, keep_quotes=keep_quotes, keep_unset=keep_unset)
    words = _Words()
    try:
        result = lexer.until("", raw=keep_escapes, words=words)
    except DockerfileError as error:
        raise DockerfileError(
            f"failed to process {text[:300]!r}: {error.message}", where=where, hint=error.hint
        ) from None
    words.flush()
    return Lexed(result, words.words, lexer.used, lexer.unset)


class _Words:
    """Words as they grow; an empty one is none."""

    __slots__ = ("_growing", "words")

    def __init__(self) -> None:
        self.words: list[str] = []
        self._growing: list[str] = []

    def split(self, text: str) -> None:
        first, *others = _SPLIT.split(text)
        self._growing.append(first)
        for other in others:
            self.flush()
            self._growing.append(other)

    def keep(self, text: str) -> None:
        self._growing.append(text)

    def flush(self) -> None:
        if word := "".join(self._growing):
            self.words.append(word)
        self._growing.clear()


@lru_cache(maxsize=64)
def _run_outside(special: str) -> re.Pattern[str]:
    """Give the pattern of a run of characters that mean nothing special."""
    return re.compile(f"[^{re.escape(special)}]+")


class _Lexer:
    """One pass over one text."""

    def __init__(
        self, text: str, env: Mapping[str, str], escape: str, *, quotes: bool, keep_quotes: bool, keep_unset: bool
    ) -> None:
        self.used: set[str] = set()
        self.unset: set[str] = set()
        self._text = text
        self._at = 0
        self._env = env
        self._escape = escape
        self._special = "$<" + escape + ("'\"" if quotes else "")
        self._keep_quotes = keep_quotes
        self._keep_unset = keep_unset
        self._raw = False
        self._depth = 0
        self._budget = MAX_EXPANSION

    def until(self, stop: str, *, raw: bool, words: _Words | None = None) -> str:
        """Read up to ``stop`` and past it, or to the end where it is empty; ``raw`` keeps escapes."""
        before, self._raw = self._raw, raw
        plain = _run_outside(self._special + stop)
        out: list[str] = []
        while self._at < len(self._text):
            if found := plain.match(self._text, self._at):
                self._at = found.end()
                part, splits = found[0], True
            else:
                char = self._text[self._at]
                if char == stop:
                    self._at += 1
                    self._raw = before
                    return "".join(out)
                part, splits = self._read_special(char), char == "$"
            out.append(part)
            if words is not None:
                (words.split if splits else words.keep)(part)
        if stop:
            raise DockerfileError(f"missing {stop!r} in ${{}}")
        self._raw = before
        return "".join(out)

    def _read_special(self, char: str) -> str:
        if char == "$":
            return self._dollar()
        if char == "<":
            found = _HEREDOC.match(self._text, self._at)
            assert found is not None
            self._at = found.end()
            return found[0]
        if char == "'":
            return self._single_quoted()
        if char == '"':
            return self._double_quoted()
        return self._escaped()

    def _escaped(self) -> str:
        """Read the escape and what it escapes; at the end of the text it vanishes."""
        escaped = self._text[self._at + 1 : self._at + 2]
        self._at += 2
        return (self._escape if self._raw else "") + escaped

    def _single_quoted(self) -> str:
        end = self._text.find("'", self._at + 1)
        if end < 0:
            raise DockerfileError("unexpected end of statement while looking for matching single-quote")
        inside = self._text[self._at + 1 : end]
        self._at = end + 1
        return f"'{inside}'" if self._keep_quotes else inside

    def _double_quoted(self) -> str:
        """Read to the closing quote: variables count, and the escape only before ``"``, ``$`` and itself."""
        quote = '"' if self._keep_quotes else ""
        out = [quote]
        plain = _run_outside('"$' + self._escape)
        self._at += 1
        while self._at < len(self._text):
            if found := plain.match(self._text, self._at):
                self._at = found.end()
                out.append(found[0])
                continue
            char = self._text[self._at]
            if char == '"':
                self._at += 1
                out.append(quote)
                return "".join(out)
            if char == "$":
                out.append(self._dollar())
                continue
            if self._raw:
                out.append(self._escape)
            following = self._text[self._at + 1 : self._at + 2]
            special = following in {'"', "$", self._escape}
            out.append(following if special else self._escape)
            self._at += 2 if special else 1
        raise DockerfileError("unexpected end of statement while looking for matching double-quote")

    def _dollar(self) -> str:
        self._at += 1
        if self._text[self._at : self._at + 1] == "{":
            self._at += 1
            self._depth += 1
            if self._depth > _MAX_DEPTH:
                raise DockerfileError(f"more than {_MAX_DEPTH} variables inside one another")
            value = self._braces()
            self._depth -= 1
            return value
        name = self._name()
        if not name:
            return "$"
        found = self._get(name)
        if found is None:
            return f"${name}" if self._keep_unset else ""
        return found

    def _name(self) -> str:
        found = _NAME.match(self._text, self._at)
        assert found is not None  # it may be empty
        self._at = found.end()
        return found[0]

    def _get(self, name: str) -> str | None:
        value = self._env.get(name)
        if value is None:
            self.unset.add(name)
            return None
        self.used.add(name)
        self._budget -= len(value)
        if self._budget < 0:
            raise DockerfileError(f"variables come to more than {MAX_EXPANSION} characters")
        return value

    def _next(self) -> str:
        char = self._text[self._at : self._at + 1]
        self._at += 1
        return char

    def _braces(self) -> str:
        """Read what follows ``${``."""
        if self._at >= len(self._text):
            raise DockerfileError("syntax error: missing '}'")
        if self._text[self._at] in "{}:":
            raise DockerfileError("syntax error: bad substitution", hint="a name follows ${")
        name = self._name()
        modifier = self._next()
        if modifier == "}":
            value = self._get(name)
            if value is None:
                return f"${{{name}}}" if self._keep_unset else ""
            return value
        if modifier == "/":
            return self._replaced(name)
        colon = modifier == ":"
        if colon:
            modifier = self._next()
        if not modifier:
            raise DockerfileError("syntax error: missing '}'")
        if modifier not in ("+-?" if colon else "+-?#%"):
            raise DockerfileError(
                f"unsupported modifier ({':' if colon else ''}{modifier}) in substitution",
                hint="there are :- :+ :? - + ? # ## % %% / and //",
            )
        return self._modified(name, modifier, colon=colon)

    def _modified(self, name: str, modifier: str, *, colon: bool) -> str:
        word = self.until("}", raw=modifier in "#%")
        value = self._get(name)
        if value is None and self._keep_unset:
            return f"${{{name}{':' if colon else ''}{modifier}{word}}}"
        missing = value is None or (colon and not value)
        if modifier == "-":
            return word if missing else value or ""
        if modifier == "+":
            return "" if missing else word
        if modifier == "?":
            if missing:
                reason = "is not allowed to be unset" if value is None else "is not allowed to be empty"
                raise DockerfileError(f"{name}: {word or reason}")
            return value or ""
        longest = word.startswith(modifier)
        trim = trim_suffix if modifier == "%" else trim_prefix
        return trim(word[1:] if longest else word, value or "", longest=longest)

    def _replaced(self, name: str) -> str:
        everywhere = self._text[self._at : self._at + 1] == "/"
        if everywhere:
            self._at += 1
        pattern = self.until("/", raw=True)
        replacement = self.until("}", raw=True)
        value = self._get(name)
        if value is None and self._keep_unset:
            return f"${{{name}/{'/' if everywhere else ''}{pattern}/{replacement}}}"
        result = replace(pattern, replacement, value or "", everywhere=everywhere, limit=MAX_EXPANSION)
        self._budget -= len(result)
        if self._budget < 0:
            raise DockerfileError(f"variables come to more than {MAX_EXPANSION} characters")
        return result
