"""The invariants (design, section 5), checked at every durable write and once more at the end.

It looks at databases and at what users were told, never at what the checked code thinks of itself:

1. told success ⇒ every part is held until the end or a cancel, and the parts carry what was asked
   for to every destination at each instant, also while a circuit migrates; a CloudNet's VNodes are
   embedded at one provider each, its VLinks lead from end to end, and in the end hosts and switches
   do just what parts in force say;
2. what is held fits, from now on at every instant, on every port, host and link; a label is held
   once;
3. failed ⇒ in the end nothing is held, and no VNode is left; none runs that was never committed;
4. after all faults are over, every transaction resolves;
5. a decision never changes, but COMMIT → UNDO before success was told.

Of a domain that was restored from a backup and has not reconciled yet (rule 7), 1 is not asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from operator import itemgetter

from agents.values import Key, Record
from orchestrator.ports import Changes
from orchestrator.records import Reservation, State
from protocol.coordinator import DROPPED, CoordinatorPart, Decision, Transaction
from protocol.messages import ReservationPrep
from protocol.participant import PartState
from simulations.faults.capacity import Inner, overbooked
from simulations.faults.carried import uncarried
from simulations.faults.domains import capacities, peers
from simulations.faults.embedded import labels_of, unembedded, uses_of
from simulations.faults.flowing import Ways, strangers, unflowing, ways_of
from simulations.faults.hosted import Hosted
from simulations.faults.inside import inside
from simulations.faults.joined import unjoined
from simulations.faults.kept import Kept, told_by
from simulations.faults.parties import AgentParty, InstanceParty, Party
from simulations.faults.plan import World
from simulations.faults.tenants import Tenants
from simulations.faults.words import short

ALLOWED = {
    (None, Decision.UNDECIDED),
    (None, Decision.ABORT),
    (Decision.UNDECIDED, Decision.COMMIT),
    (Decision.UNDECIDED, Decision.ABORT),
    (Decision.COMMIT, Decision.UNDO),
}
"""How decisions may change (rule 2)."""


@dataclass(slots=True)
class _Domain:
    """What is known of a domain. ``live``: its parts, and how they are mapped."""

    party: AgentParty
    capacities: Mapping[str, int]
    hosted: Hosted
    promised: dict[Key, ReservationPrep] = field(default_factory=dict)
    alike: dict[Key, ReservationPrep] = field(default_factory=dict)
    """Held parts that were found to be like what was promised: values, which do not change."""
    live: Mapping[Key, str] = field(default_factory=dict)
    lost_epoch: int | None = None
    """The latest one that an orchestrator had met when its database was replaced by a backup, until
    it has reconciled in a later one; -1: none had met it."""


class Checker:
    """See the module. ``violations``: what was found, in words."""

    def __init__(
        self,
        agents: Mapping[str, AgentParty],
        instances: Mapping[str, InstanceParty],
        world: World,
        now_ms: Callable[[], int],
    ) -> None:
        self._now_ms = now_ms
        self.violations: list[str] = []
        has = capacities(world)
        self._domains = {
            name: _Domain(party, has[name], Hosted(party)) for name, party in agents.items()
        }
        self._peers, self._inside = peers(world), inside(world.hosts)
        self._kept = Kept()
        self.tenants = Tenants(agents, now_ms, self.found)
        self._memories = {party.orchestrator_id: party.memory for party in instances.values()}
        self._instances = instances
        self._decisions: dict[str, Decision] = {}
        self._told: set[str] = set()
        self._committed: dict[str, str] = {}
        """The transaction in force of each reservation that the database says is COMMITTED."""

    def found(self, violation: str) -> None:
        """Something is wrong; each thing once."""
        if violation not in self.violations:
            self.violations.append(violation)

    # What is written ------------------------------------------------------------------------------

    def saved(self, orchestrator_id: str, changes: Changes) -> None:
        """An orchestrator's write has happened."""
        for transaction in changes.transactions:
            self._decided(transaction)
        told = told_by(changes.events)
        for record in changes.records:
            problem = self._kept.broken(record, told)
            if problem:
                self.found(f"{short(record.reservation_id)} {problem}")
        # What is decided together takes the place of all that was there before.
        promised = {
            domain
            for record in changes.records
            for domain in self._recorded(orchestrator_id, record)
        }
        for domain in sorted(promised):
            self._must_be_held(domain)
            known = self._domains[domain]
            problem = self._too_much(known, known.promised.values())
            if problem:
                self.found(f"users of {domain} are promised too much: {problem}")

    def wrote(self, domain: str) -> None:
        """An agent's write has happened."""
        known = self._domains[domain]
        memory = known.party.database.memory
        life = memory.life
        if life is not None:
            if life.recovering and known.lost_epoch is None:
                # Also when that it is over was written, and could not be told from failure.
                known.lost_epoch = life.epoch - 1
            lost = known.lost_epoch
            if lost is not None and life.epoch > lost and not life.recovering:
                known.lost_epoch = None
        records = memory.records
        live = {key: record.part.mapping for key, record in records.items() if record.live}
        if live != known.live:
            fresh = live.items() - known.live.items()
            known.live = live
            self._must_be_embedded(domain, [records[key] for key, _ in sorted(fresh)])
            self._must_fit(domain)
        self._must_be_held(domain)
        self.tenants.look()
        self.look_at_hosts(domain)

    def look_at_hosts(self, domain: str) -> None:
        """What a provider's hosts have now; before its clock is set, too: as long as it is ahead,
        what is over by it may stop."""
        known = self._domains.get(domain)
        if known is not None and known.hosted.watches:
            for problem in known.hosted.problems(self._in_force(known)):
                self.found(problem)

    def restored(self, domain: str) -> None:
        """The domain's database was replaced by a backup."""
        self.tenants.restored(domain)
        met = [
            memory._met[domain].epoch for memory in self._memories.values() if domain in memory._met
        ]
        self._domains[domain].lost_epoch = max(met, default=-1)

    def _decided(self, transaction: Transaction) -> None:
        name, decision = transaction.transaction_id, transaction.decision
        before = self._decisions.get(name)
        if before is not decision:
            if (before, decision) not in ALLOWED or name in self._told:
                word = before.name if before is not None else "nothing"
                told = " after success was told" if name in self._told else ""
                self.found(f"decision of {short(name)}: {word} became {decision.name}{told}")
            self._decisions[name] = decision
        if transaction.told:
            self._told.add(name)

    def _recorded(self, orchestrator_id: str, record: Reservation) -> set[str]:
        """The domains of which more is promised now."""
        name = record.reservation_id
        before = self._committed.get(name)
        if record.state is State.COMMITTED:
            if before != record.transaction_id:
                self._committed[name] = record.transaction_id
                return self._promise(orchestrator_id, record, before)
        elif before is not None:
            if record.state not in (State.CANCELLED, State.ENDED):
                self.found(f"{short(name)} was told COMMITTED and became {record.state.name}")
            del self._committed[name]
            self._unpromise(before)
            self.tenants.forget(name)
        return set()

    def _promise(self, orchestrator_id: str, record: Reservation, before: str | None) -> set[str]:
        reservation_id, transaction_id = record.reservation_id, record.transaction_id
        if before is not None:
            self._unpromise(before)
        transaction = self._memories[orchestrator_id]._transactions[transaction_id]
        if transaction.decision is not Decision.COMMIT or not transaction.told:
            self.found(f"{short(reservation_id)} is COMMITTED, its transaction is not told")
        self._told.add(transaction_id)
        preps = {part.domain: part.prep for part in _wanted(transaction)}
        asked = self._kept.asked(reservation_id) or record.criteria
        if record.criteria.cloudnet is None:
            held = [part.prep for part in _wanted(transaction)]
            problem = uncarried(record, held, asked, self._peers)
        else:
            problem = unjoined(record, preps, self._peers)
        if problem:
            self.found(f"{short(reservation_id)} is COMMITTED: {problem}")
        if record.criteria.cloudnet is not None:
            self.tenants.promise(record)
        for part in _wanted(transaction):
            known, key = self._domains[part.domain], (transaction_id, part.part_id)
            known.promised[key] = part.prep
            known.alike.pop(key, None)
        return {part.domain for part in _wanted(transaction)}

    def _unpromise(self, transaction_id: str) -> None:
        for known in self._domains.values():
            for key in [key for key in known.promised if key[0] == transaction_id]:
                del known.promised[key]

    def _must_be_held(self, domain: str) -> None:
        known = self._domains[domain]
        if known.lost_epoch is not None:
            return
        records = known.party.database.memory.records
        for key, prep in known.promised.items():
            record = records.get(key)
            held = record.part.prep if record is not None else None
            if record is None or not record.live:
                self.found(f"{domain} does not hold {_name(key)}, of which success was told")
            elif held is not None and known.alike.get(key) is held:
                continue
            elif held is not None and _is_alike(held, prep):
                known.alike[key] = held
            else:
                self.found(f"{domain} holds something else under {_name(key)} than was promised")

    def _must_be_embedded(self, domain: str, fresh: Iterable[Record]) -> None:
        for record in fresh:
            problem = unembedded(domain, record, self._inside)
            if problem:
                self.found(f"{domain} holds {_name(record.key)}: {problem}")

    def _must_fit(self, domain: str) -> None:
        known = self._domains[domain]
        records = known.party.database.memory.records
        held = [records[key].part.prep for key in sorted(known.live)]
        problem = self._too_much(known, [prep for prep in held if prep is not None])
        if problem:
            self.found(f"{domain} is overbooked: {problem}")

    def _too_much(self, known: _Domain, preps: Iterable[ReservationPrep]) -> str:
        """What is over takes nothing, also where a restored domain holds it once more."""
        now_ms = self._now_ms()
        going_on = [prep for prep in preps if prep.window.end_s * 1000 > now_ms]
        name, records = known.party.name, known.party.database.memory.records

        def inner(prep: ReservationPrep) -> Inner:
            record = records.get((prep.transaction_id, prep.part_id)) if prep.graph else None
            if record is None:
                return Inner()
            return Inner(uses_of(record.part.mapping), labels_of(name, record.part.mapping))

        return overbooked(going_on, known.capacities, inner)

    # In the end -----------------------------------------------------------------------------------

    def unresolved(self) -> list[str]:
        """What must still happen once all faults are over (invariants 3 and 4)."""
        found = self.undecided()
        for domain in sorted(self._domains):
            found += self._left_over(domain)
        return found + self.stuck()

    def undecided(self) -> list[str]:
        """Of that what parties and orchestrators' databases say: the first part."""
        found = [f"{name} does not run" for name, party in self._parties() if not party.lives]
        for orchestrator_id in sorted(self._memories):
            memory = self._memories[orchestrator_id]
            for name, transaction in sorted(memory._transactions.items()):
                if not transaction.settled:
                    found.append(f"{short(name)} is not settled: {transaction.decision.name}")
            for name, record in sorted(memory._reservations.items()):
                if not record.decided:
                    found.append(f"{short(name)} is not decided: {record.state.name}")
        return found

    def stuck(self) -> list[str]:
        """Circuits that should pass now and do not, and what passes for nobody; when no fault is
        on."""
        found: list[str] = []
        ways: dict[str, Ways] = {}
        for name, known in sorted(self._domains.items()):
            agent = known.party.agent
            ways[name] = ways_of(agent._book.backend) if agent is not None else {}
            # What an instance whose clock was ahead took to be over lasts until it is.
            found += [f"{name} {p}" for p in strangers(ways[name], partial(self._is_right, known))]
        now_s = self._now_ms() // 1000
        for memory in self._memories.values():
            standing = [
                (name, record)
                for name, record in memory._reservations.items()
                if record.state is State.COMMITTED
            ]
            for name, record in sorted(standing, key=itemgetter(0)):
                problem = unflowing(record, now_s, ways)
                if problem:
                    found.append(f"{short(name)} {problem}")
        return found

    def _is_right(self, known: _Domain, key: Key) -> bool:
        record = known.party.database.memory.records.get(key)
        return record is not None and self._is_due(key, record, known)

    def _left_over(self, domain: str) -> list[str]:
        known = self._domains[domain]
        memory = known.party.database.memory
        found = []
        # An old copy that lacks nothing of what it said need not be found out.
        if memory.life is not None and memory.life.recovering:
            found.append(f"{domain} is recovering")
        agent = known.party.agent
        held = set(known.live)
        if agent is not None:
            held = {record.key for record in agent.holdings(None, 10**6)}
            if not held <= known.live.keys():
                found.append(f"{domain} remembers holds that its database does not have")
        for key, record in sorted(memory.records.items()):
            # A write that seemed to fail may leave a hold that the running agent does not have: the
            # next write removes it, and until then it is in doubt only after a restart.
            if record.part.state is PartState.HELD and key in held:
                found.append(f"{domain} is in doubt about {_name(key)}")
            elif record.part.state is PartState.COMMITTED and not self._is_due(key, record, known):
                found.append(f"{domain} holds {_name(key)}, which nobody was promised")
        found += [
            f"{domain} does not hold {_name(key)}, of which success was told"
            for key in sorted(known.promised)
            if not _is_live(memory.records.get(key))
        ]
        return found + known.hosted.unresolved(self._in_force(known))

    def _in_force(self, known: _Domain) -> list[Record]:
        """What is promised now, as far as the domain's database has it."""
        now_s, records = self._now_ms() // 1000, known.party.database.memory.records
        return [
            records[key]
            for key, prep in sorted(known.promised.items())
            if prep.window.start_s <= now_s < prep.window.end_s and key in records
        ]

    def _is_due(self, key: Key, record: Record, known: _Domain) -> bool:
        """Promised; or its window is over, and then the agent gives it back by itself."""
        prep = record.part.prep
        if key in known.promised or prep is None:
            return key in known.promised
        memory = self._memories.get(prep.orchestrator_id)
        owner = memory._reservations.get(prep.reservation_id) if memory is not None else None
        return (
            owner is not None
            and owner.state is State.ENDED
            and owner.transaction_id == record.part.transaction_id
        )

    def _parties(self) -> list[tuple[str, Party]]:
        parties: dict[str, Party] = {name: k.party for name, k in self._domains.items()}
        return sorted({**parties, **self._instances}.items())


def _wanted(transaction: Transaction) -> list[CoordinatorPart]:
    return [part for part in transaction.parts if part.status not in DROPPED]


def _is_alike(held: ReservationPrep, promised: ReservationPrep) -> bool:
    """Whether it takes and gives the same."""
    return all(
        getattr(held, name) == getattr(promised, name)
        for name in ("version", "segments", "window", "graph")
    )


def _is_live(record: Record | None) -> bool:
    return record is not None and record.live


def _name(key: Key) -> str:
    return "/".join(map(short, key))
