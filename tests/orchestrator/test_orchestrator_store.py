"""The durable store, on SQLite and PostgreSQL, and the one in memory: the same promises."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from networks import G

from orchestrator.events import Event, decided_event, state_event
from orchestrator.ports import Changes, ConflictError, KnownRequestError, Request, Store
from orchestrator.records import (
    Change,
    Kind,
    Reservation,
    State,
    committed,
    ended,
    failed,
    granted_alone,
    with_change_grant,
    with_data_plane,
)
from orchestrator.steps import is_over
from protocol.coordinator import (
    CoordinatorPart,
    Decide,
    PartStatus,
    Prepare,
    Transaction,
    begin,
    step,
)
from protocol.messages import ReservationPrep
from substrate.labels import Plan
from substrate.model import (
    CloudNet,
    Constraints,
    Criteria,
    DataPlaneState,
    Hop,
    Path,
    Refusal,
    RefusalKind,
    Segment,
    Strategy,
    Window,
)
from substrate.vlans import VlanSet

CRITERIA = Criteria(
    "west:host",
    "east:host",
    10 * G,
    Window(1000, 2000),
    strategy=Strategy.PARTIAL_OFFERS,
    constraints=Constraints(
        max_paths=2, min_share_bps=5, via_domains=("m1",), source_vlans=VlanSet.of(7)
    ),
)
SEGMENT = Segment("s1", "m1:west", 100, "m1:east", 101, 10 * G, flow_slots=(0, 2), slot_count=3)
PLAN = Plan(
    paths=(Path(10 * G, 500, (Hop("m1", "m1:west", 100, "m1:east", 101),), (0, 2)),),
    segments={"m1": (SEGMENT,)},
    depends_on_blind=False,
)
GRANT = granted_alone(CRITERIA, PLAN)
PREP = ReservationPrep("tx-1", "p-1", "res-1", 1, (SEGMENT,), Window(1000, 2000), "braid", 9000)
PART = CoordinatorPart("m1", "p-1", PREP, False, PartStatus.PREPARING, None, 0, 0)


NET = Criteria("", "", 0, Window(1000, 2000), cloudnet=CloudNet(b""))


def record(number: int = 1, criteria: Criteria = CRITERIA) -> Reservation:
    return Reservation(
        f"res-{number}", f"r-{number}", criteria, f"tx-{number}", 5, 6, description="a test"
    )


def creation(number: int = 1, digest: str = "d", criteria: Criteria = CRITERIA) -> Changes:
    made = record(number, criteria)
    return Changes(
        request=Request(made.request_id, digest, made.reservation_id),
        reservation=made,
        transactions=(begin(made.transaction_id, made.reservation_id, 1),),
        events=(state_event(made, 5),),
    )


def decided(commit: bool) -> Transaction:
    transaction, _ = step(begin("tx-1", "res-1", 1), Prepare((PART,)), 10)
    held = replace(
        transaction, parts=tuple(replace(p, status=PartStatus.HELD) for p in transaction.parts)
    )
    return step(held, Decide(commit=commit), 20)[0]


async def test_what_was_saved_is_read_back_whole(store: Store) -> None:
    await store.save(creation())
    assert await store.reservation("res-1") == record()
    refused = failed(record(), (Refusal(RefusalKind.LABEL, "no label", "m1", "m1:west"),), 7)
    await store.save(Changes(reservation=refused))
    assert await store.reservation("res-1") == refused
    done = with_data_plane(committed(record(), GRANT, 8), "m1", DataPlaneState.FAILED, "burnt", 9)
    await store.save(Changes(reservation=done))
    assert await store.reservation("res-1") == done


async def test_a_change_under_way_is_read_back_whole(store: Store) -> None:
    await store.save(creation())
    change = Change("c-1", "tx-2", replace(CRITERIA, bandwidth_bps=5), 30, 77)
    pending = replace(committed(record(), GRANT, 8), change=change)
    await store.save(Changes(reservation=pending))
    assert await store.reservation("res-1") == pending
    planned = with_change_grant(pending, GRANT, 9)
    await store.save(Changes(reservation=planned))
    assert await store.reservation("res-1") == planned


async def test_a_request_id_is_taken_once(store: Store) -> None:
    await store.save(creation(1, "first"))
    again = creation(2, "second")
    assert again.request is not None
    again = replace(again, request=replace(again.request, request_id="r-1"))
    with pytest.raises(KnownRequestError) as caught:
        await store.save(again)
    assert caught.value.request == Request("r-1", "first", "res-1")
    assert await store.request("r-1") == Request("r-1", "first", "res-1")
    assert await store.reservation("res-2") is None
    assert await store.request("r-9") is None


async def test_of_many_with_one_request_id_exactly_one_is_recorded(store: Store) -> None:
    async def attempt(number: int) -> bool:
        changes = creation(number)
        assert changes.request is not None
        try:
            await store.save(replace(changes, request=replace(changes.request, request_id="same")))
        except KnownRequestError:
            return False
        return True

    outcomes = await asyncio.gather(*(attempt(number) for number in range(1, 17)))
    assert outcomes.count(True) == 1
    assert len(await store.reservations(frozenset(), "", 100)) == 1


async def test_the_answer_to_a_modify_is_kept_as_it_was_given(store: Store) -> None:
    await store.save(creation())
    await store.save(Changes(request=Request("c-1", "d", "res-1")))
    answer = replace(committed(record(), GRANT, 8), modified=True, version=2)
    await store.save(Changes(reservation=answer, answers="c-1"))
    await store.save(Changes(reservation=ended(answer, 9)))
    kept = await store.request("c-1")
    assert kept is not None
    assert kept.answer == replace(answer, transaction_id="")


async def test_a_decision_is_taken_once(store: Store) -> None:
    await store.save(creation())
    decides = frozenset({"tx-1"})
    await store.save(Changes(transactions=(decided(commit=True),), decides=decides))
    with pytest.raises(ConflictError):
        await store.save(Changes(transactions=(decided(commit=False),), decides=decides))
    kept = await store.transaction("tx-1")
    assert kept is not None
    assert kept.decision is decided(commit=True).decision


async def test_a_lost_decision_takes_everything_of_its_write_with_it(store: Store) -> None:
    await store.save(creation())
    decides = frozenset({"tx-1"})
    await store.save(Changes(transactions=(decided(commit=False),), decides=decides))
    lost = Changes(
        reservation=committed(record(), GRANT, 9),
        transactions=(decided(commit=True),),
        events=(decided_event("res-1", "COMMIT", 9),),
        decides=decides,
    )
    with pytest.raises(ConflictError):
        await store.save(lost)
    assert await store.reservation("res-1") == record()
    assert len(await store.events("res-1", 0, 100)) == 1


async def test_a_transaction_is_read_back_with_its_parts(store: Store) -> None:
    await store.save(creation())
    refusal = Refusal(RefusalKind.BANDWIDTH, "full", "m1", "m1:west", "s1", 0)
    refused = replace(PART, part_id="p-0", status=PartStatus.REFUSED, refusal=refusal)
    whole = replace(decided(commit=False), parts=(refused, *decided(commit=False).parts))
    await store.save(Changes(transactions=(whole,)))
    kept = await store.transaction("tx-1")
    assert kept is not None
    assert [(p.part_id, p.status, p.refusal, p.prep) for p in kept.parts] == [
        (p.part_id, p.status, p.refusal, p.prep) for p in whole.parts
    ]
    assert await store.transaction("tx-9") is None


async def test_events_are_numbered_in_order_and_paged(store: Store) -> None:
    await store.save(creation(1))
    await store.save(creation(2))
    await store.save(Changes(events=(decided_event("res-1", "ABORT", 9),) * 2))
    numbers = [event.sequence for event in await store.events("", 0, 100)]
    assert numbers == sorted(set(numbers))
    assert len(numbers) == 4
    of_one = await store.events("res-1", 0, 100)
    assert [event.reservation_id for event in of_one] == ["res-1"] * 3
    assert of_one[1].body.decided.decision == "ABORT"
    rest = await store.events("", numbers[0], 2)
    assert [event.sequence for event in rest] == numbers[1:3]
    assert isinstance(rest[0], Event)


async def test_reservations_come_newest_first_in_pages(store: Store) -> None:
    for number in range(1, 6):
        await store.save(creation(number))
    await store.save(Changes(reservation=ended(record(4), 9)))
    page = await store.reservations(frozenset(), "", 2)
    assert [row.reservation_id for _, row in page] == ["res-5", "res-4"]
    more = await store.reservations(frozenset(), page[-1][0], 9)
    assert [row.reservation_id for _, row in more] == ["res-3", "res-2", "res-1"]
    over = await store.reservations(frozenset({State.ENDED.value}), "", 9)
    assert [row.reservation_id for _, row in over] == ["res-4"]


async def test_one_kind_alone_comes_newest_first_in_full_pages(store: Store) -> None:
    nets = {2, 4, 7}
    for number in range(1, 9):
        await store.save(creation(number, criteria=NET if number in nets else CRITERIA))
    page = await store.reservations(frozenset(), "", 2, Kind.CLOUDNET)
    assert [row.reservation_id for _, row in page] == ["res-7", "res-4"]
    rest = await store.reservations(frozenset(), page[-1][0], 2, Kind.CLOUDNET)
    assert [row.reservation_id for _, row in rest] == ["res-2"]
    circuits = await store.reservations(frozenset(), page[-1][0], 9, Kind.CIRCUIT)
    assert [row.reservation_id for _, row in circuits] == ["res-3", "res-1"]
    over = await store.reservations(frozenset({State.ENDED.value}), "", 9, Kind.CLOUDNET)
    assert over == ()


async def test_a_cloudnet_is_still_one_after_it_was_changed(store: Store) -> None:
    await store.save(creation(1, criteria=NET))
    await store.save(Changes(reservation=ended(record(1, NET), 9)))
    assert len(await store.reservations(frozenset(), "", 9, Kind.CLOUDNET)) == 1
    assert await store.reservations(frozenset(), "", 9, Kind.CIRCUIT) == ()


async def test_a_restart_finds_what_is_unfinished_and_nothing_else(store: Store) -> None:
    await store.save(creation(1))
    await store.save(creation(2))
    gone = failed(record(2), (), 9)
    over, _ = step(begin("tx-2", "res-2", 1), Decide(commit=False), 9)
    assert over.settled
    await store.save(Changes(reservation=gone, transactions=(over,)))
    unfinished = await store.take(5, 100)
    assert [row.reservation_id for row in unfinished.reservations] == ["res-1"]
    assert [row.transaction_id for row in unfinished.transactions] == ["tx-1"]


async def test_a_restart_finds_what_still_must_be_told_to_an_agent(store: Store) -> None:
    await store.save(creation(1))
    aborted = decided(commit=False)
    assert not aborted.settled
    await store.save(Changes(reservation=failed(record(), (), 9), transactions=(aborted,)))
    unfinished = await store.take(5, 100)
    assert unfinished.reservations == ()
    assert [row.transaction_id for row in unfinished.transactions] == ["tx-1"]


@pytest.mark.parametrize("also", [PartStatus.REFUSED, PartStatus.ABORTED])
def test_a_released_transaction_is_over_also_after_it_was_replanned(also: PartStatus) -> None:
    released = replace(PART, status=PartStatus.RELEASED)
    given_up = replace(PART, part_id="p-0", status=also)
    transaction = replace(decided(commit=True), parts=(given_up, released))
    assert is_over(transaction)
    undecided = replace(begin("tx-1", "res-1", 1), parts=(given_up,))
    assert not is_over(undecided)
    assert not is_over(
        replace(transaction, parts=(given_up, replace(PART, status=PartStatus.COMMITTED)))
    )


async def test_registered_domains_are_remembered(store: Store) -> None:
    await store.set_target("m2", "b:2")
    await store.set_target("m1", "a:1")
    await store.set_target("m2", "c:3")
    assert await store.targets() == {"m1": "a:1", "m2": "c:3"}
    await store.set_target("m1", None)
    assert await store.targets() == {"m2": "c:3"}
