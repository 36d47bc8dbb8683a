"""Processes in one event loop: who runs, who does not, and always in the same order."""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import pytest

from simulations.clock import StalledError
from simulations.faults.loop import FaultLoop, Process, current


def run(loop: FaultLoop, work: Coroutine[Any, Any, Any]) -> Any:
    try:
        return loop.run_until_complete(work)
    finally:
        loop.close()


def test_time_jumps_and_timers_of_one_moment_keep_their_order() -> None:
    loop = FaultLoop(1)
    seen: list[Any] = []

    async def main() -> float:
        for number in range(3):
            loop.call_later(5, seen.append, number)
        await asyncio.sleep(3600)
        return loop.time()

    assert run(loop, main()) == 3600
    assert seen == [0, 1, 2]


def test_what_a_process_begins_belongs_to_it() -> None:
    loop = FaultLoop(1)
    process = Process(loop, "p")

    async def child() -> str:
        await asyncio.sleep(1)
        return current().name

    async def parent() -> str:
        return await asyncio.create_task(child())

    async def main() -> str:
        return await process.spawn(parent())

    assert run(loop, main()) == "p"


def test_a_paused_process_does_nothing_until_it_goes_on() -> None:
    loop = FaultLoop(1)
    seen: list[Any] = []
    process = Process(loop, "p")

    async def ticking() -> None:
        for _ in range(3):
            await asyncio.sleep(1)
            seen.append(loop.time())

    async def main() -> None:
        task = process.spawn(ticking())
        await asyncio.sleep(1.5)
        process.pause()
        await asyncio.sleep(10)
        assert seen == [1]
        process.resume()
        await task

    run(loop, main())
    assert seen == [1, 11.5, 12.5]


def test_a_killed_process_runs_no_more_not_even_to_clean_up() -> None:
    loop = FaultLoop(1)
    seen: list[Any] = []
    process = Process(loop, "p")

    async def working() -> None:
        try:
            await asyncio.sleep(1)
            seen.append("done")
        finally:
            seen.append("cleaned up")

    async def main() -> None:
        task = process.spawn(working())
        await asyncio.sleep(0.5)
        process.kill()
        process.resume()
        await asyncio.sleep(5)
        assert not task.done()
        assert seen == []

    run(loop, main())


def order(seed: int) -> list[str]:
    loop = FaultLoop(seed)
    seen: list[str] = []

    async def busy(name: str) -> None:
        for _ in range(5):
            seen.append(name)
            await asyncio.sleep(0)

    async def main() -> None:
        await asyncio.gather(*(Process(loop, name).spawn(busy(name)) for name in "abc"))

    run(loop, main())
    return seen


def test_the_seed_decides_who_runs_first() -> None:
    assert order(1) == order(1)
    assert len({tuple(order(seed)) for seed in range(10)}) > 5


def test_within_a_process_order_is_asyncios() -> None:
    loop = FaultLoop(3)
    seen: list[int] = []
    process, other = Process(loop, "p"), Process(loop, "q")

    async def main() -> None:
        for number in range(20):
            process.call(seen.append, number)
            other.call(list)
        await asyncio.sleep(1)

    run(loop, main())
    assert seen == list(range(20))


def test_nothing_left_to_wait_for_is_an_error() -> None:
    loop = FaultLoop(1)

    async def main() -> None:
        await asyncio.Event().wait()

    with pytest.raises(StalledError):
        run(loop, main())


def test_sets_of_tasks_are_in_the_order_of_their_making() -> None:
    loop = FaultLoop(1)

    async def main() -> list[int]:
        tasks = [asyncio.create_task(asyncio.sleep(1)) for _ in range(5)]
        order = [tasks.index(task) for task in set(tasks)]
        for task in tasks:
            task.cancel()
        return order

    assert run(loop, main()) == [0, 1, 2, 3, 4]


def test_tasks_are_asyncios_in_all_else() -> None:
    loop = FaultLoop(1)

    async def main() -> list[str]:
        sleeps = asyncio.create_task(asyncio.sleep(1), name="sleeps")
        assert sleeps in asyncio.all_tasks()
        await sleeps
        assert sleeps not in asyncio.all_tasks()
        return [sleeps.get_name()]

    assert run(loop, main()) == ["sleeps"]


def test_a_timer_that_comes_due_alone_waits_while_its_process_is_paused() -> None:
    loop = FaultLoop(1)
    process = Process(loop, "a")
    seen: list[float] = []

    async def main() -> list[float]:
        loop.call_later(1, lambda: seen.append(loop.time()), context=process.context)
        process.pause()
        loop.call_later(3, process.resume)
        await asyncio.sleep(4)
        return seen

    assert run(loop, main()) == [3]


def test_what_is_cancelled_is_not_called() -> None:
    loop = FaultLoop(1)
    seen: list[str] = []

    async def main() -> None:
        soon, later = loop.call_soon(seen.append, "soon"), loop.call_later(1, seen.append, "later")
        assert not soon.cancelled()
        soon.cancel()
        later.cancel()
        assert soon.cancelled()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3):
                await asyncio.Event().wait()
        async with asyncio.timeout(3):
            await asyncio.sleep(2)
        assert loop.time() == 5

    run(loop, main())
    assert seen == []


def test_an_error_in_a_callback_is_heard_and_the_rest_goes_on() -> None:
    loop = FaultLoop(1)
    heard: list[Any] = []
    nothing: dict[str, str] = {}
    loop.set_exception_handler(lambda _loop, context: heard.append(context))

    async def main() -> None:
        loop.call_soon(nothing.__getitem__, "here")
        await asyncio.sleep(1)

    run(loop, main())
    assert [type(context["exception"]) for context in heard] == [KeyError]
    assert "__getitem__" in heard[0]["message"]


def test_timers_of_a_process_that_was_killed_do_not_count() -> None:
    loop = FaultLoop(1)
    process = Process(loop, "p")

    async def sleeping() -> None:
        await asyncio.sleep(1000)

    async def main() -> float:
        process.spawn(sleeping())
        await asyncio.sleep(1)
        process.kill()
        await asyncio.sleep(1)
        return loop.time()

    assert run(loop, main()) == 2


def test_an_asynchronous_generator_that_is_dropped_is_closed() -> None:
    loop = FaultLoop(1)
    seen: list[str] = []

    async def numbers() -> AsyncIterator[int]:
        try:
            yield 1
            yield 2
        finally:
            seen.append("closed")

    async def main() -> None:
        async for _ in numbers():
            break
        await asyncio.sleep(1)

    run(loop, main())
    assert seen == ["closed"]


@pytest.mark.parametrize("ends", ["killed", "dead", "closed"])
def test_work_that_never_begins_is_ended_in_silence(ends: str) -> None:
    loop = FaultLoop(1)
    process = Process(loop, "p")

    async def never() -> None:
        raise AssertionError

    async def main() -> None:
        if ends == "dead":
            process.kill()
        if ends == "closed":
            process.pause()
        process.spawn(never())
        if ends == "killed":
            process.kill()

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        run(loop, main())
        gc.collect()
    assert [str(each.message) for each in said] == []
