"""Settling by hand what a domain does not answer, at any instance; and what comes of it later."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from simulated import committed, diamond, virtual
from twins import TAKEN_OVER_S, Twins, until

from orchestrator.hand import HandOrder, NotInDoubtError, UnknownPartError
from orchestrator.ports import Doubt
from orchestrator.records import HandDecision, State
from protocol.coordinator import PartStatus
from protocol.messages import Commit, Release, ReservationResp
from simulations.gateway import Message

BEGINNING = (-1, "", "")


def deaf(domain: str, *kinds: type[object]) -> Callable[[str, Message], bool]:
    """Messages of these kinds never reach a domain, and it says nothing."""

    def lost(name: str, message: Message) -> bool:
        return name == domain and isinstance(message, (*kinds, ReservationResp))

    return lost


async def doubt(twins: Twins) -> Doubt:
    """The only thing in doubt."""
    (found,) = await twins.store.doubts(twins.clock.now_ms(), BEGINNING, 10)
    return found


def order(found: Doubt, commit: bool, operator: str = "olga") -> HandOrder:
    prep = found.part.prep
    return HandOrder(prep.transaction_id, prep.part_id, commit, operator, "it burnt down")


async def settled(twins: Twins, name: str, commit: bool) -> HandDecision:
    hand = twins.instances[name].orchestrator.hand
    return await hand.settle(order(await doubt(twins), commit))


async def unconfirmed(twins: Twins, *, told: bool) -> str:
    """A reservation whose part in m1 got no COMMIT; ``told``: its user heard of success."""
    await twins.start("a")
    await twins.start("b")
    # It holds, and then it hears no more.
    twins.lost = lambda domain, message: domain == "m1" and isinstance(message, Commit)
    reservation_id = await twins.begun("a", 10)
    if told:
        committed(await twins.decided("a", reservation_id))
    await asyncio.sleep(1)
    assert (await doubt(twins)).part.status is PartStatus.COMMITTING
    return reservation_id


@virtual
async def test_an_operator_commits_at_another_instance_than_the_owner() -> None:
    async with Twins(diamond(1, expiring=("m1",))) as twins:
        reservation_id = await unconfirmed(twins, told=False)
        decision = await settled(twins, "b", commit=True)
        assert (decision.domain, decision.commit, decision.operator) == ("m1", True, "olga")
        record = committed(await twins.decided("b", reservation_id))
        assert record.reservation_id == decision.reservation_id
        assert await twins.store.hand_decisions("", 10) == (decision,)
        events = [event.body.WhichOneof("kind") for event in twins.store._events]
        assert "settled_by_hand" in events


@virtual
async def test_giving_up_what_nobody_was_told_of_undoes_the_rest() -> None:
    async with Twins(diamond(1, expiring=("m1",))) as twins:
        reservation_id = await unconfirmed(twins, told=False)
        await settled(twins, "a", commit=False)
        record = await twins.decided("a", reservation_id)
        assert record.state is State.FAILED
        assert "by hand" in record.refusals[0].reason
        await until(lambda: set(twins.held()) <= {"m1"})


@virtual
async def test_giving_up_what_was_told_keeps_the_rest_and_says_what_is_broken() -> None:
    async with Twins(diamond(1)) as twins:
        reservation_id = await unconfirmed(twins, told=True)
        await settled(twins, "a", commit=False)
        record = await twins.instances["a"].orchestrator.get(reservation_id)
        assert record.state is State.COMMITTED
        assert {"east", "west"} <= set(twins.held())
        assert await twins.store.doubts(twins.clock.now_ms(), BEGINNING, 10) == ()


@virtual
async def test_a_domain_that_comes_back_says_what_it_holds_and_hears_its_word() -> None:
    async with Twins(diamond(1)) as twins:
        reservation_id = await unconfirmed(twins, told=True)
        await settled(twins, "a", commit=False)
        twins.lost = lambda domain, message: False
        for gateway in twins.gateways.values():
            gateway.down("m1")
            gateway.up(twins.agents["m1"])
        # What was promised to the user, and is held there after all, is confirmed.
        await asyncio.sleep(TAKEN_OVER_S)
        assert twins.held()["m1"] == [(reservation_id, 1)]


@virtual
async def test_a_release_that_was_given_up_reaches_the_domain_when_it_is_back() -> None:
    async with Twins(diamond(1)) as twins:
        await twins.start("a")
        reservation_id = await twins.begun("a", 10)
        committed(await twins.decided("a", reservation_id))
        await asyncio.sleep(1)
        twins.lost = deaf("m1", Release)
        await twins.instances["a"].orchestrator.cancel(reservation_id)
        await asyncio.sleep(1)
        assert (await doubt(twins)).part.status is PartStatus.RELEASING
        await settled(twins, "a", commit=False)
        assert set(twins.held()) == {"m1"}
        twins.lost = lambda domain, message: False
        twins.gateways["a"].down("m1")
        twins.gateways["a"].up(twins.agents["m1"])
        await until(lambda: twins.held() == {})


@pytest.mark.parametrize("name", ["a", "b"])
@virtual
async def test_the_same_order_twice_is_one_decision(name: str) -> None:
    async with Twins(diamond(1)) as twins:
        await unconfirmed(twins, told=True)
        wanted = order(await doubt(twins), commit=True)
        first = await twins.instances["a"].orchestrator.hand.settle(wanted)
        again = await twins.instances[name].orchestrator.hand.settle(wanted)
        assert again == first
        with pytest.raises(NotInDoubtError, match="COMMIT, as olga decided before"):
            await settled_otherwise(twins, wanted)


async def settled_otherwise(twins: Twins, wanted: HandOrder) -> None:
    other = HandOrder(wanted.transaction_id, wanted.part_id, not wanted.commit, "ines", "")
    await twins.instances["a"].orchestrator.hand.settle(other)


@virtual
async def test_both_instances_at_once_make_one_decision() -> None:
    async with Twins(diamond(1)) as twins:
        await unconfirmed(twins, told=True)
        wanted = order(await doubt(twins), commit=True)
        hands = [twins.instances[name].orchestrator.hand for name in ("a", "b")]
        first, second = await asyncio.gather(*(hand.settle(wanted) for hand in hands))
        assert first == second


@virtual
async def test_what_is_not_in_doubt_is_refused_with_what_it_is() -> None:
    async with Twins(diamond(1)) as twins:
        await twins.start("a")
        reservation_id = await twins.begun("a", 10)
        record = committed(await twins.decided("a", reservation_id))
        await asyncio.sleep(1)
        hand = twins.instances["a"].orchestrator.hand
        stored = await twins.store.transaction(record.transaction_id)
        assert stored is not None
        part_id = stored.parts[0].part_id
        with pytest.raises(NotInDoubtError, match="this one is COMMITTED"):
            await hand.settle(HandOrder(record.transaction_id, part_id, False, "olga", ""))
        with pytest.raises(UnknownPartError):
            await hand.settle(HandOrder(record.transaction_id, "nothing", False, "olga", ""))
        with pytest.raises(UnknownPartError):
            await hand.settle(HandOrder("never", "nothing", False, "olga", ""))


@virtual
async def test_a_release_cannot_be_settled_as_a_commit() -> None:
    async with Twins(diamond(1)) as twins:
        await twins.start("a")
        reservation_id = await twins.begun("a", 10)
        committed(await twins.decided("a", reservation_id))
        twins.lost = deaf("m1", Release)
        await twins.instances["a"].orchestrator.cancel(reservation_id)
        await asyncio.sleep(1)
        with pytest.raises(NotInDoubtError, match="GIVE_UP of a part that is RELEASING"):
            await settled(twins, "a", commit=True)


@virtual
async def test_a_word_that_comes_late_and_says_otherwise_is_a_contradiction() -> None:
    async with Twins(diamond(1, expiring=("m1",))) as twins:
        await unconfirmed(twins, told=False)
        await settled(twins, "a", commit=True)
        # Its hold runs out there; then the COMMIT that was asked for again is refused.
        await asyncio.sleep(40)
        twins.lost = lambda domain, message: False
        twins.gateways["a"].down("m1")
        twins.gateways["a"].up(twins.agents["m1"])
        await asyncio.sleep(TAKEN_OVER_S)
        (decision,) = await twins.store.hand_decisions("", 10)
        assert decision.contradicted
