"""A provider's hosts as the checker watches them, from write to write."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from agents.backends.hosts.guest import Guest
from agents.backends.hosts.port import VNodeName
from agents.in_force import end_s
from agents.values import Record
from protocol.participant import PartState
from simulations.faults.devices import guests, names_of, running, undone
from simulations.faults.embedded import mapped_of
from simulations.faults.parties import AgentParty
from simulations.faults.words import short


class Hosted:
    """Of a domain that is no provider there is nothing to say."""

    def __init__(self, party: AgentParty) -> None:
        self._party = party
        self._committed: set[VNodeName] = set()
        # What ran in those that are promised, when it was last looked.
        self._guests: dict[VNodeName, Guest] = {}

    @property
    def watches(self) -> bool:
        """Whether there is anything to be wrong: a provider that runs, or VNodes that ran."""
        return self._party.embedder is not None or bool(self._guests)

    def problems(self, in_force: Collection[Record]) -> Iterator[str]:
        """What is wrong at any time: what runs and was never committed, and what was interrupted.

        ``in_force``: what users are promised now. On hosts that outlive agents it goes on running,
        whatever becomes of agents and versions; except what is over by a clock that is ahead, and
        while it is carried away cold.
        """
        party, now_ms = self._party, self._party.clock.now_ms()
        lasts = [each for each in in_force if party.lasting and now_ms < end_s(each) * 1000]
        promised = {name for record in lasts for name in names_of(record)}
        self._guests = {name: guest for name, guest in self._guests.items() if name in promised}
        if party.embedder is None:
            return
        for record in party.database.memory.records.values():
            if record.part.state is PartState.COMMITTED:
                self._committed.update(names_of(record))
        for _, name in sorted(running(party.embedder)):
            if name not in self._committed:
                yield f"{party.name} runs {_vnode(name)} uncommitted"
        promised -= self._stopped()
        now = guests(party.embedder)
        kept = {name: guest for name, guest in self._guests.items() if name in promised}
        for name in sorted(kept):
            if now.get(name) is not kept[name]:
                yield f"{party.name} interrupts {_vnode(name)}"
        fresh = {n: guest for n, guest in now.items() if n in promised and n not in kept}
        self._guests = {**kept, **fresh}

    def _stopped(self) -> set[VNodeName]:
        """What is carried away cold, for which it is stopped."""
        found = set[VNodeName]()
        for record in self._party.database.memory.records.values():
            committed = record.part.state is PartState.COMMITTED
            mapped = mapped_of(record.part.mapping) if committed and names_of(record) else None
            for vnode in set(mapped.leaves).difference(mapped.paused) if mapped else ():
                found.add(VNodeName(_of(record), vnode))
        return found

    def unresolved(self, in_force: Collection[Record]) -> list[str]:
        """Where hosts and switches do not do just what is in force."""
        embedder, name = self._party.embedder, self._party.name
        return [f"{name}: {p}" for p in undone(embedder, in_force)] if embedder else []


def _of(record: Record) -> str:
    return record.part.prep.reservation_id if record.part.prep is not None else ""


def _vnode(name: VNodeName) -> str:
    return f"{short(name.reservation_id)}:{name.vnode}"
