"""Virtual time: it jumps, keeps the order of timers, and never lets a test wait for ever."""

from __future__ import annotations

import asyncio
import time

import pytest

from simulations.clock import EPOCH_MS, CountingIds, LoopClock, StalledError, run_virtual


def test_a_year_passes_at_once() -> None:
    async def year() -> int:
        clock = LoopClock()
        await asyncio.sleep(365 * 86_400)
        return clock.now_ms()

    began_s = time.monotonic()
    assert run_virtual(year()) == EPOCH_MS + 365 * 86_400_000
    assert time.monotonic() - began_s < 5


def test_timers_fire_in_the_order_of_their_times() -> None:
    async def race() -> list[tuple[str, int]]:
        clock, seen = LoopClock(0), []

        async def runner(name: str, delay_s: float) -> None:
            await asyncio.sleep(delay_s)
            seen.append((name, clock.now_ms()))

        await asyncio.gather(runner("c", 3), runner("a", 0.001), runner("b", 2.5), runner("d", 3))
        return seen

    assert run_virtual(race()) == [("a", 1), ("b", 2500), ("c", 3000), ("d", 3000)]


def test_time_stands_still_while_there_is_work() -> None:
    async def busy() -> int:
        clock = LoopClock(7)
        for _ in range(1000):
            await asyncio.sleep(0)
        return clock.now_ms()

    assert run_virtual(busy()) == 7


def test_time_outs_of_asyncio_use_virtual_time() -> None:
    async def late() -> int:
        clock = LoopClock(0)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await asyncio.Event().wait()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.get_running_loop().create_future(), 2)
        return clock.now_ms()

    assert run_virtual(late()) == 7000


def test_waiting_for_what_cannot_come_is_an_error() -> None:
    async def stalled() -> None:
        await asyncio.Event().wait()

    with pytest.raises(StalledError, match="no timer is set"):
        run_virtual(stalled())


def test_what_the_work_raises_comes_out() -> None:
    async def broken() -> None:
        await asyncio.sleep(1)
        raise LookupError("gone")

    with pytest.raises(LookupError, match="gone"):
        run_virtual(broken())


def test_a_clock_can_be_set() -> None:
    async def skewed() -> tuple[int, int]:
        right, wrong = LoopClock(1000), LoopClock(1000)
        wrong.start_ms += 250
        await asyncio.sleep(2)
        return right.now_ms(), wrong.now_ms()

    assert run_virtual(skewed()) == (3000, 3250)


def test_ids_count_and_look_like_ids() -> None:
    ids = CountingIds()
    first, second = ids.new(), ids.new()
    assert (first, second) == ("0" * 31 + "1", "0" * 31 + "2")
