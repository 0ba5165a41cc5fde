"""``@frozen`` gives what ``@dataclass(frozen=True, slots=True)`` gives, and compiles nothing until a value is made."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from layers.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Callable


@frozen(kw_only=True)
class Base:
    where: str
    weight: int = 1


@frozen
class Ours(Base):
    """One with everything that a field can be."""

    KINDS: ClassVar = ("a", "b")
    name: str
    size: int = 7
    tags: dict[str, str] = field(default_factory=dict)
    secret: str = field(default="", repr=False)
    note: str = field(default="", compare=False)

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class TheirBase:
    where: str
    weight: int = 1


@dataclass(frozen=True, slots=True)
class Theirs(TheirBase):
    """The same by the standard library."""

    KINDS: ClassVar = ("a", "b")
    name: str
    size: int = 7
    tags: dict[str, str] = field(default_factory=dict)
    secret: str = field(default="", repr=False)
    note: str = field(default="", compare=False)

    def __str__(self) -> str:
        return self.name


@frozen(order=True)
class Version:
    major: int
    minor: int = 0


@frozen(eq=False)
class Identity:
    name: str


@frozen
class Nothing:
    pass


MADE: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
    (("n",), {"where": "here"}),
    (("n", 8, {"k": "v"}), {"where": "here", "weight": 2}),
    (("n",), {"where": "here", "secret": "s", "note": "x"}),
    ((), {"where": "here", "name": "n", "note": "y"}),
]


@pytest.mark.parametrize(("values", "named"), MADE)
def test_a_value_looks_like_a_dataclass(values: tuple[Any, ...], named: dict[str, Any]) -> None:
    ours, theirs = Ours(*values, **named), Theirs(*values, **named)

    assert repr(theirs).replace("Theirs", "Ours") == repr(ours)
    assert asdict(theirs) == asdict(ours)
    assert str(theirs) == str(ours)
    assert [each.name for each in fields(theirs)] == [each.name for each in fields(ours)]
    assert Theirs.__match_args__ == Ours.__match_args__


def test_values_are_equal_when_their_compared_fields_are() -> None:
    for left, right in ((left, right) for left in MADE for right in MADE):
        ours = Ours(*left[0], **left[1]) == Ours(*right[0], **right[1])
        theirs = Theirs(*left[0], **left[1]) == Theirs(*right[0], **right[1])
        assert theirs == ours
    assert Nothing() == Nothing()
    assert {Version(1, 0): "one"}[Version(1)] == "one"
    assert hash(Nothing()) == hash(Nothing())


def test_a_value_of_a_subclass_is_another_value() -> None:
    @frozen
    class Later(Version):
        pass

    assert Later(1) != Version(1)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda made: made(),
        lambda made: made("n"),
        lambda made: made("n", 1, {}, "s", "x", "too many", where="here"),
        lambda made: made("n", where="here", unknown=1),
    ],
)
def test_a_call_with_wrong_arguments_fails_as_it_does_with_a_dataclass(wrong: Callable[[Any], Any]) -> None:
    with pytest.raises(TypeError) as theirs:
        wrong(Theirs)
    with pytest.raises(TypeError) as ours:
        wrong(Ours)
    assert str(theirs.value).rpartition("__init__()")[2] == str(ours.value).rpartition("__init__()")[2]


def test_nothing_can_be_set_or_deleted() -> None:
    value = Version(1)
    with pytest.raises(FrozenInstanceError, match="cannot assign to field 'major'"):
        value.major = 2  # type: ignore[misc] # what is tested
    with pytest.raises(FrozenInstanceError, match="cannot delete field 'major'"):
        del value.major
    with pytest.raises(FrozenInstanceError):
        value.other = 2  # type: ignore[attr-defined] # what is tested
    assert not hasattr(value, "__dict__")


def test_each_value_has_a_mutable_default_of_its_own() -> None:
    assert Ours("a", where="").tags is not Ours("b", where="").tags


def test_replace_gives_a_value_with_other_fields() -> None:
    assert Version(1, 3) == replace(Version(1, 2), minor=3)


def test_ordered_values_sort_by_their_fields_in_turn() -> None:
    assert [Version(1, 1), Version(1, 2), Version(2, 0)] == sorted([Version(2, 0), Version(1, 2), Version(1, 1)])
    assert Version(1) <= Version(1) < Version(1, 1) > Version(1) >= Version(1)
    with pytest.raises(TypeError):
        _ = Version(1) < (1, 0)  # type: ignore[operator] # what is tested


def test_values_without_equality_are_themselves_alone() -> None:
    one = Identity("a")

    assert one == one  # noqa: PLR0124 - what is tested
    assert one != Identity("a")
    assert len({one, Identity("a")}) == 2


def test_fields_can_be_matched_by_place() -> None:
    match Version(4, 5):
        case Version(major, minor):
            assert (4, 5) == (major, minor)


def test_defining_a_class_compiles_nothing() -> None:
    """What a program pays for each class that it defines, whether it makes a value or not."""

    @frozen
    class Value:
        a: int

    methods = (Value.__init__, Value.__eq__, Value.__hash__, Value.__repr__, Value.__setattr__, Value.__delattr__)

    assert {frozen.__code__.co_filename} == {method.__code__.co_filename for method in methods}
    assert Value(1) == Value(1)
    assert "<string>" == Value.__init__.__code__.co_filename
