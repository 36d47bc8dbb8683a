"""Values behave as the frozen dataclasses that they stand for."""

from __future__ import annotations

import dataclasses

import pytest

from substrate.values import dataclass, replace


@dataclass(frozen=True, slots=True)
class Point:
    x: int
    y: int = 0
    names: tuple[str, ...] = dataclasses.field(default=(), compare=False)


@dataclass(frozen=True)
class Lone:
    only: int


@dataclass(frozen=True, slots=True)
class Odd:
    x: int

    def __hash__(self) -> int:
        return 7


@dataclass(slots=True)
class Changing:
    x: int


def test_equal_values_have_equal_hashes() -> None:
    assert Point(1, 2, ("a",)) == Point(1, 2, ("b",)) != Point(1, 3)
    assert len({Point(1, 2, ("a",)), Point(1, 2, ("b",)), Point(1, 3)}) == 2


def test_a_hash_of_its_own_stays() -> None:
    assert hash(Odd(1)) == 7


def test_what_changes_has_no_hash() -> None:
    with pytest.raises(TypeError, match="unhashable"):
        hash(Changing(1))


def test_a_value_is_replaced_as_the_standard_library_does_it() -> None:
    point = Point(1, 2, ("a",))
    for changes in ({}, {"y": 5}, {"x": 3, "names": ("b",)}):
        ours = replace(point, **changes)
        assert dataclasses.astuple(ours) == dataclasses.astuple(
            dataclasses.replace(point, **changes)
        )
    assert replace(Lone(1), only=2) == Lone(2)


def test_a_field_that_is_not_there_cannot_be_replaced() -> None:
    with pytest.raises(KeyError, match="z"):
        replace(Point(1), z=1)  # type: ignore[call-arg]
