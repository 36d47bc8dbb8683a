"""Messages that come together: one write for all, and each part's in the order of arrival."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from agent_world import GBPS, MBPS, ME, NOW_S, FaultyStore, World, prep

from agents.peers import Sender
from agents.turns import Turns
from protocol.messages import (
    Commit,
    Phase,
    Release,
    ReqOffers,
    ReservationResp,
    SendOffers,
    ToAgent,
)
from protocol.participant import PartState
from substrate.model import RefusalKind, Window


def part(number: int, **changes: Any) -> ToAgent:
    return prep(
        f"t{number}", reservation_id=f"r{number}", vlan=100 + number, bandwidth_bps=MBPS, **changes
    )


async def together(world: World, *messages: ToAgent) -> list[tuple[str, Phase, bool]]:
    """The answers to messages that come in one frame, in their order."""
    before = len(world.sent)
    rest = world.agent.receive(ME, *messages)
    if rest is not None:
        await rest
    await world.settle()
    answers = [answer for _, answer in world.sent[before:]]
    return [(a.transaction_id, a.phase, a.ok) for a in answers if isinstance(a, ReservationResp)]


def states(world: World) -> dict[str, PartState]:
    return {r.part.transaction_id: r.part.state for r in world.agent.parts.records.all()}


async def test_all_that_one_frame_changes_is_one_write() -> None:
    store = FaultyStore()
    world = await World(store).start()
    assert await together(world, *(part(n) for n in range(20))) == [
        (f"t{n}", Phase.PREP, True) for n in range(20)
    ]
    assert store.writes == 1
    assert all(ok for *_, ok in await together(world, *(Commit(f"t{n}", "p1") for n in range(20))))
    assert store.writes == 2
    assert set(states(world).values()) == {PartState.COMMITTED}


async def test_what_changes_nothing_is_answered_at_once_and_nothing_else_is() -> None:
    store = FaultyStore()
    world = await World(store).start()
    await together(world, part(1))
    store.gate.clear()
    ask = ReqOffers("q", Window(NOW_S, NOW_S + 10), (("renet1:west", "renet1:east"),), MBPS)
    before = len(world.sent)
    rest = world.agent.receive(ME, ask, part(1), part(2), Commit("t1", "p1"))
    at_once = [answer for _, answer in world.sent[before:]]
    assert isinstance(at_once[0], SendOffers)
    assert at_once[1:] == [ReservationResp("t1", "p1", Phase.PREP, True, None, world.agent.epoch)]
    await world.settle()
    assert len(world.sent) == before + 2
    store.gate.set()
    assert rest is not None
    await rest
    assert states(world) == {"t1": PartState.COMMITTED, "t2": PartState.HELD}


async def test_messages_for_one_part_are_worked_off_in_the_order_of_arrival() -> None:
    store = FaultyStore()
    world = await World(store).start()
    store.gate.clear()
    first = world.agent.receive(ME, part(1), Commit("t1", "p1"), part(2))
    second = world.agent.receive(ME, Release("t1", "p1"), Commit("t2", "p1"))
    store.gate.set()
    assert first is not None
    assert second is not None
    await asyncio.gather(first, second)
    answers = [a for _, a in world.sent if isinstance(a, ReservationResp)]
    assert all(answer.ok for answer in answers)
    of_one = [answer.phase for answer in answers if answer.transaction_id == "t1"]
    assert of_one == [Phase.PREP, Phase.COMMIT, Phase.RELEASE]
    assert states(world) == {"t1": PartState.RELEASED, "t2": PartState.COMMITTED}


async def test_who_waits_is_not_passed_by_who_comes_when_the_turn_is_free_again() -> None:
    store = FaultyStore()
    world = await World(store).start()
    store.gate.clear()
    first = world.agent.receive(ME, part(1))
    late = world.agent.receive(ME, Commit("t1", "p1"))
    assert first is not None
    assert late is not None
    # Another frame comes in the very moment in which the first one's turn ends.
    last: list[asyncio.Task[None] | None] = []
    first.add_done_callback(lambda _: last.append(world.agent.receive(ME, Release("t1", "p1"))))
    store.gate.set()
    await asyncio.gather(first, late)
    await world.settle()
    phases = [a.phase for _, a in world.sent if isinstance(a, ReservationResp)]
    assert phases == [Phase.PREP, Phase.COMMIT, Phase.RELEASE]
    assert states(world) == {"t1": PartState.RELEASED}


@pytest.mark.parametrize("lies", [False, True])
async def test_a_write_that_fails_refuses_all_holds_and_gives_their_room_back(lies: bool) -> None:
    store = FaultyStore()
    world = await World(store).start()
    await together(world, part(1))
    store.fails, store.lies = not lies, lies
    answers = await together(world, part(2), Commit("t1", "p1"), part(3))
    assert answers == [("t2", Phase.PREP, False), ("t3", Phase.PREP, False)]
    assert states(world) == {"t1": PartState.HELD}
    store.fails = store.lies = False
    assert all(ok for *_, ok in await together(world, part(2), Commit("t1", "p1"), part(3)))
    await together(world, *(Release(f"t{n}", "p1") for n in (1, 2, 3)))
    assert world.agent.parts.book.is_empty()


async def test_room_taken_by_one_is_missed_by_the_next_of_the_same_frame() -> None:
    world = await World().start()
    big = [prep(f"t{n}", reservation_id=f"r{n}", vlan=100 + n) for n in range(3)]
    answers = await together(world, *big)
    assert answers == [
        ("t0", Phase.PREP, True),
        ("t1", Phase.PREP, False),
        ("t2", Phase.PREP, False),
    ]
    refusal = next(a for _, a in world.sent if isinstance(a, ReservationResp) and not a.ok).refusal
    assert refusal is not None
    assert (refusal.kind, refusal.available_bps) == (RefusalKind.BANDWIDTH, GBPS - 600 * MBPS)


async def test_a_backend_that_fails_for_one_part_spoils_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = await World().start()
    place = world.device.place

    def fails_for_two(segments: Any, window: Window, free: Any) -> Any:
        if segments[0].ingress_vlan == 102:
            raise ZeroDivisionError
        return place(segments, window, free)

    monkeypatch.setattr(world.device, "place", fails_for_two)
    monkeypatch.setattr(world.device, "offers", lambda *_: 1 / 0)
    ask = ReqOffers("q", Window(NOW_S, NOW_S + 10), (("renet1:west", "renet1:east"),), MBPS)
    rest = world.agent.receive(ME, part(1), ask, part(2), part(3))
    assert rest is not None
    with pytest.raises(ZeroDivisionError):
        await rest
    answers = [a for _, a in world.sent if isinstance(a, ReservationResp)]
    assert [(a.transaction_id, a.ok) for a in answers] == [("t1", True), ("t3", True)]
    monkeypatch.undo()
    assert await together(world, part(2)) == [("t2", Phase.PREP, True)]


async def test_another_orchestrators_part_is_refused_within_a_frame() -> None:
    world = await World().start()
    await together(world, part(1))
    other = Sender("somebody-else", "x")
    rest = world.agent.receive(other, Commit("t1", "p1"), part(2, orchestrator_id="somebody-else"))
    assert rest is not None
    await rest
    assert states(world) == {"t1": PartState.HELD, "t2": PartState.HELD}


async def test_turns_go_round_in_the_order_in_which_they_were_asked_for() -> None:
    turns, had = Turns(), list[int]()

    async def have(turn: Any, number: int) -> None:
        async with turn:
            had.append(number)
            await asyncio.sleep(0)

    assert turns.take("a")
    assert not turns.take("a")
    tasks = [asyncio.create_task(have(turns.turn("a"), number)) for number in range(4)]
    await asyncio.sleep(0)
    tasks[1].cancel()
    turns.give("a")
    assert not turns.take("a")
    await asyncio.gather(*tasks, return_exceptions=True)
    assert had == [0, 2, 3]
    assert turns.take("a")


async def test_nobody_begins_while_one_has_all_turns() -> None:
    turns = Turns()
    assert turns.take("a")
    alone = turns.alone()
    entering = asyncio.create_task(alone.__aenter__())
    await asyncio.sleep(0)
    assert not entering.done()
    assert not turns.take("b")
    turns.give("a")
    await entering
    waiting = asyncio.create_task(turns.turn("c").__aenter__())
    await asyncio.sleep(0)
    assert not waiting.done()
    await alone.__aexit__(None, None, None)
    await waiting
    assert not turns.take("c")
    turns.give("c")
    assert turns.take("c")
