"""An agent's records in memory: the authority while it runs, the store being its log."""

from __future__ import annotations

from collections.abc import Iterator
from heapq import nsmallest

from agents.values import Key, Record
from protocol.participant import PartState
from substrate.model import DataPlaneState


class Records:
    """All records by key, and by the reservation that they are parts of."""

    def __init__(self) -> None:
        self._by_key: dict[Key, Record] = {}
        self._by_reservation: dict[str, set[Key]] = {}

    def get(self, key: Key) -> Record | None:
        """The record of ``key``."""
        return self._by_key.get(key)

    def put(self, record: Record) -> None:
        """Keeps a record in place of the one before."""
        self._by_key[record.key] = record
        if record.part.prep is not None:
            keys = self._by_reservation.setdefault(record.part.prep.reservation_id, set())
            keys.add(record.key)

    def drop(self, record: Record) -> None:
        """Forgets a record."""
        del self._by_key[record.key]
        if record.part.prep is not None:
            keys = self._by_reservation[record.part.prep.reservation_id]
            keys.discard(record.key)
            if not keys:
                del self._by_reservation[record.part.prep.reservation_id]

    def parts_of(self, reservation_id: str) -> list[Record]:
        """The records of one reservation, in the order of their keys."""
        return [self._by_key[key] for key in sorted(self._by_reservation.get(reservation_id, ()))]

    def all(self) -> Iterator[Record]:
        """Every record, in no order."""
        return iter(self._by_key.values())

    def states(self) -> list[PartState]:
        """The state of every record, in no order."""
        return [record.part.state for record in list(self._by_key.values())]

    def orchestrators(self) -> set[str]:
        """Whose parts they are."""
        preps = (record.part.prep for record in self._by_key.values())
        return {prep.orchestrator_id for prep in preps if prep is not None}

    def reservations(self) -> list[str]:
        """The ids of all reservations, sorted."""
        return sorted(self._by_reservation)

    def live(self, after: Key | None, limit: int) -> list[Record]:
        """At most ``limit`` live records in the order of their keys, from behind ``after``."""
        keys = (
            key
            for key, record in self._by_key.items()
            if record.live and (after is None or key > after)
        )
        return [self._by_key[key] for key in nsmallest(limit, keys)]

    def watched(self) -> Iterator[Record]:
        """Those that are live or still configured, in the order of their keys."""
        for key in sorted(self._by_key):
            record = self._by_key[key]
            if record.live or record.data_plane.state is not DataPlaneState.RELEASED:
                yield record

    def __len__(self) -> int:
        return len(self._by_key)
