"""Takes up a million parts at start: those that may sleep become rows, and what they take arrays.

No record is made of them, and no placement: :mod:`agents.asleep` has the form of a row.
"""

from __future__ import annotations

import json
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import compress
from typing import Any

import numpy as np
from sqlalchemy import Row

from agents.asleep import Kind, packed, record_of
from agents.usage import Taken
from agents.values import Record
from substrate.calendar import Direction, Resource
from substrate.levels import Ints

TEXTS_MAX = 4096
"""So many different claims, or labels, are gathered before they go into arrays."""


class Intake:
    """What sleeps at ``now_ms``: parts that begin later, or were given up and end later.

    ``rows`` are as in :class:`agents.asleep.Asleep`, of the ``kinds``.
    """

    def __init__(self, now_ms: int) -> None:
        self._now_ms = now_ms
        self.rows: list[bytes] = []
        self.kinds: Counter[Kind] = Counter()
        # Per row: its window, and what tells its reservation from others, 0 where it takes nothing.
        self._starts_s, self._ends_s = array("q"), array("q")
        self._reservations = array("q")
        self._claims = _Texts(_claims_of)
        self._labels = _Texts(_labels_of)

    def take(self, rows: Sequence[Row[Any]]) -> list[Row[Any]]:
        """Takes rows of the table ``agent_parts``; those that it leaves."""
        asleep = [row for row in rows if self._may_sleep(row)]
        self._take(asleep)
        if len(asleep) == len(rows):
            return []
        taken = {row[:2] for row in asleep}
        return [row for row in rows if row[:2] not in taken]

    def _may_sleep(self, row: Sequence[Any]) -> bool:
        state, data_plane = row[4], row[13]
        if state == "HELD" or row[5] is None or row[9] is not None:
            return False
        if state == "COMMITTED":
            begins: bool = 1000 * row[11] > self._now_ms and data_plane == "SCHEDULED"
            return begins
        ends: bool = 1000 * row[12] > self._now_ms and data_plane == "RELEASED"
        return ends

    def _take(self, rows: Sequence[Sequence[Any]]) -> None:
        """Column by column: there may be a million."""
        self.kinds.update([(row[4], row[3]) for row in rows])
        self._starts_s.extend([row[11] for row in rows])
        self._ends_s.extend([row[12] for row in rows])
        for number, row in enumerate(rows, len(self.rows) + 1):
            live = row[4] == "COMMITTED"
            if live:
                self._note(row[6], number - 1)
            self._reservations.append((hash(row[2]) or 1) if live else 0)
            due_ms = 1000 * (row[11] if live else row[12])
            self.rows.append(packed(row, number if live else 0, due_ms))

    def _note(self, mapping: str, row: int) -> None:
        """What a row takes: the texts within a placement's JSON."""
        claims, _, rest = mapping.partition(',"labels":')
        self._claims.add(claims, row)
        self._labels.add(rest.partition(',"detail":')[0], row)

    def taken(self) -> tuple[Taken, list[Record]]:
        """What is taken by those that sleep, and the parts that do not after all.

        Those are of reservations that have several: what they take is not the sum.
        """
        starts_s, ends_s = _ints(self._starts_s), _ints(self._ends_s)
        alone = _alone(_ints(self._reservations))
        claims = {}
        for resource, (rows, bandwidths_bps) in self._claims.columns().items():
            kept = alone[rows]
            rows = rows[kept]
            claims[resource] = (starts_s[rows], ends_s[rows], bandwidths_bps[kept])
        labels = {}
        for stp, (rows, vlans) in self._labels.columns().items():
            kept = alone[rows]
            rows = rows[kept]
            labels[stp] = (vlans[kept], starts_s[rows], ends_s[rows], rows + 1)
        last_number = len(self.rows)
        awake = [record_of(row) for row in compress(self.rows, ~alone)]
        if awake:
            self.rows = list(compress(self.rows, alone))
        for record in awake:
            prep = record.part.prep
            assert prep is not None
            self.kinds[record.part.state.name, prep.orchestrator_id] -= 1
        return Taken(claims, labels, last_number), awake


class _Texts:
    """What many mappings say of claims, or of labels: few say different things."""

    def __init__(self, read: Any) -> None:
        self._read = read
        self._rows: dict[str, array[int]] = {}
        self._found: dict[Any, tuple[list[Ints], list[Ints]]] = {}

    def add(self, text: str, row: int) -> None:
        """A row that says ``text``."""
        rows = self._rows.get(text)
        if rows is None:
            if len(self._rows) == TEXTS_MAX:
                self._flush()
            rows = self._rows[text] = array("q")
        rows.append(row)

    def columns(self) -> dict[Any, tuple[Ints, Ints]]:
        """Per resource, or port: rows, and what each of them takes."""
        self._flush()
        return {
            thing: (np.concatenate(rows), np.concatenate(amounts))
            for thing, (rows, amounts) in self._found.items()
        }

    def _flush(self) -> None:
        for text, rows in self._rows.items():
            found = _ints(rows)
            for thing, amount in self._read(json.loads(text.removeprefix('{"claims":'))):
                columns = self._found.setdefault(thing, ([], []))
                columns[0].append(found)
                columns[1].append(np.full(len(found), amount, np.int64))
        self._rows.clear()


def _claims_of(stored: list[list[Any]]) -> Iterator[tuple[Resource, int]]:
    return ((Resource(name, Direction(direction)), bps) for name, direction, bps in stored)


def _labels_of(stored: list[list[Any]]) -> Iterator[tuple[str, int]]:
    return ((str(stp), int(vlan)) for stp, vlan in stored)


def _alone(reservations: Ints) -> Any:
    """Which rows are the only ones of theirs; those that take nothing count as such."""
    _, index, counts = np.unique(reservations, return_inverse=True, return_counts=True)
    return (counts[index] == 1) | (reservations == 0)


def _ints(values: Sequence[int]) -> Ints:
    return np.array(values, np.int64)
