"""What operators settle by hand is durable, recorded once, and marked when it was wrong."""

from __future__ import annotations

import asyncio

import pytest
from agent_world import GBPS, ME, FaultyStore, World, fits, prep, refused
from grpc import StatusCode

from agents.hand import Order
from agents.peers import Sender
from agents.values import Decision, Settlement
from protocol.messages import Claim, Claims, Commit
from protocol.participant import PartState
from runtime.database import StorageError
from runtime.errors import RequestError
from substrate.model import DataPlaneState, RefusalKind

COMMIT, GIVE_UP = Settlement.COMMIT, Settlement.GIVE_UP
ASKED_S = 6


def order(settlement: Settlement, transaction_id: str = "t1", operator: str = "ada") -> Order:
    return Order((transaction_id, "p1"), settlement, operator, "its orchestrator burned down")


async def in_doubt(store: FaultyStore | None = None) -> World:
    """A hold t1 that has asked in vain."""
    world = await World(store).start()
    await world.hold(prep())
    await world.at(ASKED_S)
    assert world.inquiries() == ["p1"]
    return world


def decision(world: World) -> Decision:
    return world.agent.parts.decisions[("t1", "p1")]


async def refusal(world: World, wanted: Order) -> RequestError:
    with pytest.raises(RequestError) as caught:
        await world.agent.settle(wanted)
    return caught.value


async def test_a_hold_that_is_committed_by_hand_is_in_force() -> None:
    world = await in_doubt()
    told = await world.agent.settle(order(COMMIT))
    now_ms = world.clock.now_ms()
    reason = "its orchestrator burned down"
    assert told == Decision("t1", "p1", "r1", ME, COMMIT, "ada", reason, now_ms)
    await world.at(100)
    assert world.data_plane() is DataPlaneState.ACTIVE
    await world.restart()
    assert decision(world) == told
    assert world.record().part.heuristic
    assert not await fits(world, GBPS)


async def test_a_hold_that_is_given_up_by_hand_frees_its_room() -> None:
    world = await in_doubt()
    await world.agent.settle(order(GIVE_UP))
    assert world.record().part.state is PartState.ABORTED
    assert await fits(world, GBPS)
    await world.at(60)
    assert world.inquiries() == ["p1"]


async def test_settling_again_is_answered_as_before_and_never_otherwise() -> None:
    world = await in_doubt()
    told = await world.agent.settle(order(GIVE_UP))
    await world.at(20)
    assert await world.agent.settle(order(GIVE_UP, operator="bob")) == told
    error = await refusal(world, order(COMMIT))
    assert error.code is StatusCode.FAILED_PRECONDITION
    assert "GIVE_UP, as ada decided" in error.possible


async def test_what_is_not_in_doubt_is_not_settled() -> None:
    world = await World().start()
    unknown = await refusal(world, order(COMMIT))
    assert (unknown.code, unknown.field) == (StatusCode.NOT_FOUND, "part_id")
    await world.hold(prep())
    early = await refusal(world, order(COMMIT))
    assert early.code is StatusCode.FAILED_PRECONDITION
    assert "HELD and has not asked yet" in early.possible
    await world.commit()
    late = await refusal(world, order(COMMIT))
    assert "COMMITTED" in late.possible
    await world.abort("t9")
    assert (await refusal(world, order(COMMIT, "t9"))).code is StatusCode.FAILED_PRECONDITION


async def test_two_operators_at_once_settle_it_once() -> None:
    world = await in_doubt()
    outcomes = await asyncio.gather(
        world.agent.settle(order(COMMIT)),
        world.agent.settle(order(GIVE_UP)),
        return_exceptions=True,
    )
    assert [type(outcome) for outcome in outcomes] == [Decision, RequestError]
    assert world.record().part.state is PartState.COMMITTED


async def test_the_coordinators_word_that_comes_first_wins() -> None:
    store = FaultyStore()
    world = await in_doubt(store)
    store.gate.clear()
    word = asyncio.create_task(world.agent.handle(ME, Commit("t1", "p1")))
    settling = asyncio.create_task(world.agent.settle(order(GIVE_UP)))
    await world.settle()
    store.gate.set()
    await word
    with pytest.raises(RequestError):
        await settling
    assert world.record().part.state is PartState.COMMITTED
    assert world.agent.parts.decisions == {}


async def test_a_settlement_that_cannot_be_written_did_not_happen() -> None:
    store = FaultyStore()
    world = await in_doubt(store)
    store.fails = True
    with pytest.raises(StorageError):
        await world.agent.settle(order(GIVE_UP))
    assert world.record().part.state is PartState.HELD
    assert world.agent.parts.decisions == {}
    store.fails = False
    await world.agent.settle(order(COMMIT))
    await world.restart()
    assert decision(world).settlement is COMMIT


async def test_a_client_that_goes_away_does_not_stop_the_settlement() -> None:
    store = FaultyStore()
    world = await in_doubt(store)
    store.gate.clear()
    settling = asyncio.create_task(world.agent.settle(order(COMMIT)))
    await world.settle()
    settling.cancel()
    store.gate.set()
    await world.settle()
    assert decision(world).settlement is COMMIT


# --- the coordinator's word, later ----------------------------------------------------------------


async def test_a_commit_of_what_was_given_up_is_refused_and_marked() -> None:
    world = await in_doubt()
    await world.agent.settle(order(GIVE_UP))
    answer = await world.commit()
    assert refused(answer) is RefusalKind.TOMBSTONE
    assert answer.refusal is not None
    assert "by an operator's hand" in answer.refusal.reason
    assert decision(world).contradicted
    assert not (await world.commit()).ok
    await world.restart()
    assert decision(world).contradicted


async def test_an_abort_of_what_was_committed_by_hand_is_done_and_marked() -> None:
    world = await in_doubt()
    await world.agent.settle(order(COMMIT))
    assert (await world.abort()).ok
    assert decision(world).contradicted
    assert world.record().part.state is PartState.ABORTED
    assert await fits(world, GBPS)


async def test_a_release_of_what_was_committed_by_hand_is_done_and_marked() -> None:
    world = await in_doubt()
    await world.agent.settle(order(COMMIT))
    assert (await world.release()).ok
    assert decision(world).contradicted


async def test_a_word_that_agrees_is_no_contradiction_and_makes_it_ordinary() -> None:
    world = await in_doubt()
    await world.agent.settle(order(COMMIT))
    assert (await world.commit()).ok
    assert not world.record().part.heuristic
    assert not (await world.abort()).ok
    assert (await world.release()).ok
    assert not decision(world).contradicted


async def test_an_abort_of_what_was_given_up_agrees() -> None:
    world = await in_doubt()
    await world.agent.settle(order(GIVE_UP))
    assert (await world.abort()).ok
    assert (await world.release()).ok
    assert not decision(world).contradicted


async def test_a_contradiction_is_marked_before_it_is_answered() -> None:
    store = FaultyStore()
    world = await in_doubt(store)
    await world.agent.settle(order(GIVE_UP))
    store.fails = True
    assert await world.ask(Commit("t1", "p1")) is None
    assert not decision(world).contradicted
    store.fails = False
    assert not (await world.commit()).ok
    assert decision(world).contradicted


# --- recovery ------------------------------------------------------------------------------------


async def claimed(world: World, *found: Claim) -> None:
    await world.agent.handle(Sender(ME, ME), Claims(world.agent.epoch, "c1", 0, 1, found))
    await world.settle()
    assert not world.agent.recovering


async def test_while_the_domain_recovers_nothing_is_settled_by_hand() -> None:
    world = await World().start()
    await world.hold(prep())
    await world.restart(restored=True)
    await world.at(ASKED_S)
    error = await refusal(world, order(COMMIT))
    assert error.code is StatusCode.FAILED_PRECONDITION
    assert "while the domain recovers" in error.possible


@pytest.mark.parametrize(
    ("settlement", "claims", "contradicted", "state"),
    [
        (COMMIT, True, False, PartState.COMMITTED),
        (COMMIT, False, True, PartState.RELEASED),
        (GIVE_UP, True, True, PartState.ABORTED),
        (GIVE_UP, False, False, PartState.ABORTED),
    ],
)
async def test_claims_are_the_coordinators_word_too(
    settlement: Settlement, claims: bool, contradicted: bool, state: PartState
) -> None:
    world = await in_doubt()
    await world.agent.settle(order(settlement))
    await world.restart(restored=True)
    await claimed(world, *([Claim(prep(), True)] if claims else []))
    assert decision(world).contradicted is contradicted
    assert world.record().part.state is state
    await world.restart()
    assert decision(world).contradicted is contradicted
