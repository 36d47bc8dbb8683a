"""What was carried and is lost before it begins is carried once more, from the nearest that has it.

After a take-over each version that stands by is given back by itself, and each looks after all.
"""

from __future__ import annotations

import asyncio

from carrying_world import AWAY, Carrying, Step, carrying
from orchestrated import until, virtual

A_BEGINS = ("begin", "a", "munich")
FIRST = {"a": "munich", "b": "zurich", "c": "zurich"}


async def taken_twice(w: Carrying, target: str) -> list[Step]:
    """b went to zurich, where it has written, and on to ``target``, which has lost it as another
    orchestrator takes over; both versions before stand by. From where it is carried then."""
    w.carrier.fails[A_BEGINS] = [AWAY]
    assert (await w.move(FIRST)).modified
    await asyncio.sleep(3)
    await w.says("zurich", "b", "write note from zurich")
    w.carrier.fails[("begin", "b", target)] = [AWAY]
    assert (await w.move({**FIRST, "b": target}, "second")).modified
    await asyncio.sleep(2)
    await w.it.kill("a")
    await w.lose_what_came(target, "b")
    del w.carrier.fails[("begin", "b", target)]
    w.carrier.done.clear()
    ways, carry = list[Step](), w.carrier.carry

    async def noted(reservation_id: str, vnode: str, source: str, at: str, *, live: bool) -> object:
        ways.append((vnode, source, at))
        return await carry(reservation_id, vnode, source, at, live=live)

    w.carrier.carry = noted  # type: ignore[method-assign, assignment]
    w.one = await w.it.start("b")
    await until(lambda: ("begin", "b", target) in w.carrier.done, 600)
    return ways


@virtual
async def test_it_comes_from_the_version_before_and_not_from_the_one_before_that() -> None:
    async with carrying() as w:
        assert {*await taken_twice(w, "berlin")} == {("b", "zurich", "berlin")}
        assert "from zurich" in await w.tells("berlin", "b", "read note")


@virtual
async def test_what_went_there_and_back_is_not_carried_from_a_provider_to_itself() -> None:
    async with carrying() as w:
        assert {*await taken_twice(w, "munich")} == {("b", "zurich", "munich")}
        assert "from zurich" in await w.tells("munich", "b", "read note")
