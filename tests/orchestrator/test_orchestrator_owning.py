"""Who owns what among several instances, and what a restored domain makes worthless.

The same promises in memory, on SQLite and on PostgreSQL; only PostgreSQL and memory have several
instances at once.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from test_orchestrator_store import PART, PREP, creation, decided, record

from orchestrator.ports import (
    AgentIdentity,
    Changes,
    ConflictError,
    LostError,
    StaleEpochError,
    Store,
    is_earlier,
)
from orchestrator.records import State, cancelled, ended, failed
from orchestrator.store import open_store
from protocol.coordinator import (
    Answered,
    CoordinatorPart,
    Decide,
    Decision,
    EpochRaised,
    PartStatus,
    Prepare,
    ReleaseAll,
    Transaction,
    begin,
    step,
)
from protocol.messages import Claim, Phase, ReservationResp
from runtime.database import WrongDatabaseError
from runtime.schema import upgrade

LEASE_MS = 60_000


def committed_tx(
    told: bool = True, epoch: int = 1, status: PartStatus | None = None
) -> Transaction:
    """tx-1 with one part in m1, decided COMMIT on a hold of that epoch of the agent."""
    part = replace(PART, expires=not told)
    tx, _ = step(begin("tx-1", "res-1", 1), Prepare((part,)), 10)
    held = ReservationResp("tx-1", "p-1", Phase.PREP, True, None, epoch)
    tx, _ = step(tx, Answered("m1", held), 11)
    tx, _ = step(tx, Decide(commit=True), 12)
    assert tx.told is told
    if status is not None:
        tx = replace(tx, parts=tuple(replace(p, status=status) for p in tx.parts))
    return tx


async def test_every_life_of_an_instance_has_a_greater_epoch(shared: Store) -> None:
    epochs = [await shared.register(name, LEASE_MS) for name in ("a", "b", "a", "c", "a")]
    assert epochs == sorted(set(epochs))


async def test_a_new_life_under_the_same_name_ends_the_former(store: Store) -> None:
    old = await store.register("a", LEASE_MS)
    new = await store.register("a", LEASE_MS)
    renewal = await store.renew(old, "a", LEASE_MS)
    assert (renewal.alive, renewal.superseded) == (False, True)
    assert (await store.renew(new, "a", LEASE_MS)).alive


async def test_a_database_is_one_orchestrators(database_url: str) -> None:
    await asyncio.to_thread(upgrade, database_url, "orchestrator")
    store = open_store(database_url)
    for _ in range(2):
        await store.belong("braid")
    with pytest.raises(WrongDatabaseError, match="the orchestrator 'braid', not to 'other': give"):
        await store.belong("other")
    await store.belong("braid")
    await store.close()


async def test_a_file_has_one_process(sqlite_url: str) -> None:
    await asyncio.to_thread(upgrade, sqlite_url, "orchestrator")
    store = open_store(sqlite_url)
    old = await store.register("a", LEASE_MS)
    await store.register("b", LEASE_MS)
    assert (await store.renew(old, "a", LEASE_MS)).superseded
    await store.close()


async def test_what_others_own_is_left_to_them_while_they_live(shared: Store) -> None:
    a, b = await shared.register("a", LEASE_MS), await shared.register("b", LEASE_MS)
    await shared.save(creation(1), a)
    assert (await shared.take(b, 10)).reservations == ()
    await shared.leave(a)
    taken = await shared.take(b, 10)
    assert [r.reservation_id for r in taken.reservations] == ["res-1"]
    assert [t.transaction_id for t in taken.transactions] == ["tx-1"]
    assert (await shared.take(b, 10)).reservations == ()


async def test_what_was_over_is_taken_up_when_it_was_written_again(shared: Store) -> None:
    a, b, c = [await shared.register(name, LEASE_MS) for name in "abc"]
    made = creation(1)
    assert made.reservation is not None
    aborted = tuple(replace(each, decision=Decision.ABORT, parts=()) for each in made.transactions)
    await shared.save(made, a)
    over = replace(made.reservation, state=State.CANCELLED)
    await shared.save(Changes(reservation=over, transactions=aborted), a)
    await shared.leave(a)
    assert (await shared.take(c, 10)).transactions == ()
    await shared.take_one(b, "res-1")
    await shared.save(Changes(reservation=made.reservation), b)
    await shared.leave(b)
    assert len((await shared.take(c, 10)).reservations) == 1


async def test_a_lease_that_ran_out_ends_a_life(shared: Store) -> None:
    a, b = await shared.register("a", -1), await shared.register("b", LEASE_MS)
    await shared.save(creation(1), a)
    assert (await shared.renew(b, "b", LEASE_MS)).alive
    assert not (await shared.renew(a, "a", LEASE_MS)).alive
    assert not (await shared.renew(a, "a", LEASE_MS)).superseded
    assert len((await shared.take(b, 10)).reservations) == 1


async def test_whoever_does_not_own_a_reservation_any_more_writes_nothing(shared: Store) -> None:
    a, b = await shared.register("a", LEASE_MS), await shared.register("b", LEASE_MS)
    await shared.save(creation(1), a)
    taken = await shared.take_one(b, "res-1")
    assert taken.reservations == (record(),)
    for changes in (
        Changes(reservation=failed(record(), (), 9)),
        Changes(transactions=(decided(commit=False),), decides=frozenset({"tx-1"})),
        Changes(transactions=(decided(commit=True),)),
    ):
        with pytest.raises(LostError, match="res-1"):
            await shared.save(changes, a)
    assert await shared.reservation("res-1") == record()
    await shared.save(Changes(reservation=failed(record(), (), 9)), b)
    # Said again until it is known to be heard.
    for _ in range(2):
        assert (await shared.renew(a, "a", LEASE_MS)).lost == ("res-1",)
    await shared.told_lost(a, ("res-1",))
    assert (await shared.renew(a, "a", LEASE_MS)).lost == ()


async def test_a_life_that_is_over_begins_nothing(store: Store) -> None:
    over = await store.register("a", LEASE_MS)
    living = await store.register("a", LEASE_MS)
    with pytest.raises(LostError):
        await store.save(creation(1), over)
    assert await store.reservation("res-1") is None
    await store.save(creation(1), living)
    assert await store.reservation("res-1") is not None


async def test_what_was_taken_back_is_not_lost(shared: Store) -> None:
    a, b = [await shared.register(name, LEASE_MS) for name in ("a", "b")]
    await shared.save(creation(1), a)
    await shared.save(creation(2), a)
    for reservation_id in ("res-1", "res-2"):
        await shared.take_one(b, reservation_id)
    await shared.take_one(a, "res-1")
    assert (await shared.renew(a, "a", LEASE_MS)).lost == ("res-2",)
    assert (await shared.renew(b, "b", LEASE_MS)).lost == ("res-1",)
    await shared.take_one(a, "res-2")
    assert (await shared.renew(a, "a", LEASE_MS)).lost == ()


async def test_taking_one_that_is_not_there_gives_nothing(store: Store) -> None:
    taken = await store.take_one(await store.register("a", LEASE_MS), "res-9")
    assert (taken.reservations, taken.transactions) == ((), ())


async def test_what_is_final_but_not_settled_is_taken_over_and_what_is_over_is_not(
    store: Store,
) -> None:
    a = await store.register("a", LEASE_MS)
    await store.save(creation(1), a)
    await store.save(
        Changes(reservation=failed(record(), (), 9), transactions=(decided(commit=False),)), a
    )
    await store.save(creation(2), a)
    over, _ = step(begin("tx-2", "res-2", 1), Decide(commit=False), 9)
    await store.save(Changes(reservation=failed(record(2), (), 9), transactions=(over,)), a)
    b = await store.register("a", LEASE_MS)
    taken = await store.take(b, 10)
    assert taken.reservations == ()
    assert [t.transaction_id for t in taken.transactions] == ["tx-1"]
    assert (await store.take(b, 10)).transactions == ()


async def test_orphans_are_taken_in_batches(store: Store) -> None:
    a = await store.register("a", LEASE_MS)
    for number in range(1, 6):
        await store.save(creation(number), a)
    b = await store.register("a", LEASE_MS)
    batches = [(await store.take(b, 2)).reservations for _ in range(4)]
    assert [len(batch) for batch in batches] == [2, 2, 1, 0]


async def test_what_one_of_several_has_left_is_taken_and_nothing_of_the_others(
    shared: Store,
) -> None:
    epochs = [await shared.register(name, LEASE_MS) for name in "abcd"]
    for number, epoch in enumerate(epochs, start=1):
        await shared.save(creation(number), epoch)
    await shared.leave(epochs[1])
    found = await shared.take(epochs[2], 10)
    assert [each.reservation_id for each in found.reservations] == ["res-2"]
    await shared.leave(epochs[3])
    await shared.leave(epochs[0])
    found = await shared.take(epochs[2], 10)
    assert {each.reservation_id for each in found.reservations} == {"res-1", "res-4"}


def test_another_incarnation_of_the_same_boot_is_an_old_copy() -> None:
    known = AgentIdentity(5, 7, "x")
    assert not is_earlier(AgentIdentity(5, 7, "x"), known)
    assert not is_earlier(AgentIdentity(5, 8, "y"), known)
    assert not is_earlier(AgentIdentity(6, 1, "y"), known)
    assert is_earlier(AgentIdentity(5, 7, "y"), known)
    assert is_earlier(AgentIdentity(5, 6, "x"), known)
    assert is_earlier(AgentIdentity(4, 9, "x"), known)


async def test_an_agent_is_met_forward_only(store: Store) -> None:
    assert await store.met("m1") is None
    await store.meet("m1", AgentIdentity(5, 7, "x"))
    await store.meet("m1", AgentIdentity(5, 8, "y"))
    assert await store.met("m1") == AgentIdentity(5, 8, "y")
    with pytest.raises(ConflictError):
        await store.meet("m1", AgentIdentity(5, 7, "x"))
    assert await store.met("m1") == AgentIdentity(5, 8, "y")


@pytest.mark.parametrize("told", [True, False])
async def test_success_never_follows_from_a_hold_of_before_a_restore(
    store: Store, told: bool
) -> None:
    await store.save(creation(1))
    await store.meet("m1", AgentIdentity(2))
    changes = Changes(transactions=(committed_tx(told),), decides=frozenset({"tx-1"}))
    if not told:
        # A domain that insists on expiry: decided, but success waits for its acknowledgement.
        await store.save(changes)
        yes = ReservationResp("tx-1", "p-1", Phase.COMMIT, True, None, 1)
        after, _ = step(committed_tx(told=False), Answered("m1", yes), 13)
        assert after.told
        changes = Changes(transactions=(after,))
    with pytest.raises(StaleEpochError) as stale:
        await store.save(changes)
    assert (stale.value.domain, stale.value.epoch) == ("m1", 2)
    stored = await store.transaction("tx-1")
    assert stored is not None
    assert not stored.told
    await store.save(Changes(transactions=(committed_tx(epoch=2),)))


async def test_what_was_told_before_a_restore_may_be_written_after_it(store: Store) -> None:
    await store.save(creation(1))
    await store.save(Changes(transactions=(committed_tx(),)))
    await store.meet("m1", AgentIdentity(2))
    await store.save(Changes(transactions=(committed_tx(status=PartStatus.COMMITTED),)))


async def test_a_refusal_of_before_a_restore_undoes_nothing(store: Store) -> None:
    await store.save(creation(1))
    await store.save(Changes(transactions=(committed_tx(told=False),)))
    await store.meet("m1", AgentIdentity(2))
    no = ReservationResp("tx-1", PART.part_id, Phase.COMMIT, False, agent_epoch=1)
    undone, _ = step(committed_tx(told=False), Answered("m1", no), 13)
    assert undone.decision is Decision.UNDO
    with pytest.raises(StaleEpochError):
        await store.save(Changes(transactions=(undone,)))

    raised, _ = step(committed_tx(told=False), EpochRaised("m1", 2), 14)
    assert step(raised, Answered("m1", no), 15) == (raised, ())
    again = replace(no, agent_epoch=2)
    undone, _ = step(raised, Answered("m1", again), 16)
    await store.save(Changes(transactions=(undone,)))
    await store.meet("m1", AgentIdentity(3))
    await store.save(Changes(transactions=(undone,)))


async def test_a_new_owner_hears_of_epochs(store: Store) -> None:
    await store.meet("m1", AgentIdentity(4))
    await store.save(creation(1))
    tx, _ = step(begin("tx-1", "res-1", 1), Prepare((PART,)), 10)
    await store.save(Changes(transactions=(tx,)))
    assert (await store.take(await store.register("a", LEASE_MS), 10)).epochs["m1"] == 4


@pytest.mark.parametrize(
    ("status", "told", "claimed"),
    [
        (PartStatus.COMMITTING, True, True),
        (PartStatus.COMMITTING, False, True),
        (PartStatus.COMMITTED, True, True),
        (PartStatus.NACKED, True, True),
        (PartStatus.RELEASING, True, False),
        (PartStatus.RELEASED, True, False),
    ],
)
async def test_a_domain_is_held_to_what_is_committed_and_not_given_back(
    store: Store, status: PartStatus, told: bool, claimed: bool
) -> None:
    await store.save(creation(1))
    tx = committed_tx(told, status=status)
    await store.save(Changes(transactions=(tx,)))
    expected = (Claim(tx.parts[0].prep, told),) if claimed else ()
    assert await store.claims("m1") == expected
    assert await store.claims("m2") == ()


@pytest.mark.parametrize("decision", [Decision.UNDECIDED, Decision.ABORT])
async def test_nothing_is_claimed_of_what_is_not_committed(
    store: Store, decision: Decision
) -> None:
    await store.save(creation(1))
    tx, _ = step(begin("tx-1", "res-1", 1), Prepare((PART,)), 10)
    if decision is Decision.ABORT:
        tx, _ = step(tx, Decide(commit=False), 11)
    await store.save(Changes(transactions=(tx,)))
    assert await store.claims("m1") == ()


async def test_nothing_is_claimed_of_what_is_over(store: Store) -> None:
    await store.save(creation(1))
    done = committed_tx(status=PartStatus.COMMITTED)
    await store.save(Changes(reservation=ended(record(), 9), transactions=(done,)))
    assert await store.claims("m1") == ()


async def test_a_domain_is_in_use_while_a_reservation_stands_there(store: Store) -> None:
    from test_orchestrator_records import standing

    await store.save(creation(1))
    made = replace(standing(), reservation_id="res-1", request_id="r-1", transaction_id="tx-1")
    assert made.state is State.COMMITTED
    await store.save(Changes(reservation=made, transactions=(committed_tx(),)))
    assert await store.uses("m1")
    assert not await store.uses("m9")
    released, _ = step(committed_tx(), ReleaseAll(), 14)
    await store.save(
        Changes(reservation=cancelled(made, 9), transactions=(released,)),
    )
    assert not await store.uses("m1")


def test_the_prep_of_a_claim_is_what_was_asked() -> None:
    part: CoordinatorPart = committed_tx().parts[0]
    assert part.prep == PREP


async def test_the_last_event_is_known(store: Store) -> None:
    assert await store.last_event() == 0
    await store.save(creation(1))
    events = await store.events("", 0, 100)
    assert await store.last_event() == events[-1].sequence
