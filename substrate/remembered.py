"""What was found out once, for as long as all that it depends on is the very same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Remembered(Generic[T]):
    """Answers by the identity of what they are about, none of which may change."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, ...], tuple[object, T]] = {}

    def of(self, about: tuple[object, ...], find: Callable[[], T]) -> T:
        """The answer, as ``find`` finds it; ``about``: all that it depends on."""
        # What is the very same need not be compared; it is kept, so that nothing takes its place.
        key = tuple(map(id, about))
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = about, find()
        return known[1]
