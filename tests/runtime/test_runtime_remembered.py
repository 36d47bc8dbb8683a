"""What is made of a value is remembered for a while."""

from __future__ import annotations

from runtime.remembered import Remembered


def test_the_same_value_is_worked_on_once_and_an_equal_one_by_itself() -> None:
    worked = list[list[int]]()

    def total(value: list[int]) -> int:
        worked.append(value)
        return sum(value)

    remembered = Remembered(total, 2)
    one, equal = [1, 2], [1, 2]
    assert [remembered(one), remembered(equal), remembered(one)] == [3, 3, 3]
    assert [value is one for value in worked] == [True, False]


def test_only_the_last_values_are_kept() -> None:
    worked = list[int]()

    def first(value: list[int]) -> int:
        worked.append(value[0])
        return value[0]

    remembered = Remembered(first, 2)
    values = [[number] for number in range(3)]
    for value in (*values, values[2], values[1], values[0]):
        remembered(value)
    assert worked == [0, 1, 2, 0]


def test_what_is_known_already_is_not_worked_on() -> None:
    def fail(value: list[int]) -> int:
        raise AssertionError(value)

    remembered = Remembered(fail, 1)
    value, other = [1], [2]
    remembered.know(value, 7)
    assert remembered(value) == 7
    remembered.know(other, 8)
    assert remembered(other) == 8
