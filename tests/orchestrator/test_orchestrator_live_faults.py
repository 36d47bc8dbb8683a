"""Whatever fails at whatever step of carrying a VNode as it runs: it runs once, with all it had."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from carrying_world import AWAY, MemoryCarrier, Step, carrying
from hypothesis import HealthCheck, example, given, settings, strategies as st
from orchestrated import noisy
from providers_world import placed

from orchestrator.ports import NotCarriedError
from runtime.errors import RequestError

BEFORE, AFTER, HALF, LOSE, KILL = "before", "after", "half", "lose", "kill"
SOURCE, TARGET = "source restarts", "target restarts"
FAULTS = st.dictionaries(
    st.integers(0, 12),
    st.sampled_from([BEFORE, AFTER, HALF, LOSE, KILL, SOURCE, TARGET]),
    max_size=6,
)
"""What goes wrong, by the number of the step."""


@dataclass
class FaultyCarrier(MemoryCarrier):
    """``faults``: as FAULTS. ``at``: is told what each step is to meet before it is done."""

    faults: dict[int, str] = field(default_factory=dict)
    at: Callable[[str, Step], Awaitable[None]] | None = None
    steps: int = 0

    async def _do(self, step: Step, work: Callable[[], Awaitable[Any]]) -> Any:
        fault = self.faults.get(self.steps, "")
        self.steps += 1
        assert self.at is not None
        await self.at(fault, step)
        if fault == BEFORE:
            raise AWAY
        done = await super()._do(step, work)
        if fault == AFTER:
            # It was done, and nobody heard of it.
            raise NotCarriedError("its answer was lost", final=False)
        return done


@given(faults=FAULTS)
@example(faults={2: HALF, 3: KILL, 5: LOSE})
@example(faults={1: AFTER, 2: AFTER, 3: AFTER, 4: AFTER})
@example(faults={2: KILL, 5: KILL, 8: KILL})
@example(faults={3: LOSE})
@example(faults={0: TARGET, 1: SOURCE, 2: HALF, 3: SOURCE, 5: TARGET, 6: TARGET})
@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
def test_it_runs_once_with_all_that_it_had_whatever_fails(faults: dict[int, str]) -> None:
    @noisy
    async def run() -> None:
        async with carrying() as w:
            carrier = FaultyCarrier(w.it, faults=faults)
            w.it.carrier = w.carrier = carrier
            w.one.engine.carrier = carrier
            noted: list[str] = []
            killed = asyncio.Event()

            async def at(fault: str, step: Step) -> None:
                await writes(f"n{carrier.steps}")
                if fault == HALF and step[0] != "begin":
                    with suppress(RequestError):
                        # Paused, and nothing of it has arrived.
                        await w.clouds("munich").carrying.copy(w.id, "b", "", last=True)
                    raise AWAY
                if fault == LOSE:
                    await w.lose_what_came("zurich", "b")
                if fault in (SOURCE, TARGET):
                    await w.restart("munich" if fault == SOURCE else "zurich")
                if fault == KILL:
                    killed.set()
                    await asyncio.Event().wait()

            async def writes(name: str) -> None:
                """What runs notes it on its disk and in its memory, wherever that is."""
                for domain in ("munich", "zurich"):
                    if (await w.states(domain)).get("b") == "running":
                        assert await w.tells(domain, "b", f"write {name} x") == ""
                        assert await w.tells(domain, "b", f"set {name} x") == ""
                        noted.append(name)

            carrier.at = at
            move = asyncio.ensure_future(w.move())
            lives = 0
            # Each life ends with its kill, the last one with the change.
            while True:
                dying = asyncio.ensure_future(killed.wait())
                settled = asyncio.ensure_future(w.over())
                await asyncio.wait({dying, settled}, return_when=asyncio.FIRST_COMPLETED)
                dying.cancel()
                settled.cancel()
                if not killed.is_set():
                    break
                killed.clear()
                lives += 1
                await w.it.kill(f"life{lives - 1}" if lives > 1 else "a")
                w.one = await w.it.start(f"life{lives}")
            move.cancel()
            await w.settled()
            at_last = placed(await w.get())["b"]
            assert [d for d in ("munich", "zurich") if "b" in await w.states(d)] == [at_last]
            assert (await w.states(at_last))["b"] == "running"
            assert await w.reads(at_last, "b")
            for name in noted:
                assert await w.tells(at_last, "b", f"read {name}") == "x"
                assert await w.tells(at_last, "b", f"get {name}") == "x"
            assert noted

    run()
