"""What is made of the same value several times soon after one another is made once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

V = TypeVar("V")
R = TypeVar("R")


class Remembered(Generic[V, R]):
    """``make`` of a value, remembered for the last ``most`` values.

    A value is known by itself, not by what it is equal to: to hash what has many parts takes as
    long as to make something of it. Neither values nor what is made of them may change. Several
    threads may call it.
    """

    def __init__(self, make: Callable[[V], R], most: int) -> None:
        self._make, self._most = make, most
        # As long as a value is in here, no other has its id.
        self._made: OrderedDict[int, tuple[V, R]] = OrderedDict()

    def __call__(self, value: V) -> R:
        found = self._made.get(id(value))
        if found is not None:
            return found[1]
        made = self._make(value)
        self.know(value, made)
        return made

    def know(self, value: V, made: R) -> None:
        """``made`` is what is made of the value: for who has both."""
        self._made[id(value)] = (value, made)
        if len(self._made) > self._most:
            self._made.popitem(last=False)
