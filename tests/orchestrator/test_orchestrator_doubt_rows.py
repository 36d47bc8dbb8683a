"""What is in doubt and what was decided by hand, as every store tells it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from test_orchestrator_owning import committed_tx
from test_orchestrator_store import creation, record

from orchestrator.ports import Changes, DoubtMark, Store
from orchestrator.records import HandDecision, State, cancelled, ended
from protocol.coordinator import Decide, Decision, PartStatus, begin, step
from substrate.model import Window

BEGINNING: DoubtMark = (-1, "", "")
LATE_MS = 10**13
FAR_S = 4 * 10**9
GIVEN_UP = HandDecision("tx-1", "p-1", "res-1", "m1", False, "olga", "burnt down", 30)


async def promised(store: Store, status: PartStatus, told: bool = True, at_ms: int = 20) -> None:
    """res-1 with its transaction, whose part in m1 is in ``status`` since ``at_ms``."""
    await store.save(creation(1))
    await store.save(Changes(transactions=(committed_tx(told, status=status),), at_ms=at_ms))


async def listed(store: Store, until_ms: int = LATE_MS) -> list[tuple[str, str, int]]:
    found = await store.doubts(until_ms, BEGINNING, 100)
    return [(each.reservation_id, each.part.status.name, each.since_ms) for each in found]


@pytest.mark.parametrize("status", [PartStatus.COMMITTING, PartStatus.RELEASING])
async def test_what_a_domain_has_not_acknowledged_is_in_doubt(
    store: Store, status: PartStatus
) -> None:
    await promised(store, status)
    assert await listed(store) == [("res-1", status.name, 20)]
    found = await store.doubt("tx-1", "p-1")
    assert found is not None
    assert (found.part.domain, found.part.status) == ("m1", status)


async def test_a_promise_that_a_domain_does_not_keep_is_in_doubt_until_that_is_accepted(
    store: Store,
) -> None:
    await promised(store, PartStatus.NACKED)
    assert await listed(store) == [("res-1", "NACKED", 20)]
    await store.save(Changes(hand=GIVEN_UP))
    assert await listed(store) == []
    assert await store.doubt("tx-1", "p-1") is None


@pytest.mark.parametrize("status", [PartStatus.COMMITTED, PartStatus.RELEASED])
async def test_what_a_domain_has_acknowledged_is_in_no_doubt(
    store: Store, status: PartStatus
) -> None:
    await promised(store, status)
    assert await listed(store) == []
    assert await store.doubt("tx-1", "p-1") is None


async def test_an_undecided_transaction_is_in_no_doubt(store: Store) -> None:
    await store.save(creation(1))
    assert await listed(store) == []


async def test_what_ended_by_itself_is_in_no_doubt_and_what_was_cancelled_is(store: Store) -> None:
    await promised(store, PartStatus.RELEASING)
    await store.save(Changes(reservation=cancelled(record(1), 25)))
    assert len(await listed(store)) == 1
    over = ended(replace(record(1), state=State.COMMITTED), 26)
    await store.save(Changes(reservation=over))
    assert await listed(store) == []


async def test_only_what_is_older_is_listed_oldest_first_and_page_by_page(store: Store) -> None:
    for number, at_ms in ((1, 50), (2, 40), (3, 60)):
        await store.save(creation(number))
        tx = committed_tx(status=PartStatus.COMMITTING)
        name = f"tx-{number}"
        parts = tuple(
            replace(p, prep=replace(p.prep, transaction_id=name, reservation_id=f"res-{number}"))
            for p in tx.parts
        )
        tx = replace(tx, transaction_id=name, reservation_id=f"res-{number}", parts=parts)
        await store.save(Changes(transactions=(tx,), at_ms=at_ms))
    assert [row[0] for row in await listed(store)] == ["res-2", "res-1", "res-3"]
    assert [row[0] for row in await listed(store, until_ms=50)] == ["res-2", "res-1"]

    first = await store.doubts(LATE_MS, BEGINNING, 2)
    rest = await store.doubts(LATE_MS, first[-1].mark, 2)
    assert [each.reservation_id for each in (*first, *rest)] == ["res-2", "res-1", "res-3"]


async def test_since_when_is_not_moved_by_writes_that_change_nothing_of_it(store: Store) -> None:
    await promised(store, PartStatus.COMMITTING, at_ms=20)
    again = committed_tx(status=PartStatus.COMMITTING)
    again = replace(again, parts=tuple(replace(p, attempts=7, sent_ms=90) for p in again.parts))
    await store.save(Changes(transactions=(again,), at_ms=90))
    assert await listed(store) == [("res-1", "COMMITTING", 20)]
    await store.save(Changes(transactions=(committed_tx(status=PartStatus.RELEASING),), at_ms=95))
    assert await listed(store) == [("res-1", "RELEASING", 95)]


async def test_a_decision_by_hand_is_kept_and_found(store: Store) -> None:
    await promised(store, PartStatus.COMMITTING)
    await store.save(Changes(hand=GIVEN_UP))
    assert await store.hand_decision("tx-1", "p-1") == GIVEN_UP
    assert await store.hand_decision("tx-1", "p-2") is None
    assert await store.hand_decisions("", 10) == (GIVEN_UP,)
    assert await store.hand_decisions("m1", 10) == (GIVEN_UP,)
    assert await store.hand_decisions("m2", 10) == ()


async def test_the_newest_decisions_come_first_and_a_later_one_replaces(store: Store) -> None:
    await promised(store, PartStatus.COMMITTING)
    other = replace(GIVEN_UP, part_id="p-0", at_ms=40)
    for each in (GIVEN_UP, other):
        await store.save(Changes(hand=each))
    assert await store.hand_decisions("", 10) == (other, GIVEN_UP)
    assert await store.hand_decisions("", 1) == (other,)
    later = replace(GIVEN_UP, commit=True, operator="ines", at_ms=50)
    await store.save(Changes(hand=later))
    assert await store.hand_decisions("", 10) == (later, other)


async def test_a_contradiction_is_marked_once_and_only_on_what_it_is_about(store: Store) -> None:
    await promised(store, PartStatus.COMMITTING)
    await store.save(Changes(hand=GIVEN_UP))
    assert not await store.contradict(replace(GIVEN_UP, at_ms=31))
    assert not await store.contradict(replace(GIVEN_UP, commit=True))
    assert await store.contradict(GIVEN_UP)
    marked = replace(GIVEN_UP, contradicted=True)
    assert await store.hand_decision("tx-1", "p-1") == marked
    assert not await store.contradict(marked)


async def test_an_operators_word_is_nothing_that_the_domain_is_held_to(store: Store) -> None:
    await promised(store, PartStatus.COMMITTED)
    going_on = replace(record(1).criteria, window=Window(1000, FAR_S))
    await store.save(Changes(reservation=replace(record(1), criteria=going_on)))
    assert await store.relied_on("m1") == {("tx-1", "p-1")}
    await store.save(Changes(hand=replace(GIVEN_UP, commit=True)))
    assert await store.relied_on("m1") == frozenset()


async def test_what_was_released_is_given_back_unless_by_an_operators_word(store: Store) -> None:
    asked = frozenset({("tx-1", "p-1"), ("tx-1", "p-2"), ("tx-2", "p-1")})
    assert await store.given_back(frozenset()) == frozenset()
    await promised(store, PartStatus.RELEASING)
    assert await store.given_back(asked) == frozenset()
    await store.save(Changes(transactions=(committed_tx(status=PartStatus.RELEASED),)))
    assert await store.given_back(asked) == {("tx-1", "p-1")}
    await store.save(Changes(hand=GIVEN_UP))
    assert await store.given_back(asked) == frozenset()


async def test_an_aborted_part_that_is_not_acknowledged_is_in_doubt(store: Store) -> None:
    await store.save(creation(1))
    asked = committed_tx().parts[0]
    tx = replace(begin("tx-1", "res-1", 1), parts=(replace(asked, status=PartStatus.HELD),))
    aborted, _ = step(tx, Decide(commit=False), 12)
    assert aborted.decision is Decision.ABORT
    await store.save(Changes(transactions=(aborted,), at_ms=20))
    assert await listed(store) == [("res-1", "ABORTING", 20)]
