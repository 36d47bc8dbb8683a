"""What may be on a domain's devices, and which VLANs it has there."""

from __future__ import annotations

from agents.backends.base import Placement
from agents.values import Key, Record


class Touched:
    """Parts of which anything may be on a device, findable by the VLANs that they use."""

    def __init__(self) -> None:
        self._reservations: dict[Key, str] = {}
        self._labels: dict[Key, set[tuple[str, int]]] = {}
        self._users: dict[tuple[str, int], set[Key]] = {}
        self._standing: set[Key] = set()

    def __contains__(self, key: object) -> bool:
        return key in self._reservations

    def add(self, record: Record, placement: Placement) -> None:
        """Notes a part and its labels, beside those it has had before."""
        self._standing.discard(record.key)
        self._reservations[record.key] = reservation_of(record)
        self._labels.setdefault(record.key, set()).update(placement.labels)
        for label in placement.labels:
            self._users.setdefault(label, set()).add(record.key)

    def stand_by(self, record: Record, placement: Placement) -> None:
        """Notes a part that is not provisioned itself, for what it has in common with others."""
        only = record.key not in self or record.key in self._standing
        self.add(record, placement)
        if only:
            self._standing.add(record.key)

    def provisioned(self, key: Key) -> bool:
        """Whether it may have been provisioned, and does not only stand by."""
        return key in self and key not in self._standing

    def remove(self, record: Record) -> None:
        """Forgets a part."""
        self._standing.discard(record.key)
        self._reservations.pop(record.key, None)
        for label in self._labels.pop(record.key, ()):
            users = self._users.get(label, set())
            users.discard(record.key)
            if not users:
                self._users.pop(label, None)

    def reservations(self, placement: Placement) -> set[str]:
        """Whose parts use a label of ``placement``."""
        keys = {key for label in placement.labels for key in self._users.get(label, ())}
        return {self._reservations[key] for key in keys}


def reservation_of(record: Record) -> str:
    """The reservation that a part belongs to."""
    return record.part.prep.reservation_id if record.part.prep else ""
