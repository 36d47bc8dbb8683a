"""What VNodes write as they run, and whether they find it wherever they run later.

Every VNode that runs where users are promised it counts: on its disk and in its memory, many times
a second. Taken to another provider it must find what it counted last: on disk always, in memory
where the record says that it was carried live, as all are that are only about to begin. It runs
nowhere else meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass

from agents.backends.hosts.guest import Guest
from agents.backends.hosts.plugins import Hosts
from agents.backends.hosts.port import VNodeName
from agents.carrying import NOT_THERE
from agents.values import Record
from orchestrator.records import Reservation
from protocol.participant import PartState
from simulations.faults.devices import at_work, names_of
from simulations.faults.embedded import mapped_of
from simulations.faults.parties import AgentParty
from simulations.faults.words import short
from substrate.model import Window

COUNT = "count"
"""The file, and the name in memory."""


@dataclass(slots=True)
class _Place:
    """Where users are promised a VNode. ``live``: it was carried there with its memory, and has
    not run there yet."""

    domain: str
    window: Window
    live: bool = False


@dataclass(frozen=True, slots=True)
class _Counted:
    """What a VNode has counted, where, and on which hosts: these may forget."""

    count: int
    domain: str
    hosts: Hosts


class Tenants:
    """All VNodes of all users."""

    def __init__(
        self,
        parties: Mapping[str, AgentParty],
        now_ms: Callable[[], int],
        found: Callable[[str], None],
    ) -> None:
        self._parties = {name: party for name, party in parties.items() if "cloud" in party.config}
        self._now_ms, self._found = now_ms, found
        self._places: dict[VNodeName, _Place] = {}
        self._counted: dict[VNodeName, _Counted] = {}
        # What was at a domain when its database became an old copy, by these domains.
        self._restored: dict[str, set[VNodeName]] = {}

    def restored(self, domain: str) -> None:
        """Its database is an old copy, which may not know what was being carried away.

        Such a VNode may run there again until the version that stands by is released, and what it
        writes then is lost. What stays has its disk.
        """
        there = {name for name, known in self._counted.items() if known.domain == domain}
        self._restored.setdefault(domain, set()).update(there)

    def promise(self, record: Reservation) -> None:
        """A version is in force from now on."""
        name, places = record.reservation_id, _places(record)
        live = {each.vnode for each in record.carried if each.live}
        for each in record.carried:
            # What has not begun is waited for; a provider that was restored makes anew what its
            # hosts had lost, which it may have said before.
            waited = each.source not in self._restored
            if not each.live and NOT_THERE in each.reason and waited:
                self._found(f"{short(name)}:{each.vnode} was carried cold: {each.reason}")
        # What runs on where it was cannot have been carried.
        self.forget(name, keep=places)
        for vnode, domain in places.items():
            place = _Place(domain, record.criteria.window, vnode in live)
            self._places[VNodeName(name, vnode)] = place

    def forget(self, reservation_id: str, keep: Container[str] = ()) -> None:
        """Users are promised no more of it than ``keep``."""
        self.look()
        for name in [name for name in self._places if name.reservation_id == reservation_id]:
            if name.vnode not in keep:
                del self._places[name]
                self._counted.pop(name, None)

    def look(self) -> None:
        """VNodes that run now find what they have, and go on counting."""
        now_s = self._now_ms() / 1000
        self._excuse()
        now = [
            (name, place)
            for name, place in self._places.items()
            if place.window.start_s <= now_s < place.window.end_s
        ]
        running = self._running() if now else {}
        for name, place in now:
            self._take(name, place)
            guests = running.get(name, {})
            known = self._counted.get(name)
            for domain in guests.keys() - {place.domain}:
                if known is not None and domain not in self._restored:
                    self._found(f"{_word(name)} runs at {domain}, users have it at {place.domain}")
            if place.domain in guests:
                self._count(name, place, guests[place.domain], known)

    def _take(self, name: VNodeName, place: _Place) -> None:
        """What was carried is at its new provider alone once that has written that it may run."""
        known, hosts = self._counted.get(name), self._hosts(place.domain)
        if known is None or known.domain == place.domain:
            return
        begun = has_begun(self._parties[place.domain].database.memory.records.values(), name)
        unsure = name in self._restored.get(known.domain, ())
        if unsure or self._hosts(known.domain) is not known.hosts or (begun and hosts is None):
            del self._counted[name]
        elif begun and hosts is not None:
            self._counted[name] = _Counted(known.count, place.domain, hosts)

    def _count(self, name: VNodeName, place: _Place, guest: Guest, known: _Counted | None) -> None:
        count = 0
        if known is not None:
            count = known.count
            for problem in self._lost(place, guest, known):
                self._found(f"{_word(name)} at {place.domain} has not {problem}")
        count, place.live = count + 1, False
        for word in ("write", "set"):
            guest.answer(f"{word} {COUNT} {count}", self._now_ms())
        hosts = self._hosts(place.domain)
        assert hosts is not None
        self._counted[name] = _Counted(count, place.domain, hosts)

    def _lost(self, place: _Place, guest: Guest, known: _Counted) -> Iterator[str]:
        if self._hosts(known.domain) is not known.hosts:
            return
        if guest.files.get(COUNT) != str(known.count):
            yield "what it wrote"
        if place.live and guest.memory.get(COUNT) != str(known.count):
            yield "what it had in memory, although it was carried live"

    def _excuse(self) -> None:
        """To an agent whose clock is ahead of its end a VNode is over."""
        now_ms = self._now_ms()
        for name, known in list(self._counted.items()):
            ahead_ms = self._parties[known.domain].clock.skew_ms
            end_ms = self._places[name].window.end_s * 1000
            if ahead_ms > 0 and now_ms + ahead_ms >= end_ms:
                del self._counted[name]

    def _running(self) -> dict[VNodeName, dict[str, Guest]]:
        found: dict[VNodeName, dict[str, Guest]] = {}
        for domain in self._parties:
            hosts = self._hosts(domain)
            for name, guest in at_work(hosts) if hosts is not None else ():
                found.setdefault(name, {})[domain] = guest
        return found

    def _hosts(self, domain: str) -> Hosts | None:
        """Those that it has now, if any."""
        party = self._parties[domain]
        embedder = party.machines if party.lasting else party.embedder
        return embedder.hosts if embedder is not None else None


def has_begun(records: Iterable[Record], name: VNodeName) -> bool:
    """Whether a provider has written that a VNode need not wait there any more."""
    return any(
        record.part.state is PartState.COMMITTED
        and name in names_of(record)
        and (mapped := mapped_of(record.part.mapping)) is not None
        and name.vnode not in mapped.awaits
        for record in records
    )


def _places(record: Reservation) -> dict[str, str]:
    """The domain of each VNode, as its user reads it."""
    return {vnode: part.domain for part in record.parts for vnode in part.vnodes}


def _word(name: VNodeName) -> str:
    return f"{short(name.reservation_id)}:{name.vnode}"
