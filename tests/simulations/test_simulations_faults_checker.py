"""The checker finds fabricated violations of every invariant, and nothing where all is well."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import embedding_case
import pytest

from agents.backends import open_backend
from agents.backends.base import Placement
from agents.backends.cloud import ProviderBackend
from agents.backends.hosts.embedder import Embedder
from agents.backends.hosts.port import VNodeName
from agents.values import DataPlane, Life, Record
from orchestrator.events import moved_event, state_event
from orchestrator.ports import AgentIdentity, Changes
from orchestrator.records import Change, Reservation, State
from protocol.coordinator import CoordinatorPart, Decision, PartStatus, Transaction
from protocol.messages import ReservationPrep
from protocol.participant import Part, PartState
from rdl.codec import to_bytes
from simulations.clock import EPOCH_MS, run_virtual
from simulations.faults.domains import configs
from simulations.faults.loop import FaultLoop
from simulations.faults.nets import graph_of, read_net
from simulations.faults.plan import Schedule, World
from simulations.faults.stage import Stage
from substrate.model import Criteria, Hop, Path, Segment, Window

G = 10**9
NOW_S = EPOCH_MS // 1000
WINDOW = Window(NOW_S + 10, NOW_S + 20)
DOMAINS = ("east", "m1", "west")
WAYS = {"east": ("m1", "host"), "m1": ("west", "east"), "west": ("host", "m1")}

Records = tuple[Reservation, ...]


class Play:
    """A stage on which nobody acts: the test writes into the databases itself."""

    def __init__(self, world: World | None = None) -> None:
        self.loop = FaultLoop(1)
        world = world or World(middle=1)
        self.stage = Stage(self.loop, Schedule("s", world, ()), trace=False)
        self.checker = self.stage.checker
        for party in (*self.stage.agents.values(), *self.stage.instances.values()):
            alive: Any = object()
            party.lives.append(alive)
        for domain in DOMAINS:
            self.lives(domain, Life(epoch=1, boot=1))
            self.stage.memories["braid"]._met[domain] = AgentIdentity(1, 1)

    @property
    def found(self) -> list[str]:
        return self.checker.violations

    def lives(self, domain: str, life: Life) -> None:
        self.stage.agents[domain].database.memory.life = life
        self.checker.wrote(domain)

    def holds(self, domain: str, state: PartState, prep: ReservationPrep) -> None:
        """An agent's write of one part."""
        part = Part(prep.transaction_id, prep.part_id, state, prep)
        memory = self.stage.agents[domain].database.memory
        memory.records[(prep.transaction_id, prep.part_id)] = Record(part, DataPlane())
        self.checker.wrote(domain)

    def forgets(self, domain: str) -> None:
        self.stage.agents[domain].database.memory.records.clear()
        self.checker.wrote(domain)

    def restores(self, domain: str, life: Life) -> None:
        """The domain's database is an empty copy, and the agent's next life begins on it."""
        self.checker.restored(domain)
        self.stage.agents[domain].database.memory.records.clear()
        self.lives(domain, life)

    def saves(
        self, *transactions: Transaction, record: Reservation | None = None, others: Records = ()
    ) -> None:
        """An orchestrator's write."""
        memory = self.stage.memories["braid"]
        for transaction in transactions:
            memory._transactions[transaction.transaction_id] = transaction
        events = tuple(moved_event(each, 0) for each in others)
        if record is not None:
            events = (*events, state_event(record, 0))
        changes = Changes(
            reservation=record, others=others, transactions=transactions, events=events
        )
        memory._reservations.update((each.reservation_id, each) for each in changes.records)
        self.checker.saved("braid", changes)

    def commits(
        self, number: int = 1, gbps: int = 60, movable: bool = False
    ) -> tuple[Transaction, Reservation]:
        """A reservation from the beginning to success, told and held everywhere."""
        preps = [prep(domain, number, gbps) for domain in DOMAINS]
        tx = transaction(number, PartStatus.PREPARING, gbps)
        reservation = record(number, State.COMMITTED, gbps)
        wanted = replace(reservation.criteria, movable=movable)
        reservation = replace(reservation, criteria=wanted)
        self.saves(tx, record=replace(reservation, state=State.NEGOTIATING))
        for domain, each in zip(DOMAINS, preps, strict=True):
            self.holds(domain, PartState.HELD, each)
        tx = transaction(number, PartStatus.COMMITTING, gbps, Decision.COMMIT, told=True)
        self.saves(tx, record=reservation)
        for domain, each in zip(DOMAINS, preps, strict=True):
            self.holds(domain, PartState.COMMITTED, each)
        tx = transaction(number, PartStatus.COMMITTED, gbps, Decision.COMMIT, told=True)
        self.saves(tx)
        return tx, reservation


def prep(domain: str, number: int = 1, gbps: int = 60, vlan: int = 0) -> ReservationPrep:
    ingress, egress = (f"{domain}:{port}" for port in WAYS[domain])
    vlan = vlan or 99 + number
    segment = Segment("s", ingress, vlan, egress, vlan, gbps * G)
    name = f"t{number}"
    return ReservationPrep(name, domain, f"r{number}", 1, (segment,), WINDOW, "braid", 0)


def transaction(
    number: int,
    status: PartStatus,
    gbps: int = 60,
    decision: Decision = Decision.UNDECIDED,
    told: bool = False,
) -> Transaction:
    parts = tuple(
        CoordinatorPart(domain, domain, prep(domain, number, gbps), False, status, epoch=1)
        for domain in DOMAINS
    )
    return Transaction(f"t{number}", f"r{number}", 1, decision, parts, told)


def record(number: int, state: State, gbps: int = 60) -> Reservation:
    criteria = Criteria("west:host", "east:host", gbps * G, WINDOW)
    ways = (
        (domain, *(f"{domain}:{port}" for port in WAYS[domain])) for domain in reversed(DOMAINS)
    )
    vlan = 99 + number
    hops = tuple(Hop(domain, ingress, vlan, egress, vlan) for domain, ingress, egress in ways)
    paths = (Path(gbps * G, 0, hops),)
    name = f"r{number}"
    return Reservation(name, f"q{number}", criteria, f"t{number}", 0, 0, state=state, paths=paths)


def changing(before: Reservation, transaction_id: str, moves_for: str = "") -> Reservation:
    """With a Modify that asks for what there is, or about to be moved."""
    change = Change("q", transaction_id, before.criteria, 30, 0, moves_for=moves_for)
    return replace(before, change=change)


def other_domain() -> Any:
    """A book of an agent whose devices have nothing."""
    backend = open_backend(configs(World(middle=1))["m1"])
    return SimpleNamespace(backend=backend)


@pytest.fixture
def play() -> Iterator[Play]:
    found = Play()
    yield found
    found.loop.close()


def test_all_is_well(play: Play) -> None:
    play.commits()
    play.commits(2, gbps=40)
    assert play.found == []
    assert play.checker.unresolved() == []


# 1. Told success: every part is held until the end or a cancel ------------------------------------


def test_success_told_without_a_hold(play: Play) -> None:
    tx = transaction(1, PartStatus.HELD)
    play.saves(tx, record=record(1, State.NEGOTIATING))
    play.holds("east", PartState.HELD, prep("east"))
    play.holds("west", PartState.HELD, prep("west"))
    told = transaction(1, PartStatus.COMMITTING, decision=Decision.COMMIT, told=True)
    play.saves(told, record=record(1, State.COMMITTED))
    assert play.found == ["m1 does not hold t1/m1, of which success was told"]


@pytest.mark.parametrize("state", [PartState.ABORTED, PartState.RELEASED])
def test_a_hold_given_up_after_success(play: Play, state: PartState) -> None:
    play.commits()
    play.holds("m1", state, prep("m1"))
    assert play.found == ["m1 does not hold t1/m1, of which success was told"]


def test_a_hold_that_is_just_not_there_any_more(play: Play) -> None:
    play.commits()
    play.forgets("west")
    assert play.found == ["west does not hold t1/west, of which success was told"]


def test_something_else_is_held_than_was_promised(play: Play) -> None:
    play.commits()
    play.holds("m1", PartState.COMMITTED, prep("m1", gbps=50))
    assert play.found == ["m1 holds something else under t1/m1 than was promised"]


def test_a_cancel_ends_the_promise(play: Play) -> None:
    play.commits()
    play.saves(record=record(1, State.CANCELLED))
    for domain in DOMAINS:
        play.holds(domain, PartState.RELEASED, prep(domain))
    assert play.found == []


def test_a_told_reservation_does_not_fail(play: Play) -> None:
    play.commits()
    play.saves(record=record(1, State.FAILED))
    assert play.found == ["r1 was told COMMITTED and became FAILED"]


def test_committed_without_a_decision(play: Play) -> None:
    play.saves(transaction(1, PartStatus.HELD))
    for domain in DOMAINS:
        play.holds(domain, PartState.HELD, prep(domain))
    play.saves(record=record(1, State.COMMITTED))
    assert play.found == ["r1 is COMMITTED, its transaction is not told"]


def test_a_new_version_takes_the_place_of_the_old_one(play: Play) -> None:
    _, before = play.commits()
    new = replace(transaction(2, PartStatus.HELD), reservation_id="r1")
    play.saves(new, record=changing(before, "t2"))
    for domain in DOMAINS:
        play.holds(domain, PartState.HELD, replace(prep(domain, 2), reservation_id="r1"))
    told = replace(new, decision=Decision.COMMIT, told=True)
    paths = record(2, State.COMMITTED).paths
    play.saves(told, record=replace(before, transaction_id="t2", version=2, paths=paths))
    play.holds("m1", PartState.RELEASED, prep("m1"))
    assert play.found == []
    play.holds("m1", PartState.RELEASED, replace(prep("m1", 2), reservation_id="r1"))
    assert play.found == ["m1 does not hold t2/m1, of which success was told"]


def test_what_is_moved_for_another_is_promised_as_it_is_now(play: Play) -> None:
    _, before = play.commits(1, 40, movable=True)
    away = replace(transaction(3, PartStatus.HELD, 40), reservation_id="r1")
    comes = transaction(2, PartStatus.HELD)
    play.saves(away, record=changing(before, "t3", moves_for="r2"))
    play.saves(comes, record=record(2, State.NEGOTIATING))
    for domain in DOMAINS:
        play.holds(domain, PartState.HELD, replace(prep(domain, 3, 40), reservation_id="r1"))
        play.holds(domain, PartState.HELD, prep(domain, 2))
    told = [replace(tx, decision=Decision.COMMIT, told=True) for tx in (comes, away)]
    moved = replace(record(3, State.COMMITTED, 40), reservation_id="r1", version=2)
    moved = replace(moved, criteria=before.criteria)
    play.saves(*told, record=record(2, State.COMMITTED), others=(moved,))
    for domain in DOMAINS:
        play.holds(domain, PartState.RELEASED, prep(domain, 1, 40))
    assert play.found == []
    play.holds("m1", PartState.RELEASED, replace(prep("m1", 3, 40), reservation_id="r1"))
    assert play.found == ["m1 does not hold t3/m1, of which success was told"]


def test_a_restored_domain_is_asked_again_only_when_it_has_reconciled(play: Play) -> None:
    play.commits()
    play.restores("m1", Life(epoch=2, boot=2, recovering=True))
    assert play.found == []
    assert "m1 is recovering" in play.checker.unresolved()
    play.lives("m1", Life(epoch=2, boot=2))
    assert play.found == ["m1 does not hold t1/m1, of which success was told"]


def test_an_epoch_that_nobody_met_need_not_be_surpassed(play: Play) -> None:
    play.commits()
    play.lives("m1", Life(epoch=9, boot=3))
    play.restores("m1", Life(epoch=2, boot=2, recovering=True))
    assert play.found == []
    play.lives("m1", Life(epoch=2, boot=2))
    assert play.found == ["m1 does not hold t1/m1, of which success was told"]


def test_a_domain_that_recovers_after_all_is_asked_again_when_it_has_reconciled(play: Play) -> None:
    play.commits()
    play.lives("m1", Life(epoch=2, boot=2, recovering=True))
    play.forgets("m1")
    assert play.found == []
    play.lives("m1", Life(epoch=2, boot=2))
    assert play.found == ["m1 does not hold t1/m1, of which success was told"]


def test_the_same_epoch_as_before_a_restore_is_no_reconciliation(play: Play) -> None:
    play.commits()
    play.checker.restored("m1")
    play.forgets("m1")
    play.lives("m1", Life(epoch=1, boot=1))
    assert play.found == []
    assert "m1 does not hold t1/m1, of which success was told" in play.checker.unresolved()


def test_an_old_copy_that_lacks_nothing_need_not_be_found_out(play: Play) -> None:
    play.commits()
    play.checker.restored("m1")
    play.lives("m1", Life(epoch=1, boot=3))
    assert play.checker.unresolved() == []


# 2. What is held fits -----------------------------------------------------------------------------


def test_more_held_than_fits(play: Play) -> None:
    play.holds("m1", PartState.HELD, prep("m1", 1, 60))
    play.holds("m1", PartState.COMMITTED, prep("m1", 2, 60))
    assert len(play.found) == 1
    assert play.found[0].startswith("m1 is overbooked: m1:west in carries 120")


def test_what_is_over_takes_no_room(play: Play) -> None:
    over = replace(prep("m1", 1, 60), window=Window(NOW_S - 9, NOW_S))
    play.holds("m1", PartState.COMMITTED, over)
    longer = replace(prep("m1", 2, 60), window=Window(NOW_S - 5, NOW_S + 5))
    play.holds("m1", PartState.HELD, longer)
    assert play.found == []
    play.holds("m1", PartState.HELD, replace(prep("m1", 3, 60), window=longer.window))
    assert len(play.found) == 1


def test_a_label_held_twice(play: Play) -> None:
    play.holds("west", PartState.HELD, prep("west", 1, 10, vlan=100))
    play.holds("west", PartState.HELD, prep("west", 2, 10, vlan=100))
    assert play.found == [
        "west is overbooked: VLAN 100 at west:host is held by two reservations"
        f" at {WINDOW.start_s} s"
    ]


def test_what_is_given_back_takes_no_room(play: Play) -> None:
    play.holds("m1", PartState.ABORTED, prep("m1", 1, 60))
    play.holds("m1", PartState.RELEASED, prep("m1", 2, 60))
    play.holds("m1", PartState.HELD, prep("m1", 3, 60))
    assert play.found == []


def test_users_are_promised_too_much_while_a_domain_recovers(play: Play) -> None:
    play.commits(1, gbps=60)
    play.checker.restored("m1")
    play.forgets("m1")
    play.saves(transaction(2, PartStatus.HELD, gbps=60))
    told = transaction(2, PartStatus.COMMITTING, 60, Decision.COMMIT, told=True)
    for domain in ("east", "west"):
        play.stage.agents[domain].database.memory.records.clear()
        play.checker.restored(domain)
    play.saves(told, record=record(2, State.COMMITTED))
    assert [v.partition(":")[0] for v in play.found] == [
        f"users of {domain} are promised too much" for domain in DOMAINS
    ]


# 3. and 4. In the end nothing is left, and everything is resolved ---------------------------------


def test_a_hold_in_doubt_is_not_resolved(play: Play) -> None:
    play.holds("m1", PartState.HELD, prep("m1"))
    party = play.stage.agents["m1"]
    party.agents = [(party.lives[0], running(1, list(party.database.memory.records.values())))]
    assert play.checker.unresolved() == ["m1 is in doubt about t1/m1"]


def test_of_two_processes_the_one_that_took_over_last_is_asked(play: Play) -> None:
    party = play.stage.agents["m1"]
    ghost = SimpleNamespace(key=("gone", "m1"), live=True)
    # The former one was slower to start.
    party.agents = [(party.lives[0], running(3, [])), (party.lives[0], running(2, [ghost]))]
    assert play.checker.unresolved() == []
    party.agents.reverse()
    assert play.checker.unresolved() == []
    party.agents = [(party.lives[0], running(2, [ghost]))]
    assert play.checker.unresolved() == ["m1 remembers holds that its database does not have"]


def running(boot: int, records: list[Any]) -> Any:
    """An agent that holds these."""
    life = SimpleNamespace(boot=boot)
    return SimpleNamespace(
        holdings=lambda *_: records, life=life, clouds=None, _book=other_domain()
    )


def test_a_committed_part_that_nobody_was_promised(play: Play) -> None:
    play.holds("m1", PartState.COMMITTED, prep("m1"))
    assert play.checker.unresolved() == ["m1 holds t1/m1, which nobody was promised"]


def test_a_failed_reservation_holds_nothing(play: Play) -> None:
    tx = transaction(1, PartStatus.ABORTED, decision=Decision.ABORT)
    play.saves(tx, record=record(1, State.FAILED))
    play.holds("m1", PartState.COMMITTED, prep("m1"))
    assert play.checker.unresolved() == ["m1 holds t1/m1, which nobody was promised"]
    play.holds("m1", PartState.ABORTED, prep("m1"))
    assert play.checker.unresolved() == []


def test_what_has_ended_is_given_back_by_the_agent_in_its_own_time(play: Play) -> None:
    play.commits()
    play.saves(record=record(1, State.ENDED))
    assert play.checker.unresolved() == []
    play.saves(record=replace(record(1, State.ENDED), transaction_id="t0"))
    assert len(play.checker.unresolved()) == len(DOMAINS)


def test_an_undecided_transaction_and_record(play: Play) -> None:
    play.saves(transaction(1, PartStatus.HELD), record=record(1, State.NEGOTIATING))
    assert play.checker.unresolved() == [
        "t1 is not settled: UNDECIDED",
        "r1 is not decided: NEGOTIATING",
    ]


def test_an_answer_that_is_still_awaited(play: Play) -> None:
    play.saves(transaction(1, PartStatus.ABORTING, decision=Decision.ABORT))
    assert play.checker.unresolved() == ["t1 is not settled: ABORT"]


def test_a_process_that_is_not_started_again(play: Play) -> None:
    play.stage.agents["m1"].lives.clear()
    play.stage.instances["b"].lives.clear()
    assert play.checker.unresolved() == ["b does not run", "m1 does not run"]


def test_a_promise_that_is_not_kept_in_the_end(play: Play) -> None:
    play.commits()
    play.checker.restored("m1")
    play.forgets("m1")
    problems = play.checker.unresolved()
    assert "m1 does not hold t1/m1, of which success was told" in problems


# 5. Decisions -------------------------------------------------------------------------------------

ALLOWED = {
    ("UNDECIDED", "COMMIT"),
    ("UNDECIDED", "ABORT"),
    ("COMMIT", "UNDO"),
}


@pytest.mark.parametrize("before", list(Decision))
@pytest.mark.parametrize("after", list(Decision))
def test_decisions_change_only_as_the_rules_say(
    play: Play, before: Decision, after: Decision
) -> None:
    play.saves(transaction(1, PartStatus.HELD))
    if before is not Decision.UNDECIDED:
        if before is Decision.UNDO:
            play.saves(transaction(1, PartStatus.COMMITTING, decision=Decision.COMMIT))
        play.saves(transaction(1, PartStatus.COMMITTING, decision=before))
    assert play.found == []
    play.saves(transaction(1, PartStatus.COMMITTING, decision=after))
    fine = before is after or (before.name, after.name) in ALLOWED
    expected = [] if fine else [f"decision of t1: {before.name} became {after.name}"]
    assert play.found == expected


def test_a_decision_out_of_nothing(play: Play) -> None:
    play.saves(transaction(1, PartStatus.COMMITTING, decision=Decision.COMMIT))
    assert play.found == ["decision of t1: nothing became COMMIT"]


def test_no_undo_after_success_was_told(play: Play) -> None:
    play.commits()
    play.saves(transaction(1, PartStatus.RELEASING, decision=Decision.UNDO, told=True))
    assert play.found == ["decision of t1: COMMIT became UNDO after success was told"]


def test_each_violation_is_told_once(play: Play) -> None:
    play.commits()
    for _ in range(3):
        play.forgets("m1")
    play.checker.found("something else")
    assert len(play.found) == 2


# CloudNets ----------------------------------------------------------------------------------------

NOW_ON = Window(NOW_S, NOW_S + 100)


class CloudPlay(Play):
    """West and east are providers, whose agents do just what the test says."""

    def __init__(self) -> None:
        super().__init__(World(middle=1, clouds=("east", "west")))
        self.embedders = {name: self._runs(name) for name in ("east", "west")}

    def _runs(self, domain: str) -> Embedder:
        backend = open_backend(configs(self.stage.schedule.world)[domain])
        assert isinstance(backend, ProviderBackend)
        assert isinstance(backend.embedder, Embedder)
        party = self.stage.agents[domain]
        clouds = SimpleNamespace(_backend=backend)
        records = party.database.memory.records
        agent: Any = SimpleNamespace(
            holdings=lambda *_: [r for r in records.values() if r.live],
            life=SimpleNamespace(boot=1),
            clouds=clouds,
            _book=SimpleNamespace(backend=backend),
        )
        party.agents = [(party.lives[0], agent)]
        return backend.embedder

    def embeds(self, domain: str, found: Record) -> None:
        self.stage.agents[domain].database.memory.records[found.key] = found
        self.checker.wrote(domain)

    def stands(self, paths: tuple[Path, ...] = embedding_case.PATHS) -> None:
        """A CloudNet of which success is told."""
        found = embedding_case.preps(NOW_ON)
        parts = tuple(
            CoordinatorPart(name, name, each, False, PartStatus.HELD, epoch=1)
            for name, each in found.items()
        )
        tx = Transaction("t", "r", 1, Decision.UNDECIDED, parts)
        self.saves(tx)
        bare = Placement((), ()).to_json()
        for name, each in found.items():
            mapping = bare if name == "m1" else embedding_case.mapped(name)
            self.embeds(name, embedding_case.part(each, mapping))
        told = replace(tx, decision=Decision.COMMIT, told=True)
        self.saves(told, record=embedding_case.record(NOW_ON, paths))

    def provisions(self, domain: str) -> None:
        (found,) = self.stage.agents[domain].database.memory.records.values()
        placement = Placement.from_json(found.part.mapping)
        run_virtual(self.embedders[domain].provision("t", placement))
        self.checker.wrote(domain)


@pytest.fixture
def clouds() -> Iterator[CloudPlay]:
    found = CloudPlay()
    yield found
    found.loop.close()


def test_a_cloudnet_that_stands_and_runs(clouds: CloudPlay) -> None:
    clouds.stands()
    for domain in ("east", "west"):
        clouds.provisions(domain)
    assert clouds.found == []
    unresolved = clouds.checker.unresolved()
    assert not [each for each in unresolved if "has" in each or "VLink" in each]


def test_a_cloudnet_that_is_told_and_not_joined(clouds: CloudPlay) -> None:
    clouds.stands(embedding_case.PATHS[:1])
    assert clouds.found == ["r is COMMITTED: VLink b-c has 0 paths"]


def test_a_cloudnet_that_is_held_and_embedded_otherwise(clouds: CloudPlay) -> None:
    prep = embedding_case.preps(NOW_ON)["east"]
    clouds.embeds("east", embedding_case.part(prep, embedding_case.mapped("west")))
    assert clouds.found == ["east holds t/east: has VNodes a, c of b"]


def test_vnodes_that_do_not_run_in_their_window(clouds: CloudPlay) -> None:
    clouds.stands()
    clouds.provisions("east")
    missing = [each for each in clouds.checker.unresolved() if "does not have" in each]
    assert missing == ["west: h1 does not have r:a", "west: h2 does not have r:c"]


def test_vnodes_that_run_after_a_cancel(clouds: CloudPlay) -> None:
    clouds.stands()
    clouds.provisions("east")
    clouds.saves(record=embedding_case.record(NOW_ON, state=State.CANCELLED))
    left = "east: h1 has r:b, which nobody was promised now"
    assert left in clouds.checker.unresolved()


def test_vnodes_that_run_without_a_commit(clouds: CloudPlay) -> None:
    prep = embedding_case.preps(NOW_ON)["east"]
    clouds.embeds("east", embedding_case.part(prep, embedding_case.mapped("east"), PartState.HELD))
    clouds.provisions("east")
    assert clouds.found == ["east runs r:b uncommitted"]


def test_hosts_that_are_promised_twice(clouds: CloudPlay) -> None:
    right = embedding_case.mapped("east")
    for number in (1, 2):
        prep = replace(
            embedding_case.preps(NOW_ON)["east"],
            transaction_id=f"t{number}",
            reservation_id=f"r{number}",
            segments=(),
            graph=to_bytes(graph_of(read_net(f"b:{3 + number}:1"))),
        )
        vnode = replace(right.vnodes[0], mcores=4000 + 1000 * (number - 1))
        found = replace(right, reservation_id=f"r{number}", vnodes=(vnode,), vlinks=())
        clouds.embeds("east", embedding_case.part(prep, found))
    assert f"east is overbooked: h1 mcores in carries 9000 of 8000 at {NOW_S} s" in clouds.found


def test_vnodes_that_are_interrupted_while_their_version_changes(clouds: CloudPlay) -> None:
    clouds.stands()
    clouds.stage.agents["east"].lasting = True
    clouds.provisions("east")
    clouds.checker.wrote("east")
    assert clouds.found == []
    name = VNodeName("r", "b")
    run_virtual(clouds.embedders["east"].hosts.plugin("h1").cycle("h1", name))
    clouds.checker.wrote("east")
    assert clouds.found == ["east interrupts r:b"]


@pytest.mark.parametrize(("skew_ms", "found"), [(900_000, []), (-900_000, ["east interrupts r:b"])])
def test_only_an_agent_whose_clock_is_ahead_may_interrupt(
    clouds: CloudPlay, skew_ms: int, found: list[str]
) -> None:
    clouds.stands()
    party = clouds.stage.agents["east"]
    party.lasting, party.clock.skew_ms = True, skew_ms
    clouds.provisions("east")
    clouds.checker.wrote("east")
    run_virtual(clouds.embedders["east"].hosts.plugin("h1").remove("h1", VNodeName("r", "b")))
    clouds.checker.wrote("east")
    assert clouds.found == found


def test_what_a_new_version_does_without_stays_until_the_old_one_is_given_back(
    clouds: CloudPlay,
) -> None:
    clouds.stands()
    clouds.stage.agents["east"].lasting = True
    clouds.provisions("east")
    prep = embedding_case.preps(NOW_ON)["east"]
    newer = replace(prep, transaction_id="t2", version=2, segments=(), graph=b"")
    clouds.embeds("east", embedding_case.part(newer, Placement((), ()).to_json()))
    plugin, name = clouds.embedders["east"].hosts.plugin("h1"), VNodeName("r", "b")
    run_virtual(plugin.remove("h1", name))
    clouds.checker.wrote("east")
    assert clouds.found == ["east interrupts r:b"]
