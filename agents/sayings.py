"""What a million placements say of claims and labels, as arrays: few say different things."""

from __future__ import annotations

import json
from array import array
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np

from substrate.calendar import Direction, Resource
from substrate.sorting import Ints, order_of, ranges

TEXTS_MAX = 1 << 16
"""So many different texts are gathered before they go into arrays."""
TOGETHER = 1 << 16
"""So many speakers' words are sorted at once: more would not fit into a processor's cache."""

Columns = tuple[Ints, Ints]
"""Who says something of a thing, and its amounts."""
Read = Callable[[str], Iterable[tuple[Hashable, int]]]
"""Things and amounts in a text."""


class Sayings:
    """Texts of speakers 0, 1, 2 and so on; read once each, however many say the same."""

    def __init__(self, read: Read) -> None:
        self._read = read
        # Texts that are not read yet, and per speaker since then the number of the text.
        self._texts: dict[str, int] = {}
        self._said = array("q")
        self._speakers = 0
        self._found: dict[Any, list[Columns]] = {}

    def add(self, texts: Sequence[str]) -> None:
        """What further speakers say."""
        known = self._texts
        self._said.extend([known.setdefault(text, len(known)) for text in texts])
        if len(known) > TEXTS_MAX:
            self._flush()

    def join(self, other: Sayings) -> None:
        """What others have said, as further speakers."""
        if other._speakers:
            self._flush()
            for thing, found in other._found.items():
                shifted = [(who + self._speakers, amounts) for who, amounts in found]
                self._found.setdefault(thing, []).extend(shifted)
            self._speakers += other._speakers
        known = self._texts
        numbers = np.array([known.setdefault(text, len(known)) for text in other._texts], np.int64)
        self._said.frombytes(numbers[np.array(other._said, np.int64)].tobytes())
        if len(known) > TEXTS_MAX:
            self._flush()

    def columns(self) -> dict[Any, Columns]:
        """Per thing: speakers, each as often as it says something of it, and the amounts."""
        self._flush()
        return {
            thing: (np.concatenate([c[0] for c in found]), np.concatenate([c[1] for c in found]))
            for thing, found in self._found.items()
        }

    def _flush(self) -> None:
        """Reads texts; a text says something of several things, perhaps of one several times."""
        if not self._texts:
            return
        read = [tuple(self._read(text)) for text in self._texts]
        things = {thing: i for i, thing in enumerate({thing for thing, _ in chain(*read)})}
        names = np.array([things[thing] for thing, _ in chain(*read)], np.int64)
        amounts = np.array([amount for _, amount in chain(*read)], np.int64)
        ends = np.cumsum([len(each) for each in read])
        firsts = ends - [len(each) for each in read]
        said = np.array(self._said, np.int64)
        for at in range(0, len(said), TOGETHER):
            some = said[at : at + TOGETHER]
            places, who = ranges(firsts[some], ends[some])
            self._sort(things, names[places], who + self._speakers, amounts[places])
            self._speakers += len(some)
        self._texts, self._said = {}, array("q")

    def _sort(self, things: dict[Any, int], names: Ints, who: Ints, amounts: Ints) -> None:
        """Keeps what is said by thing; ``names``: numbers of things."""
        order = order_of(names)
        bounds = np.searchsorted(names[order], np.arange(len(things) + 1))
        for thing, i in things.items():
            chosen = order[bounds[i] : bounds[i + 1]]
            self._found.setdefault(thing, []).append((who[chosen], amounts[chosen]))


def read_claims(text: str) -> Iterator[tuple[Resource, int]]:
    """Of the beginning of a placement's JSON."""
    stored = json.loads(text.removeprefix('{"claims":'))
    return ((Resource(name, Direction(direction)), bps) for name, direction, bps in stored)


def read_labels(text: str) -> Iterator[tuple[str, int]]:
    """Of the list in a placement's JSON."""
    return ((str(stp), int(vlan)) for stp, vlan in json.loads(text))
