"""One run: a world under load, processes killed at random, and what is left of its promises."""

from __future__ import annotations

import asyncio
import random
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import grpc
import grpc.aio

from braid.v1 import reservations_pb2 as pb
from tools.chaos_checks import Findings, check_domain, check_end, unjoined
from tools.chaos_load import Instances, User
from tools.chaos_reading import by_request, holdings, listed
from tools.chaos_report import Report, takeovers
from tools.chaos_world import Member, World, capacities, postgres

BEFORE_S = 2.0
"""Load before the first kill."""
PAUSE_MAX_S = 3.0
"""Longest pause before a killed process is started again; half of them start at once."""
DOWN_MAX = 2
"""No further strike before at most so many are down, or this time is over."""
BREATH_MAX_S = 20.0
LULL, LULL_S = 0.1, 2.0
"""How often all are up before a strike, and how long on average."""
CHECK_EVERY_S = 5.0
CHECK_END_S = 2.0
TELL_EVERY = 50
INSTANCES_MAX = 26


@dataclass(frozen=True)
class Wishes:
    """What to run.

    ``pace_s``: seconds from one strike to the next, on average. ``settle_s``: from the last kill
    until everything must be resolved; ``quiet_s``: how long it is watched at least.
    """

    kills: int = 1000
    seed: int = 1
    instances: int = 2
    users: int = 12
    pace_s: float = 1.2
    settle_s: float = 30.0
    quiet_s: float = 30.0


class Run:
    """Load, kills and checks side by side, on a world that is up."""

    def __init__(self, world: World, wishes: Wishes, report: Report) -> None:
        self._world, self._wishes, self._report = world, wishes, report
        self._rng = random.Random(wishes.seed)
        self._capacities = capacities()
        self._reviving: set[asyncio.Task[None]] = set()
        self._seen: set[str] = set()

    async def go(self) -> None:
        """Everything, to the end."""
        wishes, ledger = self._wishes, self._report.ledger
        instances = Instances([member.target for member in self._world.orchestrators], ledger)
        stopping = asyncio.Event()
        users = [
            User(f"u{i}", ledger, instances, f"{wishes.seed}/{i}") for i in range(wishes.users)
        ]
        asking = [asyncio.create_task(user.run(stopping)) for user in users]
        checking = asyncio.create_task(self._check_often())
        try:
            await self._kill_all()
            stopping.set()
            await self._settle(asking)
        finally:
            for task in (*asking, checking, *self._reviving):
                task.cancel()
            await asyncio.gather(*asking, checking, *self._reviving, return_exceptions=True)
            await instances.close()

    # Kills ----------------------------------------------------------------------------------------

    async def _kill_all(self) -> None:
        """Strikes until there were enough kills."""
        told, kills = 0, self._report.kills
        await asyncio.sleep(BEFORE_S)
        while (left := self._wishes.kills - kills.total()) > 0:
            await self._strike(left)
            if kills.total() // TELL_EVERY > told:
                told = kills.total() // TELL_EVERY
                _say(f"{kills.total()} kills; heard {dict(self._report.ledger.heard)}")
            if left > 1:
                await asyncio.sleep(self._rng.expovariate(1 / self._wishes.pace_s))
                await self._breath()

    async def _breath(self) -> None:
        """Waits while so many are down that nothing can be under way: the machine may be slow."""
        lull = self._rng.random() < LULL
        deadline = time.monotonic() + BREATH_MAX_S
        while True:
            if self._down() <= (0 if lull else DOWN_MAX) or time.monotonic() > deadline:
                break
            await asyncio.sleep(0.05)
        if lull:
            await asyncio.sleep(self._rng.uniform(0.0, 2 * LULL_S))

    def _down(self) -> int:
        return sum(not member.up.is_set() for member in self._world.members)

    async def _strike(self, most: int) -> None:
        """Kills one, sometimes two or three at once; also processes that are just starting."""
        count = self._rng.choices((1, 2, 3), (75, 18, 7))[0]
        running = [member for member in self._world.members if member.running]
        victims = self._rng.sample(running, min(count, most, len(running)))
        number = self._report.kills.total() + 1
        await asyncio.gather(*(member.kill(f"killed in strike {number}") for member in victims))
        for member in victims:
            self._report.kills[member.name] += 1
            at_once = self._rng.random() < 0.5
            pause_s = 0.0 if at_once else self._rng.uniform(0.1, PAUSE_MAX_S)
            task = asyncio.create_task(self._revive(member, pause_s))
            self._reviving.add(task)
            task.add_done_callback(self._reviving.discard)

    async def _revive(self, member: Member, pause_s: float) -> None:
        await asyncio.sleep(pause_s)
        await member.start()

    async def _restart_the_dead(self) -> None:
        for member in self._world.members:
            died = member.died.copy()
            member.died.clear()
            for text in died:
                self._violation(text)
            if died and not member.running:
                await member.start()

    # Checks while it runs -------------------------------------------------------------------------

    async def _check_often(self) -> None:
        while True:
            await self._restart_the_dead()
            await asyncio.gather(*(self._check_now(agent) for agent in self._world.agents))
            self._report.checks += 1
            await asyncio.sleep(CHECK_EVERY_S)

    async def _check_now(self, agent: Member) -> None:
        """What holds at every instant, at one agent; one that does not answer is left out."""
        ledger = self._report.ledger
        before = ledger.promised()
        try:
            held = await holdings(agent.target)
        except grpc.aio.AioRpcError:
            return
        records = ledger.kept(before)
        found = check_domain(agent.name, self._capacities[agent.name], held, records)
        for record in records:
            found.violations += unjoined(record)
        for text in found.violations:
            self._violation(text, f"after {self._report.kills.total()} kills: ")

    # Checks at the end ----------------------------------------------------------------------------

    async def _settle(self, asking: list[asyncio.Task[None]]) -> None:
        """Gives everything its time, and then says what is wrong."""
        began = time.monotonic()
        await asyncio.gather(*self._reviving)
        await self._world.all_up()
        while True:
            elapsed_s = time.monotonic() - began
            found = await self._look()
            resolved = not found.unresolved and all(task.done() for task in asking)
            for text in found.unresolved[:1]:
                _say(f"{elapsed_s:.0f} s after the last kill, {len(found.unresolved)} open: {text}")
            if not resolved:
                self._report.resolved_s = None
            elif self._report.resolved_s is None:
                self._report.resolved_s = round(elapsed_s, 1)
            if elapsed_s >= (self._wishes.quiet_s if resolved else self._wishes.settle_s):
                break
            await asyncio.sleep(CHECK_END_S)
        for task in asking:
            if task.done():
                task.result()
        self._report.findings.add(found)
        for text in self._report.ledger.violations:
            self._violation(text)
        await self._compare()

    async def _look(self) -> Findings:
        """All that is wrong or open at this moment."""
        try:
            known = await listed(self._world.orchestrators[0].target)
            held = {agent.name: await holdings(agent.target) for agent in self._world.agents}
        except grpc.aio.AioRpcError as error:
            return Findings(unresolved=[f"a process does not answer: {error.details()}"])
        asked = self._report.ledger.asked.values()
        return check_end(asked, known, held, self._capacities, int(time.time()))

    async def _compare(self) -> None:
        """All instances must say the same, in a list and by request."""
        asked = self._report.ledger.asked
        said: dict[str, set[tuple[int, int] | None]] = {request_id: set() for request_id in asked}
        for member in self._world.orchestrators:
            for known in (await listed(member.target), await by_request(member.target, asked)):
                for request_id, words in said.items():
                    words.add(_word(known.get(request_id)))
        for request_id, words in said.items():
            if len(words) > 1:
                self._violation(f"request {request_id} is told differently: {words}")

    def _violation(self, text: str, prefix: str = "") -> None:
        """Notes it once, at its first sight."""
        if text not in self._seen:
            self._seen.add(text)
            self._report.findings.violations.append(prefix + text)
            _say(f"VIOLATION {prefix}{text}")


async def chaos(wishes: Wishes, folder: Path) -> Report:
    """A whole run with its settings, databases and logs in ``folder``."""
    report = Report(wishes.seed)
    began = time.monotonic()
    with postgres() as database:
        world = World(folder, database, wishes.instances, random.Random(wishes.seed))
        try:
            await world.start()
            await Run(world, wishes, report).go()
        finally:
            await world.stop()
    report.takeovers = takeovers(member.log for member in world.orchestrators)
    report.seconds = time.monotonic() - began
    return report


def _say(text: str) -> None:
    stamp = time.strftime("%H:%M:%S", time.gmtime())
    print(f"{stamp} {text}", file=sys.stderr, flush=True)


def _word(record: pb.ReservationRecord | None) -> tuple[int, int] | None:
    return None if record is None else (record.state, record.version)
