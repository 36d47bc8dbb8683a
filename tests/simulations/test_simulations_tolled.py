"""Admission pricing where others make room, and where domains refuse what was planned first."""

from __future__ import annotations

import asyncio
import re

import pytest
from simulated import START_S, G, assert_nothing_held, circuit, committed, diamond, shares, virtual

from orchestrator.engine import Limits
from orchestrator.negotiation import Failure
from orchestrator.records import Reservation, State
from simulations.network import Network, build_network
from substrate.model import Bend, Constraints, Refusal, RefusalKind, Window
from substrate.tolls import Tariff, cost

VIA_M1, VIA_M2 = (Constraints(via_domains=(name,)) for name in ("m1", "m2"))
WHOLE = 4 * 3600
"""Over one middle domain there are two links, each taken both ways, for an hour."""


async def tolled(most_link_s: float, middle: int = 2) -> Network:
    limits = Limits(tariff=Tariff(most_link_s))
    return await build_network(diamond(middle), limits=limits)


def the_toll(refusals: tuple[Refusal, ...]) -> float:
    """What the last refusal says that it would be."""
    assert refusals[-1].kind is RefusalKind.TOLL, refusals
    found = re.match(r"its toll is ([0-9.]+) link-seconds", refusals[-1].reason)
    assert found is not None
    return float(found[1])


def refused(record: Reservation) -> tuple[Refusal, ...]:
    assert record.state is State.FAILED
    return record.refusals


ROOM = WHOLE * cost(0.2, 0.8)
"""80 of 100 Gb/s, where the other keeps 20 of its 60."""


@virtual
async def test_room_costs_what_others_have_once_they_are_moved() -> None:
    async with await tolled(ROOM - 100) as network:
        first = committed(await network.reserve(circuit(60, movable=True)))
        record = await network.reserve(circuit(80, constraints=VIA_M1))
        assert the_toll(refused(record)) == pytest.approx(ROOM, rel=1e-3)
        still = await network.orchestrator.get(first.reservation_id)
        assert (still.version, shares(still)) == (1, {"m1": 60})


@virtual
async def test_who_costs_no_more_than_that_is_let_in_and_who_moves_pays_nothing() -> None:
    async with await tolled(ROOM + 100) as network:
        first = committed(await network.reserve(circuit(60, movable=True)))
        committed(await network.reserve(circuit(80, constraints=VIA_M1)))
        moved = await network.orchestrator.get(first.reservation_id)
        assert shares(moved) == {"m1": 20, "m2": 40}


@virtual
async def test_plan_tells_what_room_would_cost() -> None:
    async with await tolled(ROOM - 100) as network:
        committed(await network.reserve(circuit(60, movable=True)))
        outcome = await network.orchestrator.plan(circuit(80, constraints=VIA_M1), 30)
        assert isinstance(outcome, Failure)
        assert the_toll(outcome.refusals) == pytest.approx(ROOM, rel=1e-3)


@virtual
async def test_a_plan_that_comes_after_a_refused_hold_is_counted_too() -> None:
    """Both plan over m1 at once; who is refused there has to take more of both ways."""
    async with await tolled(600) as network:
        committed(await network.reserve(circuit(50, constraints=VIA_M2)))
        pair = await asyncio.gather(*(network.reserve(circuit(60)) for _ in range(2)))
        assert sorted(record.state.name for record in pair) == ["COMMITTED", "FAILED"]
        (failed,) = (record for record in pair if record.state is State.FAILED)
        assert the_toll(failed.refusals) > 600
        for members in network.held().values():
            assert failed.reservation_id not in {
                r.part.prep.reservation_id for r in members if r.part.prep
            }


@virtual
async def test_nothing_is_held_by_what_was_too_dear() -> None:
    async with await tolled(100) as network:
        bend = Bend(volume_bytes=90 * G // 8 * 3600)
        window = Window(START_S, START_S + 4000)
        for criteria in (circuit(90), circuit(100, window=window, bend=bend)):
            assert the_toll(refused(await network.reserve(criteria))) > 100
        await asyncio.sleep(5)
        assert_nothing_held(network)
