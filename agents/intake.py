"""Takes up a million parts at start: those that may sleep become rows, and what they take arrays.

No record is made of them, and no placement: :mod:`agents.asleep` has the form of a row.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Sequence
from itertools import compress
from typing import Any

import numpy as np
import numpy.typing as npt

from agents.asleep import Kind, Sleepers, packed, record_of, reservations_of
from agents.sayings import Sayings, read_claims, read_labels
from agents.usage import Taken
from agents.values import Record
from protocol.participant import PartState
from substrate.model import DataPlaneState
from substrate.sorting import Ints

START_S, END_S = 11, 12
JOINT = ',"joint":true}'
"""How the placement of a part ends that may count together with others: not by itself."""
_WAKES = {
    (state.name, plane.name): column
    for states, plane, column in (
        ({PartState.COMMITTED}, DataPlaneState.SCHEDULED, START_S),
        ({*PartState} - {PartState.HELD, PartState.COMMITTED}, DataPlaneState.RELEASED, END_S),
    )
    for state in states
}
"""The column that tells until when a part sleeps, by its state and its data plane's."""


class Intake:
    """What sleeps at ``now_ms``: parts that begin later, or were given up and end later.

    ``rows`` are as in :class:`agents.asleep.Asleep`, of the ``kinds``; reservations have numbers
    above ``last_number``, which goes up.
    """

    def __init__(self, now_ms: int, last_number: int = 0) -> None:
        self._now_ms, self.last_number = now_ms, last_number
        self.rows: list[bytes] = []
        self.kinds: Counter[Kind] = Counter()
        # Per row: its window, when it wants attention, and the number of its reservation.
        self._starts_s, self._ends_s = array("q"), array("q")
        self._dues_ms, self._numbers = array("q"), array("q")
        # Which rows are live, and what each of these takes.
        self._live = array("q")
        self._claims, self._labels = Sayings(read_claims), Sayings(read_labels)

    def take(self, rows: Sequence[Sequence[Any]]) -> list[Sequence[Any]]:
        """Takes rows of the table ``agent_parts``; those that it leaves."""
        left: list[Sequence[Any]] = []
        asleep: list[Sequence[Any]] = []
        for row in rows:
            wakes = _WAKES.get((row[4], row[13]))
            if wakes is None or row[5] is None or row[9] is not None or row[6].endswith(JOINT):
                left.append(row)
            elif 1000 * row[wakes] > self._now_ms:
                asleep.append(row)
            else:
                left.append(row)
        if asleep:
            self._take(asleep)
        return left

    def _take(self, rows: Sequence[Sequence[Any]]) -> None:
        """Column by column: there may be a million."""
        self.kinds.update([(row[4], row[3]) for row in rows])
        live = np.array([row[4] == "COMMITTED" for row in rows])
        starts_s = np.array([row[START_S] for row in rows], np.int64)
        ends_s = np.array([row[END_S] for row in rows], np.int64)
        dues_ms = 1000 * np.where(live, starts_s, ends_s)
        numbers = np.where(live, np.arange(1, len(rows) + 1) + self.last_number, 0)
        self.last_number += len(rows)
        self._live.frombytes((np.flatnonzero(live) + len(self.rows)).tobytes())
        for column, values in (
            (self._starts_s, starts_s),
            (self._ends_s, ends_s),
            (self._dues_ms, dues_ms),
            (self._numbers, numbers),
        ):
            column.frombytes(values.tobytes())
        self._note([row[6] for row in compress(rows, live)])
        self.rows += packed(rows, numbers, dues_ms)

    def _note(self, mappings: Sequence[str]) -> None:
        """What live rows take: the texts within each placement's JSON."""
        split = [mapping.partition(',"labels":') for mapping in mappings]
        self._claims.add([claims for claims, _, _ in split])
        self._labels.add([rest.partition(',"detail":')[0] for _, _, rest in split])

    def join(self, other: Intake) -> None:
        """Takes what another has taken, whose numbers are different ones."""
        count = len(self.rows)
        self.rows += other.rows
        self.kinds.update(other.kinds)
        self._starts_s += other._starts_s
        self._ends_s += other._ends_s
        self._dues_ms += other._dues_ms
        self._numbers += other._numbers
        self._live.frombytes((_ints(other._live) + count).tobytes())
        self._claims.join(other._claims)
        self._labels.join(other._labels)
        self.last_number = max(self.last_number, other.last_number)

    def taken(self) -> tuple[Taken, Sleepers, list[Record]]:
        """What is taken by those that sleep, what sleeps, and the parts that do not after all.

        Those are of reservations that have several: what they take is not the sum.
        """
        starts_s, ends_s, numbers = map(_ints, (self._starts_s, self._ends_s, self._numbers))
        dues_ms, live = _ints(self._dues_ms), _ints(self._live)
        reservations = reservations_of(self.rows)
        alone = np.ones(len(self.rows), np.bool_)
        alone[live] = _single(reservations[live])
        claims, labels = {}, {}
        for resource, (who, bandwidths_bps) in self._claims.columns().items():
            at = live[who]
            kept, at = alone[at], at[alone[at]]
            claims[resource] = (starts_s[at], ends_s[at], bandwidths_bps[kept])
        for stp, (who, vlans) in self._labels.columns().items():
            at = live[who]
            kept, at = alone[at], at[alone[at]]
            labels[stp] = (vlans[kept], starts_s[at], ends_s[at], numbers[at])
        awake = [record_of(row) for row in compress(self.rows, ~alone)]
        for record in awake:
            prep = record.part.prep
            assert prep is not None
            self.kinds[record.part.state.name, prep.orchestrator_id] -= 1
        rows = list(compress(self.rows, alone)) if awake else self.rows
        sleepers = Sleepers(rows, reservations[alone], dues_ms[alone], self.kinds)
        return Taken(claims, labels, self.last_number), sleepers, awake


def _single(values: Ints) -> npt.NDArray[np.bool_]:
    """Which of them occur once."""
    order = np.argsort(values)
    ordered = values[order]
    differs = np.concatenate(([True], ordered[1:] != ordered[:-1], [True]))
    found = np.empty(len(values), np.bool_)
    found[order] = differs[1:] & differs[:-1]
    return found


def _ints(values: array[int]) -> Ints:
    return np.array(values, np.int64)
