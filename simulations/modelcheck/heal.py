"""What becomes of a state once nothing fails any more: everything must come to an end, and fit.

All that is under way is lost; from then on every message arrives, once and in order. Either all
instances but one are gone and that one takes over, or the owners go on. Both ways, when nothing
moves any more, every transaction must be settled and the domains must hold exactly what stands.
"""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.records import State
from protocol import coordinator
from protocol.coordinator import (
    Decide,
    ReleaseAll,
    Retry,
)
from protocol.messages import Inquire, ReservationResp
from protocol.transaction import (
    Decision,
    PartStatus,
    Transaction,
)
from simulations.modelcheck import orchestrators
from simulations.modelcheck.domain import Domain, Site
from simulations.modelcheck.numbered import Numbered
from simulations.modelcheck.office import Office, missing, superfluous, with_memory
from simulations.modelcheck.orchestrators import Orchestrator
from simulations.modelcheck.world import LATER_MS, Slot, bits_of

ROUNDS_MAX = 40
Epochs = tuple[tuple[int, bool], ...]
"""Of each domain: its epoch, and whether it recovers."""
After = tuple[int, int]
"""The number of a state, and what was sent on the way."""


class Healer:
    """Heals states by their numbers; what was found out once is not tried again."""

    def __init__(
        self,
        offices: Sequence[Numbered[Office]],
        orchestrators: Sequence[Orchestrator],
        sites: Sequence[Numbered[Site]],
        domains: Sequence[Domain],
    ) -> None:
        self._offices, self._orchestrators = offices, orchestrators
        self._sites, self._domains = sites, domains
        self._fine: set[tuple[int, ...]] = set()
        self._tidied: dict[tuple[int, int, Epochs], After] = {}
        self._heard: dict[tuple[int, int, int], After] = {}
        self._cleared: dict[tuple[int, int, bool], int] = {}

    def problem(self, numbers: tuple[int, ...]) -> str | None:
        """What is wrong in the end, if anything is."""
        for take in (True, False):
            count = len(self._offices)
            cleared = [self._clear(k, numbers[k], take) for k in range(count)]
            problem = self._heal((*cleared, *numbers[count:]))
            if problem is not None:
                how = "another instance takes over" if take else "the owners go on"
                return f"{problem} ({how})"
        return None

    def _heal(self, numbers: tuple[int, ...]) -> str | None:
        path = []
        for _ in range(ROUNDS_MAX):
            if numbers in self._fine:
                break
            path.append(numbers)
            after = self._round(numbers)
            if after == numbers:
                problem = self._unfit(numbers)
                if problem is not None:
                    return problem
                break
            numbers = after
        else:
            return f"no end in sight: {self._show(numbers)}"
        self._fine.update(path)
        return None

    def _round(self, numbers: tuple[int, ...]) -> tuple[int, ...]:
        """Everybody sends what is due, and every message and answer arrives."""
        count = len(self._offices)
        offices, sites = list(numbers[:count]), list(numbers[count:])
        states = [site.states[n] for site, n in zip(self._sites, sites, strict=True)]
        epochs = tuple((site.epoch, site.recovering) for site in states)
        net = 0
        for k in range(count):
            offices[k], sent = self._tidy(k, offices[k], epochs)
            net |= sent
        for _ in range(2):
            for k, site in enumerate(self._sites):
                sites[k], sent = self._hear(count + k, sites[k], net & site.inbox)
                net |= sent
            for k, office in enumerate(self._offices):
                offices[k], sent = self._hear(k, offices[k], net & office.inbox)
                net |= sent
        return (*offices, *sites)

    def _clear(self, k: int, number: int, take: bool) -> int:
        """The office without the memories of those who are gone."""
        known = self._cleared.get((k, number, take))
        if known is not None:
            return known
        office, instances = self._offices[k].states[number], self._orchestrators[k].instances
        if take:
            survivor = instances.count - 1
            for i, memory in enumerate(office.memories):
                nothing = (None,) * len(office.rows)
                office = with_memory(office, i, memory._replace(copies=nothing, busy=0))
            for reservation, record in enumerate(office.records):
                if record.going_on or self._unsettled(k, office, reservation):
                    office = instances.take(office, survivor, reservation)
        else:
            for slot in self._orchestrators[k].slots:
                owner = office.records[slot.reservation].owner
                for i, memory in enumerate(office.memories):
                    if i != owner:
                        copies = list(memory.copies)
                        copies[slot.number] = None
                        office = with_memory(office, i, memory._replace(copies=tuple(copies)))
        self._cleared[k, number, take] = found = self._offices[k].number(office)
        return found

    def _unsettled(self, k: int, office: Office, reservation: int) -> bool:
        slots = [s for s in self._orchestrators[k].slots if s.reservation == reservation]
        rows = [office.rows[slot.number] for slot in slots]
        return any(row is not None and not row.settled for row in rows)

    def _hear(self, k: int, number: int, inbox: int) -> After:
        """One party hears messages, one after another; the owner, if it is an orchestrator."""
        key = (k, number, inbox)
        known = self._heard.get(key)
        if known is None:
            count, sent = len(self._offices), 0
            if k < count:
                office = self._offices[k].states[number]
                for bit in bits_of(inbox):
                    office, more = self._owner_hears(k, office, bit)
                    sent |= more
                known = self._offices[k].number(office), sent
            else:
                domain, site = self._domains[k - count], self._sites[k - count].states[number]
                for bit in bits_of(inbox):
                    site, more = domain.take_in(site, bit)
                    sent |= more
                known = self._sites[k - count].number(site), sent | domain.asks(site)
            self._heard[key] = known
        return known

    def _owner_hears(self, k: int, office: Office, bit: int) -> tuple[Office, int]:
        party = self._orchestrators[k]
        message = party.world.mail.messages[bit]
        i = 0
        if isinstance(message, ReservationResp | Inquire):
            slot = party.world.slot_of(message.transaction_id)
            i = office.records[slot.reservation].owner
        return party.instances.hear(office, i, message)

    def _tidy(self, k: int, number: int, epochs: Epochs) -> After:
        """An orchestrator does all that it can do by itself, and sends again what is due."""
        known = self._tidied.get((k, number, epochs))
        if known is None:
            office, sent = self._tidied_up(k, self._offices[k].states[number], epochs)
            known = self._offices[k].number(office), sent
            self._tidied[k, number, epochs] = known
        return known

    def _tidied_up(self, k: int, office: Office, epochs: Epochs) -> tuple[Office, int]:
        party, mask = self._orchestrators[k], 0
        instances = party.instances
        for domain, (epoch, _) in zip(self._domains, epochs, strict=True):
            for i in range(instances.count):
                office = instances.connect(office, i, domain.name, epoch)
                office = instances.connect(office, i, domain.name, epoch)
        for slot in party.slots:
            i = office.records[slot.reservation].owner
            if office.memories[i].copies[slot.number] is None:
                continue
            for at, epoch in enumerate(office.met):
                if epoch > 1:
                    office, _ = instances.raised(office, i, slot.number, at)
            office, sent = _decided(party, office, i, slot)
            mask |= sent
            tx = office.memories[i].copies[slot.number]
            assert tx is not None
            mask |= instances.post(office, i, coordinator.step(tx, Retry(), LATER_MS)[1])
        for reservation in range(len(office.records)):
            office = _recorded(party, office, reservation)
        for at, (_, recovering) in enumerate(epochs):
            if recovering:
                mask |= instances.claims(office, at)
        return office, mask

    def _unfit(self, numbers: tuple[int, ...]) -> str | None:
        """What is not as it must be, now that nothing moves any more."""
        count = len(self._offices)
        standing: set[tuple[str, str]] = set()
        for k, party in enumerate(self._orchestrators):
            office = self._offices[k].states[numbers[k]]
            problem = _unfinished(office)
            if problem is not None:
                return problem
            standing |= {part for part, stands in party.settled(office).items() if stands}
        for k, domain in enumerate(self._domains):
            site = self._sites[k].states[numbers[count + k]]
            if site.recovering:
                return f"{domain.name} recovers for ever"
            for slot in domain.slots:
                holds = domain.holds(site, slot.transaction_id)
                if holds and (slot.transaction_id, domain.name) not in standing:
                    return f"{domain.name} holds {slot.transaction_id}, which nobody wants"
                if not holds and (slot.transaction_id, domain.name) in standing:
                    return f"{domain.name} does not hold {slot.transaction_id}, which stands"
        return None

    def _show(self, numbers: tuple[int, ...]) -> str:
        count = len(self._offices)
        offices = zip(self._offices, numbers[:count], strict=True)
        sites = zip(self._sites, numbers[count:], strict=True)
        words = [office.party.show(office.states[n]) for office, n in offices]
        return "; ".join([*words, *[site.party.show(site.states[n]) for site, n in sites]])


def _decided(party: Orchestrator, office: Office, i: int, slot: Slot) -> tuple[Office, int]:
    """A negotiation ends; a version that another one replaces is given back."""
    tx = office.memories[i].copies[slot.number]
    record = office.records[slot.reservation]
    assert tx is not None
    if tx.decision is Decision.COMMIT:
        if slot.number in (record.in_force, record.change):
            return office, 0
        return party.instances.apply(office, i, slot.number, ReleaseAll())
    if tx.decision is not Decision.UNDECIDED:
        return office, 0
    if office.memories[i].busy >> slot.number & 1:
        if any(part.status is PartStatus.PREPARING for part in tx.parts):
            return office, 0
        if _complete(slot, tx) and orchestrators.may_commit(office):
            return party.commit(office, i, slot, record)
    return party.instances.apply(office, i, slot.number, Decide(False))


def _complete(slot: Slot, tx: Transaction) -> bool:
    return tx.all_held and any(
        not missing(tx, plan) and not superfluous(tx, plan) for plan in slot.plans
    )


def _recorded(party: Orchestrator, office: Office, reservation: int) -> Office:
    """The record follows its transaction; nothing is negotiated again."""
    record = office.records[reservation]
    if record.going_on:
        for _, step in party.recorded(office, record.owner, reservation, record, retries=False):
            office, _ = step()
            break
    return office


def _unfinished(office: Office) -> str | None:
    for row in office.rows:
        if row is not None and not row.settled:
            return f"{row.transaction_id} is not settled"
    wanted = set()
    for record in office.records:
        if record.state is State.NEGOTIATING or record.change >= 0:
            return "a reservation is still being negotiated"
        if record.state is State.COMMITTED:
            wanted.add(record.in_force)
    for slot, row in enumerate(office.rows):
        if row is None:
            continue
        stands = any(part.status is PartStatus.COMMITTED for part in row.parts)
        if stands and slot not in wanted:
            return f"{row.transaction_id} stands, and its reservation does not"
        if slot in wanted and not (stands and row.decision is Decision.COMMIT):
            return f"{row.transaction_id} is in force, and does not stand"
    return None
