"""Timers fire once, in order, by whatever clock there is."""

from __future__ import annotations

import asyncio

from hypothesis import given, strategies as st

from agents.timers import BATCH_LIMIT, PartDue, ReservationDue, TidyDue, Timers
from runtime.clock import SystemClock


class ManualClock:
    def __init__(self, now_ms: int = 0) -> None:
        self.time_ms = now_ms

    def now_ms(self) -> int:
        return self.time_ms


async def test_what_is_due_fires_by_itself() -> None:
    clock = SystemClock()
    fired: list[str] = []
    done = asyncio.Event()

    def fire(item: str) -> None:
        fired.append(item)
        if len(fired) == 3:
            done.set()

    timers: Timers[str] = Timers(clock, fire)
    timers.set("later", clock.now_ms() + 60)
    timers.start()
    timers.set("soon", clock.now_ms() + 20)
    timers.set("overdue", 0)
    await asyncio.wait_for(done.wait(), 60)
    assert fired == ["overdue", "soon", "later"]


async def test_a_later_time_replaces_an_earlier_one() -> None:
    clock = ManualClock()
    fired: list[str] = []
    timers: Timers[str] = Timers(clock, fired.append)
    timers.start()
    timers.set("a", 5)
    timers.set("a", 9)
    timers.set("b", 5)
    timers.set("b", None)
    clock.time_ms = 8
    timers.kick()
    assert fired == []
    assert timers.due_ms("a") == 9
    clock.time_ms = 9
    timers.kick()
    assert fired == ["a"]
    assert timers.due_ms("a") is None


async def test_a_clock_that_jumps_is_noticed_at_the_next_look() -> None:
    clock = ManualClock()
    fired = asyncio.Event()
    timers: Timers[str] = Timers(clock, lambda _: fired.set(), recheck_ms=10)
    timers.start()
    timers.set("a", 3_600_000)
    clock.time_ms = 3_600_000
    await asyncio.wait_for(fired.wait(), 60)


async def test_who_must_know_what_time_it_is_is_asked_at_each_look() -> None:
    clock = ManualClock()
    seen: list[int] = []
    timers: Timers[str] = Timers(clock, lambda _: None, asked=lambda: seen.append(clock.time_ms))
    timers.start()
    clock.time_ms = 5
    timers.kick()
    timers.stop()
    timers.kick()
    assert seen == [0, 5]


async def test_nobody_looks_because_of_a_time_that_was_replaced() -> None:
    clock, looks = ManualClock(), list[int]()
    timers: Timers[str] = Timers(
        clock, lambda _: None, recheck_ms=None, asked=lambda: looks.append(clock.time_ms)
    )
    timers.set("a", 5)
    timers.set("b", 6)
    timers.set("a", 3_600_000)
    timers.set("b", None)
    timers.start()
    await asyncio.sleep(0.05)
    assert looks == [0]


async def test_nothing_fires_after_stop() -> None:
    clock = ManualClock()
    fired: list[str] = []
    timers: Timers[str] = Timers(clock, fired.append)
    timers.set("a", 0)
    timers.start()
    timers.stop()
    timers.set("b", 0)
    timers.kick()
    await asyncio.sleep(0.02)
    assert fired == ["a"]


async def test_many_due_at_once_leave_room_for_others() -> None:
    clock = ManualClock()
    fired: list[int] = []
    timers: Timers[int] = Timers(clock, fired.append)
    for number in range(2 * BATCH_LIMIT + 1):
        timers.set(number, 1)
    clock.time_ms = 1
    timers.start()
    assert len(fired) == BATCH_LIMIT
    await asyncio.sleep(0.05)
    assert fired == list(range(2 * BATCH_LIMIT + 1))
    timers.stop()


async def test_an_item_that_is_due_again_at_once_does_not_block() -> None:
    clock = ManualClock()
    fired: list[str] = []

    def again(item: str) -> None:
        fired.append(item)
        timers.set(item, 0)

    timers: Timers[str] = Timers(clock, again)
    timers.set("a", 0)
    timers.start()
    await asyncio.sleep(0.01)
    timers.stop()
    assert len(fired) > 1


@given(st.lists(st.tuples(st.integers(0, 9), st.none() | st.integers(0, 50)), max_size=300))
def test_items_fire_when_last_set_in_the_order_of_their_times(
    changes: list[tuple[int, int | None]],
) -> None:
    async def run() -> list[int]:
        clock = ManualClock()
        fired: list[int] = []
        timers: Timers[int] = Timers(clock, fired.append)
        for item, due_ms in changes:
            timers.set(item, due_ms)
        timers.start()
        timers.stop()
        fired_at_0 = len(fired)
        for now_ms in range(51):
            clock.time_ms = now_ms
            timers.start()
            timers.stop()
        assert all(dict(changes)[item] == 0 for item in fired[:fired_at_0])
        return fired

    last = dict(changes)
    fired = asyncio.run(run())
    times = [last[item] for item in fired]
    assert times == sorted(time for time in last.values() if time is not None)


def test_what_is_due_of_one_reservation_is_not_what_is_due_of_another_kind() -> None:
    items = [PartDue(("r", "devices")), ReservationDue("r"), TidyDue("r")]
    assert len({*items}) == len(items)
    assert ReservationDue("r") in items
