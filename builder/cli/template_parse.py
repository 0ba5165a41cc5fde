"""The text of a Go template, read into nodes."""

from __future__ import annotations

import json
import re
from typing import Any

from builder.cli.template_functions import FUNCTIONS, TemplateError
from layers.frozen import frozen

_TOKEN = re.compile(
    r"""\s*(?:(?P<string>"(?:[^"\\\n]|\\.)*")|(?P<raw>`[^`]*`)|(?P<char>'(?:[^'\\]|\\.)')"""
    r"""|(?P<number>[+-]?\d[\w.]*)|(?P<field>\.[A-Za-z_]\w*)|(?P<variable>\$\w*)|(?P<word>[A-Za-z_]\w*)"""
    r"""|(?P<mark>:=|[|().,=]))"""
)

_MAX_DEPTH = 100


@frozen
class Literal:
    """A string, number, boolean or nil."""

    value: Any
    text: str


@frozen
class Function:
    """A function by its name."""

    name: str

    @property
    def text(self) -> str:
        return self.name


@frozen
class Variable:
    """``$name`` and the fields after it."""

    name: str
    fields: tuple[str, ...]

    @property
    def text(self) -> str:
        return ".".join((self.name, *self.fields))


@frozen
class Chain:
    """Fields of dot, or of what a pipeline in parentheses gives."""

    pipeline: Pipeline | None
    fields: tuple[str, ...]

    @property
    def text(self) -> str:
        return ("" if self.pipeline is None else "(...)") + "".join(f".{each}" for each in self.fields) or "."


Operand = Literal | Function | Variable | Chain


@frozen
class Command:
    """A function and its arguments, or one operand."""

    operands: tuple[Operand, ...]


@frozen
class Pipeline:
    """Commands, each given the value of the one before; and the variables that take the last value."""

    commands: tuple[Command, ...]
    names: tuple[str, ...] = ()
    declares: bool = True


@frozen
class Text:
    """Text that stays as it is."""

    text: str


@frozen
class Action:
    """A pipeline whose value is printed, or kept in a variable."""

    pipeline: Pipeline


@frozen
class If:
    """``if``, ``else if`` and ``else``."""

    branches: tuple[tuple[Pipeline, tuple[Node, ...]], ...]
    otherwise: tuple[Node, ...]


@frozen
class Range:
    """``range`` and what stands for nothing."""

    pipeline: Pipeline
    body: tuple[Node, ...]
    otherwise: tuple[Node, ...]


@frozen
class With:
    """``with`` and its ``else``."""

    pipeline: Pipeline
    body: tuple[Node, ...]
    otherwise: tuple[Node, ...]


@frozen
class Jump:
    """``break`` or ``continue``."""

    leaves: bool


Node = Text | Action | If | Range | With | Jump


def parse(text: str) -> tuple[Node, ...]:
    """Read a template.

    Raises:
        TemplateError: says what is wrong with it.
    """
    parser = _Parser(_pieces(text))
    nodes, end = parser.nodes(0)
    if end:
        raise TemplateError(f"unexpected {{{{{end}}}}}")
    return nodes


def _pieces(text: str) -> list[Text | str]:
    """Cut a template into texts and the insides of its actions; comments go, and blanks where ``-`` trims them."""
    pieces: list[Text | str] = []
    position, trim = 0, False
    while (start := text.find("{{", position)) >= 0:
        before = text[position:start]
        inside = start + 2
        trims_left = text.startswith("-", inside) and text[inside + 1 : inside + 2].isspace()
        _add(pieces, before.rstrip() if trims_left else before, trim=trim)
        end = _end_of_action(text, inside)
        action = text[inside + trims_left : end]
        trim = action.endswith("-") and action[-2:-1].isspace()
        action = (action[:-1] if trim else action).strip()
        if not (action.startswith("/*") and action.endswith("*/")):
            pieces.append(action)
        position = end + 2
    _add(pieces, text[position:], trim=trim)
    return pieces


def _add(pieces: list[Text | str], text: str, *, trim: bool) -> None:
    kept = text.lstrip() if trim else text
    if kept:
        pieces.append(Text(kept))


def _end_of_action(text: str, position: int) -> int:
    quoted = ""
    while position < len(text):
        character = text[position]
        if quoted:
            if character == "\\" and quoted != "`":
                position += 1
            elif character == quoted:
                quoted = ""
        elif character in "\"`'":
            quoted = character
        elif text.startswith("}}", position):
            return position
        position += 1
    raise TemplateError("unclosed action")


class _Parser:
    def __init__(self, pieces: list[Text | str]) -> None:
        self._pieces = pieces
        self._at = 0
        self._loops = 0

    def nodes(self, depth: int) -> tuple[tuple[Node, ...], str]:
        """Read up to an ``else`` or ``end``; give that too, "" at the end of the text."""
        if depth > _MAX_DEPTH:
            raise TemplateError("the template is nested too deeply")
        found: list[Node] = []
        while self._at < len(self._pieces):
            piece = self._pieces[self._at]
            self._at += 1
            if isinstance(piece, Text):
                found.append(piece)
                continue
            word = re.match(r"\w*", piece)
            keyword = word[0] if word else ""
            if keyword in {"end", "else"}:
                return tuple(found), piece
            found.append(self._action(keyword, piece, depth))
        return tuple(found), ""

    def _action(self, keyword: str, piece: str, depth: int) -> Node:
        rest = piece[len(keyword) :]
        if keyword == "if":
            return self._if(rest, depth)
        if keyword in {"range", "with"}:
            self._loops += keyword == "range"
            pipeline = _Words(rest).whole()
            body, end = self.nodes(depth + 1)
            otherwise, end = self.nodes(depth + 1) if end == "else" else ((), end)
            _expect_end(keyword, end)
            self._loops -= keyword == "range"
            make = Range if keyword == "range" else With
            return make(pipeline, body, otherwise)
        if keyword in {"break", "continue"} and not rest.strip():
            if not self._loops:
                raise TemplateError(f"{{{{{keyword}}}}} outside {{{{range}}}}")
            return Jump(keyword == "break")
        if keyword in {"template", "define", "block"}:
            raise TemplateError(f"{{{{{keyword}}}}} is not supported")
        return Action(_Words(piece).whole())

    def _if(self, condition: str, depth: int) -> If:
        branches = []
        otherwise: tuple[Node, ...] = ()
        while True:
            pipeline = _Words(condition).whole()
            body, end = self.nodes(depth + 1)
            branches.append((pipeline, body))
            if following := re.match(r"else\s+if\b", end):
                condition = end[following.end() :]
                continue
            if end == "else":
                otherwise, end = self.nodes(depth + 1)
            _expect_end("if", end)
            return If(tuple(branches), otherwise)


def _expect_end(keyword: str, end: str) -> None:
    if end != "end":
        raise TemplateError(f"{{{{{keyword}}}}} has no {{{{end}}}}" if not end else f"unexpected {{{{{end}}}}}")


class _Words:
    """The words of one action."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens: list[tuple[str, str, bool]] = []
        position = 0
        while text[position:].strip():
            found = _TOKEN.match(text, position)
            if found is None:
                raise TemplateError(f"unexpected {text[position:].strip()[:20]!r} in {{{{{text}}}}}")
            kind = found.lastgroup or ""
            blank = found.start(kind) > position  # ".A .B" are two operands, ".A.B" is one
            self._tokens.append((kind, found[kind], blank or position == 0))
            position = found.end()
        self._at = 0

    def whole(self) -> Pipeline:
        pipeline = self._pipeline(0)
        if self._at < len(self._tokens):
            raise TemplateError(f"unexpected {self._tokens[self._at][1]!r} in {{{{{self._text}}}}}")
        return pipeline

    def _peek(self) -> tuple[str, str, bool]:
        return self._tokens[self._at] if self._at < len(self._tokens) else ("", "", True)

    def _pipeline(self, depth: int) -> Pipeline:
        if depth > _MAX_DEPTH:
            raise TemplateError("the template is nested too deeply")
        names, declares = self._names()
        commands = [self._command(depth)]
        while self._peek()[1] == "|":
            self._at += 1
            commands.append(self._command(depth))
        return Pipeline(tuple(commands), names, declares)

    def _names(self) -> tuple[tuple[str, ...], bool]:
        texts = [text for _, text, _ in self._tokens[self._at : self._at + 4]]
        kinds = [kind for kind, _, _ in self._tokens[self._at : self._at + 4]]
        if kinds[:1] == ["variable"] and texts[1:2] in (["="], [":="]):
            self._at += 2
            return (texts[0],), texts[1] == ":="
        if kinds[:1] == ["variable"] and texts[1:2] == [","] and kinds[2:3] == ["variable"] and texts[3:4] == [":="]:
            self._at += 4
            return (texts[0], texts[2]), True
        return (), True

    def _command(self, depth: int) -> Command:
        operands = []
        while self._peek()[0] and self._peek()[1] not in {"|", ")"}:
            operands.append(self._operand(depth))
        if not operands:
            raise TemplateError(f"missing value for command in {{{{{self._text}}}}}")
        return Command(tuple(operands))

    def _operand(self, depth: int) -> Operand:
        kind, text, _ = self._tokens[self._at]
        self._at += 1
        match kind:
            case "field":
                return Chain(None, (text[1:], *self._fields()))
            case "variable":
                return Variable(text, self._fields())
            case "word":
                return self._word(text)
            case "mark" if text == "(":
                inner = self._pipeline(depth + 1)
                if self._peek()[1] != ")":
                    raise TemplateError("unclosed left paren")
                self._at += 1
                return Chain(inner, self._fields())
            case "mark" if text == ".":
                return Chain(None, ())
            case "mark":
                raise TemplateError(f"unexpected {text!r} in {{{{{self._text}}}}}")
        return Literal(_literal(kind, text), text)

    def _fields(self) -> tuple[str, ...]:
        names = []
        while self._peek()[0] == "field" and not self._peek()[2]:
            names.append(self._tokens[self._at][1][1:])
            self._at += 1
        return tuple(names)

    def _word(self, text: str) -> Operand:
        if text in {"true", "false", "nil"}:
            return Literal({"true": True, "false": False, "nil": None}[text], text)
        if text not in FUNCTIONS and text not in {"and", "or"}:
            raise TemplateError(f"function {text!r} not defined")
        return Function(text)


def _literal(kind: str, text: str) -> Any:
    if kind == "raw":
        return text[1:-1]
    if kind == "char":
        return ord(json.loads(f'"{text[1:-1]}"')) if text[1] != '"' else ord('"')
    try:
        if kind == "string":
            return json.loads(text, strict=False)
        return float(text) if re.search(r"[.eE]", text) and not text.lower().startswith("0x") else int(text, 0)
    except ValueError:
        raise TemplateError(f"bad {'string' if kind == 'string' else 'number'} syntax: {text}") from None
