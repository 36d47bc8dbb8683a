"""An agent's records in memory: the authority while it runs, the store being its log.

A reservation of which nothing is expected soon may sleep: then its records are rows (see
:mod:`agents.asleep`). Whoever asks for one of them wakes all of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from heapq import merge, nsmallest
from itertools import chain, islice
from operator import attrgetter

from agents.asleep import Asleep, Sleepers, kind_of, number_of, record_of, rows_of
from agents.values import Key, Record
from protocol.participant import PartState
from substrate.model import DataPlaneState

AWAKE_MAX = 16_384
"""With more reservations than that awake, those that were left alone longest are to sleep."""
TIRED = 2
"""So many of them for each record that is kept."""


class Records:
    """All records by key, and by the reservation that they are parts of.

    ``woken`` hears of every record that wakes, with its reservation's number in the book.
    """

    def __init__(self, woken: Callable[[Record, int], None]) -> None:
        self._woken = woken
        self._by_key: dict[Key, Record] = {}
        # The one that was left alone longest comes first.
        self._by_reservation: dict[str, tuple[Key, ...]] = {}
        self._asleep = Asleep()

    def get(self, key: Key) -> Record | None:
        """The record of ``key``."""
        found = self._by_key.get(key)
        if found is None and self._asleep.count:
            reservation_id = self._asleep.reservation_of(key)
            if reservation_id is not None:
                self.wake(reservation_id)
                return self._by_key[key]
        return found

    def put(self, record: Record) -> None:
        """Keeps a record in place of the one before."""
        prep, key = record.part.prep, record.key
        if prep is not None:
            self.wake(prep.reservation_id)
            keys = self._by_reservation.pop(prep.reservation_id, ())
            self._by_reservation[prep.reservation_id] = keys if key in keys else (*keys, key)
        self._by_key[key] = record

    def drop(self, record: Record) -> None:
        """Forgets a record."""
        prep = record.part.prep
        if prep is not None:
            self.wake(prep.reservation_id)
            keys = self._by_reservation.pop(prep.reservation_id)
            left = tuple(key for key in keys if key != record.key)
            if left:
                self._by_reservation[prep.reservation_id] = left
        del self._by_key[record.key]

    def parts_of(self, reservation_id: str) -> list[Record]:
        """The records of one reservation, in the order of their keys."""
        self.wake(reservation_id)
        keys = self._by_reservation.get(reservation_id, ())
        return [self._by_key[key] for key in (sorted(keys) if len(keys) > 1 else keys)]

    def fill(self, sleepers: Sleepers) -> None:
        """At start: those that sleep, of reservations that have no part awake."""
        self._asleep.fill(sleepers)

    def wake(self, reservation_id: str) -> None:
        """Wakes a reservation, if it is there and sleeps."""
        if reservation_id in self._by_reservation or not self._asleep.count:
            return
        rows = self._asleep.parts_of(reservation_id)
        if not rows:
            return
        woken = [(record_of(row), number_of(row)) for row in rows]
        self._by_reservation[reservation_id] = tuple(record.key for record, _ in woken)
        for row, (record, _) in zip(rows, woken, strict=True):
            self._asleep.remove(row, kind_of(record))
            self._by_key[record.key] = record
        for record, number in woken:
            self._woken(record, number)

    def lull(self, reservation_id: str, dues: Iterable[tuple[Record, int]], number: int) -> None:
        """Lets a reservation sleep: all its records, each with when it wants attention next."""
        for row, kind in rows_of(dues, number):
            self._asleep.add(row, kind)
        for key in self._by_reservation.pop(reservation_id):
            del self._by_key[key]

    def tired(self, kept: int = 1) -> list[str]:
        """Some reservations that are to sleep; they are not named again soon.

        ``kept``: of how many records note has been taken since.
        """
        count = min(TIRED * kept, len(self._by_reservation) - AWAKE_MAX)
        if count <= 0:
            return []
        found = list(islice(self._by_reservation, count))
        for reservation_id in found:
            self._by_reservation[reservation_id] = self._by_reservation.pop(reservation_id)
        return found

    def due(self, now_ms: int, limit: int) -> list[str]:
        """Reservations that sleep and want attention by then, of at most ``limit`` parts."""
        return self._asleep.due(now_ms, limit)

    def next_due_ms(self) -> int | None:
        """When the first of those that sleep wants attention."""
        return self._asleep.next_due_ms()

    def awake(self) -> Iterator[Record]:
        """Every record that does not sleep, in no order; those HELD are among them."""
        return iter(self._by_key.values())

    def live_keys(self) -> Iterator[Key]:
        """The key of every live part, in no order. Nothing must change meanwhile."""
        yield from (key for key, record in self._by_key.items() if record.live)
        for row in self._asleep.after(None):
            if number_of(row):
                transaction_id, part_id, _ = row.split(b"\0", 2)
                yield transaction_id.decode(), part_id.decode()

    def states(self) -> Counter[PartState]:
        """How many records there are in each state."""
        found = Counter(record.part.state for record in list(self._by_key.values()))
        for (state, _), count in self._asleep.kinds.items():
            found[PartState[state]] += count
        return found

    def orchestrators(self) -> set[str]:
        """Whose parts they are."""
        preps = (record.part.prep for record in self._by_key.values())
        awake = {prep.orchestrator_id for prep in preps if prep is not None}
        return awake | {name for (_, name), count in self._asleep.kinds.items() if count}

    def reservations(self) -> list[str]:
        """The ids of all reservations that are awake, sorted."""
        return sorted(self._by_reservation)

    def live(self, after: Key | None, limit: int) -> list[Record]:
        """At most ``limit`` live records in the order of their keys, from behind ``after``."""
        keys = (
            key
            for key, record in self._by_key.items()
            if record.live and (after is None or key > after)
        )
        awake = [self._by_key[key] for key in nsmallest(limit, keys)]
        return list(islice(_in_order(awake, self._asleep.after(after)), limit))

    def watched(self) -> list[Record]:
        """Those awake that are live or still configured, in the order of their keys.

        What sleeps is SCHEDULED, as all is taken to be of which nothing is told, or RELEASED.
        """
        awake = [
            record
            for record in self._by_key.values()
            if record.live or record.data_plane.state is not DataPlaneState.RELEASED
        ]
        return sorted(awake, key=attrgetter("key"))

    def all(self) -> Iterator[Record]:
        """Every record, in no order. Nothing must change meanwhile."""
        return chain(self._by_key.values(), map(record_of, self._asleep.after(None)))

    def __len__(self) -> int:
        return len(self._by_key) + len(self._asleep)


def _in_order(awake: Sequence[Record], asleep: Iterator[bytes]) -> Iterator[Record]:
    """Records that are awake, and those of the rows that are live."""
    live = (record_of(row) for row in asleep if number_of(row))
    return merge(awake, live, key=attrgetter("key"))
