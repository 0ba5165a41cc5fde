"""Values: frozen, slotted data classes that cost little to define and to make.

``@frozen`` is ``@dataclass(frozen=True, slots=True)`` for a type checker, ``fields()``, ``replace()`` and ``match``.
What differs is how its methods come to be. ``dataclass`` compiles six for each class as it is defined, which takes
0.35 ms each time; a build defines a hundred classes and makes values of thirty. Here they are closures, but for
``__init__``, which is compiled when the first value is made.
"""

from __future__ import annotations

import operator
from dataclasses import MISSING, FrozenInstanceError, dataclass, field, fields
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, dataclass_transform, overload

if TYPE_CHECKING:
    from collections.abc import Callable

_Class = TypeVar("_Class", bound=type)


@overload
def frozen(cls: _Class, /) -> _Class: ...
@overload
def frozen(*, eq: bool = ..., order: bool = ..., kw_only: bool = ...) -> Callable[[_Class], _Class]: ...
@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def frozen(cls: type | None = None, /, *, eq: bool = True, order: bool = False, kw_only: bool = False) -> Any:
    """Make a class of annotated fields one of frozen values; the parameters are those of ``dataclass``.

    A method that the class defines itself is kept. ``field(init=False)`` and ``__post_init__`` are not provided for.
    """

    def made(plain: type) -> type:
        plain.__doc__ = plain.__doc__ or plain.__name__  # else dataclass works out a signature for it
        found: type = dataclass(init=False, repr=False, eq=False, slots=True, kw_only=kw_only)(plain)
        methods = {"__init__": _first_init(found), "__repr__": _repr(found)}
        methods |= {"__setattr__": _refuse_to_set, "__delattr__": _refuse_to_delete}
        if eq:
            methods |= _comparisons(found, order=order)
        for name, method in methods.items():
            if name not in plain.__dict__:
                setattr(found, name, method)
        return found

    return made if cls is None else made(cls)


def _first_init(cls: Any) -> Callable[..., None]:
    def __init__(self: object, *values: Any, **named: Any) -> None:  # noqa: N807 - it is one until it was called
        cls.__init__ = _compiled_init(cls)
        cls.__init__(self, *values, **named)

    return __init__


def _compiled_init(cls: type) -> Callable[..., None]:
    """Compile ``__init__`` from source: nothing else takes arguments by name as fast.

    It fills the slots through their descriptors, which is faster than by ``object.__setattr__``.
    """
    names: dict[str, Any] = {"MISSING": MISSING}
    positional: list[str] = []
    named: list[str] = []
    body: list[str] = []
    for each in fields(cls):
        name, value = each.name, each.name
        names[f"set_{name}"] = getattr(cls, name).__set__
        if each.default is not MISSING:
            names[f"default_{name}"] = each.default
            parameter = f"{name}=default_{name}"
        elif each.default_factory is not MISSING:
            names[f"make_{name}"] = each.default_factory
            parameter, value = f"{name}=MISSING", f"make_{name}() if {name} is MISSING else {name}"
        else:
            parameter = name
        (named if each.kw_only else positional).append(parameter)
        body.append(f" set_{name}(self, {value})")
    parameters = ", ".join(["self", *positional, *(["*"] if named else []), *named])
    exec("\n".join([f"def __init__({parameters}):", *body, " pass"]), names)  # noqa: S102 - of a class's own names
    written: Callable[..., None] = names["__init__"]
    return written


def _comparisons(cls: type, *, order: bool) -> dict[str, Callable[..., Any]]:
    compared = [each.name for each in fields(cls) if each.compare]
    values: Callable[[object], Any] = operator.attrgetter(*compared) if compared else _nothing

    def comparing(name: str) -> Callable[..., Any]:
        compare = getattr(operator, name)

        def method(self: object, other: object) -> Any:
            return compare(values(self), values(other)) if other.__class__ is self.__class__ else NotImplemented

        return method

    names = ("__eq__", "__lt__", "__le__", "__gt__", "__ge__") if order else ("__eq__",)
    return {"__hash__": lambda self: hash(values(self)), **{name: comparing(name) for name in names}}


def _repr(cls: type) -> Callable[..., str]:
    shown = [each.name for each in fields(cls) if each.repr]

    def __repr__(self: object) -> str:  # noqa: N807 - it is one
        return f"{type(self).__qualname__}({', '.join(f'{name}={getattr(self, name)!r}' for name in shown)})"

    return __repr__


def _nothing(_: object) -> tuple[()]:
    return ()


def _refuse_to_set(_: object, name: str, value: object) -> NoReturn:  # noqa: ARG001 - the language's
    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def _refuse_to_delete(_: object, name: str) -> NoReturn:
    raise FrozenInstanceError(f"cannot delete field {name!r}")
