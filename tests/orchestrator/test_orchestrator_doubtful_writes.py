"""Writes that fail one after the other, done or not: the promise is kept, once, within minutes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from hypothesis import example, given, settings, strategies as st
from orchestrated import Orchestrated, noisy, sites, wanted
from test_orchestrator_failing_writes import COMMITTED, FAILED, agreed, settled, tried

from orchestrator.ports import Changes


def scripted(*script: str) -> Callable[[Changes], str]:
    """What becomes of the next writes, one by one; those after succeed."""
    left = list(script)
    return lambda changes: left.pop(0) if left else ""


@noisy
async def test_two_writes_in_a_row_that_only_seemed_to_fail_stop_nothing() -> None:
    async with Orchestrated(sites("m1")) as world:
        one = await world.start()
        world.store.fails = scripted("after", "after")
        await tried(one.reserve(wanted()))
        await asyncio.sleep(10)
        async with asyncio.timeout(60):
            record = await one.reserve(wanted())
        await agreed(world, record, 1)


@pytest.mark.parametrize("kind", ["reserve", "modify"])
@noisy
async def test_what_is_confirmed_while_it_is_read_again_is_committed_once(kind: str) -> None:
    async with Orchestrated(sites("m1", expiring="m1")) as world:
        one = await world.start()
        if kind == "reserve":
            world.store.fails = scripted("after", *[""] * 5, "after", "before")
            await tried(one.reserve(wanted()))
        else:
            reservation_id = (await one.reserve(wanted())).reservation_id
            await asyncio.sleep(1)
            world.store.fails = scripted(*[""] * 4, "after", "before")
            await tried(one.modify(reservation_id, "m", 20))
        await asyncio.sleep(60)
        await settled(world, one)
        record = await one.reserve(wanted())
        assert record.state == COMMITTED
        await agreed(world, record, record.version)


OUTCOMES = st.lists(st.sampled_from(["", "", "before", "after"]), max_size=25)


@settings(max_examples=40)
@example(["after", "after"], False)
@given(OUTCOMES, st.booleans())
def test_whatever_writes_fail_in_whatever_order_the_promise_is_kept(
    script: list[str], expiring: bool
) -> None:
    async def play() -> None:
        async with Orchestrated(sites("m1", expiring="m1" if expiring else "")) as world:
            one = await world.start()
            world.store.fails = scripted(*script)
            await tried(one.reserve(wanted()))
            await asyncio.sleep(60)
            await settled(world, one)
            async with asyncio.timeout(600):
                record = await one.reserve(wanted())
            assert record.state in (COMMITTED, FAILED)
            await agreed(world, record, 1)
            if record.state == COMMITTED:
                await one.cancel(record.reservation_id)
                await asyncio.sleep(30)
                assert world.held() == {}

    noisy(play)()
