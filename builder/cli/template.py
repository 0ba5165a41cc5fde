"""Go's text templates, as far as ``--format`` needs them: read into nodes, carried out over JSON values.

Fields, variables, pipelines, ``if``, ``range``, ``with`` and the functions of Go and of Docker; no nested templates.

Spec: pkg.go.dev/text/template; docs.docker.com/engine/cli/formatting.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from builder.cli.template_functions import FUNCTIONS, TemplateError, shown, truth
from builder.cli.template_parse import (
    Action,
    Chain,
    Command,
    Function,
    If,
    Literal,
    Pipeline,
    Range,
    Text,
    Variable,
    With,
    parse,
)
from layers.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from builder.cli.template_parse import Node, Operand

__all__ = ["Template", "TemplateError"]

_MAX_ROUNDS = 100_000
"""``{{range}}`` also takes a number, and loops stand in one another."""


class _Break(Exception):  # noqa: N818 - a way out of a loop
    pass


class _Continue(Exception):  # noqa: N818 - a way to the next round of a loop
    pass


@frozen
class Template:
    """A template, ready to be carried out any number of times."""

    nodes: tuple[Node, ...]

    @classmethod
    def parse(cls, text: str) -> Template:
        """Read a template.

        Raises:
            TemplateError: says what is wrong with it.
        """
        return cls(parse(text))

    def render(self, value: Any) -> str:
        """Give the text for a value made of dicts, lists, strings, numbers, booleans and None.

        Raises:
            TemplateError: a field that is not there, or a function that does not take what it is given.
        """
        run = _Run({"$": value})
        try:
            run.all(self.nodes, value)
        except RecursionError:
            raise TemplateError("the template is nested too deeply") from None
        return "".join(run.out)


@dataclass(slots=True)
class _Run:
    variables: dict[str, Any]
    out: list[str] = field(default_factory=list)
    rounds: int = 0
    """Of all loops together."""

    def all(self, nodes: Sequence[Node], dot: Any) -> None:
        """Carry out nodes; variables that they declare end with them."""
        before = dict(self.variables)
        for node in nodes:
            self._node(node, dot)
        # what was assigned inside stays assigned, what was declared inside is gone
        self.variables = {name: self.variables[name] for name in before}

    def _node(self, node: Node, dot: Any) -> None:
        match node:
            case Text(text=text):
                self.out.append(text)
            case Action(pipeline=pipeline):
                value = self._pipeline(pipeline, dot)
                if not pipeline.names:
                    self.out.append("<no value>" if value is None else shown(value))
            case If(branches=branches, otherwise=otherwise):
                for pipeline, body in branches:
                    if truth(self._pipeline(pipeline, dot)):
                        self.all(body, dot)
                        return
                self.all(otherwise, dot)
            case With(pipeline=pipeline, body=body, otherwise=otherwise):
                value = self._pipeline(pipeline, dot)
                if truth(value):
                    self.all(body, value)
                else:
                    self.all(otherwise, dot)
            case Range():
                self._range(node, dot)
            case _:
                raise _Break if node.leaves else _Continue

    def _range(self, node: Range, dot: Any) -> None:
        names, value = node.pipeline.names, self._pipeline(node.pipeline, dot, declare=False)
        if isinstance(value, dict):
            pairs: list[tuple[Any, Any]] = [(key, value[key]) for key in sorted(value)]
        elif isinstance(value, list | tuple):
            pairs = list(enumerate(value))
        elif isinstance(value, int) and not isinstance(value, bool):
            pairs = [(i, i) for i in range(min(value, _MAX_ROUNDS + 1))]
        elif value is None:
            pairs = []
        else:
            raise TemplateError(f"range can't iterate over {shown(value)}")
        outer = dict(self.variables)
        for key, each in pairs:
            self.rounds += 1
            if self.rounds > _MAX_ROUNDS:
                raise TemplateError(f"the template's loops have more than {_MAX_ROUNDS} rounds")
            if names:
                self.variables[names[-1]] = each
            if len(names) == 2:
                self.variables[names[0]] = key
            try:
                self.all(node.body, each)
            except _Continue:
                continue
            except _Break:
                break
        self.variables = {name: self.variables[name] for name in outer}
        if not pairs:
            self.all(node.otherwise, dot)

    def _pipeline(self, pipeline: Pipeline, dot: Any, *, declare: bool = True) -> Any:
        value: Any = None
        for position, command in enumerate(pipeline.commands):
            value = self._command(command, dot, [value] if position else [])
        if declare and pipeline.names:
            name = pipeline.names[0]
            if not pipeline.declares and name not in self.variables:
                raise TemplateError(f"undefined variable {name!r}")
            self.variables[name] = value
        return value

    def _command(self, command: Command, dot: Any, piped: list[Any]) -> Any:
        first, *rest = command.operands
        if isinstance(first, Function):
            if first.name in {"and", "or"}:
                return self._logic(first.name, rest, dot, piped)
            arguments = [self._operand(each, dot) for each in rest] + piped
            return _call(first.name, arguments)
        if rest or piped:
            raise TemplateError(f"can't give argument to non-function {first.text}")
        return self._operand(first, dot)

    def _logic(self, name: str, operands: Sequence[Operand], dot: Any, piped: list[Any]) -> Any:
        """Give the first operand that decides; those after it are not looked at."""
        value: Any = None
        if not operands and not piped:
            raise TemplateError(f"wrong number of args for {name}: want at least 1 got 0")
        for each in operands:
            value = self._operand(each, dot)
            if truth(value) == (name == "or"):
                return value
        return piped[0] if piped else value

    def _operand(self, operand: Operand, dot: Any) -> Any:
        match operand:
            case Literal(value=value):
                return value
            case Function(name=name):
                return _call(name, [])
            case Variable(name=name, fields=fields):
                if name not in self.variables:
                    raise TemplateError(f"undefined variable {name!r}")
                return _follow(self.variables[name], fields, operand.text)
            case Chain(pipeline=None, fields=fields):
                return _follow(dot, fields, operand.text)
            case Chain(pipeline=pipeline, fields=fields):
                assert pipeline is not None
                return _follow(self._pipeline(pipeline, dot), fields, operand.text)


def _call(name: str, arguments: list[Any]) -> Any:
    try:
        return FUNCTIONS[name](*arguments)
    except TemplateError:
        raise
    except (TypeError, ValueError, KeyError, IndexError, AttributeError, OverflowError) as error:
        raise TemplateError(f"error calling {name}: {error}") from None


def _follow(value: Any, fields: Sequence[str], text: str) -> Any:
    for name in fields:
        if not isinstance(value, dict):
            raise TemplateError(f"executing {text!r}: can't evaluate field {name} in {_kind(value)}")
        if name not in value:
            raise TemplateError(f"executing {text!r}: map has no entry for key {name!r}")
        value = value[name]
    return value


def _kind(value: Any) -> str:
    if value is None:
        return "nil data"
    return {str: "type string", bool: "type bool", int: "type int", list: "a list"}.get(type(value), "this value")
